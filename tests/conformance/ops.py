"""Owns the ops of the session oracle's protocol: what a request has the generic handler do, by name."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import datetime
from typing import TYPE_CHECKING, Any

from sessions import NoSession, SessionError

from .options import ATTRIBUTES, in_express_words
from .world import Json, to_datetime

if TYPE_CHECKING:
    from .application import Generic

Op = Callable[["Generic", Json], Awaitable[Json]]
OK: Json = {"ok": True}
OPS: dict[str, Op] = {}


def op(function: Op) -> Op:
    """An op of the request itself, under its function's name."""
    OPS[function.__name__.rstrip("_")] = function
    return function


def session_op(function: Op) -> Op:
    """An op of the session: says so where there is none, and returns the error that it raises."""

    async def run(handler: "Generic", args: Json) -> Json:
        try:
            return await function(handler, args)
        except NoSession:
            return {"no_session": True}
        except SessionError as error:
            return {"error": in_express_words(error)}

    OPS[function.__name__.rstrip("_")] = run
    return function


def frozen(value: Any) -> Any:
    """A value as it is now, whatever becomes of it later in the request."""
    return json.loads(json.dumps(value))


@session_op
async def get(handler: "Generic", args: Json) -> Json:
    if args["key"] not in handler.session:
        return {"absent": True}
    return {"v": frozen(handler.session[args["key"]])}


@session_op
async def set_(handler: "Generic", args: Json) -> Json:
    handler.session[args["key"]] = args["value"]
    return OK


@session_op
async def set_in(handler: "Generic", args: Json) -> Json:
    *way, last = args["path"]
    place: Any = handler.session
    for key in way:
        if not isinstance(place.get(key), dict):
            place[key] = {}
        place = place[key]
    place[last] = args["value"]
    return OK


@session_op
async def push(handler: "Generic", args: Json) -> Json:
    if not isinstance(handler.session.get(args["key"]), list):
        handler.session[args["key"]] = []
    handler.session[args["key"]].append(args["value"])
    return OK


@session_op
async def delete(handler: "Generic", args: Json) -> Json:
    handler.session.pop(args["key"], None)
    return OK


@session_op
async def incr(handler: "Generic", args: Json) -> Json:
    value = handler.session.get(args["key"])
    number = value if isinstance(value, int | float) and not isinstance(value, bool) else 0
    handler.session[args["key"]] = number + args.get("by", 1)
    return {"v": handler.session[args["key"]]}


@session_op
async def keys(handler: "Generic", args: Json) -> Json:
    return {"v": list(handler.session)}


@session_op
async def data(handler: "Generic", args: Json) -> Json:
    return {"v": frozen(dict(handler.session))}


@op
async def has_session(handler: "Generic", args: Json) -> Json:
    return {"v": handler.has_session}


@session_op
async def session_id(handler: "Generic", args: Json) -> Json:
    return {"sid": handler.session.id}


@op
async def request_sid(handler: "Generic", args: Json) -> Json:
    sid = handler.session_id
    return {"absent": True} if sid is None else {"sid": sid}


@op
async def unset(handler: "Generic", args: Json) -> Json:
    with suppress(NoSession):  # JavaScript sets a property that is not there without a word
        if args.get("how") == "delete":
            del handler.session
        else:
            handler.session = None
    return OK


@session_op
async def destroy(handler: "Generic", args: Json) -> Json:
    await handler.session.destroy()
    return OK


@session_op
async def regenerate(handler: "Generic", args: Json) -> Json:
    await handler.session.regenerate()
    return OK


@session_op
async def save(handler: "Generic", args: Json) -> Json:
    handler.record.saving = True
    try:
        await handler.session.save()
    finally:
        handler.record.saving = False
    return OK


@session_op
async def reload(handler: "Generic", args: Json) -> Json:
    session = handler.session
    try:
        await session.reload()
    except NoSession as error:  # of a session that was there, and has ended: Express has an error for it
        return {"error": in_express_words(error)}
    return OK


@session_op
async def touch(handler: "Generic", args: Json) -> Json:
    handler.session.touch()
    return OK


@session_op
async def set_max_age(handler: "Generic", args: Json) -> Json:
    handler.session.cookie.max_age = args["ms"]
    return OK


@session_op
async def set_expires(handler: "Generic", args: Json) -> Json:
    at = args["at"]
    if isinstance(at, dict):
        at = to_datetime(handler.world.now() + at["in_ms"])
    elif isinstance(at, str):
        at = datetime.fromisoformat(at)
    handler.session.cookie.expires = at
    return OK


@session_op
async def set_cookie_attr(handler: "Generic", args: Json) -> Json:
    # A property that the cookie does not know is lost in JavaScript; in Python there is nothing to assign it to.
    if args["name"] in ATTRIBUTES:
        setattr(handler.session.cookie, ATTRIBUTES[args["name"]], args["value"])
    return OK


@session_op
async def cookie(handler: "Generic", args: Json) -> Json:
    cookie = handler.session.cookie
    return {"v": {**cookie._stored.to_json(), "maxAge": cookie.max_age}}


@op
async def store_get(handler: "Generic", args: Json) -> Json:
    sid = handler.session_id
    stored = None if sid is None else await handler.world.data.get(sid)
    return {"stored": None if sid is None or stored is None else json.loads(handler.world.shown(sid, stored))}


@op
async def store_destroy(handler: "Generic", args: Json) -> Json:
    if handler.session_id is not None:
        await handler.world.data.destroy(args.get("sid", handler.session_id))
    return OK


@op
async def store_clear(handler: "Generic", args: Json) -> Json:
    await handler.world.data.clear()
    return OK


@op
async def store_count(handler: "Generic", args: Json) -> Json:
    return {"v": await handler.world.data.length()}


@op
async def status(handler: "Generic", args: Json) -> Json:
    handler.set_status(args["code"])
    return OK


@op
async def header(handler: "Generic", args: Json) -> Json:
    handler.set_header(args["name"], args["value"])
    return OK


@op
async def append_cookie(handler: "Generic", args: Json) -> Json:
    handler.appended.append(args["value"])
    handler.add_header("Set-Cookie", args["value"])
    return OK


@op
async def write(handler: "Generic", args: Json) -> Json:
    handler.write(args["text"])
    await handler.flush()
    return OK


@op
async def flush(handler: "Generic", args: Json) -> Json:
    await handler.flush()
    return OK


@op
async def end(handler: "Generic", args: Json) -> Json:
    if args.get("length"):
        handler.set_header("Content-Length", str(len(args["text"].encode())))
    handler.ended = True
    handler.finish(args.get("text"))
    return OK


@op
async def redirect(handler: "Generic", args: Json) -> Json:
    handler.ended = True
    handler.redirect(args["location"])
    return OK


@op
async def sleep(handler: "Generic", args: Json) -> Json:
    await asyncio.sleep(args["ms"] / 1000)
    if handler.world.frozen:
        handler.world.offset += args["ms"]
    return OK


@op
async def wait_gate(handler: "Generic", args: Json) -> Json:
    await handler.world.gate(args["gate"]).wait()
    return OK
