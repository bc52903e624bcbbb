"""docs/examples/express-and-tornado, as its README says to run it: two servers behind one nginx, one login.

Only the ports and the place of the file are the test's own.
"""

import os
import re
import socket
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass

import pytest

from .client import HOST, Reply, Visitor
from .conftest import HERE, ROOT
from .processes import Process, free_port, wait_until

NEEDS = ("nginx",)
EXAMPLE = ROOT / "docs" / "examples" / "express-and-tornado"
BOTH_WAYS = pytest.mark.parametrize(("one", "other"), [("/node/", "/"), ("/", "/node/")], ids=["express", "tornado"])


def answers(port: int, process: Process) -> bool:
    """Whether it listens there; raises when it has ended."""
    process.check()
    with socket.socket() as probe:
        return probe.connect_ex((HOST, port)) == 0


@dataclass(frozen=True)
class Origin:
    """What a visitor sees: one host, and what the two servers print."""

    port: int

    def shows(self, reply: Reply) -> tuple[str, str | None, int]:
        """Which server answered, who is signed in, how much is in the basket."""
        title = re.search("<title>(.*)</title>", reply.body)
        user = re.search('id="user">([^<]*)<', reply.body)
        basket = re.search(r'id="basket">(\d+)<', reply.body)
        assert title, reply.body
        assert basket, reply.body
        return title[1], user[1] if user else None, int(basket[1])


@pytest.fixture(scope="module")
def origin(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Origin]:
    """The three processes of the example."""
    run = tmp_path_factory.mktemp("example")
    env = {
        "PATH": os.environ["PATH"],
        "SESSION_SECRET": "a secret of the test, as long as it should be",
        "SESSION_DB": str(run / "sessions.db"),
        "PORT": "0",
        "NODE_PATH": str(HERE / "node_modules"),
        "PYTHONPATH": str(ROOT),
    }
    with ExitStack() as stack:
        express = stack.enter_context(Process(["node", EXAMPLE / "express_server.js"], cwd=run, env=env))
        tornado = stack.enter_context(Process([sys.executable, EXAMPLE / "tornado_server.py"], cwd=run, env=env))
        port = free_port()
        express_port = express.find(r"Express listening on port (\d+)")[1]
        tornado_port = tornado.find(r"Tornado listening on port (\d+)")[1]
        conf = (EXAMPLE / "nginx.conf").read_text()
        for old, new in (
            ("127.0.0.1:3001", f"127.0.0.1:{express_port}"),
            ("127.0.0.1:3002", f"127.0.0.1:{tornado_port}"),
            ("127.0.0.1:8080", f"127.0.0.1:{port}"),
        ):
            assert conf.count(old) == 1
            conf = conf.replace(old, new)
        (run / "nginx.conf").write_text(conf)
        nginx = ["nginx", "-e", "stderr", "-p", run, "-c", run / "nginx.conf"]
        proxy = stack.enter_context(Process(nginx, cwd=run, env={"PATH": os.environ["PATH"]}))
        wait_until(lambda: answers(port, proxy), 10)
        yield Origin(port)


@BOTH_WAYS
def test_sign_in_and_out(origin: Origin, one: str, other: str) -> None:
    """Signed in at the one, a visitor is signed in at the other, fills one basket at both, and signs out of both."""
    visitor = Visitor()
    nobody = origin.shows(visitor.get(origin.port, one))
    visitor.submit(origin.port, f"{one}sign-in", user="ada <3")
    before = visitor.cookies["sid"].value

    seen = origin.shows(visitor.get(origin.port, other))
    visitor.submit(origin.port, f"{other}basket")
    filled = origin.shows(visitor.submit(origin.port, f"{one}basket"))
    visitor.submit(origin.port, f"{other}sign-out")
    after = origin.shows(visitor.get(origin.port, one))

    assert nobody[1:] == (None, 0)
    assert seen[1] is not None
    assert seen[1].startswith("ada")
    assert seen[0] != filled[0]
    assert filled[2] == 2
    assert after[1:] == (None, 0)
    stolen = Visitor()
    stolen.submit(origin.port, f"{one}basket", headers={"Cookie": f"sid={before}"})
    assert origin.shows(stolen.get(origin.port, one))[1] is None


@BOTH_WAYS
def test_sign_in_changes_the_id(origin: Origin, one: str, other: str) -> None:
    """Signing in again gives a new cookie, and the old one is worth nothing at either server."""
    visitor = Visitor()
    visitor.submit(origin.port, f"{one}sign-in", user="ada")
    visitor.submit(origin.port, f"{one}basket")
    old = visitor.cookies["sid"].value

    visitor.submit(origin.port, f"{other}sign-in", user="bob")

    assert visitor.cookies["sid"].value != old
    assert origin.shows(visitor.get(origin.port, one))[1:] == ("bob", 1)


@BOTH_WAYS
def test_forms_of_other_sites(origin: Origin, one: str, other: str) -> None:
    """Neither takes a form from another site."""
    for path in (f"{one}sign-in", f"{other}sign-in"):
        reply = Visitor().submit(origin.port, path, user="eve", headers={"Origin": "https://evil.example"})

        assert reply.status == 403
        assert reply.set_cookies == []
