"""Owns the session of one request: a mapping that knows what it was when it was loaded, and so what has changed.

It records what the handler meant and decides, with express-session's rules (index.js: shouldSave, shouldTouch,
shouldSetCookie), what the end of the request owes to the store and to the browser. It reaches the store through the
manager only, and must not know HTTP.
"""

from collections.abc import Callable, Iterator, MutableMapping
from typing import Any, Self, TypeVar

from .absolute_timeout import Age
from .clock import Clock
from .cookie import Cookie
from .errors import DataError, HeadersSent
from .formats import json_text
from .formats.signing import fingerprint
from .keeper import Birth, Keeper
from .merge import merged, restored
from .options import SessionOptions, is_number
from .parts import data_of, parts_of
from .states import Change, End, Reply
from .store import StoredSession

Result = TypeVar("Result")


class Session(MutableMapping[str, Any]):
    """The session in a handler. Values are JSON values; nested changes are seen at the end of the request.

    Assigning a key that is not a string, or that express-session uses itself, raises DataError.
    """

    # Slots also refuse `session.user = ...`, which in Express is how a key is set.
    __slots__ = (
        "_age", "_base", "_birth", "_canonical", "_checked", "_clock", "_committed", "_cookie", "_data", "_deleted",
        "_end", "_id", "_keeper", "_options", "_origin", "_origin_id", "_reply", "_request_sid", "_saved",
        "_sealed", "_stored_cookie", "_text", "_touch_asked", "_touched", "_written",
    )  # fmt: skip

    def __init__(
        self,
        keeper: Keeper,
        options: SessionOptions,
        clock: Clock,
        birth: Birth,
        request_sid: str | None,
        sid: str,
        cookie: Cookie,
    ) -> None:
        self._keeper = keeper
        self._options = options
        self._clock = clock
        self._birth: Birth | None = birth  # the way back to the handler, which holds the session: until it is sealed
        self._request_sid = request_sid  # the id that the browser sent, signed; it may be unknown to the store
        self._id = self._origin_id = sid
        self._cookie = cookie  # one object from first to last: a handler may hold it
        self._age = None if options.absolute_timeout is None else self._new_age()
        self._base: StoredSession | None = None  # the row as this request knows it; None: not stored
        self._stored_cookie = json_text.EMPTY  # the text of the cookie in that row
        self._text = self._origin = json_text.EMPTY  # the data as last read or written, and as it was at first
        self._data: dict[str, Any] | None = None  # decoded when somebody looks
        self._canonical: str | None = None  # our spelling of _text
        self._checked: str | None = None  # a text of ours that Node can read
        self._saved: str | None = None  # the data that need not be saved again
        self._written: tuple[StoredSession, str, str, str] | None = None  # as last made for the store, and its parts
        self._touched = self._touch_asked = self._committed = self._deleted = self._sealed = False
        self._end: End | None = None
        self._reply: Reply = "keep"

    @classmethod
    def new(
        cls, keeper: Keeper, options: SessionOptions, clock: Clock, birth: Birth, request_sid: str | None = None
    ) -> Self:
        """A session with a fresh id that no store knows yet."""
        return cls(keeper, options, clock, birth, request_sid, *birth())

    @classmethod
    def loaded(
        cls, keeper: Keeper, options: SessionOptions, clock: Clock, birth: Birth, sid: str, stored: StoredSession
    ) -> Self:
        """A session as the store has it. Raises CorruptSession where the text is none."""
        cookie_text, text, meta, cookie = parts_of(sid, stored, clock, aged=options.absolute_timeout is not None)
        session = cls(keeper, options, clock, birth, sid, sid, cookie)
        session._base, session._stored_cookie = stored, cookie_text
        session._text = session._origin = text
        session._saved = None if options.resave else text
        if session._age is not None:
            session._read_age(meta)
        return session

    # ---------------------------------------------------------------- what a handler uses

    @property
    def id(self) -> str:
        """The session id. It is a secret: whoever has it, signed, is the visitor."""
        return self._id

    @property
    def cookie(self) -> Cookie:
        """The cookie's attributes and lifetime, which can be assigned."""
        return self._cookie

    @property
    def fingerprint(self) -> str:
        """Eight hexadecimal digits that stand for the id where it must not be shown, in a log for instance."""
        return fingerprint(self._id)

    def touch(self) -> None:
        """Start the lifetime again from now. The store hears of it at the end of the request, `touchAfter` or not."""
        self._touch_asked = True
        self.cookie.touch()

    async def save(self) -> None:
        """Write the session to the store now. Raises StoreError, and DataError for a value that JSON cannot hold."""
        await self._keeper.save(self)

    async def destroy(self) -> None:
        """End the session and delete it from the store now; `self.session` raises NoSession from here on."""
        await self._keeper.destroy(self)

    async def regenerate(self) -> None:
        """Delete the stored session now and go on with a new id, no data and a new cookie: for every login."""
        await self._keeper.regenerate(self)

    async def rotate(self) -> None:
        """Go on under a new id with the same data and cookie; the old id ends now."""
        await self._keeper.rotate(self)

    async def reload(self) -> None:
        """Read the session again and drop what was changed here. Raises SessionError where it is not stored."""
        await self._keeper.reload(self)

    async def mutate(self, change: Callable[[dict[str, Any]], Result]) -> Result:
        """Read, change and write the session as one step, now; returns what `change` returns.

        `change` is given the newest data with this request's changes in it and may run again when another request
        comes in between: it should do nothing but change the data.
        """
        return await self._keeper.mutate(self, change)

    def __getitem__(self, key: str) -> Any:
        return self._values()[key]

    def __setitem__(self, key: str, value: Any) -> None:
        if not isinstance(key, str):
            raise DataError(f"session: the key {key!r} is not a string")
        if key in json_text.RESERVED:
            raise DataError(f"session[{key!r}]: {json_text.RESERVED_BECAUSE}")
        self._values()[key] = value

    def __delitem__(self, key: str) -> None:
        del self._values()[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values())

    def __len__(self) -> int:
        return len(self._values())

    def clear(self) -> None:
        """Delete all data at once; the id and the cookie stay."""
        self._values().clear()

    def __repr__(self) -> str:
        return f"<Session {self.fingerprint}>"

    # ---------------------------------------------------------------- what the manager and the mixin use

    @property
    def over(self) -> End | None:
        """Why the session is over; None while it lives."""
        return self._end

    @property
    def base(self) -> StoredSession | None:
        """The stored session that this one starts from; None where there is none yet."""
        return self._base

    @property
    def reply(self) -> Reply:
        """What the response does to the browser's cookie, known once the change was committed."""
        return self._reply

    @property
    def is_new(self) -> bool:
        """Whether the browser does not know this session's id yet."""
        return self._id != self._request_sid

    def change(self, *, ends: bool = True) -> Change:
        """What is owed to the store now; the cookie's lifetime starts again with it.

        The first bytes of a stream (`ends` is False) owe it what was changed; to renew the expiry waits for its end.
        """
        if self._end is not None:
            return self._change_of_ended()
        data = self.data_text()
        modified, change = self._is_modified(data), self._owed(data)
        if self._age is not None and not self._age.is_stored and self._base is not None:
            change = "update"  # born in Node: when it was first seen is to be written down
        if change == "create":
            self.check_open()
        if self.is_new:  # also what save() has stored already, or it would be an orphan
            sends = self._options.save_uninitialized or modified or self._base is not None
        else:
            sends = (self._options.rolling and change != "nothing") or (self.cookie.has_expiry and modified)
        if sends:
            self._cookie.check()  # before anything is stored that no browser could be told of
        waits = change == "touch" and not ends
        if not sends and (waits or change == "nothing"):
            return "nothing"
        if not self._touched:
            self._touched = True
            self.cookie.touch()
        self._reply = "send" if sends else "keep"
        if waits and self._options.conflict == "overwrite":
            return "nothing"  # Express sends the cookie on trust; ours goes out once the touch is confirmed
        self._committed = True
        return change

    def is_dirty(self) -> bool:
        """Whether there is data that the store does not have."""
        return self._end is None and self._owed(self.data_text()) in ("create", "update")

    def seal(self, *, has_left: bool = True) -> None:
        """Note that the response is finished, or has left: a handler can make no new cookie for it any more."""
        self._sealed = True
        if has_left:  # until then a commit may find that an id is taken
            self._birth = None  # or each request would leave a cycle to the garbage collector

    def check_open(self) -> Birth:
        """What makes a new id and its cookie. Raises HeadersSent where the cookie could not be sent any more."""
        if self._birth is None or self._sealed:
            raise HeadersSent("the headers have left: a new session, or a new id, could not be sent to the browser")
        return self._birth

    def _is_modified(self, data: str) -> bool:
        return self._id != self._origin_id or data != self._origin

    def _owed(self, data: str) -> Change:
        if self.is_new and self._saved is None and not self._options.save_uninitialized:
            save = self._is_modified(data)
        else:
            save = self._id != self._origin_id or data != self._saved
        if save:
            return "create" if self._base is None else "update"
        if self._base is None:
            return "nothing"
        forgets = self._options.conflict == "overwrite" and self.is_new and not self._committed
        if self.cookie.changed_from(self._stored_cookie) and not forgets:  # Express forgets them after a first save()
            return "update"
        if self.is_new or self._committed:
            return "nothing"
        return "touch" if self._touch_asked or self._touch_is_due(self._base) else "nothing"

    def _change_of_ended(self) -> Change:
        if self._end is End.GONE:
            return "nothing"
        deletes = self._options.unset == "destroy" and not self._deleted
        cleared = self._end is End.DESTROYED or (self._end is End.UNSET and self._options.unset == "destroy")
        if cleared and self._options.clear_cookie and self._request_sid is not None:
            self._reply = "clear"
        self._deleted = deletes or self._deleted
        return "destroy" if deletes else "nothing"

    def _touch_is_due(self, base: StoredSession) -> bool:
        lifetime, after = self._cookie.member("originalMaxAge"), self._options.touch_after
        if lifetime is None or not is_number(lifetime):
            lifetime = self._options.ttl
        if after is None:
            after = 0 if self._options.rolling else lifetime / 20
        if self._age is not None:
            return self._age.is_touch_due(self._clock() + lifetime, base.expires_at, after)
        return bool(self._clock() + lifetime - base.expires_at >= after)

    def data_text(self) -> str:
        """The data as JSON: the text that was read, until it changes. Raises DataError for what JSON cannot hold."""
        if self._data is None:
            return self._text
        text = json_text.dumps(self._data)
        if text == self._text:
            return text
        if self._canonical is None:  # a row that Node, or a person, spelled another way is not modified by that
            self._canonical = json_text.dumps(json_text.read(self._text))
        if text == self._canonical:
            return self._text
        if text != self._checked:
            json_text.check(self._data)
            self._checked = text
        return text

    def expires_at(self) -> int:
        """When the store may forget the session, in milliseconds since the epoch."""
        expires = self._cookie.member("expires")
        if expires is None or expires is False:
            return self._cookie.capped(self._clock() + self._options.ttl)
        return int(expires)

    @property
    def is_too_old(self) -> bool:
        """Whether it has come to the end that `absoluteTimeout` sets."""
        return self._age is not None and self._age.ends_at <= self._clock()

    def to_store(self) -> StoredSession:
        """The session as it is to be stored. Raises DataError where changed data would take too many bytes."""
        cookie, data, meta, limit = self._cookie.text(), self.data_text(), "", self._options.max_bytes
        if self._age is not None:
            meta = self._age.meta
        elif json_text.META in self._text and data != self._text:
            meta, _ = json_text.split_meta(self._text)  # another application's, or ours from before: it stays
        text = json_text.join(cookie, data, meta)
        if limit and 4 * len(text) > limit and data != self._text:  # no character takes more than four bytes
            json_text.check_size(text, limit)
        stored = StoredSession(text, self.expires_at())
        self._written = stored, cookie, data, meta
        return stored

    def merged_with(self, newer: StoredSession) -> StoredSession:
        """This request's changes applied to a newer row: keys that were set or deleted here, and cookie attributes.

        The session holds the merged data from here on.
        """
        values, loaded, assigned = self._values(), json_text.read(self._text), self._cookie.assigned
        self.read(newer)
        self._data = merged(loaded, values, json_text.read(self._text))
        self._cookie.reassign(assigned)
        return self.to_store()

    def draft(self) -> dict[str, Any]:
        """The data itself, for `mutate` to change."""
        return self._values()

    def undo(self, data: str) -> None:
        """Put the data back to a text that `data_text` gave."""
        self._data = restored(self._values(), json_text.read(data))

    def read(self, stored: StoredSession) -> None:
        """Take over a stored session: its data, its cookie, and itself as what the next write expects."""
        self._stored_cookie, self._text, meta, cookie = self._parts(stored)
        self._cookie.become(cookie)
        self._read_age(meta)
        self._data = self._canonical = None
        self._base = stored

    def saved(self, stored: StoredSession) -> None:
        """Note that the store holds `stored`."""
        self._base = stored  # and not what is here, which may have changed since
        written, self._stored_cookie, self._text, meta = self._written or (None, "", "", "")
        if written is not stored or (meta and self._age is None):
            self._stored_cookie, self._text, meta, _ = self._parts(stored)
        self._saved, self._canonical = self._text, None
        self._read_age(meta)

    def touched(self, expires_at: int) -> None:
        """Note that the store has moved the expiry."""
        if self._base is not None:
            self._base = self._base._replace(expires_at=expires_at)

    def end(self, why: End) -> None:
        """Note that the session is over."""
        self._end = why
        self._reply = "keep"

    def restart(self, *, keep: bool) -> Callable[[], None]:
        """Go on under a new id, with the data and the cookie or without, as a session that is not stored.

        What is returned goes back to the old id and its row.
        """
        before = self._id, self._base, self._stored_cookie

        def undo() -> None:
            self._id, self._base, self._stored_cookie = before

        self._id, cookie = (self._birth or self.check_open())()
        if not keep:
            self._end = None  # a login is one, also where the session before it has just expired
            self._cookie.become(cookie)
            self._age = self._new_age()
            self._text, self._data, self._canonical = json_text.EMPTY, None, None
        self._base, self._stored_cookie = None, json_text.EMPTY
        return undo

    def _new_age(self) -> Age | None:
        if self._options.absolute_timeout is None:
            return None
        age = Age(self._options.absolute_timeout, self._clock())
        self._cookie.cap(age.ends_at)
        return age

    def _read_age(self, meta: str) -> None:
        if self._age is not None:
            self._age.read(meta, self._clock())
            self._cookie.cap(self._age.ends_at)

    def _parts(self, stored: StoredSession) -> tuple[str, str, str, Cookie]:
        return parts_of(self._id, stored, self._clock, aged=self._age is not None)

    def _values(self) -> dict[str, Any]:
        if self._data is None:
            self._data = data_of(self._id, self._text)
        return self._data
