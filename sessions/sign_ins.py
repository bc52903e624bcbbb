"""Owns who a session is of, from sign-in to sign-out: `sign_in()`, `confirm()`, `sign_out()`.

A sign-in is a new id: the row of an anonymous visitor, or of the same user, moves there with its data (rotation.py);
the session of another user ends, and a new one begins. That is decided at the call and, if a parallel save comes
between, again on the newer row.
"""

from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from .errors import CorruptSession, DataError, NoSession, OptionsError, TooManySessions
from .formats.signing import Signer
from .login import Login, placed, stamp_text
from .observe import DESTROYED, RENEWED, SIGNED_IN, SIGNED_OUT
from .options import SessionOptions
from .policy import no_session
from .rotation import Attempt, Rotation, attempted
from .state import Row, SessionState
from .store import Limit, Outcome, SignedIn, Store, StoredSession, Update, users
from .stored_cookie import LAST_MOMENT
from .timeout import InTime
from .user_text import user_at, user_in, user_text
from .writes import Writes


class _OfAnother(Exception):
    """The newer row that a sign-in meets belongs to another user."""


class SignIns:
    """The sign-ins and sign-outs of one manager's sessions.

    `end_all` ends all sessions of a user.
    """

    def __init__(
        self,
        store: Store,
        writes: Writes,
        rotation: Rotation,
        options: SessionOptions,
        in_time: InTime,
        end_all: Callable[[str], Awaitable[object]],
    ) -> None:
        self._store = store
        self._writes = writes
        self._rotation = rotation
        self._options = options
        self._in_time = in_time
        self._end_all = end_all

    def path(self) -> tuple[str, ...]:
        """Return the path to the user. Raises OptionsError where the options have none."""
        if self._options.user_path is None:
            raise OptionsError("userKey: is not set, so nobody can sign in; set it to the key that names the user")
        return self._options.user_path

    # ---------------------------------------------------------------- sign in

    def sign_in(self, state: SessionState, login: Login, signer: Signer) -> Coroutine[Any, Any, None]:
        """Go on under a new id as the user's session at once; what is returned stores it.

        Raises CorruptSession at once if `__meta` belongs to another application, and the handler's own errors.
        """
        if state.end is None:
            state.to_store()  # raises the handler's own errors at the call
        go_back = state.snapshot(copied=True)
        keeps, left, was_closed = self._keeps(state, login), state.row, state.end == "closed"
        try:
            self._begin(state, login, keeps=keeps)
        except BaseException:
            go_back()
            raise
        row = state.row
        self._writes.tell(left.id, "changed")

        async def work() -> None:
            begun: list[Attempt] = []
            old = left.id
            try:
                await self._stamp(state, row, login, signer)
                replaced = None if row is left or was_closed else left
                await self._in_time(self._store_login(state, row, replaced, login, begun))
            except BaseException:
                go_back()
                state.failed()
                self._rotation.undo(old, begun)
                raise
            if state.request_sid is not None:
                self._writes.reporter.note(RENEWED, old)
            self._writes.reporter.note(SIGNED_IN, state.id, user=str(login.user))

        return work()

    def _keeps(self, state: SessionState, login: Login) -> bool:
        """Return True if the data goes on: an anonymous visitor's, or the same user's, as loaded and as it is now."""
        if state.end in ("destroyed", "unset"):
            return False
        path = self.path()
        found = {user_at(state.values, path), user_in(state.base.data, path) if state.base else None}
        return found <= {None, user_text(login.user)}

    def _begin(self, state: SessionState, login: Login, *, keeps: bool) -> None:
        """Be the user's session, which is not stored yet."""
        if not keeps:
            state.restart(keep=False)
        else:
            if state.end in ("gone", "closed"):
                state.restart_with_assigned()
            else:
                state.resume()
            cookie = state.take_new_id()
            if state.base is None:
                state.row.id = state.id
        now = state.clock()
        if login.lifetime is not None:
            state.set_end(min(now + login.lifetime, LAST_MOMENT))
            state.cookie.assign("maxAge", login.lifetime)
        else:
            state.set_end(None)
            if keeps:
                state.cookie.take_lifetime(cookie)
        state.set_meta(signedInAt=now, agent=login.agent, ip=login.ip, stamp=None, xsrf=None)
        self._set_user(state, login)

    def _set_user(self, state: SessionState, login: Login) -> None:
        first, *rest = self.path()
        state.data.set(first, placed(state.values.get(first), rest, login.user))

    async def _stamp(self, state: SessionState, row: Row, login: Login, signer: Signer) -> None:
        stamp = login.stamp
        if stamp is None and login.stamp_of is not None:
            stamp = await login.stamp_of(login.user)
            if stamp is None:
                raise DataError("sign_in: user_stamp() knows no such user")
        if stamp is not None and row is state.row and state.end is None:
            state.set_meta(stamp=stamp_text(signer, stamp))

    async def _store_login(
        self,
        state: SessionState,
        row: Row,
        left: Row | None,
        login: Login,
        begun: list[Attempt],
    ) -> None:
        """Move the row, or create one and end the row that the session has left."""
        if row is state.row and state.end is None:
            if row.base is not None:
                if row.id == state.id:  # a verb before this one has moved it there
                    state.take_new_id()
                try:
                    if await self._move(state, row, login, begun) is not Outcome.GONE:
                        return
                except _OfAnother:
                    left = row
                if row is not state.row or state.end is not None:
                    return
                state.restart_with_assigned()
            await self._create(state, state.row, login, begun)
        if left is not None:
            await self._rotation.leave(state, left)

    async def _move(self, state: SessionState, row: Row, login: Login, begun: list[Attempt]) -> Outcome:
        path = self.path()

        async def on(expected: StoredSession) -> StoredSession:
            newer = None if state.base is None or expected.same_as(state.base) else user_in(expected.data, path)
            if newer not in (None, user_text(login.user)):
                raise _OfAnother
            is_signed_in = user_at(state.values, path) is not None  # or the handler has thought better of it
            sent = await self._writes.turns.on(state, expected)
            if is_signed_in and user_at(state.values, path) is None:  # by the newer row, to which this is no change
                self._set_user(state, login)
                sent = state.to_store()
            return sent

        return await self._rotation.move(state, row, begun, on, rename=self._rename(login))

    def _rename(self, login: Login) -> Any:
        if self._options.max_per_user is None:
            return None

        async def rename(
            old: str, new: str, record: StoredSession, expected: StoredSession, tombstone: StoredSession | None
        ) -> Update:
            return await self._within_limit(login, new, record, old, expected, tombstone)

        return rename

    async def _create(self, state: SessionState, row: Row, login: Login, begun: list[Attempt]) -> None:
        async def create(sid: str, record: StoredSession) -> StoredSession | None:
            with attempted(Attempt(sid), begun):
                if self._options.max_per_user is None:
                    made = await self._store.create(sid, record)
                else:
                    made = (await self._within_limit(login, sid, record)).record
            if made is None:
                begun.pop()
            return made

        await self._writes.create(state, state.to_store(), row, create)

    async def _within_limit(self, login: Login, new: str, *step: Any) -> Update:
        """Store a login within `maxPerUser`. Raises TooManySessions."""
        power, most = users(self._store), self._options.max_per_user
        if power is None or most is None:
            raise OptionsError("maxPerUser: needs a store that finds the sessions of a user")
        limit = Limit(str(login.user), most, refuses=self._options.at_limit == "refuse")
        signed: SignedIn = await power.sign_in(limit, new, *step)
        for key in signed.ended:
            self._writes.ends.ended(key)
            self._writes.reporter.note(DESTROYED, key)
        if signed.update is None:
            raise TooManySessions(f"sign_in: the user has {most} sessions already (maxPerUser)")
        return signed.update

    # ---------------------------------------------------------------- confirm

    def confirm(self, state: SessionState, stamp: str | None = None) -> Coroutine[Any, Any, None]:
        """Go on under a new id at once, signed in now; what is returned moves the row there. None keeps the stamp.

        Raises NoSession if nobody is signed in; what is returned raises it if the session has ended meanwhile.
        """
        if state.end is not None:
            raise no_session(state.end)
        user = user_at(state.values, self.path())
        if user is None:
            raise NoSession("confirm: nobody is signed in")
        state.to_store()  # raises the handler's own errors at the call
        row = state.row
        go_back = state.snapshot(copied=True)
        state.set_meta(signedInAt=state.clock(), **({} if stamp is None else {"stamp": stamp}))
        state.take_new_id()

        async def work() -> None:
            if row is not state.row or state.end is not None or row.id == state.id:
                return  # the verb behind this one ends the row, or the one before has moved it
            if row.base is None:
                row.id = state.id
                return
            begun: list[Attempt] = []
            old = row.id
            try:
                await self._in_time(self._move_confirmed(state, row, user, begun))
            except BaseException as error:
                go_back()
                if isinstance(error, NoSession):
                    state.over("gone")
                else:
                    state.failed()
                self._rotation.undo(old, begun)
                raise
            self._writes.reporter.note(RENEWED, old)

        return work()

    async def _move_confirmed(self, state: SessionState, row: Row, user: str, begun: list[Attempt]) -> None:
        async def on(expected: StoredSession) -> StoredSession:
            is_newer = state.base is not None and not expected.same_as(state.base)
            if is_newer and user_in(expected.data, self.path()) != user:
                raise no_session("gone")
            return await self._writes.turns.on(state, expected)

        if await self._rotation.move(state, row, begun, on, is_moved=True) is Outcome.GONE:
            raise no_session("gone")

    # ---------------------------------------------------------------- sign out

    def sign_out(self, state: SessionState, *, everywhere: bool) -> Coroutine[Any, Any, None]:
        """End the session at once, or all sessions of its user; what is returned ends them in the store."""
        if everywhere:
            self.path()
        user = self._user_who_leaves(state)
        row, others = state.row, state.others
        state.over("destroyed")
        self._writes.tell(row.id)

        async def work() -> None:
            try:
                await self._in_time(self._writes.end(row, others))
                if everywhere and user is not None:
                    await self._end_all(user)
            except BaseException:
                state.failed()
                raise
            if user is not None:
                self._writes.reporter.note(SIGNED_OUT, row.id, user=user)

        return work()

    def _user_who_leaves(self, state: SessionState) -> str | None:
        path = self._options.user_path
        if path is None or not state.is_readable:
            return None
        try:
            return user_at(state.values, path)
        except CorruptSession:  # what a handler cannot read it can end
            return user_in(state.data.text, path)
