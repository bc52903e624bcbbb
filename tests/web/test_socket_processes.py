"""Two processes on one store: what the one does to a session ends its sockets in the other."""

import json
import os
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from interop import tornado_app
from interop.client import Op, Visitor
from interop.processes import Process
from interop.sockets import end_of_socket
from stores.postgres_server import shared as postgres_server
from stores.redis_server import shared_server as redis_server

ROOT = Path(__file__).parents[2]
OPTIONS = {
    "secret": "one secret for both, long enough to be quiet about",
    "cookie": {"maxAge": 60_000},
    "touchAfter": 0,
    "watchInterval": 50,
    "userKey": "user",
}
STORES = ["sqlite", "redis", "postgres"]


@contextmanager
def two(kind: str, folder: Path) -> Iterator[list[int]]:
    """The ports of two servers, each a process of its own."""
    urls = {
        "sqlite": lambda: f"sqlite:{folder / 'sessions.db'}",
        "redis": lambda: redis_server().url,
        "postgres": lambda: postgres_server().url,
    }
    env = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "OPTIONS": json.dumps(OPTIONS), "STORE": urls[kind]()}
    with ExitStack() as stack:
        servers = [
            stack.enter_context(Process([sys.executable, tornado_app.__file__], cwd=folder, env=env)) for _ in range(2)
        ]
        yield [int(each.find(r"listening (\d+)")[1]) for each in servers]


@pytest.mark.parametrize("kind", STORES)
@pytest.mark.parametrize(
    ("ops", "code"),
    [
        ([("destroy",)], 4401),
        ([("rotate",)], 4402),
        ([("regenerate",)], 4402),
        ([("sign_in", "ada")], 4402),
        ([("revoke_all", "ada")], 4401),
        ([("set_max_age", 500), ("set", "n", 1)], 4401),
    ],
    ids=["destroy", "rotate", "regenerate", "sign-in", "revocation", "expiry"],
)
def test_what_one_process_does_ends_the_sockets_of_the_other(
    kind: str, ops: list[Op], code: int, tmp_path: Path
) -> None:
    """Within the bound; the socket has worked until then."""
    visitor = Visitor()
    with two(kind, tmp_path) as (one, other):
        visitor.post(one, ("set", "user", "ada"))

        answer, closed, _ = end_of_socket(visitor, other, lambda: visitor.post(one, *ops))

    assert json.loads(answer) == {"user": "ada"}
    assert closed == code
