"""The generic test application of the session oracle's protocol, on this library.

It is an ordinary Tornado application: a handler with `SessionMixin`, a `SessionManager` for every app of a world. Our own
options are set to Express's behaviour, except those that `open` names in `ours`, or all of them with DEFAULTS=1 in the
environment. With `frozen` in `open` the clock does not move, as the recorder's did not, and its time is in the answer.
"""

import asyncio
import itertools
import json
import logging
import os
import time
from collections.abc import Awaitable, Callable
from typing import Any

import tornado.httpserver
import tornado.netutil
import tornado.routing
import tornado.web

from sessions import SessionError, SessionManager, SessionMixin

from .ops import OPS
from .options import AS_EXPRESS, in_express_words, session_options
from .world import Json, Record, RecordingStore, World, current_record

FINISH_SECONDS = 5
"""How long a report waits for its request to be wholly finished."""

worlds: dict[str, World] = {}
apps: dict[tuple[str, str], tornado.web.Application] = {}
numbers = itertools.count(1)


class Thrown(Exception):
    """What the op `throw` raises: the handler's own failure, which is no error of the session layer."""


class Generic(SessionMixin, tornado.web.RequestHandler):
    """Runs the ops that the request brings."""

    async def prepare(self) -> None:
        """Express makes a session object for every request, looked at or not; here it is made when it is looked at."""
        self.world: World = self.settings["world"]
        self.appended: list[str] = []
        self.ended = self.done = False
        self.task = asyncio.current_task()
        self.record = Record(resave=self.settings["sessions"].options.resave, finished=self.is_over)
        self.world.records[self.request.headers["X-Oracle-Step"]] = self.record
        current_record.set(self.record)
        # Express's req.secure is Tornado's request.protocol: the framework's own idea of the request.
        if self.request.headers.get("X-Test-Secure") == "true" or self.is_tls():
            self.request.protocol = "https"
        await super().prepare()
        if self.has_session:
            self.record.origin = self.session.id

    def is_tls(self) -> bool:
        """A header of the request replaces a real TLS connection."""
        return self.request.headers.get("X-Test-TLS") == "1"

    def on_finish(self) -> None:
        """The response is out."""
        self.done = True

    def on_connection_close(self) -> None:
        """There is nobody left to answer."""
        super().on_connection_close()
        self.done = True

    def is_over(self) -> bool:
        """Whether nothing of this request is under way any more."""
        stream = getattr(self.request.connection, "stream", None)
        cut = stream is None or stream.closed()
        running = self.task is not None and not self.task.done()
        return (self.done or cut) and not running and self.record.outstanding == 0

    def log_exception(self, typ: Any, value: BaseException | None, tb: Any) -> None:
        """The errors that the session layer hands to the application."""
        if isinstance(value, tornado.web.HTTPError):
            value = value.__cause__
        if value is not None and not isinstance(value, Thrown):
            self.record.errors.append(str(value))
            logging.getLogger("conformance").info("%r", value, exc_info=(typ, value, tb))

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        """Express keeps the cookies that a handler has set before it failed; Tornado forgets them with all headers."""
        for line in self.appended:
            self.add_header("Set-Cookie", line)
        super().write_error(status_code, **kwargs)

    async def run(self) -> None:
        """Run the ops one after the other; without an op that ends the response it is "ok"."""
        for op in json.loads(self.request.headers["X-Oracle-Ops"]):
            if op["op"] == "throw":
                self.record.ops.append({"ok": True})
                message = op.get("message", "boom")
                raise tornado.web.HTTPError(op["status"], message) if "status" in op else Thrown(message)
            self.record.ops.append(await OPS[op["op"]](self, op))
        if not self.ended:
            self.finish(None if self.get_status() in {204, 304} else "ok")

    get = head = post = put = patch = delete = options = run


# ---------------------------------------------------------------- the control calls


async def control(name: str, message: Json) -> Json:
    """One control call of the protocol."""
    return await CONTROLS[name](message)


async def _ping(message: Json) -> Json:
    return {"ok": True, "implementation": "tornado sessions", "clock": "virtual"}


async def _open(message: Json) -> Json:
    """Make a world and its apps."""
    has_touch = message.get("store", {}).get("touch") is not False
    world = World(has_touch=has_touch, frozen=bool(message.get("frozen")))
    ours = list(AS_EXPRESS) if os.environ.get("DEFAULTS") == "1" else message.get("ours", [])
    made = {}
    for app, definition in message["apps"].items():
        try:
            options = session_options(definition.get("options") or {}, world, ours)
        except SessionError as error:
            return {"ok": False, "app": app, "error": in_express_words(error)}
        manager = SessionManager(RecordingStore(world), options, clock=world.now)
        made[app] = tornado.web.Application([(r".*", Generic)], sessions=manager, world=world, log_function=_silent)
    await world.data.__aenter__()
    name = f"w{next(numbers)}"
    worlds[name] = world
    apps.update({(name, app): application for app, application in made.items()})
    return {"ok": True, "world": name, "clock": "virtual"} | ({"now": world.now()} if world.frozen else {})


async def _control(message: Json) -> Json:
    """Change the world."""
    world = worlds[message["world"]]
    return {"results": [await world.control(do) for do in message["do"]]}


async def _report(message: Json) -> Json:
    """What became of a request."""
    world, step = worlds[message["world"]], message["step"]
    record = world.records.get(step, Record(resave=False))
    if message.get("peek"):
        return {"pending": record.outstanding, "calls": len(record.calls)}
    deadline = time.monotonic() + FINISH_SECONDS
    while not (finished := record.finished()) and time.monotonic() < deadline:  # noqa: ASYNC110 - no event tells it all
        await asyncio.sleep(0.001)
    return {
        "finished": finished,
        "ops": record.ops,
        "calls": record.calls,
        "errors": record.errors,
        "store": await world.view(),
    }


async def _close(message: Json) -> Json:
    """Forget a world."""
    world = worlds.pop(message["world"])
    for key in [key for key in apps if key[0] == message["world"]]:
        del apps[key]
    await world.data.__aexit__(None, None, None)
    return {"ok": True}


CONTROLS: dict[str, Callable[[Json], Awaitable[Json]]] = {
    "ping": _ping,
    "open": _open,
    "control": _control,
    "report": _report,
    "close": _close,
}


class Control(tornado.web.RequestHandler):
    """`POST /__oracle__/NAME`: no session layer here."""

    async def post(self, name: str) -> None:
        """Answer one control call."""
        self.finish(await control(name, json.loads(self.request.body)))


# ---------------------------------------------------------------- the server


class Dispatch(tornado.routing.Router):
    """Gives a request to the app that its headers name."""

    def __init__(self) -> None:
        self._control = tornado.web.Application([(r"/__oracle__/(\w+)", Control)], log_function=_silent)

    def find_handler(self, request: Any, **kwargs: Any) -> Any:
        """The application that answers."""
        if request.path.startswith("/__oracle__/"):
            return self._control.find_handler(request, **kwargs)
        key = (request.headers.get("X-Oracle-World", ""), request.headers.get("X-Oracle-App", ""))
        return apps[key].find_handler(request, **kwargs)


def _silent(handler: tornado.web.RequestHandler) -> None:
    """Tornado's access log is not wanted."""


def listen(port: int, host: str) -> tuple[tornado.httpserver.HTTPServer, int]:
    """Serve from now on; the server, and its port where 0 was asked for."""
    server = tornado.httpserver.HTTPServer(Dispatch())
    sockets = tornado.netutil.bind_sockets(port, host)
    server.add_sockets(sockets)
    return server, sockets[0].getsockname()[1]


async def main() -> None:
    """Serve until the process is ended."""
    logging.basicConfig(level=os.environ.get("LOG", "CRITICAL"))
    listen(int(os.environ["PORT"]), os.environ.get("HOST", "127.0.0.1"))
    await asyncio.Event().wait()
