"""What docs/scaling.md says of Redis, against a server."""

import re
from pathlib import Path

from sessions import now_ms
from sessions.store import Outcome, StoredSession, Update
from sessions.stores.redis import RedisStore

from .redis_server import RedisServer
from .support import listed

SCALING = (Path(__file__).parents[2] / "docs" / "scaling.md").read_text("utf-8")
HOUR = 3_600_000


async def test_a_user_needs_no_more_than_is_said() -> None:
    """Every verb, under the access rights that are named."""
    (line,) = re.findall(r"^- A user with access rights .* on `sess:\*`;$", SCALING, re.MULTILINE)
    rights = [f"+{command.lower()}" for command in re.findall(r"`([A-Z]+)`", line)]
    record, other = StoredSession("a", now_ms() + HOUR), StoredSession("b", now_ms() + HOUR)
    with RedisServer() as server:
        server.command("ACL", "SETUSER", "limited", "on", ">secret", "~sess:*", "-@all", *rights)
        async with RedisStore(server.url.replace("//", "//limited:secret@")) as store:
            assert await store.create("a", record) == record
            assert await store.create("gone", record._replace(expires_at=0)) is not None
            assert await store.update("a", other, record) == Update(Outcome.SAVED, other)
            assert (await store.touch("a", now_ms() + HOUR, other)).outcome is Outcome.SAVED
            assert (await store.update("a", record, record)).outcome is Outcome.CONFLICT
            assert await store.rename("a", "b", record, other, other) == Update(Outcome.SAVED, record)
            await store.destroy("b")
            await store.set("c", record)
            await store.destroy("c")
            assert (await store.length(), list(await listed(store))) == (1, ["a"])
            await store.clear()
            assert await store.get("a") is None
