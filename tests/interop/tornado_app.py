"""The Tornado half of tests/interop: the library as an application uses it, doing what the body of a request says.

Speaks the language that express_app.js describes. Environment: DB (the SQLite file) or STORE (another store's URL), OPTIONS
(express-session's options as JSON, and our own), SWEEP=1 for a sweeper. It owns no rule of sessions.
"""

import asyncio
import json
import os
import signal
from collections import defaultdict
from collections.abc import Awaitable, Callable
from typing import Any

import tornado.httpserver
import tornado.netutil
import tornado.web
import tornado.websocket

from sessions import SessionManager, SessionMixin, SessionOptions, Sweeper, open_store

errors: list[str] = []


class Gate:
    """Where a request can be made to wait."""

    def __init__(self) -> None:
        self.arrived = asyncio.Event()
        self.open = asyncio.Event()


gates: defaultdict[str, Gate] = defaultdict(Gate)


class Ops(SessionMixin, tornado.web.RequestHandler):
    """POST [[op, ...arguments], ...] to any path."""

    async def post(self) -> None:
        """Do the ops in their order and answer their results."""
        results = []
        for op, *args in json.loads(self.request.body):
            result = OPS[op](self, *args)
            results.append(await result if isinstance(result, Awaitable) else result)
        self.write({"sid": self.session_id, "results": results})

    def log_exception(self, *exc_info: Any) -> None:
        """Keep the error for /control/errors as well."""
        errors.append(repr(exc_info[1]))
        super().log_exception(*exc_info)


class Socket(SessionMixin, tornado.websocket.WebSocketHandler):
    """GET /socket: a WebSocket, which answers each message with the session's data."""

    async def on_message(self, message: str | bytes) -> None:
        """Answer."""
        await self.write_message(json.dumps(dict(self.session)))


class Control(tornado.web.RequestHandler):
    """POST /control/errors, /control/arrived/<gate>, /control/open/<gate>: no session."""

    async def post(self, verb: str, gate: str | None) -> None:
        """Answer, with `arrived` when a request waits at the gate."""
        if verb == "errors":
            self.write(json.dumps(errors))
            errors.clear()
        elif verb == "arrived":
            await gates[gate or ""].arrived.wait()
            self.write({})
        else:
            gates[gate or ""].open.set()
            self.write({})


def _hold(_: Ops, name: str) -> Awaitable[object]:
    gates[name].arrived.set()
    return gates[name].open.wait()


def _incr(handler: Ops, key: str) -> int:
    handler.session[key] = handler.session.get(key, 0) + 1
    return int(handler.session[key])


def _unset(handler: Ops) -> None:
    handler.session = None


def _set_max_age(handler: Ops, milliseconds: float | None) -> None:
    handler.session.cookie.max_age = milliseconds


async def _sessions_of(handler: Ops, user: str) -> list[str]:
    return [info.handle for info in await _manager(handler).sessions_of(user)]


def _manager(handler: Ops) -> SessionManager:
    manager: SessionManager = handler.settings["sessions"]
    return manager


OPS: dict[str, Callable[..., Any]] = {
    "data": lambda handler: dict(handler.session),
    "get": lambda handler, key: handler.session.get(key),
    "set": lambda handler, key, value: handler.session.update({key: value}),
    "delete": lambda handler, key: handler.session.pop(key, None) and None,
    "push": lambda handler, key, value: handler.session[key].append(value),
    "incr": _incr,
    "original_max_age": lambda handler: handler.session.cookie.original_max_age,
    "set_max_age": _set_max_age,
    "touch": lambda handler: handler.session.touch(),
    "save": lambda handler: handler.session.save(),
    "reload": lambda handler: handler.session.reload(),
    "regenerate": lambda handler: handler.session.regenerate(),
    "rotate": lambda handler: handler.session.rotate(),
    "destroy": lambda handler: handler.session.destroy(),
    "unset": _unset,
    "sign_in": lambda handler, user: handler.sign_in(user),
    "user": lambda handler: handler.current_user,
    "sessions_of": _sessions_of,
    "revoke": lambda handler, user, handle: _manager(handler).revoke(user, handle),
    "revoke_all": lambda handler, user: _manager(handler).revoke_all(user),
    "hold": _hold,
}


async def main() -> None:
    """Serve on a free port, named on standard output, until SIGTERM."""
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    async with open_store(os.environ.get("STORE") or f"sqlite:{os.environ['DB']}") as store:
        manager = SessionManager(store, SessionOptions.from_mapping(json.loads(os.environ["OPTIONS"])))
        app = tornado.web.Application(
            [(r"/control/(errors|arrived|open)(?:/(.+))?", Control), (r"/socket", Socket), (r"/.*", Ops)],
            sessions=manager,
        )
        server = tornado.httpserver.HTTPServer(app)
        sockets = tornado.netutil.bind_sockets(0, "127.0.0.1")
        server.add_sockets(sockets)
        print(f"listening {sockets[0].getsockname()[1]}", flush=True)
        if os.environ.get("SWEEP"):
            async with Sweeper(store, interval=200):
                await stop.wait()
        else:
            await stop.wait()
        server.stop()
        await server.close_all_connections()


if __name__ == "__main__":
    asyncio.run(main())
