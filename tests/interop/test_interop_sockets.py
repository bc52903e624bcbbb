"""A socket of the Tornado server ends when the Express server ends its session, in each store that both know."""

import json
from typing import Any

import pytest
from stores.redis_server import shared_server

from .client import Op, Visitor
from .conftest import MakePair
from .sockets import end_of_socket


@pytest.mark.parametrize("backend", ["sqlite", "postgres", "mongodb", "redis"], indirect=True)
@pytest.mark.parametrize("op", ["destroy", "regenerate"])
def test_an_end_at_express_ends_the_socket(make_pair: MakePair, backend: str, op: str) -> None:
    """Node deletes the row, and says nothing to anybody."""
    env: dict[str, Any] = {"STORE": shared_server().url} if backend == "redis" else {}
    pair = make_pair(tornado={"watchInterval": 50}, **env)
    visitor = Visitor()
    visitor.post(pair.express, ("set", "user", "ada"))
    end: Op = (op,)

    answer, code, reason = end_of_socket(visitor, pair.tornado, lambda: visitor.post(pair.express, end))

    assert json.loads(answer) == {"user": "ada"}
    assert (code, reason) == (4401, "session ended")


@pytest.mark.parametrize("backend", ["sqlite", "postgres", "mongodb", "redis"], indirect=True)
def test_an_expiry_that_express_has_set_ends_the_socket(make_pair: MakePair, backend: str) -> None:
    """A lifetime of half a second."""
    env: dict[str, Any] = {"STORE": shared_server().url} if backend == "redis" else {}
    pair = make_pair(tornado={"watchInterval": 50}, **env)
    visitor = Visitor()
    visitor.post(pair.express, ("set", "user", "ada"))

    _, code, _ = end_of_socket(
        visitor, pair.tornado, lambda: visitor.post(pair.express, ("set_max_age", 500), ("set", "n", 1))
    )

    assert code == 4401
