"""Owns the sessions of a user: the list of them, and how they are ended.

The store finds rows (its power `users`), and each row found is read and its user compared before it is listed. Nothing
here shows an id: a session has a handle.
"""

import contextlib
import hashlib
from typing import NamedTuple

from .clock import Clock
from .ends import Ends
from .errors import CorruptSession, DataError, OptionsError, StoreError
from .meta import HOPS, Meta, closed_meta, is_closed
from .observe import REVOKED, log_event
from .options import SessionOptions
from .session import Session
from .store import Store, StoredSession, Users, by_key, key_of, name_of, users
from .user_text import LONGEST, outline, user_at, user_text
from .validation import is_number


class SessionInfo(NamedTuple):
    """A session of a user, for a list of devices. Moments are milliseconds since the epoch; None: not known."""

    handle: str
    """Names the session in `revoke`: 32 hexadecimal digits, of which the log shows the first 8. No secret."""
    user: str
    created: int | None
    """When it was made; kept where `absoluteTimeout` is set."""
    signed_in: int | None
    """When its user signed in; None if that was without `sign_in()`."""
    seen: int | None
    """When it was last used, exact to `touchAfter`; None where its expiry is its absolute end, and does not say."""
    expires: int
    agent: str | None
    """The browser's name at the sign-in, with `devices`."""
    ip: str | None
    """Its address at the sign-in, with `devices`."""
    is_current: bool
    """True for the session that was given as the current one."""


class UserSessions:
    """The sessions of the users of one store. Raises OptionsError if the store lacks what the options need."""

    def __init__(self, store: Store, options: SessionOptions, clock: Clock, ends: Ends) -> None:
        self._store = store
        self._ends = ends
        self._options = options
        self._clock = clock
        self._power: Users | None = None
        if options.user_path is None:
            return
        self._power = users(store)
        if self._power is None:
            raise OptionsError(f"userKey: needs a store that finds the sessions of a user, unlike {name_of(store)}")
        if options.at_limit == "refuse" and options.max_per_user is not None and not self._power.refuses:
            raise OptionsError(
                'atLimit: "refuse" needs a store that counts and writes in one step, unlike a cluster and MongoDB'
            )
        self._power.index(options.user_path, node_peer=options.node_peer)

    @property
    def noted_path(self) -> tuple[str, ...] | None:
        """The path of the user, where a session's `__meta` has to name the user for the store; else None."""
        return self._options.user_path if self._power is not None and self._power.by_meta else None

    async def ask_once(self) -> None:
        """Ask for somebody, so that a store that is open already makes its index while its table has few rows."""
        if self._power is not None and getattr(self._store, "is_open", True):
            with contextlib.suppress(StoreError):  # the next question will tell
                await self._power.rows("?")

    async def listed(self, user: object, current: Session | None = None) -> list[SessionInfo]:
        """Return the sessions of a user, the last sign-in first. Raises DataError, OptionsError and StoreError."""
        text, now = checked_user(user), self._clock()
        mine = None if current is None else await self._key(current)
        rows = [(key, record) for key, record in await self._found().rows(text) if not is_closed(record, now)]
        infos = (self._info(key, record, text, mine) for key, record in rows)
        return sorted(filter(None, infos), key=lambda info: (info.signed_in or 0, info.expires), reverse=True)

    async def revoke(self, user: object, handle: str) -> int:
        """End the session of a user that has a handle, and the one that it goes on as. Returns how many ended."""
        text, power = checked_user(user), self._found()
        self._ends.revoked(text, handle)
        rows = await power.rows(text)
        key = next((key for key, _ in rows if handle_of(key) == handle), None)
        for _ in range(HOPS):
            if key is None:
                return 0
            ended = await power.end(text, [key])
            if ended:
                self._noted(ended)
                return len(ended)
            record = await by_key(self._store).get(key)  # it may have moved meanwhile
            meta = None if record is None else closed_meta(record)
            key = None if meta is None else str(meta.get("next", ""))
        return 0

    async def revoke_all(self, user: object, keep: Session | None = None) -> int:
        """End all sessions of a user but one. Returns how many ended."""
        text, power = checked_user(user), self._found()
        self._ends.revoked(text, keep=frozenset() if keep is None else self._keys(keep))
        ended = await power.end(text, None, None if keep is None else await self._key(keep))
        self._noted(ended)
        return len(ended)

    def _noted(self, ended: list[str]) -> None:
        for key in ended:
            self._ends.ended(key)
            log_event(REVOKED, key)

    def _found(self) -> Users:
        if self._power is None:
            raise OptionsError("userKey: is not set, so no session has a user")
        return self._power

    def _keys(self, session: Session) -> frozenset[str]:
        """Return the keys that a session has, or has when the verbs are done that were called."""
        state = session._state  # noqa: SLF001 # a handler has no use for it
        return frozenset({key_of(self._store, state.row.id), key_of(self._store, state.id)})

    async def _key(self, session: Session) -> str:
        """Return the key under which a session is stored, once the verbs are done that were called."""
        state = session._state  # noqa: SLF001 # a handler has no use for it
        if state.pending is not None:
            await state.verbs().settled()
        return key_of(self._store, state.row.id)

    def _info(self, key: str, record: StoredSession, user: str, mine: str | None) -> SessionInfo | None:
        """Return what is known of a row; None if it is not the user's."""
        try:
            info = info_of(key, record, self._options)
        except CorruptSession:
            return None
        return info._replace(is_current=key == mine) if info.user == user else None


def info_of(key: str, record: StoredSession, options: SessionOptions) -> SessionInfo:
    """Return what is known of a row. Its `user` is "" if it is nobody's. Raises CorruptSession."""
    whole = outline(record.data)
    found = whole.get("__meta")
    meta: Meta = found if isinstance(found, dict) else {}
    return SessionInfo(
        handle=handle_of(key),
        user=(options.user_path and user_at(whole, options.user_path)) or "",
        created=_moment(meta, "createdAt"),
        signed_in=_moment(meta, "signedInAt"),
        seen=_seen(record, whole, meta, options),
        expires=record.expires_at,
        agent=_text(meta, "agent"),
        ip=_text(meta, "ip"),
        is_current=False,
    )


def _seen(record: StoredSession, whole: Meta, meta: Meta, options: SessionOptions) -> int | None:
    """Return when a lifetime began that ends when the row does; None where something else ends it."""
    ends = [_moment(meta, "endsAt")]
    created, timeout = _moment(meta, "createdAt"), options.absolute_timeout
    if created is not None and timeout is not None:
        ends.append(created + int(timeout))
    if any(end is not None and record.expires_at >= end for end in ends):
        return None
    cookie = whole.get("cookie")
    lifetime = cookie.get("originalMaxAge") if isinstance(cookie, dict) else None
    lives = lifetime if lifetime is not None and is_number(lifetime) else options.ttl
    return record.expires_at - int(lives)


def checked_user(user: object) -> str:
    """Return the text of a user. Raises DataError, which says what a user may be."""
    text = user_text(user)
    if text is None:
        what = type(user).__name__ if not isinstance(user, str) else f"a string of {len(user)}"
        raise DataError(
            f"user: expected a string or an integer, of 1 to {LONGEST} characters, none of them a control character;"
            f" got {what}"
        )
    return text


def handle_of(key: str) -> str:
    """Return the handle of a key: it names a session and is no way into it. It begins with the log's fingerprint."""
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()[:32]


def _moment(meta: Meta, name: str) -> int | None:
    moment = meta.get(name)
    return int(moment) if is_number(moment) else None  # type: ignore[arg-type] # a number, just asked


def _text(meta: Meta, name: str) -> str | None:
    text = meta.get(name)
    return text if isinstance(text, str) else None
