"""Tornado, bare or with our sessions: the three handlers that every server of the benchmark has.

/read answers the counter of the session, /write increments it, /new sets it in a session that has just begun. /about
tells what is being measured: versions and durability in the report are read from the running server, never typed in.
"""

import argparse
import asyncio
import os
import platform
import signal
import sqlite3
from importlib.metadata import version
from itertools import count
from typing import Any, ClassVar

import tornado
from tornado.httpserver import HTTPServer
from tornado.netutil import bind_sockets
from tornado.process import fork_processes
from tornado.web import Application, RequestHandler

SECRET = "a secret of the benchmark, longer than thirty-two bytes"


class Bare(RequestHandler):
    """No sessions: one dictionary for everybody, in place of the session."""

    session: ClassVar[dict[str, Any]] = {"n": 1}


def routes(
    base: type[RequestHandler], about: dict[str, str], *, has_user: bool = False
) -> list[tuple[str, type[RequestHandler]]]:
    users = count(1)

    class Read(base):
        async def get(self) -> None:
            self.write(str(self.session["n"]))

    class Write(base):
        async def get(self) -> None:
            self.session["n"] += 1
            self.write(str(self.session["n"]))

    class New(base):
        async def get(self) -> None:
            self.session["n"] = 1
            if has_user:
                self.session["user"] = f"user {next(users)}"
            self.write("1")

    class About(RequestHandler):
        def get(self) -> None:
            self.write(about)

    return [("/read", Read), ("/write", Write), ("/new", New), ("/about", About)]


def open_our_store(args: argparse.Namespace) -> Any:
    from sessions import open_store

    options = {"durability": args.durability} if args.store.startswith("sqlite:") else {}
    return open_store(args.store, **options)


async def serve(args: argparse.Namespace, sockets: list[Any]) -> None:
    about = {
        "tornado": tornado.version,
        "python": platform.python_version(),
        "durability": "nothing is stored",
    }
    if args.uvloop:
        import uvloop

        about["uvloop"] = uvloop.__version__
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)

    async def until_stopped(application: Application) -> None:
        server = HTTPServer(application)
        server.add_sockets(sockets)
        await stop.wait()
        server.stop()

    if not args.store:
        return await until_stopped(Application(routes(Bare, about)))

    from sessions import SessionManager, SessionMixin, SessionOptions, Sweeper, now_ms

    class WithSession(SessionMixin, RequestHandler):
        pass

    scheme = args.store.partition(":")[0].partition("+")[0]
    driver = {"sqlite": "aiosqlite", "redis": "redis", "postgresql": "asyncpg", "mongodb": "pymongo"}.get(scheme)
    if driver:
        about[driver] = version(driver)
    about["durability"] = "none: the process's memory"  # a Redis or a PostgreSQL is asked for its own by the harness
    if scheme == "sqlite":
        mode = "fsync before each answer" if args.durability == "full" else "fsync at checkpoints"
        about |= {"sqlite": sqlite3.sqlite_version}
        about["durability"] = f"WAL, synchronous={args.durability.upper()} ({mode})"
    async with open_our_store(args) as store:
        user_key = "user" if args.users == "found" else None
        options = SessionOptions(secret=SECRET, store_timeout=args.store_timeout, user_key=user_key)
        observers = []
        if args.prometheus:
            from sessions.observe import PrometheusObserver

            about["prometheus-client"] = version("prometheus-client")
            observers.append(PrometheusObserver())
        manager = SessionManager(store, options, clock=now_ms, observer=observers)
        application = Application(routes(WithSession, about, has_user=bool(args.users)), sessions=manager)
        if args.sweep:
            async with Sweeper(store, interval=1000):  # else it begins only after a minute
                return await until_stopped(application)
        return await until_stopped(application)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--store", default="", help="a URL for open_store; without it there are no sessions")
    parser.add_argument("--durability", default="full", help="of SQLite: full or normal")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--sweep", action="store_true", help="delete expired sessions while serving")
    parser.add_argument("--users", choices=("kept", "found"), help="each session has a user; found: by userKey")
    parser.add_argument("--prometheus", action="store_true", help="observe by sessions.observe.PrometheusObserver")
    parser.add_argument("--uvloop", action="store_true")
    parser.add_argument("--store-timeout", type=int, default=5000, help="the option storeTimeout, in ms")
    args = parser.parse_args()

    sockets = bind_sockets(args.port, "127.0.0.1")
    if args.workers > 1:
        if args.store.startswith("sqlite:"):
            open_our_store(args).prepare()  # the journal mode is set by one process only
        # fork_processes forgets its children when the parent ends: the harness ends the whole process group
        fork_processes(args.workers, max_restarts=0)
    if args.uvloop:
        import uvloop

        uvloop.run(serve(args, sockets))
    else:
        asyncio.run(serve(args, sockets))


if __name__ == "__main__":
    os.umask(0o077)
    main()
