"""aiohttp, bare or with aiohttp-session on Redis, as its documentation sets it up; handlers as in tornado_app.py."""

import argparse
import platform
from collections.abc import AsyncIterator
from importlib.metadata import version
from typing import Any

from aiohttp import web

about = {
    "aiohttp": version("aiohttp"),
    "python": platform.python_version(),
    "durability": "nothing is stored",
}
everybodys = {"n": 1}


async def no_session(request: web.Request) -> dict[str, Any]:
    return everybodys


def handlers(get_session: Any) -> list[web.RouteDef]:
    async def read(request: web.Request) -> web.Response:
        session = await get_session(request)
        return web.Response(text=str(session["n"]))

    async def write(request: web.Request) -> web.Response:
        session = await get_session(request)
        session["n"] += 1
        return web.Response(text=str(session["n"]))

    async def new(request: web.Request) -> web.Response:
        session = await get_session(request)
        session["n"] = 1
        return web.Response(text="1")

    async def tell(request: web.Request) -> web.Response:
        return web.json_response(about)

    return [web.get("/read", read), web.get("/write", write), web.get("/new", new), web.get("/about", tell)]


def with_redis(url: str) -> web.Application:
    from aiohttp_session import get_session, setup
    from aiohttp_session.redis_storage import RedisStorage
    from redis import asyncio as aioredis

    about.update({name: version(name) for name in ("aiohttp-session", "redis")})
    redis = aioredis.from_url(url)
    app = web.Application()

    async def close(app: web.Application) -> AsyncIterator[None]:
        yield
        await redis.aclose()

    app.cleanup_ctx.append(close)
    setup(app, RedisStorage(redis))
    app.add_routes(handlers(get_session))
    return app


def bare() -> web.Application:
    app = web.Application()
    app.add_routes(handlers(no_session))
    return app


parser = argparse.ArgumentParser()
parser.add_argument("--port", type=int, required=True)
parser.add_argument("--url", help="of Redis; without it there are no sessions")
args = parser.parse_args()
web.run_app(with_redis(args.url) if args.url else bare(), host="127.0.0.1", port=args.port, print=None)
