"""Starlette under uvicorn, bare or with starsessions on Redis as its README sets it up; handlers as in tornado_app."""

import argparse
import platform
from importlib.metadata import version
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse
from starlette.routing import Route

about = {name: version(name) for name in ("starlette", "uvicorn", "uvloop", "httptools")}
about |= {"python": platform.python_version(), "durability": "nothing is stored"}
everybodys = {"n": 1}


def routes(get_session: Any) -> list[Route]:
    async def read(request: Request) -> PlainTextResponse:
        session = await get_session(request)
        return PlainTextResponse(str(session["n"]))

    async def write(request: Request) -> PlainTextResponse:
        session = await get_session(request)
        session["n"] += 1
        return PlainTextResponse(str(session["n"]))

    async def new(request: Request) -> PlainTextResponse:
        session = await get_session(request)
        session["n"] = 1
        return PlainTextResponse("1")

    async def tell(request: Request) -> JSONResponse:
        return JSONResponse(about)

    return [Route("/read", read), Route("/write", write), Route("/new", new), Route("/about", tell)]


def with_redis(url: str) -> Starlette:
    from redis.asyncio import Redis
    from starsessions import SessionMiddleware, load_session
    from starsessions.stores.redis import RedisStore

    about.update({name: version(name) for name in ("starsessions", "redis")})

    async def get_session(request: Request) -> dict[str, Any]:
        await load_session(request)
        return request.session

    store = RedisStore(connection=Redis.from_url(url))
    sessions = Middleware(SessionMiddleware, store=store, lifetime=3600 * 24 * 14, cookie_https_only=False)
    return Starlette(middleware=[sessions], routes=routes(get_session))


def bare() -> Starlette:
    async def get_session(request: Request) -> dict[str, Any]:
        return everybodys

    return Starlette(routes=routes(get_session))


parser = argparse.ArgumentParser()
parser.add_argument("--port", type=int, required=True)
parser.add_argument("--url", help="of Redis; without it there are no sessions")
args = parser.parse_args()
app = with_redis(args.url) if args.url else bare()
uvicorn.run(app, host="127.0.0.1", port=args.port, access_log=False, log_level="warning")
