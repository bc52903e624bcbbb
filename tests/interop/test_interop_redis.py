"""One login for both languages on Redis: Express with connect-redis and Tornado with RedisStore, on one server.

Where a test names "one" and "the other" it runs both ways round. What is the sessions' own, on whatever store, is in
test_interop.py.
"""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from stores.redis_server import RedisServer

from .client import Reply, Visitor, control
from .conftest import OPTIONS, Pair, Row
from .test_interop import BOTH_WAYS, EACH, masked

LIFETIME = OPTIONS["cookie"]["maxAge"]
SLACK = 20_000
"""Milliseconds that a test may take, on a machine that is busy with something else."""


class RedisPair(Pair):
    """Both servers, and the Redis between them."""

    def __init__(self, server: RedisServer, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.server = server

    def start(self, name: str, options: dict[str, Any], **env: str) -> None:
        """On Redis."""
        super().start(name, options, STORE=self.server.url, **env)

    def rows(self) -> dict[str | None, Row]:
        """All sessions by their ids."""
        keys = [key.decode() for key in self.server.command("KEYS", "sess:*")]
        return {
            key.removeprefix("sess:"): Row(
                self.server.command("PEXPIRETIME", key), self.server.command("GET", key).decode()
            )
            for key in keys
        }

    def text(self, sid: str | None) -> Any:
        """What is stored under the key that connect-redis makes of an id."""
        found = self.server.command("GET", f"sess:{sid}")
        return None if found is None else json.loads(found)

    def left(self, sid: str | None) -> int:
        """Milliseconds that are left to it."""
        return int(self.server.command("PTTL", f"sess:{sid}"))


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisPair]:
    """A pair that these tests share: each is a visitor of its own."""
    with RedisServer() as server:
        pair = RedisPair(server, tmp_path_factory.mktemp("redis-pair") / "unused.db")
        try:
            pair.start("express", OPTIONS)
            pair.start("tornado", {**OPTIONS, "touchAfter": 0})
            yield pair
        finally:
            pair.stop()


@BOTH_WAYS
class TestSharedSession:
    """What the one does to a session, the other has."""

    def test_read_and_changed(self, pair: RedisPair, one: str, other: str) -> None:
        """Made by the one, changed by the other, read by the first; one id, one cookie."""
        visitor = Visitor()
        made = visitor.post(pair[one], ("set", "user", "ada"), ("set", "list", [1, {"é": None}]))

        changed = visitor.post(pair[other], ("push", "list", 2), ("delete", "user"))
        read = visitor.post(pair[one], ("data",))

        assert changed.sid == made.sid
        assert list(map(masked, changed.set_cookies)) == list(map(masked, made.set_cookies))  # renewed by a change
        assert read.results == [{"list": [1, {"é": None}, 2]}]
        assert (read.sid, read.set_cookies) == (made.sid, [])

    def test_the_cookie_is_kept(self, pair: RedisPair, one: str, other: str) -> None:
        """Attributes and lifetime as they were made, whoever saves."""
        visitor = Visitor()
        made = visitor.post(pair[one], ("set", "n", 1), ("set_max_age", 2 * LIFETIME))
        before = pair.text(made.sid)["cookie"]

        visitor.post(pair[other], ("set", "n", 2))

        after = pair.text(made.sid)["cookie"]
        assert {**after, "expires": None} == {**before, "expires": None}
        assert abs(after["originalMaxAge"] - 2 * LIFETIME) < SLACK
        assert 2 * LIFETIME - SLACK < pair.left(made.sid) <= 2 * LIFETIME + 1_000

    def test_the_expiry_is_renewed(self, pair: RedisPair, one: str, other: str) -> None:
        """A visit at the other moves the key's expiry, and nothing else of it."""
        visitor = Visitor()
        made = visitor.post(pair[one], ("set", "n", 1))
        data = pair.text(made.sid)
        pair.server.command("PEXPIRE", f"sess:{made.sid}", LIFETIME // 2)

        visitor.post(pair[other], ("data",))

        assert LIFETIME - SLACK < pair.left(made.sid) <= LIFETIME + 1_000
        assert {**pair.text(made.sid), "cookie": None} == {**data, "cookie": None}

    def test_signed_out(self, pair: RedisPair, one: str, other: str) -> None:
        """Destroyed by the other it is gone for the one, which makes a new one under another id."""
        visitor = Visitor()
        made = visitor.post(pair[one], ("set", "user", "ada"))
        kept = Visitor()
        for cookie in visitor.cookies.values():
            kept.jar.set_cookie(cookie)

        visitor.post(pair[other], ("destroy",))

        assert pair.text(made.sid) is None
        again = kept.post(pair[one], ("data",))
        assert again.results == [{}]
        assert again.sid != made.sid

    def test_regenerated(self, pair: RedisPair, one: str, other: str) -> None:
        """A login at the other leaves the one's id behind: Tornado's as a tombstone, in which Express sees no data."""
        visitor = Visitor()
        made = visitor.post(pair[one], ("set", "basket", 1))

        login = visitor.post(pair[other], ("regenerate",), ("set", "user", "ada"))

        assert (pair.text(made.sid) or {}).keys() == ({"cookie", "__meta"} if other == "tornado" else set())
        assert visitor.post(pair[one], ("data",)).results == [{"user": "ada"}]
        assert pair.text(login.sid)["user"] == "ada"

    def test_expired(self, pair: RedisPair, one: str, other: str) -> None:
        """What Redis has dropped is a new visitor for both."""
        visitor = Visitor()
        made = visitor.post(pair[one], ("set", "user", "ada"))
        pair.server.command("PEXPIRE", f"sess:{made.sid}", 0)

        assert visitor.post(pair[other], ("data",)).results == [{}]


@EACH
def test_what_is_stored_looks_the_same(pair: RedisPair, one: str) -> None:
    """Key, members and their order, and the Set-Cookie header: nobody can tell who wrote it."""
    reply: Reply = Visitor().post(pair[one], ("set", "b", 1), ("set", "a", "é"))

    (header,) = reply.set_cookies
    assert masked(header) == "shared.sid=s%3A*; Path=/; Expires=*; HttpOnly; SameSite=Lax"
    text = pair.server.command("GET", f"sess:{reply.sid}").decode()
    members = json.loads(text)
    assert list(members) == ["cookie", "b", "a"]
    assert list(members["cookie"]) == ["originalMaxAge", "expires", "httpOnly", "path", "sameSite"]
    assert text == json.dumps(members, separators=(",", ":"), ensure_ascii=False)
    assert LIFETIME - SLACK < pair.left(reply.sid) <= LIFETIME + 1_000


def test_tornados_parallel_changes_survive_beside_express(pair: RedisPair, pool: ThreadPoolExecutor) -> None:
    """A counter that only Tornado's requests change, while Express reads and touches the session: none is lost."""
    visitor = Visitor()
    visitor.post(pair.express, ("set", "user", "ada"))
    counts = [visitor.start(pool, pair.tornado, ("set", f"k{n}", n)) for n in range(20)]
    reads = [visitor.start(pool, pair.express, ("get", "user")) for _ in range(20)]
    replies = [each.result() for each in (*counts, *reads)]

    assert {reply.status for reply in replies} == {200}
    assert visitor.post(pair.express, ("data",)).results == [{"user": "ada", **{f"k{n}": n for n in range(20)}}]
    assert control(pair.express, "errors") == []
