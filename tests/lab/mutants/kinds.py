"""Owns the mutants of the findings of 0.1.0: what was mended is noticed when it breaks again."""

import contextlib
from typing import Any

from .mutant import always, table

MUTANTS, breaks = table()

FAMILY, UNAWAITED, BASES = "properties/test_family.py", "trips/test_unawaited.py", "trips/test_bases.py"


# ---------------------------------------------------------------- two rows are one step

breaks(3, "an id that no browser has sent leaves no tombstone", FAMILY, "rotation:_is_led_to")(
    lambda _: lambda state: state.is_known
)
breaks(3, "a tombstone is a session", "trips/test_ended.py", "writes:Writes.is_over")(always(value=False))


@breaks(3, "a sign-out under an old id ends the tombstone only", FAMILY, "writes:Writes._remove")
def _(_original: Any) -> Any:
    async def remove(self: Any, sid: str, _base: Any) -> None:
        await self._store.destroy(sid)

    return remove


@breaks(3, "the way back of a rotation revives what was signed out", FAMILY, "rotation:Rotation._restore")
def _(original: Any) -> Any:
    async def restore(self: Any, old: str, attempt: Any) -> None:
        if await self._store.get(old) is None:
            await self._store.create(old, attempt.expected)
        else:
            await original(self, old, attempt)

    return restore


# ---------------------------------------------------------------- verbs that nobody awaits

breaks(
    2,
    "a verb writes to a row that its session has left",
    "trips/test_unawaited_pairs.py",
    "state:SessionState.stays_in",
)(always(value=True))


@breaks(1, "a verb is performed behind one that has failed", UNAWAITED, "pending:Pending._behind")
def _(_original: Any) -> Any:
    async def behind(_self: Any, before: Any, work: Any) -> Any:
        while before is not None and not before.done():
            with contextlib.suppress(Exception):
                await before
        return await work

    return behind


@breaks(1, "a failure that nobody has seen is no failure of the answer", UNAWAITED, "pending:Pending._take")
def _(_original: Any) -> Any:
    return lambda _self: None


@breaks(
    1,
    "a failure is seen by a task that nobody awaits",
    "trips/test_unawaited_waiters.py trips/test_unawaited.py",
    "pending:Pending.watch",
)
def _(_original: Any) -> Any:
    return lambda self, error, _waiter: self.see(error)


@breaks(7, "a verb is under way when the store closes", "web/test_draining_sockets.py", "verbs:SessionVerbs.settled")
def _(_original: Any) -> Any:
    async def settled(_self: Any) -> None:
        pass

    return settled


@breaks(5, "a socket that saves does not renew", "trips/test_socket_lifetimes.py", "verbs:SessionVerbs.save")
def _(original: Any) -> Any:
    def save(self: Any, state: Any) -> Any:
        is_socket, state.is_socket = state.is_socket, False
        try:
            return original(self, state)
        finally:
            state.is_socket = is_socket

    return save


@breaks(3, "a rename is looked for by its text only", "trips/test_rotate.py", "rotation:_has_text")
def _(_original: Any) -> Any:
    return lambda found, text: found.data == text


# ---------------------------------------------------------------- the seam

breaks(3, "who is over answers 500", "trips/test_ended.py", "web.mixin:_is_over")(always(value=False))
breaks(1, "a base with a name of ours is hidden", BASES, "web.mixin:_refuse_clashes")(always(None))
breaks(
    1, "a message goes into whatever self.session is", "coming_from/test_sqlalchemy.py", "web.mixin:SessionMixin.flash"
)(lambda _: lambda self, text, kind="info": self.session.update(flash={kind: [text]}))
breaks(1, "a base that overrides finish gets no chunk", BASES, "web.mixin:_is_tornados")(always(value=True))
breaks(7, "sockets are open when the store closes", "web/test_draining_sockets.py", "web.sockets:close_all")(
    always(value=False)
)
breaks(4, "a cookie's path is a plain prefix", "trips/test_no_session.py", "web.sent:_path_matches")(
    lambda _: lambda path, cookie_path: path.startswith(cookie_path)
)
breaks(4, "a rotation does not ask auto again", "trips/test_secure.py", "stored_cookie:StoredCookie.ask_again")(
    always(None)
)


@breaks(1, "finish does not fail where the commit has failed", BASES, "web.held_response:settle")
def _(original: Any) -> Any:
    return lambda future, _error: original(future, None)


# ---------------------------------------------------------------- values and merges

breaks(2, "what a handler holds is cut off by a merge", "properties/test_session_merge.py", "merge:restored")(
    lambda _: lambda _values, before: before
)
breaks(6, "an unfit value is stored", "trips/test_values.py", "data:SessionData.check")(always(None))
breaks(6, "a value that does not come back is stored", "trips/test_values.py", "formats.json_text:_comes_back")(
    always(value=True)
)
breaks(6, "a second member cookie is overlooked", "formats/test_json_text.py", "formats.json_text:_names_cookie")(
    always(value=False)
)


@breaks(6, "large sessions do not take turns", "trips/test_large.py", "turns:Turns.take")
def _(_original: Any) -> Any:
    async def take(_self: Any, _text: str, **_: Any) -> None:
        return None

    return take


@breaks(6, "a merge has no end", "trips/test_foreign_store.py", "queues:TRIES")
def _(_original: Any) -> Any:
    return 10**9
