"""Litestar under uvicorn, bare or with its server-side sessions on Redis; handlers as in tornado_app."""

import argparse
import platform
from importlib.metadata import version
from typing import Any

import uvicorn
from litestar import Litestar, MediaType, Request, get
from litestar.middleware.session.server_side import ServerSideSessionConfig
from litestar.stores.redis import RedisStore

parser = argparse.ArgumentParser()
parser.add_argument("--port", type=int, required=True)
parser.add_argument("--url", help="of Redis; without it there are no sessions")
args = parser.parse_args()
about = {name: version(name) for name in ("litestar", "uvicorn", "uvloop", "httptools")}
about |= {"python": platform.python_version(), "durability": "nothing is stored"}
everybodys: dict[str, Any] = {"n": 1}


def session_of(request: Request[Any, Any, Any]) -> dict[str, Any]:
    return request.session if args.url else everybodys


@get("/read", media_type=MediaType.TEXT)
async def read(request: Request[Any, Any, Any]) -> str:
    return str(session_of(request)["n"])


@get("/write", media_type=MediaType.TEXT)
async def write(request: Request[Any, Any, Any]) -> str:
    session = session_of(request)
    session["n"] += 1
    return str(session["n"])


@get("/new", media_type=MediaType.TEXT)
async def new(request: Request[Any, Any, Any]) -> str:
    session_of(request)["n"] = 1
    return "1"


@get("/about")
async def tell() -> dict[str, str]:
    return about


options: dict[str, Any] = {}
if args.url:
    about["redis"] = version("redis")
    options["middleware"] = [ServerSideSessionConfig().middleware]
    options["stores"] = {"sessions": RedisStore.with_client(url=args.url)}
app = Litestar([read, write, new, tell], **options)
uvicorn.run(app, host="127.0.0.1", port=args.port, access_log=False, log_level="warning")
