"""Owns what one request knows of its session: the record that it was loaded from, what has changed since, its end.

The manager asks it for its facts, performs the plan that they lead to, and hands the outcome back (`settle`). The rules
are in policy.py; no store is reached from here.
"""

from collections.abc import Callable, Collection, Iterable
from typing import Self

from .clock import Clock
from .data import NO_PARTS, Parts, SessionData, parts_of
from .errors import SessionConflict
from .formats import json_text
from .meta import SessionMeta
from .options import SessionOptions
from .policy import ENDED, CookieAct, EndReason, Facts, Performed, Plan, answer
from .progress import Generate
from .remembered import Remembered
from .renewal import MEMBERS, Renewal, Value, tags_of
from .store import StoredSession
from .stored_cookie import LAST_MOMENT, StoredCookie, is_moment
from .user_text import user_at


class Row:
    """Where a session is stored, as far as this request knows. A verb that waits for its turn holds on to it."""

    __slots__ = ("base", "id")

    def __init__(self, sid: str, base: StoredSession | None = None) -> None:
        self.id: str = sid
        self.base: StoredSession | None = base
        """What is stored there; None where nothing is."""


class SessionState(Remembered):
    """One session in one request."""

    end: EndReason | None = None
    """Why the session is over; None while it lives."""
    is_readable: bool = True
    """Whether a handler may still read it."""
    is_discarded: bool = False
    """Whether the answer is an error with which nothing is stored: `save_on_error`."""
    dropped_id: str | None = None
    """The id under which a change was dropped, if the log has said so."""
    renamed: bool = False
    """Whether the row has moved to a new id, which the browser has to learn whatever else fails."""
    cookie_act: CookieAct = "keep"
    """What the response does to the browser's cookie, known once the plan was performed."""
    others: tuple[str, ...] = ()
    """Further verified ids of the request: `destroy()` ends them too."""
    _saved_text: str | None = None  # the data that need not be saved again
    encoded: str = json_text.EMPTY
    """The data as `facts` has encoded it last: what is current in the same step."""
    _written: tuple[StoredSession, tuple[str, str, str]] | None = None  # the last record for the store, with its parts
    _is_renewed = _touch_asked = _committed = _already_deleted = _is_rejected = False

    def __init__(
        self,
        options: SessionOptions,
        clock: Clock,
        generate: Generate,
        request_sid: str | None,
        row: Row,
        cookie: StoredCookie,
        parts: Parts = NO_PARTS,
    ) -> None:
        self._options, self._generate = options, generate
        self.clock: Clock = clock
        self.cookie: StoredCookie = cookie
        self.request_sid: str | None = request_sid
        """The verified id that the browser sent; the store may not know it."""
        self.id: str = row.id
        self._origin_id = row.id
        self.row: Row = row
        """Its row, which is still under another id until a `rotate()` has moved it."""
        self._stored_cookie, self._origin_text, _ = parts  # the text of the cookie in the row; the data at the start
        self.data: SessionData = SessionData(self._origin_text)
        self.meta: SessionMeta = SessionMeta()
        if options.absolute_timeout is not None:
            self._timeout = self._new_timeout()

    @classmethod
    def new(
        cls, options: SessionOptions, clock: Clock, generate: Generate, request_sid: str | None = None
    ) -> "SessionState":
        """Return a session under a fresh id that no store knows yet."""
        sid, cookie = generate()
        state = cls(options, clock, generate, request_sid, Row(sid), cookie)
        if options.renew_after is not None:
            state._begin_value()
        return state

    @classmethod
    def loaded(
        cls, options: SessionOptions, clock: Clock, generate: Generate, sid: str, record: StoredSession
    ) -> "SessionState":
        """Return the session of a stored record. Raises CorruptSession if its text is no session."""
        parts, cookie = parts_of(sid, record, clock)
        state = cls(options, clock, generate, sid, Row(sid, record), cookie, parts)
        if not options.resave:
            state._saved_text = state._origin_text
        if parts.meta or state._timeout is not None or options.renew_after is not None:
            state._read_meta(parts.meta, parts.data)
        return state

    # ---------------------------------------------------------------- what a handler asks, through the face

    @property
    def base(self) -> StoredSession | None:
        """The record of its row; None if there is none."""
        return self.row.base

    def with_others(self, sids: Iterable[str], replaced: Collection[str]) -> Self:
        """Note the further verified ids of the request, but those with a replaced value of the cookie."""
        self.others = tuple(sid for sid in sids if sid != self.id and sid not in replaced)
        return self

    def load_outcome(self) -> str:
        """Return what an observer gets of the load: a session was found, or it is over."""
        return "found" if self.end is None and self.base is not None else "over"

    @property
    def is_known(self) -> bool:
        """True if the browser has sent this session's id."""
        return self.id == self.request_sid

    def touch(self) -> None:
        """Start the lifetime again; it is stored at the end of the request, whatever `touch_after` says."""
        self._touch_asked = True
        self.cookie.touch()

    # ---------------------------------------------------------------- facts, plan, outcome

    def facts(self) -> Facts:
        """Return what the rules look at. Raises DataError for what JSON cannot hold; `to_store` looks closer."""
        if self.end is not None:
            return ENDED._replace(
                end=self.end,
                already_deleted=self._already_deleted,
                browser_sent_id=self.request_sid is not None,
                id_changed=self.end == "failed" and self.renamed,
                cookie_can_leave=not self._has_left,
                discarded=self.is_discarded or self._is_rejected,
            )
        base, saved, sid, sent, cookie = self.row.base, self._saved_text, self.id, self.request_sid, self.cookie
        data = self.encoded = self.data.current()
        facts = (
            None,
            "fixed" if self.renewal is None else self._value(self.renewal),
            False,  # already_deleted
            sent is not None,
            sid == sent,
            base is not None,
            sid != self._origin_id,
            data != self._origin_text,
            data != saved,
            saved is not None,
            cookie.changed_from(self._stored_cookie),
            cookie.has_expiry,
            base is not None and self._is_meta_unrecorded(),
            self._touch_asked,
            base is not None and data == saved and self.is_touch_due(base.expires_at),
            self._committed,
            not self._has_left,
            self.is_discarded or self._is_rejected,
        )
        return tuple.__new__(Facts, facts)  # the class itself takes five times as long with so many names

    def _value(self, renewal: Renewal) -> Value:
        """Return what becomes of the cookie's value; nothing, if the browser does not know the id."""
        return self.value_of(renewal) if self.is_known else "fixed"

    def renew(self) -> None:
        """Start the lifetime again, once in a request."""
        if not self._is_renewed:
            self._is_renewed = True
            self.cookie.touch()

    def settle(self, plan: Plan, outcome: Performed) -> None:
        """Take over what became of a plan."""
        if plan.cookie == "keep":
            self.cookie_act = "keep"
        else:
            self.cookie_act = answer(plan, outcome, "fixed" if self.renewal is None else self._value(self.renewal))
        if plan.change == "nothing":
            return
        if plan.change == "destroy":
            self._already_deleted = True
        else:
            self._committed = True
        if outcome in ("gone", "closed"):
            self.over(outcome)

    def over(self, reason: EndReason, *, is_readable: bool = False) -> None:
        """Note that the session is over. A session that was ended elsewhere can still be read."""
        self.end = reason
        self.is_readable = is_readable or reason in ("gone", "closed")
        self.cookie_act = "keep"

    def failed(self) -> None:
        """Note that a verb or the commit failed: nothing more is written, and no cookie is sent.

        The exception is a row that has moved: the browser's id leads nowhere, so the new one is sent all the same.
        """
        self.over("failed", is_readable=self.end is None or self.is_readable)
        self.cookie_act = "send" if self.renamed else "keep"

    def is_dirty(self) -> bool:
        """Return True if a handler has changed something that the store does not have."""
        if self.end is not None:
            return False
        data = self.data.current()
        changed = data not in (self._origin_text, self._saved_text)
        return changed or (self.base is not None and self.cookie.changed_from(self._stored_cookie))

    @property
    def is_changed(self) -> bool:
        """True if a handler has changed data of this session."""
        return bool(self.data.assigned) or self.data.current() != self.data.text

    # ---------------------------------------------------------------- records

    def expires_at(self) -> int:
        """Return when the store may forget the session, in milliseconds since the epoch."""
        expires = self.cookie.expires
        if expires is not None and is_moment(expires):
            return int(expires)
        return self.cookie.capped(self.clock() + self._options.ttl)

    def to_store(self, encoded: str | None = None) -> StoredSession:
        """Return the record to store; `encoded` is its data, where that is known.

        Raises DataError for changed data that is too large, or that Node cannot hold.
        """
        if self.noted_path is not None:
            self._note_user(user_at(self.values, self.noted_path))
        data = self.data.current() if encoded is None else encoded
        cookie, limit, timeout = self.cookie.text(), self._options.max_bytes, self._timeout
        meta = self.meta.text(None if timeout is None else timeout.to_record)
        text = json_text.join(cookie, data, meta)
        if limit and 4 * len(text) > limit and data != self.data.text:  # no character takes more than four bytes
            json_text.check_size(text, limit)
        self.data.check(data)
        record = StoredSession(text, self.expires_at())
        self._written = record, (cookie, data, meta)
        return record

    def on(self, newer: StoredSession) -> StoredSession:
        """Return the record to store on top of this one: after a merge, unless it is the one that was loaded.

        A merge applies what was set or deleted here, and the assigned cookie attributes, to the newer record; the
        session holds the merged data from here on. Raises SessionConflict as `conflict = "reject"` asks.
        """
        if self.base is None or not newer.same_as(self.base):
            parts, cookie = self._parts(newer)
            if self._options.conflict == "reject":
                self._reject_clashes(parts)
            assigned = self.cookie.assigned
            self.data.merge(parts.data)
            self._take(newer, parts, cookie)
            self.cookie.reassign(assigned)
        return self.to_store()

    def _reject_clashes(self, newer: Parts) -> None:
        keys = self.data.clashes(newer.data)
        if self.cookie.clashes(self._stored_cookie, newer.cookie):
            keys.append("cookie")
        if keys:
            self._is_rejected = True
            places = ", ".join(f"session[{key!r}]" if key != "cookie" else "session.cookie" for key in keys)
            raise SessionConflict(
                f"another request has changed {places} meanwhile: nothing of this one is stored", keys
            )

    def read(self, record: StoredSession) -> None:
        """Take over a stored record: its data, its cookie, and itself as what the next write expects."""
        self._is_rejected = False
        parts, cookie = self._parts(record)
        self.data.read(parts.data)
        self._take(record, parts, cookie)

    def saved(self, sent: StoredSession, record: StoredSession, row: Row) -> None:
        """Note that the store has stored `sent` as `record`, in a row that the session may have left meanwhile."""
        row.base = record
        if row is not self.row:
            return
        written, parts = self._written or (None, None)
        if parts is None or written is not sent:
            parts, _ = self._parts(record)
        self._stored_cookie, data, meta = parts
        self._is_rejected = False
        self._saved_text = data
        self.data.wrote(data)
        if meta or self.meta.row:
            self._read_meta(meta, data)
        if self.meta.assigned:
            self.meta.saved()

    def touched(self, record: StoredSession) -> None:
        """Note that the store has moved the expiry."""
        self.row.base = record

    # ---------------------------------------------------------------- a new id

    def snapshot(self, *, copied: bool = False) -> Callable[[], None]:
        """Return what puts the session back to this moment, for a verb that fails.

        A verb that itself changes data or `__meta` has them `copied`.
        """
        data, meta = (self.data.copy(), self.meta.copy()) if copied else (self.data, self.meta)
        before = self.id, self.row, data, meta, self.end, self.is_readable
        stored_cookie, timeout, restore_cookie = self._stored_cookie, self._timeout, self.cookie.snapshot()

        def go_back() -> None:
            self.id, self.row, self.data, self.meta, self.end, self.is_readable = before
            self._stored_cookie, self._timeout = stored_cookie, timeout
            restore_cookie()

        return go_back

    def resume(self) -> None:
        """Go on after a verb has failed: what it has changed was put back."""
        self.end, self.is_readable, self._is_rejected = None, True, False

    def restart(self, *, keep: bool) -> None:
        """Go on under a new id, with the data and the cookie or without, as a session that is not stored."""
        cookie = self.take_new_id()
        if not keep:
            self._begin(cookie)
            self.data = SessionData()
        self.row, self._stored_cookie = Row(self.id), json_text.EMPTY

    def restart_with_assigned(self) -> None:
        """Go on as a new session that holds only what this request itself assigned: keys and cookie attributes."""
        assigned, meta = self.cookie.assigned, self.meta.assigned
        self._begin(self.take_new_id())
        self.meta.set(**meta)
        self._begin_value()
        if "endsAt" in meta:
            self._end_at(meta["endsAt"])
        self.cookie.reassign(assigned)
        self.data.keep_assigned()
        self.row, self._stored_cookie = Row(self.id), json_text.EMPTY

    def take_new_id(self) -> StoredCookie:
        """Take a new id, and ask again whether the request is secure. Returns the cookie of a new session."""
        sid, cookie = (self._generate or self.check_can_send())()
        self.id = sid
        self.cookie.ask_again(cookie)
        self._begin_value()
        return cookie

    def moved(self, row: Row, sid: str, sent: StoredSession, record: StoredSession) -> None:
        """Note that a row has moved to a new id, with the record that was sent."""
        row.id = sid
        self.renamed = self.renamed or row is self.row
        self.saved(sent, record, row)

    def go_on_as(self, sid: str) -> None:
        """Go on under the id to which another request has moved the row: a socket does after `confirm()`."""
        self.id = self.row.id = sid
        if self.end == "closed":  # by a write that was first to find the tombstone
            self.resume()

    def stays_in(self, row: Row) -> bool:
        """Return True if a change may be written to a row: the session has not left it, and no new id waits for it."""
        return row is self.row and (row.base is None or row.id == self.id)

    def _begin(self, cookie: StoredCookie) -> None:
        self._is_rejected = False
        self.end, self.is_readable = None, True  # a login is a session, also where the one before has just expired
        self.cookie.become(cookie)
        self.meta = SessionMeta()
        self._begin_value()
        self.cookie.cap(LAST_MOMENT)
        self._timeout = None if self._options.absolute_timeout is None else self._new_timeout()

    # ---------------------------------------------------------------- parts

    def _take(self, record: StoredSession, parts: Parts, cookie: StoredCookie) -> None:
        before = self.meta.row
        self.row.base, self._stored_cookie = record, parts.cookie
        self.cookie.become(cookie)
        self._read_meta(parts.meta, parts.data)
        if self.renewal is not None and self.is_known and not tags_of(before).is_of(tags_of(self.meta.row)):
            self.meta.forget(MEMBERS)  # another request was first with a new value

    def _parts(self, record: StoredSession) -> tuple[Parts, StoredCookie]:
        return parts_of(self.id, record, self.clock)
