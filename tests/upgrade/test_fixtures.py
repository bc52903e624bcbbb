"""Stores of earlier versions, opened with the present one: what lived reads as it was left, what had ended stays ended.

Each test has a copy of its own. Only names that stay are used, so a fixture is asked the same by every version.
"""

import asyncio
import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import asyncpg
import pytest
import redis
from stores import postgres_server, redis_server
from stores.support import opened
from tornado.ioloop import IOLoop

from sessions import Store, Sweeper, now_ms, open_store
from sessions.store import Admin, admin

from .pages import EXPIRES, Visitor, attributes, serving

FOLDERS = {each.parent.name: each.parent for each in sorted(Path(__file__).parent.glob("*/sessions.json"))}
KINDS = ["sqlite", "redis", "postgres"]

DATABASE = 1
"""Of the Redis server, which other tests share: nobody else's."""

SECOND = 1_000


class Left(NamedTuple):
    """A store as an earlier version has left it: where a copy of it is, and what is to be found there."""

    url: str
    kind: str
    secrets: list[str]
    ttl: int
    living: list[dict[str, Any]]
    ended: list[dict[str, Any]]

    def serving(self, store: Store, **options: Any) -> Any:
        """The application on the store, as the earlier version was set."""
        return serving(store, **{"secret": self.secrets, "ttl": self.ttl, **options})


@contextmanager
def sqlite(folder: Path, tmp_path: Path) -> Iterator[str]:
    """A copy of the file."""
    yield f"sqlite:{shutil.copy(folder / 'sessions.db', tmp_path)}"


@contextmanager
def redis_database(folder: Path, _: Path) -> Iterator[str]:
    """The keys on the shared server. It drops at once what has expired."""
    server = redis_server.shared_server()
    with redis.Redis(redis_server.HOST, server.port, db=DATABASE, protocol=2) as client:
        for line in (folder / "redis.jsonl").read_text("utf-8").splitlines():
            entry = json.loads(line)
            client.set(entry["key"], entry["value"])
            client.pexpireat(entry["key"], entry["expires_at"])
        yield f"{server.url}/{DATABASE}"
        client.flushdb()


@contextmanager
def postgres(folder: Path, _: Path) -> Iterator[str]:
    """The table in a database of its own, on the shared server."""
    server = postgres_server.shared()
    server.sql("CREATE DATABASE upgrade")
    url = server.url_of(database="upgrade")

    async def replay() -> None:
        connection = await asyncpg.connect(url)
        try:
            await connection.execute((folder / "postgres.sql").read_text("utf-8"))
        finally:
            await connection.close()

    try:
        asyncio.run(replay())
        yield url
    finally:
        server.sql("DROP DATABASE upgrade WITH (FORCE)")


COPIES = {"sqlite": sqlite, "redis": redis_database, "postgres": postgres}


@pytest.fixture(params=[(version, kind) for version in FOLDERS for kind in KINDS], ids="-".join)
def left(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Left]:
    """Each store of each version in turn."""
    version, kind = request.param
    manifest = json.loads((FOLDERS[version] / "sessions.json").read_text("utf-8"))
    living, ended = ([e for e in manifest["stores"][kind] if e["alive"] is alive] for alive in (True, False))
    with COPIES[kind](FOLDERS[version], tmp_path) as url:
        yield Left(url, kind, manifest["secrets"], manifest["ttl"], living, ended)


@pytest.fixture
def store(left: Left, io_loop: IOLoop) -> Iterator[Store]:
    """It, open."""
    with opened(io_loop, open_store(left.url)) as store:
        yield store


def lifetime(visitor: Visitor) -> int | None:
    """How long the visitor's cookie lives from now, to the second; None: until the browser is closed."""
    expires = visitor.kept().expires
    return None if EXPIRES not in visitor.kept().attributes or expires is None else round((expires - now_ms()) / SECOND)


async def test_the_fixtures_are_there() -> None:
    """Of the version that the first of them are of, with sessions that live and sessions that do not."""
    manifest = json.loads((FOLDERS["0.1.0"] / "sessions.json").read_text("utf-8"))

    assert {kind: len(entries) for kind, entries in manifest["stores"].items()} == dict.fromkeys(KINDS, 15)
    assert all(sum(e["alive"] for e in entries) == 12 for entries in manifest["stores"].values())


async def test_what_lives_reads_as_it_was_left(left: Left, store: Store) -> None:
    """Its id and its data; with `rolling`, which sends it, its cookie too, with a new lifetime."""
    async with left.serving(store, rolling=True) as visitor_with:
        for entry in left.living:
            visitor = visitor_with(entry)

            assert await visitor.look() == {"id": entry["id"], "data": entry["data"]}, entry["name"]

            assert visitor.kept().value == entry["cookie"] or "old secret" in entry["name"], entry["name"]
            assert attributes(visitor) == entry["attributes"], entry["name"]
            left_to_it, full = lifetime(visitor), entry["originalMaxAge"]
            assert (left_to_it is None) == (full is None), entry["name"]
            assert full is None or abs(left_to_it - full / SECOND) < 60, entry["name"]


async def test_what_had_ended_stays_ended(left: Left, store: Store) -> None:
    """Expired, regenerated or rotated: the cookie brings a new session, without data."""
    assert left.ended
    async with left.serving(store) as visitor_with:
        for entry in left.ended:
            seen = await visitor_with(entry).look()

            assert seen["id"] != entry["id"], entry["name"]
            assert seen["data"] == {}, entry["name"]
            assert await store.get(entry["id"]) is None, entry["name"]


def admin_of(store: Store) -> Admin:
    """The power to count and list, which each of these stores has."""
    power = admin(store)
    assert power is not None
    return power


async def test_the_store_counts_and_lists_what_lives(left: Left, store: Store) -> None:
    """To the moment at which each ends; Redis counts that from its own clock."""
    expected = {entry["id"]: entry["expiresAt"] for entry in left.living}

    listed = {sid: stored.expires_at async for sid, stored in admin_of(store).all()}

    assert await admin_of(store).length() == len(expected)
    assert listed.keys() == expected.keys()
    grain = SECOND if left.kind == "redis" else 0
    assert all(abs(listed[sid] - expires_at) <= grain for sid, expires_at in expected.items())


async def test_a_change_is_saved_and_read_back(left: Left, store: Store) -> None:
    """By a store that is opened afterwards, beside what was there before."""
    added = {"added": {"by": "a later version"}}
    async with left.serving(store) as visitor_with:
        for entry in left.living:
            await visitor_with(entry).ask(set=added)

    async with open_store(left.url) as again, left.serving(again) as visitor_with:
        for entry in left.living:
            seen = await visitor_with(entry).look()

            assert seen == {"id": entry["id"], "data": entry["data"] | added}, entry["name"]
        assert await admin_of(again).length() == len(left.living)


async def test_a_new_session_can_be_made(left: Left, store: Store) -> None:
    """And lives beside the others."""
    async with left.serving(store) as visitor_with:
        visitor = visitor_with()
        await visitor.ask(set={"n": 1})

        seen = await visitor.look()

    assert seen == {"id": visitor.sid, "data": {"n": 1}}
    assert await admin_of(store).length() == len(left.living) + 1


async def test_an_age_counts_from_the_creation(left: Left, store: Store) -> None:
    """So a timeout that has passed since then ends the session, and a longer one does not."""
    (entry,) = [entry for entry in left.living if "createdAt" in entry]
    passed = now_ms() - entry["createdAt"]

    async with left.serving(store, absolute_timeout=left.ttl) as visitor_with:
        kept = await visitor_with(entry).look()
    async with left.serving(store, absolute_timeout=passed / 2) as visitor_with:
        ended = await visitor_with(entry).look()

    assert kept == {"id": entry["id"], "data": entry["data"]}
    assert ended["data"] == {}


async def test_the_old_secret_is_needed_for_what_it_signed(left: Left, store: Store) -> None:
    """And for nothing else."""
    async with left.serving(store, secret=left.secrets[0]) as visitor_with:
        missed = [e["name"] for e in left.living if (await visitor_with(e).look())["id"] != e["id"]]

    assert missed == ["signed with the old secret"]


async def test_the_sweeper_takes_what_has_expired(left: Left, store: Store) -> None:
    """And only that. Redis has done so by itself."""
    expired = [entry for entry in left.ended if "expiresAt" in entry]
    assert expired

    assert await Sweeper(store).sweep() == (0 if left.kind == "redis" else len(expired))

    assert await admin_of(store).length() == len(left.living)
