"""The generic test application of the session oracle's protocol, on this library.

It is an ordinary Tornado application: a handler with `SessionMixin`, a `SessionManager` for every app of a
world. Options come in express-session's spelling, with what JavaScript makes of them translated here; where a
scenario says nothing, Express's defaults hold. Our own options are set to Express's behaviour, except those
that `open` names in `ours`, or all of them with DEFAULTS=1 in the environment. With `frozen` in `open` the clock
does not move, as the recorder's did not, and its time is in the answer.
"""

import asyncio
import itertools
import json
import logging
import os
import re
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

import tornado.httpserver
import tornado.netutil
import tornado.routing
import tornado.web
from tornado.httputil import HTTPServerRequest

from sessions import (
    ABSENT,
    CookieOptions,
    NoSession,
    OptionsError,
    SessionError,
    SessionManager,
    SessionMixin,
    SessionOptions,
)

from .world import TTL, Json, Record, RecordingStore, World, current_record, to_datetime

AS_EXPRESS = {
    "conflict": "overwrite",
    "clearCookie": False,
    "touchAfter": 0,
    "cacheHeaders": False,
    "storeDown": "none",
}
"""The options of ours that give Express's behaviour back."""

PATIENCE = 60_000
"""Milliseconds that a call of the store may take, while many scenarios are played at once: only a hang meets it."""

FINISH_SECONDS = 5
"""How long a report waits for its request to be wholly finished."""

ATTRIBUTES = {
    "secure": "secure",
    "httpOnly": "http_only",
    "domain": "domain",
    "path": "path",
    "sameSite": "same_site",
    "partitioned": "partitioned",
    "priority": "priority",
    "originalMaxAge": "original_max_age",
}

EXPRESS_WORDS = (
    # An empty list of secrets: we say what we got.
    (r"secret: expected at least one, got an empty list", "secret option array must contain one or more strings"),
    # Neither of the two words: we name the value.
    (r'unset: expected "keep" or "destroy", got .*', 'unset option must be "destroy" or "keep"'),
    # No number: we name the value, and a Date is a datetime, which is assigned to `expires` here.
    (r"cookie\.maxAge: expected a number of milliseconds, got .*", "maxAge must be a number or Date"),
)
"""Our refusals that are Express's too, and its text for each: a scenario compares that there is one, and its words."""

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


# ---------------------------------------------------------------- the ops

Op = Callable[[Generic, Json], Awaitable[Json]]
OK: Json = {"ok": True}
OPS: dict[str, Op] = {}


def op(function: Op) -> Op:
    """An op of the request itself, under its function's name."""
    OPS[function.__name__.rstrip("_")] = function
    return function


def session_op(function: Op) -> Op:
    """An op of the session: says so where there is none, and returns the error that it raises."""

    async def run(handler: Generic, args: Json) -> Json:
        try:
            return await function(handler, args)
        except NoSession:
            return {"no_session": True}
        except SessionError as error:
            return {"error": in_express_words(error)}

    OPS[function.__name__.rstrip("_")] = run
    return function


def in_express_words(error: SessionError) -> str:
    """The error's text: Express's own where it refuses the same."""
    text = str(error)
    return next((words for ours, words in EXPRESS_WORDS if re.fullmatch(ours, text, re.DOTALL)), text)


def frozen(value: Any) -> Any:
    """A value as it is now, whatever becomes of it later in the request."""
    return json.loads(json.dumps(value))


@session_op
async def get(handler: Generic, args: Json) -> Json:
    if args["key"] not in handler.session:
        return {"absent": True}
    return {"v": frozen(handler.session[args["key"]])}


@session_op
async def set_(handler: Generic, args: Json) -> Json:
    handler.session[args["key"]] = args["value"]
    return OK


@session_op
async def set_in(handler: Generic, args: Json) -> Json:
    *way, last = args["path"]
    place: Any = handler.session
    for key in way:
        if not isinstance(place.get(key), dict):
            place[key] = {}
        place = place[key]
    place[last] = args["value"]
    return OK


@session_op
async def push(handler: Generic, args: Json) -> Json:
    if not isinstance(handler.session.get(args["key"]), list):
        handler.session[args["key"]] = []
    handler.session[args["key"]].append(args["value"])
    return OK


@session_op
async def delete(handler: Generic, args: Json) -> Json:
    handler.session.pop(args["key"], None)
    return OK


@session_op
async def incr(handler: Generic, args: Json) -> Json:
    value = handler.session.get(args["key"])
    number = value if isinstance(value, int | float) and not isinstance(value, bool) else 0
    handler.session[args["key"]] = number + args.get("by", 1)
    return {"v": handler.session[args["key"]]}


@session_op
async def keys(handler: Generic, args: Json) -> Json:
    return {"v": list(handler.session)}


@session_op
async def data(handler: Generic, args: Json) -> Json:
    return {"v": frozen(dict(handler.session))}


@op
async def has_session(handler: Generic, args: Json) -> Json:
    return {"v": handler.has_session}


@session_op
async def session_id(handler: Generic, args: Json) -> Json:
    return {"sid": handler.session.id}


@op
async def request_sid(handler: Generic, args: Json) -> Json:
    sid = handler.session_id
    return {"absent": True} if sid is None else {"sid": sid}


@op
async def unset(handler: Generic, args: Json) -> Json:
    with suppress(NoSession):  # JavaScript sets a property that is not there without a word
        if args.get("how") == "delete":
            del handler.session
        else:
            handler.session = None
    return OK


@session_op
async def destroy(handler: Generic, args: Json) -> Json:
    await handler.session.destroy()
    return OK


@session_op
async def regenerate(handler: Generic, args: Json) -> Json:
    await handler.session.regenerate()
    return OK


@session_op
async def save(handler: Generic, args: Json) -> Json:
    handler.record.saving = True
    try:
        await handler.session.save()
    finally:
        handler.record.saving = False
    return OK


@session_op
async def reload(handler: Generic, args: Json) -> Json:
    session = handler.session
    try:
        await session.reload()
    except NoSession as error:  # of a session that was there, and has ended: Express has an error for it
        return {"error": in_express_words(error)}
    return OK


@session_op
async def touch(handler: Generic, args: Json) -> Json:
    handler.session.touch()
    return OK


@session_op
async def set_max_age(handler: Generic, args: Json) -> Json:
    handler.session.cookie.max_age = args["ms"]
    return OK


@session_op
async def set_expires(handler: Generic, args: Json) -> Json:
    at = args["at"]
    if isinstance(at, dict):
        at = to_datetime(handler.world.now() + at["in_ms"])
    elif isinstance(at, str):
        at = datetime.fromisoformat(at)
    handler.session.cookie.expires = at
    return OK


@session_op
async def set_cookie_attr(handler: Generic, args: Json) -> Json:
    # A property that the cookie does not know is lost in JavaScript; in Python there is nothing to assign it to.
    if args["name"] in ATTRIBUTES:
        setattr(handler.session.cookie, ATTRIBUTES[args["name"]], args["value"])
    return OK


@session_op
async def cookie(handler: Generic, args: Json) -> Json:
    cookie = handler.session.cookie
    return {"v": {**cookie._stored.to_json(), "maxAge": cookie.max_age}}


@op
async def store_get(handler: Generic, args: Json) -> Json:
    sid = handler.session_id
    stored = None if sid is None else await handler.world.data.get(sid)
    return {"stored": None if sid is None or stored is None else json.loads(handler.world.shown(sid, stored))}


@op
async def store_destroy(handler: Generic, args: Json) -> Json:
    if handler.session_id is not None:
        await handler.world.data.destroy(args.get("sid", handler.session_id))
    return OK


@op
async def store_clear(handler: Generic, args: Json) -> Json:
    await handler.world.data.clear()
    return OK


@op
async def store_count(handler: Generic, args: Json) -> Json:
    return {"v": await handler.world.data.length()}


@op
async def status(handler: Generic, args: Json) -> Json:
    handler.set_status(args["code"])
    return OK


@op
async def header(handler: Generic, args: Json) -> Json:
    handler.set_header(args["name"], args["value"])
    return OK


@op
async def append_cookie(handler: Generic, args: Json) -> Json:
    handler.appended.append(args["value"])
    handler.add_header("Set-Cookie", args["value"])
    return OK


@op
async def write(handler: Generic, args: Json) -> Json:
    handler.write(args["text"])
    await handler.flush()
    return OK


@op
async def flush(handler: Generic, args: Json) -> Json:
    await handler.flush()
    return OK


@op
async def end(handler: Generic, args: Json) -> Json:
    if args.get("length"):
        handler.set_header("Content-Length", str(len(args["text"].encode())))
    handler.ended = True
    handler.finish(args.get("text"))
    return OK


@op
async def redirect(handler: Generic, args: Json) -> Json:
    handler.ended = True
    handler.redirect(args["location"])
    return OK


@op
async def sleep(handler: Generic, args: Json) -> Json:
    await asyncio.sleep(args["ms"] / 1000)
    if handler.world.frozen:
        handler.world.offset += args["ms"]
    return OK


@op
async def wait_gate(handler: Generic, args: Json) -> Json:
    await handler.world.gate(args["gate"]).wait()
    return OK


# ---------------------------------------------------------------- the options


def session_options(given: Json, world: World, ours: list[str]) -> SessionOptions:
    """The options of one app. Raises OptionsError where the library refuses them."""
    options: Json = {name: value for name, value in AS_EXPRESS.items() if name not in ours}
    options |= {"resave": True, "saveUninitialized": True, "ttl": TTL, "storeTimeout": PATIENCE}
    for name in ("resave", "rolling", "saveUninitialized"):
        if name in given:
            options[name] = bool(given[name])  # Express asks for truthiness
    if isinstance(given.get("proxy"), bool):
        options["proxy"] = given["proxy"]  # anything else is neither true nor false to Express: like absent
    if given.get("name") or given.get("key"):
        options["name"] = given.get("name") or given["key"]
    if "unset" in given:
        options["unset"] = given["unset"]
    if "secret" in given:
        options["secret"] = secret_of(given["secret"])
    if "genid" in given:
        options["genid"] = id_maker(given["genid"])
    cookie = given.get("cookie") or {}
    if "fn" in cookie:
        return SessionOptions.from_mapping({**options, "cookie": cookie_maker(cookie["fn"], world)})
    made = cookie_options(cookie, world)
    try:
        return SessionOptions.from_mapping({**options, "cookie": made})
    except OptionsError:
        # Options that make a cookie which browsers drop (SameSite=None without Secure, ..) are refused at start. What
        # Express does with them is compared all the same: a function of the request cannot be asked at start.
        return SessionOptions.from_mapping({**options, "cookie": lambda request: made})


def secret_of(given: Any) -> Any:
    """A secret, or a list of them; what JSON cannot hold is written {"hex": ..}."""
    if isinstance(given, list):
        return [secret_of(one) for one in given]
    return bytes.fromhex(given["hex"]) if isinstance(given, dict) else given


def cookie_options(given: Json, world: World) -> CookieOptions:
    """Cookie options in express-session's spelling. Its default is to have no SameSite at all.

    We refuse a key that is no option; JavaScript reads those it knows, so only these are handed on.
    """
    known = {name: value for name, value in given.items() if name in {*ATTRIBUTES, "maxAge", "expires"}}
    given = {"sameSite": ABSENT, **known}
    expires = given.get("expires")
    if isinstance(expires, dict):
        given["expires"] = to_datetime(world.now() + expires["in_ms"])
    elif isinstance(expires, str) and expires != "invalid":
        given["expires"] = datetime.fromisoformat(expires)
    return CookieOptions.from_mapping(given)


def cookie_maker(rule: Json, world: World) -> Callable[[HTTPServerRequest], CookieOptions]:
    """`cookie` as a function of the request."""

    def make(request: HTTPServerRequest) -> CookieOptions:
        path = urlsplit(request.uri or "/").path
        if rule.get("path_is_url"):
            return cookie_options({**rule["cookie"], "path": request.uri}, world)
        for one in rule.get("by_path", []):
            if path.startswith(one["prefix"]):
                return cookie_options(one["cookie"], world)
        return cookie_options(rule["default"], world)

    return make


def id_maker(rule: Any) -> Any:
    """`genid` as a function of the request; a value that is no rule is passed on as it is."""
    match rule:
        case {"fixed": sid}:
            return lambda request: sid
        case {"seq": prefix}:
            counter = itertools.count(1)
            return lambda request: f"{prefix}{next(counter)}"
        case {"url": True}:
            return lambda request: request.uri
    return rule


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
