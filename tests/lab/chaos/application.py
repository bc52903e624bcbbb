"""Owns what the experiments ask of a server: the reference server with two pages more, and a count of its conflicts.

`python application.py --config FILE --port N`. POST /ops does what interop/tornado_app.py describes; GET /state tells of
the process. When a process has drained it prints its counts. It owns no rule of sessions.
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
from handlers.base import BaseHandler  # noqa: E402 # after the path is set
from sessions import Store  # noqa: E402 # after the path is set
from sessions.store import SweepableStore  # noqa: E402 # after the path is set

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


class State(RequestHandler):
    """GET: this process and its store. No session."""

    async def get(self) -> None:
        """Tell."""
        store = self.settings["sessions"].store
        gc.collect()
        self.write(
            {
                "pid": os.getpid(),
                "tasks": len(asyncio.all_tasks()),
                "threads": threading.active_count(),
                "descriptors": _descriptors(),
                "living": await store.length(),
                "backlog": await store.backlog(10**9) if isinstance(store, SweepableStore) else 0,
                "counts": counts,
            }
        )


class Config(server.Config):
    """A configuration whose store is counted."""

    def open_store(self) -> Store:
        """The store that is configured, and its outcomes noted."""
        store = super().open_store()
        update = store.update

        async def counted(*row: Any) -> Any:
            result = await update(*row)
            counts[result.outcome.name] += 1
            return result

        store.update = counted  # type: ignore[method-assign] # the store stays what it is, sweepable or not
        return store


def main() -> None:
    """Serve until SIGTERM."""
    arguments = dict(zip(sys.argv[1::2], sys.argv[2::2], strict=True))
    server.routes += [(r"/ops", Work), (r"/state", State)]
    config = server.read_config(Path(arguments["--config"]), port=int(arguments["--port"]))
    server.run(Config(**vars(config)))
    os.write(1, f"counts {json.dumps(counts)}\n".encode())


if __name__ == "__main__":
    main()
