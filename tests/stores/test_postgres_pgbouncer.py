"""Through PgBouncer in transaction mode: after each transaction a connection may serve another client."""

import asyncio
import shutil
from collections.abc import Iterator
from typing import Any

import asyncpg
import pytest
from clock import START, MovableClock
from interop.processes import missing
from tornado.ioloop import IOLoop

from sessions.errors import StoreUnavailable
from sessions.store import TAKEN, Outcome, StoredSession, Update
from sessions.stores.postgres import PostgresStore

from .postgres_client import database
from .postgres_server import Bouncer, shared
from .postgres_time import settings
from .support import LATER, NEW, OLD, OTHER, listed, opened, outcome

pytestmark = pytest.mark.skipif(shutil.which("pgbouncer") is None, reason=str(missing("pgbouncer")))


@pytest.fixture(scope="module")
def shown() -> MovableClock:
    """The clock of the database."""
    return MovableClock()


@pytest.fixture(scope="module")
def bouncer(shown: MovableClock) -> Iterator[Bouncer]:
    """Two connections to a database of the shared server for whoever comes."""
    database("bounced")
    for name, value in settings(shared(), shown).items():
        shared().sql(f"ALTER DATABASE bounced SET {name} = {value if ',' in value else repr(value)}")
    with Bouncer(shared(), "bounced", connections=2) as bouncer:
        yield bouncer


@pytest.fixture
def clock(shown: MovableClock) -> MovableClock:
    """The clock of the database, at its beginning again."""
    shown.now = START
    return shown


@pytest.fixture
def store(io_loop: IOLoop, bouncer: Bouncer, clock: MovableClock) -> Iterator[PostgresStore]:
    """The store behind it, open and empty."""
    with opened(io_loop, PostgresStore(bouncer.url, table="bounced", statement_cache=0)) as store:
        io_loop.run_sync(store.clear)
        yield store


async def test_every_verb_works(store: PostgresStore, clock: MovableClock) -> None:
    """And says what it says elsewhere."""
    assert await store.create("a", OLD) == OLD
    assert await store.create("a", NEW) is None
    assert await store.update("a", NEW, OLD) == Update(Outcome.SAVED, NEW)
    assert await store.update("a", OLD, OLD) == Update(Outcome.CONFLICT, NEW)
    assert await store.touch("a", LATER, NEW) == Update(Outcome.SAVED, NEW._replace(expires_at=LATER))
    await store.set("b", OLD)
    assert await store.rename("b", "a", NEW, OLD) == TAKEN
    assert await store.rename("b", "c", NEW, OLD, OTHER) == Update(Outcome.SAVED, NEW)
    await store.destroy("b")
    await store.destroy("c")
    assert await listed(store) == {"a": StoredSession(NEW.data, LATER)}
    clock.now = LATER
    assert (await store.backlog(5), await store.sweep(5), await store.length()) == (1, 1, 0)


async def test_more_stores_than_connections_share_them(bouncer: Bouncer, clock: MovableClock) -> None:
    """Every transaction may have another connection, on which others have been: nothing is lost, nothing left behind."""
    stores = [PostgresStore(bouncer.url, table="bounced", statement_cache=0) for _ in range(4)]
    await asyncio.gather(*(store.__aenter__() for store in stores))
    await stores[0].clear()
    await stores[0].create("n", StoredSession("0", LATER))

    async def add(store: PostgresStore) -> None:
        update = Update(Outcome.CONFLICT, await store.get("n"))
        while update.outcome is Outcome.CONFLICT and update.record is not None:
            more = StoredSession(str(int(update.record.data) + 1), LATER)
            update = await store.update("n", more, update.record)

    others = (store.create(f"{n}", OLD) for n, store in enumerate(stores * 20))
    await asyncio.gather(*(add(store) for store in stores for _ in range(5)), *others)

    assert (await stores[3].get("n")) == StoredSession("20", LATER)
    assert await stores[2].length() == 81
    await asyncio.gather(*(store.__aexit__() for store in stores))
    connection = await asyncpg.connect(bouncer.url, statement_cache_size=0)
    shown = [
        await connection.fetchval(f"SHOW {name}") for name in ("statement_timeout", "lock_timeout", "enable_seqscan")
    ]
    await connection.close()
    assert shown == ["0", "0", "on"]


async def test_a_locked_row_is_given_up_in_time(bouncer: Bouncer, clock: MovableClock) -> None:
    """The limits that are set hold in every transaction."""
    async with PostgresStore(bouncer.url, table="bounced", statement_cache=0, timeout=2_000) as store:
        await store.set("a", OLD)
        other = await asyncpg.connect(shared().url.replace("/postgres?", "/bounced?"))
        async with other.transaction():
            await other.execute("UPDATE bounced SET expire = expire")
            with pytest.raises(StoreUnavailable, match="lock timeout"):
                await store.update("a", NEW, OLD)
        await other.close()

        assert await store.get("a") == OLD


async def test_a_bad_row_leaves_the_connection_as_it_was(store: PostgresStore) -> None:
    """What failed is rolled back before the next one comes."""
    calls: list[Any] = [store.create(f"id-{n}", OLD if n != 3 else StoredSession("no json", LATER)) for n in range(8)]
    outcomes = await asyncio.gather(*map(outcome, calls))

    assert outcomes.count(OLD) == 7
    assert await store.length() == 7


async def test_prepared_statements_are_what_the_setting_is_for(bouncer: Bouncer) -> None:
    """Without it PgBouncer refuses what we set for a connection, and says so at the start."""
    with pytest.raises(StoreUnavailable, match="unsupported startup parameter"):
        await PostgresStore(bouncer.url, table="bounced").__aenter__()
