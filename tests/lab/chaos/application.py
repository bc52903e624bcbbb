"""Owns what the experiments ask of a server: the reference server with three pages more, and a count of its conflicts.

`python application.py --config FILE --port N`. POST /ops does what interop/tornado_app.py describes; GET /pid and
GET /state tell of the process. When a process has drained it prints its counts. It owns no rule of sessions.
"""

import asyncio
import gc
import json
import os
import sys
import threading
from collections import Counter
from pathlib import Path
from typing import Any

TESTS = Path(__file__).parents[2]
sys.path[:0] = [str(TESTS.parent), str(TESTS)]

from interop.tornado_app import OPS, Ops  # noqa: E402 # after the path is set
from tornado.web import RequestHandler  # noqa: E402 # after the path is set

import server  # noqa: E402 # found by the line above
from handlers import routes  # noqa: E402 # after the path is set
from handlers.base import BaseHandler  # noqa: E402 # after the path is set
from serving.options import Config as ServerConfig  # noqa: E402 # after the path is set
from serving.options import read_config  # noqa: E402 # after the path is set
from sessions import StoredSession, StoreWrapper, Update  # noqa: E402 # after the path is set
from sessions.store import OpenableStore, admin, sweepable  # noqa: E402 # after the path is set

counts: Counter[str] = Counter()


def _add(handler: Ops, key: str) -> Any:
    def change(data: dict[str, Any]) -> int:
        data[key] = data.get(key, 0) + 1
        return int(data[key])

    return handler.session.mutate(change)


OPS["add"] = _add
"""One more, by `mutate`."""


class Work(Ops, BaseHandler):
    """The operations, in the reference server's way."""

    def check_xsrf_cookie(self) -> None:
        """No form leads here."""


def _descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


class Pid(RequestHandler):
    """GET: which process this is. It asks no store, for which another one may have to go on first."""

    def get(self) -> None:
        """Tell."""
        self.write(str(os.getpid()))


class State(RequestHandler):
    """GET: this process and its store. No session."""

    async def get(self) -> None:
        """Tell."""
        store = self.settings["sessions"].store
        counting, swept = admin(store), sweepable(store)
        gc.collect()
        self.write(
            {
                "pid": os.getpid(),
                "tasks": len(asyncio.all_tasks()),
                "threads": threading.active_count(),
                "descriptors": _descriptors(),
                "living": await counting.length() if counting else None,
                "backlog": await swept.backlog(10**9) if swept else 0,
                "counts": counts,
            }
        )


class Counted(StoreWrapper):
    """A store that counts its outcomes."""

    async def update(self, sid: str, record: StoredSession, expected: StoredSession) -> Update:
        """Replace a session that is still the expected one."""
        update = await super().update(sid, record, expected)
        counts[update.outcome.name] += 1
        return update


class Config(ServerConfig):
    """A configuration with a store that counts."""

    def open_store(self) -> OpenableStore:
        """The store that is configured, and its outcomes noted."""
        return Counted(super().open_store())


def main() -> None:
    """Serve until SIGTERM."""
    arguments = dict(zip(sys.argv[1::2], sys.argv[2::2], strict=True))
    routes.extend([(r"/ops", Work), (r"/pid", Pid), (r"/state", State)])  # the list that server.py serves
    config = read_config(Path(arguments["--config"]), port=int(arguments["--port"]))
    server.run(Config(**vars(config)))
    os.write(1, f"counts {json.dumps(counts)}\n".encode())


if __name__ == "__main__":
    main()
