"""Owns what is held back while a session is being committed: a stream's first bytes, and an answer that is finished.

Every way in which a response ends meets in `finish()`, and a stream's headers leave in its first `flush()`: so these
two wait for the commit. What is committed is not decided here.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from http.cookies import SimpleCookie
from typing import Any, TypeAlias, cast

from tornado.httputil import HTTPConnection, HTTPHeaders, RequestStartLine, ResponseStartLine
from tornado.iostream import StreamClosedError
from tornado.web import HTTPError

from ..errors import StoreUnavailable
from .headers import SEALED
from .request import FAILED, RequestSession

log: logging.Logger = logging.getLogger("sessions")

Future: TypeAlias = "asyncio.Future[None]"
Answer: TypeAlias = tuple[int, str, HTTPHeaders, list[bytes], SimpleCookie]
"""What a RequestHandler keeps of its answer until the headers leave: status, reason, headers, body, cookies."""


class HeldResponse:
    """The end of one response: its session, what it waits for, what failed. It holds no handler (see request.py)."""

    __slots__ = ("_connection", "_failure", "_task", "session")

    def __init__(self) -> None:
        self.session: RequestSession = RequestSession()
        self._connection: HeldConnection | None = None  # while a stream's first commit is on its way
        self._failure: Exception | None = None  # of a stream's first commit, until it is answered
        self._task: asyncio.Task[None] | None = None  # the loop itself keeps no strong reference to a task

    def finish(self, handler: Any, finish: Callable[[], Future]) -> Future:
        """Commit the session, then end the response by Tornado's `finish`. The Future resolves when that is done."""
        if self._failure is not None:  # nobody awaited the first flush of this stream
            return self._fail(handler, self._failure)
        session = self.session
        commit = session.commit(handler) if self._connection is None else self._commit_behind(handler, self._connection)
        if commit is None:
            return finish()
        answer = _put_aside(handler)
        session.seal(has_left=False)
        loop = asyncio.get_running_loop()
        done: asyncio.Future[None] = loop.create_future()  # to stop waiting stops no commit
        self._task = loop.create_task(self._finish_after(handler, commit, answer, finish, done))
        return done

    async def _finish_after(
        self,
        handler: Any,
        commit: Awaitable[None],
        answer: Answer,
        finish: Callable[[], Future],
        done: Future,
    ) -> None:
        try:
            await commit
            _take_back(handler, answer)
            await finish()
        except StreamClosedError:
            pass  # the client has left; what it asked for is committed
        except Exception as error:  # noqa: BLE001 # nobody has to await this, so it is answered here
            _take_back(handler, answer)
            self._fail(handler, error)
        finally:
            if not done.done():
                done.set_result(None)

    def flush(self, handler: Any, flush: Callable[[], Future], *, is_finishing: bool) -> Future:
        """Commit the session before a stream's first bytes leave by Tornado's `flush`."""
        session = self.session
        if not is_finishing:  # finish() has committed already
            if self._failure is not None:
                raise self._failure
            commit = session.commit(handler, ends=False)
            if commit is not None:
                return self._flush_behind(handler, commit, flush)
        _add_headers(session, handler, handler._headers)  # noqa: SLF001 # Tornado's headers, about to leave
        session.seal()
        return flush()

    def _flush_behind(self, handler: Any, commit: Awaitable[None], flush: Callable[[], Future]) -> Future:
        """Hold back the first flush of a stream until the commit: status, headers and chunk as they are now."""
        connection = cast("HTTPConnection", handler.request.connection)  # None only in a request made by hand
        held = self._connection = HeldConnection(connection)
        handler.request.connection = held
        self.session.seal()
        flush()
        self._task = asyncio.get_running_loop().create_task(self._release(handler, held, commit))
        return held.sent

    async def _release(self, handler: Any, held: "HeldConnection", commit: Awaitable[None]) -> None:
        try:
            await self.session.or_abandon(commit)
            _add_headers(self.session, handler, held.headers)
        except Exception as error:  # noqa: BLE001 # whatever it is, it is as if nothing had been flushed
            self._failure = error
            handler._headers_written = False  # noqa: SLF001 # Tornado's
            handler.request.connection = held.connection
            self._connection = None
            held.refuse(error)
        else:
            handler.request.connection = held.connection
            self._connection = None
            await held.release()

    async def _commit_behind(self, handler: Any, held: "HeldConnection") -> None:
        """Commit the end of a stream whose first bytes have not left: what came after them is committed after them."""
        await held.released
        commit = self.session.commit(handler)
        if commit is not None:
            await commit

    def forgive(self) -> None:
        """Note that the failure of the first commit is being answered."""
        self._failure = None

    def _fail(self, handler: Any, error: Exception) -> Future:
        """Answer a request whose commit failed where no handler can: 5xx, or a cut connection."""
        session = self.session
        if isinstance(error, StoreUnavailable):
            answer: Exception = session.unavailable(error)
        else:
            session.abandon(FAILED)
            answer = error
        try:
            handler.log_exception(type(answer), answer, error.__traceback__)
        except Exception:  # as Tornado does around this call
            log.exception("error in log_exception")
        status = answer.status_code if isinstance(answer, HTTPError) else 500
        handler.send_error(status, exc_info=(type(answer), answer, error.__traceback__))
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        done.set_result(None)
        return done


def _add_headers(session: RequestSession, handler: Any, headers: HTTPHeaders) -> None:
    """Add the session's headers to those that are about to leave. Ours come after the handler's."""
    if not handler._headers_written and hasattr(handler, "_new_cookie"):  # noqa: SLF001 # Tornado's; a stream has them
        for cookie in handler._new_cookie.values():  # noqa: SLF001 # Tornado's
            headers.add("Set-Cookie", cookie.OutputString(None))
        del handler._new_cookie  # noqa: SLF001 # Tornado's
    session.add_headers(handler, headers)


def _put_aside(handler: Any) -> Answer:
    """Take the answer as it is now. Nothing may be added to it: a verb after a redirect in prepare() must not run."""
    cookies: Any = getattr(handler, "_new_cookie", None) or SimpleCookie()
    answer = handler._status_code, handler._reason, handler._headers, handler._write_buffer, cookies  # noqa: SLF001 # Tornado's
    handler._headers, handler._write_buffer = SEALED, []  # noqa: SLF001 # Tornado's
    handler._new_cookie, handler._finished = SimpleCookie(), True  # noqa: SLF001 # Tornado's
    return answer


def _take_back(handler: Any, answer: Answer) -> None:
    handler._status_code, handler._reason, handler._headers, handler._write_buffer, handler._new_cookie = answer  # noqa: SLF001 # Tornado's
    handler._finished = False  # noqa: SLF001 # Tornado's


class HeldConnection(HTTPConnection):
    """Takes the place of the connection while a stream's first commit is on its way, and keeps what is written."""

    headers: HTTPHeaders
    _start_line: RequestStartLine | ResponseStartLine

    def __init__(self, connection: HTTPConnection) -> None:
        self.connection = connection
        loop = asyncio.get_running_loop()
        self.released: asyncio.Future[None] = loop.create_future()
        """Resolves when the hold is over and more may be written to the connection itself."""
        self.sent: asyncio.Future[None] = loop.create_future()
        """Resolves when what was kept has been written, for flow control."""
        self._chunks: list[bytes] = []

    def write_headers(
        self,
        start_line: RequestStartLine | ResponseStartLine,
        headers: HTTPHeaders,
        chunk: bytes | None = None,
    ) -> Future:
        """Keep the head as it is now."""
        self._start_line = start_line
        self.headers = headers.copy()
        return self.write(chunk or b"")

    def write(self, chunk: bytes) -> Future:
        """Keep a piece of the body."""
        self._chunks.append(chunk)
        return self.sent

    async def release(self) -> None:
        """Write it all, in one piece: a connection remembers the Future of its last write only."""
        try:
            sent = self.connection.write_headers(self._start_line, self.headers, b"".join(self._chunks))
            self.released.set_result(None)
            await sent
        except Exception as error:  # noqa: BLE001 # it concerns those who await the flush, and the end
            self.refuse(error)
        else:
            _settle(self.sent, None)

    def refuse(self, error: Exception) -> None:
        """Forget what was kept."""
        _settle(self.released, error)
        _settle(self.sent, error)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.connection, name)


def _settle(future: Future, error: Exception | None) -> None:
    """Resolve a Future that may have been resolved, or cancelled by its only reader, and that need not be awaited."""
    if not future.done():
        if error is None:
            future.set_result(None)
        else:
            future.set_exception(error)
            future.exception()
