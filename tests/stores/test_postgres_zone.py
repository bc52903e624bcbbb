"""The rule of the time zone: `expire` is local time by the connection's TimeZone, which has to be Node's as well."""

from collections.abc import Iterator
from datetime import UTC, datetime

import asyncpg
import pytest
from clock import HOUR, MINUTE, START, MovableClock
from tornado.ioloop import IOLoop

from sessions.store import Outcome, StoredSession, Update
from sessions.stores.postgres import PostgresStore

from .postgres_client import NODE_GET, NODE_SET, connected, database
from .postgres_server import shared
from .postgres_time import timed
from .support import LATER, OLD, opened

ZONE = "America/New_York"


def ms(*moment: int) -> int:
    """A moment in UTC as milliseconds."""
    return int(datetime(*moment, tzinfo=UTC).timestamp()) * 1000  # type: ignore[arg-type, misc] # year to minute


@pytest.fixture(scope="module")
def url() -> str:
    """A database of New York."""
    url = database("new york")
    shared().sql(f"ALTER DATABASE \"new york\" SET timezone = '{ZONE}'")
    return url.replace(" ", "%20")


@pytest.fixture
def store(io_loop: IOLoop, url: str, clock: MovableClock) -> Iterator[PostgresStore]:
    """The store there, open and empty."""
    with opened(io_loop, PostgresStore(timed(shared(), url, clock))) as store:
        io_loop.run_sync(store.clear)
        yield store


async def test_a_time_is_what_it_was_to_the_millisecond(store: PostgresStore, clock: MovableClock) -> None:
    """Written, moved, read, compared and swept far from Greenwich."""
    created = await store.create("a", OLD._replace(expires_at=LATER + 7))
    assert created == OLD._replace(expires_at=LATER + 7)
    assert await store.touch("a", LATER + 123, created) == Update(Outcome.SAVED, OLD._replace(expires_at=LATER + 123))
    assert await store.get("a") == OLD._replace(expires_at=LATER + 123)
    clock.now = LATER + 122
    assert (await store.length(), await store.sweep(5)) == (1, 0)
    clock.now = LATER + 123
    assert (await store.length(), await store.get("a"), await store.sweep(5)) == (0, None, 1)


async def test_node_and_we_mean_the_same_moment(store: PostgresStore, url: str, clock: MovableClock) -> None:
    """Node's driver leaves the TimeZone as it is, as ours does; the table holds the local time."""
    await store.create("ours", OLD)
    async with connected(url) as node:
        await node.execute(NODE_SET.format("session"), OLD.data, LATER // 1000, "node's")
        seen = [await node.fetchval(NODE_GET.format("session"), "ours", LATER // 1000 + each) for each in (0, 1)]
        written = await node.fetchval("SELECT array_agg(DISTINCT expire::text) FROM session")

    assert await store.get("node's") == OLD
    assert seen == [OLD.data, None]
    assert written == [datetime.fromtimestamp((LATER - 4 * HOUR) / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S")]


async def test_where_clocks_are_put_back_an_end_may_be_read_an_hour_late(store: PostgresStore) -> None:
    """Half past one comes twice that night, and the table cannot tell which; every other moment of the year it can."""
    ends = {
        "before": ms(2030, 11, 3, 4, 59), "first": ms(2030, 11, 3, 5, 30), "second": ms(2030, 11, 3, 6, 30),
        "spring, before": ms(2031, 3, 9, 6, 59), "spring, after": ms(2031, 3, 9, 7, 1),
    }  # fmt: skip
    for sid, end in ends.items():
        await store.create(sid, StoredSession("1", end))

    read = {sid: stored.expires_at async for sid, stored in store.all()}

    assert read == {**ends, "first": ends["first"] + HOUR}


async def test_a_touch_in_the_hour_that_comes_twice_is_saved(store: PostgresStore) -> None:
    """What a write returns is what a read returns, an hour late or not, and a touch compares with just that."""
    created = await store.create("a", StoredSession("1", ms(2030, 11, 3, 5, 30)))
    read = await store.get("a")

    assert created == read == StoredSession("1", ms(2030, 11, 3, 6, 30))
    assert (await store.touch("a", LATER, created)).outcome is Outcome.SAVED


async def test_in_utc_no_hour_comes_twice(url: str, clock: MovableClock) -> None:
    """`?timezone=UTC` in our URL sets it for us alone: where Node has another, the two are hours apart."""
    night = range(ms(2030, 11, 3, 4, 0), ms(2030, 11, 3, 8, 0), 7 * MINUTE)
    async with PostgresStore(timed(shared(), f"{url}&timezone=UTC", clock)) as store:
        await store.clear()
        for end in night:
            await store.set(f"{end}", StoredSession("1", end))
        assert [stored.expires_at async for _, stored in store.all()] == list(night)

        await store.create("a", StoredSession("1", START + 3 * HOUR))
        async with connected(url) as node:
            assert await node.fetchval(NODE_GET.format("session"), "a", (START + 6 * HOUR) // 1000) == "1"


async def test_the_zone_of_the_url_is_the_connections(url: str) -> None:
    """What the tests above rest on."""
    shown = {}
    for each in (url, f"{url}&timezone=UTC"):
        connection = await asyncpg.connect(each)
        shown[each] = await connection.fetchval("SHOW timezone")
        await connection.close()

    assert list(shown.values()) == [ZONE, "UTC"]
