"""Owns the phases of an answer: what is held back while a session is being committed, and what is over by then.

    open → (first flush) → held → streaming → (finish) → waiting → done
    open → (finish) → waiting → done

Every way in which a response ends meets in `finish()`, and a stream's headers leave in its first `flush()`, so these
two wait for the commit. An answer that is `waiting` is finished for everybody but the client: no verb runs after it, no
piece of a body is delivered, nothing can be added. An exception while the head is held replaces it.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from functools import partial
from http.cookies import SimpleCookie
from typing import Any, Literal, TypeAlias, cast

from tornado.httputil import HTTPConnection, HTTPHeaders
from tornado.web import Finish, HTTPError

from ..errors import SessionError, StoreUnavailable
from ..performing import BegunCommit
from .ending import begin_stream
from .headers import SEALED
from .held_connection import HeldConnection, settle
from .request import FAILED, RequestSession

log: logging.Logger = logging.getLogger("sessions")

Future: TypeAlias = "asyncio.Future[None]"
Answer: TypeAlias = tuple[int, str, HTTPHeaders, list[bytes], SimpleCookie | None, Any]
"""What a RequestHandler keeps of its answer until the headers leave: status, reason, headers, body, cookies.

The last is the connection that reads nothing meanwhile; None if it asks nobody.
"""

Flush: TypeAlias = Callable[[bool], Future]
"""Tornado's `flush`. It is given whether the answer ends with it."""

WriteOut: TypeAlias = Callable[[BaseException | None], None]
"""Writes the answer when its commit is done; what the commit has failed with becomes an error page."""


class CommitFailed(SessionError, Finish):
    """The Future of `finish()` fails with it where the answer became an error page. The cause is what failed.

    It is a kind of `tornado.web.Finish`: where it leaves a handler, the request ends without a second traceback.
    """


class HeldResponse:
    """One answer and its session. It holds no handler (see request.py): whoever calls it brings the handler."""

    phase: Literal["open", "held", "streaming", "waiting", "done"] = "open"
    _held: HeldConnection | None = None  # keeps the head, and what follows it
    _first: asyncio.Task[None] | None = None  # the commit before the first flush
    _done: "Future | None" = None  # what finish() has returned
    _task: asyncio.Task[None] | None = None  # the loop itself keeps no strong reference to a task
    _commit: BegunCommit | asyncio.Task[None] | None = None  # nor to this one

    def __init__(self) -> None:
        self.session: RequestSession = RequestSession()

    # ---------------------------------------------------------------- finish

    def finish(self, handler: Any, finish: Callable[[], Future]) -> Future:
        """Commit the session, then end the answer by Tornado's `finish`. Returns the Future of that."""
        first, session, status = self._first, self.session, handler.get_status()
        if first is None or (self._held is None and first.done() and first.exception() is None):
            commit = session.commit(handler, status)
        else:  # it may be done already, while its bytes are held
            commit = self._behind_first(handler, first)
        session.finish(status)
        if commit is None:
            self.phase = "done"
            self._done = _write_out(handler, finish)
            return self._done
        self.phase = "waiting"
        loop = asyncio.get_running_loop()
        done = self._done = loop.create_future()  # to stop waiting stops no commit
        write_out = partial(self._write_out, handler, _put_aside(handler), finish, done)
        if isinstance(commit, BegunCommit):
            self._commit = commit
            commit.call.add_done_callback(partial(self._finish_begun, commit, write_out))
        else:
            self._commit = loop.create_task(self._finish_behind(commit, write_out))
        return done

    def _finish_begun(self, commit: BegunCommit, write_out: WriteOut, _call: object) -> None:
        """Go on when the store has answered: after a conflict in a task, else at once."""
        rest, error = None, None
        try:
            rest = commit.finish()
        except (Exception, asyncio.CancelledError) as failure:  # noqa: BLE001 # nobody has to await this, so it is answered here
            error = failure
        if rest is None:
            write_out(error)
        else:
            self._commit = asyncio.get_running_loop().create_task(self._finish_behind(rest, write_out))

    async def _finish_behind(self, commit: Awaitable[None], write_out: WriteOut) -> None:
        error: BaseException | None = None
        try:
            await commit
        except BaseException as failure:
            error = failure
            if not isinstance(failure, Exception):
                raise
        finally:
            write_out(error)

    def _write_out(
        self, handler: Any, answer: Answer, finish: Callable[[], Future], done: Future, error: BaseException | None
    ) -> None:
        """Write the answer, or an error page if the commit has failed; nothing if the server is about to stop."""
        if error is None:
            _take_back(handler, answer)
            self.phase = "done"
            try:
                _follow(_write_out(handler, finish), done)
            except Exception as failure:  # noqa: BLE001 # nobody has to await this, so it is answered here
                error = failure
        try:
            if isinstance(error, Exception):
                _take_back(handler, answer)
                self._fail(handler, error)
        finally:
            if error is not None:
                settle(done, _failed_with(error))
            self.session.answered()

    async def _behind_first(self, handler: Any, first: "asyncio.Task[None]") -> None:
        """Commit the end of a stream after its first commit, which is under way. Raises what failed there."""
        await first
        if self._held is not None:
            await self._held.released
        commit = self.session.commit(handler, handler.get_status())
        if commit is not None:
            await commit

    # ---------------------------------------------------------------- flush

    def flush(self, handler: Any, flush: Flush, *, is_finishing: bool) -> Future:
        """Commit the session before the first bytes of a stream leave by Tornado's `flush`."""
        if is_finishing:
            if self.session.ending is not None:
                self.session.let_go()
            if self.phase == "open":
                self.session.tell_if_uncommitted(handler)  # a finish() that was not ours
            self._add_headers(handler)
            return flush(True)
        if self.phase in ("waiting", "done"):
            return cast("Future", self._done)
        if handler._headers_written:  # noqa: SLF001 # Tornado's
            return flush(False)
        if self._first is not None and self._first.done() and self._first.exception() is not None:
            raise cast("Exception", self._first.exception())  # of a first flush that nobody has awaited
        commit = self.session.commit(handler, handler.get_status(), ends=False)
        if commit is None:
            self.phase = "streaming"
            self._add_headers(handler)
            flushed = flush(False)
            begin_stream(handler, self.session, handler._headers)  # noqa: SLF001 # Tornado's
            return flushed
        return self._flush_behind(handler, commit, flush)

    def _flush_behind(self, handler: Any, commit: Awaitable[None], flush: Flush) -> Future:
        """Hold back the first flush until the commit: status, headers and chunk as they are now."""
        connection = cast("HTTPConnection", handler.request.connection)  # None only in a request made by hand
        held = self._held = handler.request.connection = HeldConnection(connection)
        self.phase = "held"
        self.session.seal(has_left=False)
        loop = asyncio.get_running_loop()
        self._first = loop.create_task(self.session.or_abandon(commit))  # it has begun, whatever becomes of the flush
        try:
            flush(False)
        except Exception as error:
            self.replace(handler, error)
            raise
        self._task = loop.create_task(self._release(handler, held, self._first))
        return held.sent

    async def _release(self, handler: Any, held: HeldConnection, first: "asyncio.Task[None]") -> None:
        await asyncio.wait({first})
        if self._held is not held:
            return  # an exception has replaced the head
        error = first.exception()
        handler.request.connection = held.connection
        self._held = None
        if isinstance(error, Exception):  # it is as if nothing had been flushed
            self.phase = "open" if self.phase == "held" else self.phase
            handler._headers_written = False  # noqa: SLF001 # Tornado's
            held.refuse(error)
        else:
            self.phase = "streaming" if self.phase == "held" else self.phase
            self.session.add_headers(handler, held.headers)
            held.release()
            begin_stream(handler, self.session, held.headers)

    def _add_headers(self, handler: Any) -> None:
        if handler._headers_written:  # noqa: SLF001 # Tornado's
            self.session.seal()
            return
        headers = handler._headers  # noqa: SLF001 # Tornado's, about to leave
        if hasattr(handler, "_new_cookie"):  # the handler's cookies come first
            for cookie in handler._new_cookie.values():  # noqa: SLF001 # Tornado's
                headers.add("Set-Cookie", cookie.OutputString(None))
            del handler._new_cookie  # noqa: SLF001 # Tornado's
        self.session.add_headers(handler, headers)

    # ---------------------------------------------------------------- errors

    def replace(self, handler: Any, error: object) -> bool:
        """Make room for the page of an error. Returns False if bytes have left already: the answer can only be cut."""
        first = self._first
        if first is not None and first.done() and first.exception() is error:
            self._first = None  # the page tells of it
        if self._held is not None:
            held, self._held = self._held, None
            handler.request.connection = held.connection
            handler._headers_written = False  # noqa: SLF001 # Tornado's
            held.refuse(SessionError("an error page has replaced the stream"))
            self.phase, self.session.head_status = "open", None
        return not handler._headers_written  # noqa: SLF001 # Tornado's

    def _fail(self, handler: Any, error: Exception) -> None:
        """Answer a request after its commit failed where no handler can: 5xx, or a cut connection."""
        self.phase, self._first = "open", None
        if isinstance(error, StoreUnavailable):
            answer: Exception = self.session.unavailable(error)
        else:
            self.session.abandon(FAILED)
            answer = error
        try:
            handler.log_exception(type(answer), answer, error.__traceback__)
        except Exception:  # as Tornado does around this call
            log.exception("error in log_exception")
        status = answer.status_code if isinstance(answer, HTTPError) else 500
        handler.send_error(status, exc_info=(type(answer), answer, error.__traceback__))


def _failed_with(error: BaseException) -> CommitFailed | None:
    """Return what `finish()` fails with; None if the server is about to stop."""
    if not isinstance(error, Exception):
        return None
    failed = CommitFailed(str(error) or type(error).__name__)
    failed.__cause__ = error
    return failed


def _put_aside(handler: Any) -> Answer:
    """Take the answer as it is now. Nothing can be added to it, and nothing more of the request is read."""
    cookies = handler.__dict__.pop("_new_cookie", None)  # Tornado makes another one for a cookie that comes too late
    status, reason, headers, body = handler._status_code, handler._reason, handler._headers, handler._write_buffer  # noqa: SLF001 # Tornado's
    handler._headers, handler._write_buffer, handler._finished = SEALED, [], True  # noqa: SLF001 # Tornado's
    return status, reason, headers, body, cookies, _stop_reading(handler)


def _take_back(handler: Any, answer: Answer) -> None:
    handler._status_code, handler._reason, handler._headers, handler._write_buffer, cookies, connection = answer  # noqa: SLF001 # Tornado's
    handler.__dict__.pop("_new_cookie", None)
    if cookies is not None:
        handler._new_cookie = cookies  # noqa: SLF001 # Tornado's
    handler._finished = False  # noqa: SLF001 # Tornado's
    if connection is not None:
        connection._write_finished = False  # noqa: SLF001 # Tornado's; nothing public does it


def _stop_reading(handler: Any) -> Any:
    """Tell Tornado's connection that the answer is finished: it asks before 100-continue and each piece of a body."""
    connection: Any = handler.request.connection
    connection = connection.connection if isinstance(connection, HeldConnection) else connection
    if not hasattr(connection, "_write_finished"):
        return None
    connection._write_finished = True  # noqa: SLF001 # Tornado's; nothing public does it
    return connection


def _write_out(handler: Any, finish: Callable[[], Future]) -> Future:
    """Hand the answer to the connection. What `on_finish` or the log function raises after that leaves it whole."""
    try:
        return finish()
    except Exception as error:
        if not is_written(handler.request.connection):
            raise
        handler.log_exception(type(error), error, error.__traceback__)
    if not handler._finished:  # noqa: SLF001 # Tornado's: the log function comes before on_finish
        handler._finished = True  # noqa: SLF001 # Tornado's
        try:
            handler.on_finish()
        except Exception as error:  # noqa: BLE001 # the same
            handler.log_exception(type(error), error, error.__traceback__)
        handler._break_cycles()  # noqa: SLF001 # Tornado's
    done: Future = asyncio.get_running_loop().create_future()
    done.set_result(None)
    return done


def _follow(written: Future, done: Future) -> None:
    """Resolve a Future as soon as another one is; that fails only if the client has left."""
    if written.done():
        settle(done, None if written.cancelled() else written.exception())
    else:
        written.add_done_callback(lambda _: _follow(written, done))


def is_written(connection: Any) -> bool:
    """Return True if the whole answer was handed to the connection."""
    return bool(getattr(connection, "_write_finished", False))
