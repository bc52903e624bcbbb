"""Tornado with what its users have besides us: signed cookies, pycket, torndsession, aiosqlite by hand.

Each is set up as its documentation says; the handlers are those of tornado_app.py.
"""

import argparse
import asyncio
import platform
import secrets
import time
from importlib.metadata import version
from typing import Any
from urllib.parse import urlsplit

import tornado
from tornado.web import Application, RequestHandler

SECRET = "a secret of the benchmark, longer than thirty-two bytes"
about = {"tornado": tornado.version, "python": platform.python_version()}
settings: dict[str, Any] = {"cookie_secret": SECRET}


class SignedCookie(RequestHandler):
    """The counter is in the cookie itself: nothing is stored."""

    async def load(self) -> int:
        return int(self.get_signed_cookie("n") or 0)

    async def keep(self, n: int) -> None:
        self.set_signed_cookie("n", str(n))


class Naive(RequestHandler):
    """What one writes in an afternoon: SELECT, upsert and commit for each request, on one connection."""

    db: Any

    async def load(self) -> int:
        self.sid = (self.get_signed_cookie("sid") or b"").decode()
        async with self.db.execute(
            "SELECT n FROM sessions WHERE sid = ? AND expires > ?", (self.sid, time.time())
        ) as rows:
            row = await rows.fetchone()
        return row[0] if row else 0

    async def keep(self, n: int) -> None:
        if not getattr(self, "sid", ""):
            self.sid = secrets.token_urlsafe(24)
            self.set_signed_cookie("sid", self.sid)
        await self.db.execute(
            "INSERT INTO sessions VALUES (?, ?, ?) ON CONFLICT (sid) DO UPDATE SET n = excluded.n, "
            "expires = excluded.expires",
            (self.sid, n, time.time() + 86400),
        )
        await self.db.commit()


async def naive(data: str) -> type[RequestHandler]:
    import aiosqlite

    db = await aiosqlite.connect(f"{data}/sessions.db")
    await db.execute("CREATE TABLE sessions (sid TEXT PRIMARY KEY, n INTEGER, expires REAL)")
    await db.execute("PRAGMA journal_mode = WAL")
    await db.execute("PRAGMA synchronous = FULL")
    about["aiosqlite"] = version("aiosqlite")
    modes = [(await (await db.execute(f"PRAGMA {name}")).fetchone())[0] for name in ("journal_mode", "synchronous")]
    level = ["OFF", "NORMAL", "FULL", "EXTRA"][modes[1]]
    about["durability"] = f"journal_mode={modes[0].upper()}, synchronous={level}"
    Naive.db = db
    return Naive


def pycket(url: str) -> type[RequestHandler]:
    from pycket.session import SessionMixin

    host = urlsplit(url)
    storage = {"host": host.hostname, "port": host.port, "max_connections": 2**31}  # as its README has it
    settings["pycket"] = {"engine": "redis", "storage": storage}
    about.update({name: version(name) for name in ("pycket", "redis")})

    class Pycket(RequestHandler, SessionMixin):
        async def load(self) -> int:
            return int(self.session.get("n"))

        async def keep(self, n: int) -> None:
            self.session.set("n", n)

    return Pycket


def torndsession(url: str) -> type[RequestHandler]:
    from torndsession.sessionhandler import SessionBaseHandler

    host = urlsplit(url)
    driver = {"host": host.hostname, "port": host.port, "db": 0, "max_connections": 1024}
    settings["session"] = {"driver": "redis", "driver_settings": driver}
    about.update({name: version(name) for name in ("torndsession", "redis")})

    class Torndsession(SessionBaseHandler):
        async def load(self) -> int:
            return int(self.session["n"])

        async def keep(self, n: int) -> None:
            self.session["n"] = n  # written after the answer, by its on_finish

    return Torndsession


def routes(base: Any) -> list[tuple[str, type[RequestHandler]]]:
    class Read(base):
        async def get(self) -> None:
            self.write(str(await self.load()))

    class Write(base):
        async def get(self) -> None:
            n = await self.load() + 1
            await self.keep(n)
            self.write(str(n))

    class New(base):
        async def get(self) -> None:
            await self.keep(1)
            self.write("1")

    class About(RequestHandler):
        def get(self) -> None:
            self.write(about)

    return [("/read", Read), ("/write", Write), ("/new", New), ("/about", About)]


async def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--kind", choices=("cookie", "naive", "pycket", "torndsession"), required=True)
    parser.add_argument("--url", help="of Redis")
    parser.add_argument("--data", help="the folder for the file of SQLite")
    args = parser.parse_args()
    about["durability"] = "nothing is stored: the cookie has the data"  # of a Redis the harness asks
    if args.kind == "naive":
        base = await naive(args.data)
    else:
        base = {"pycket": pycket, "torndsession": torndsession, "cookie": lambda _: SignedCookie}[args.kind](args.url)
    Application(routes(base), **settings).listen(args.port, "127.0.0.1")
    await asyncio.Event().wait()


asyncio.run(main())
