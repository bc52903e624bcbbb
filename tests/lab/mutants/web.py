"""Owns the mutants of what is between Tornado and a session: the answer that waits, the handshake, the cookies that come in."""

import asyncio
from typing import Any

from .mutant import always, members, table

MUTANTS, breaks = table()

HELD, REQUEST = "web.held_response:HeldResponse", "web.request:RequestSession"


async def nothing() -> None:
    """A commit that waits for nothing."""


@breaks(1, "finish does not wait for the commit", "trips/test_commit_first.py", f"{REQUEST}.commit")
def _(original: Any) -> Any:
    def commit(self: Any, handler: Any, status: int, *, ends: bool = True) -> Any:
        begun = original(self, handler, status, ends=ends)
        if begun is None or not ends:
            return begun
        commits.add(asyncio.ensure_future(begun))
        return None

    commits: set[Any] = set()
    return commit


@breaks(1, "the first flush does not wait for the commit", "trips/test_streams.py", f"{HELD}._flush_behind")
def _(original: Any) -> Any:
    def flush_behind(self: Any, handler: Any, commit: Any, flush: Any) -> Any:
        commits.add(asyncio.ensure_future(commit))
        return original(self, handler, nothing(), flush)

    commits: set[Any] = set()
    return flush_behind


@breaks(1, "a handshake does not wait for the commit", "trips/test_sockets.py", f"{REQUEST}.or_abandon")
def _(_original: Any) -> Any:
    async def or_abandon(_self: Any, commit: Any) -> None:
        commits.add(asyncio.ensure_future(commit))

    commits: set[Any] = set()
    return or_abandon


@breaks(1, "a failed commit is answered 200", "trips/test_failures.py", f"{HELD}._fail")
def _(_original: Any) -> Any:
    def fail(_self: Any, handler: Any, _error: Any) -> None:
        from tornado.web import RequestHandler

        RequestHandler.finish(handler)

    return fail


@breaks(1, "a failed commit sends the cookie", "trips/test_failures.py", f"{REQUEST}.abandon")
def _(original: Any) -> Any:
    def abandon(self: Any, why: str) -> None:
        state = self._state
        original(self, why)
        if state is not None:
            self._state, state.renamed, state.cookie_act = state, True, "send"

    return abandon


@breaks(
    1, "a stream whose last commit failed looks whole", "trips/test_streams.py", "web.mixin:SessionMixin.send_error"
)
def _(original: Any) -> Any:
    def send_error(self: Any, status_code: int = 500, **options: Any) -> None:
        from tornado.web import RequestHandler

        if self._headers_written and not self._finished:
            RequestHandler.finish(self)
        else:
            original(self, status_code, **options)

    return send_error


@breaks(
    1,
    "the end of a stream overtakes its first bytes",
    "trips/test_phases_commit.py trips/test_streams.py",
    f"{HELD}.finish",
)
def _(original: Any) -> Any:
    def finish(self: Any, handler: Any, end: Any) -> Any:
        held, self._held = self._held, None
        try:
            return original(self, handler, end)
        finally:
            self._held = held

    return finish


@breaks(1, "the page of an error is not sent", "trips/test_phases_commit.py trips/test_streams.py", f"{HELD}.replace")
def _(original: Any) -> Any:
    def replace(self: Any, handler: Any, error: object) -> Any:
        first = self._first
        try:
            return original(self, handler, error)
        finally:
            self._first = first

    return replace


breaks(1, "a body is read on behind the answer", "trips/test_uploads.py", "web.held_response:_stop_reading")(
    always(None)
)


# ---------------------------------------------------------------- which request an id belongs to


@breaks(4, "a forged cookie costs a store call", "trips/test_ids.py", "formats.signing:Signer.unsign")
def _(original: Any) -> Any:
    return lambda self, value: original(self, value) or value[2:].rpartition(".")[0] or None


@breaks(4, "the beginning of a signature will do", "formats/test_signing.py", "formats.signing:hmac")
def _(original: Any) -> Any:
    return members(original, compare_digest=lambda mac, given: mac.startswith(given))


@breaks(4, "only the first secret verifies", "formats/test_signing.py", "formats.signing:Signer.__init__")
def _(original: Any) -> Any:
    return lambda self, keys: original(self, keys[:1])


# ---------------------------------------------------------------- what a deployment, or a handler, has chosen


@breaks(0, "saveOnError = false stores a 5xx", "trips/test_save_on_error.py", "web.request:SERVER_ERROR")
def _(_original: Any) -> Any:
    return 600


@breaks(0, "a session on demand is loaded by prepare", "trips/test_on_demand.py", f"{REQUEST}.load")
def _(_original: Any) -> Any:
    return lambda self, handler: self._load(handler)


@breaks(
    0,
    "a session that is loaded late does not know that the head has left",
    "trips/test_on_demand.py",
    f"{REQUEST}._catch_up",
)
def _(_original: Any) -> Any:
    return lambda _self, _handler, _state: None
