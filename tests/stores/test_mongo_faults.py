"""A real server that is killed, paused, cut off, full or refuses: our errors in time, and recovery by itself."""

import asyncio
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from tornado.ioloop import IOLoop

from sessions import now_ms
from sessions.errors import StoreError, StoreUnavailable
from sessions.store import GONE, Outcome, StoredSession
from sessions.stores.mongodb import MongoStore, connection
from sessions.timeout import Deadline

from .mongo_opening import LEAVES_SOCKETS
from .mongo_server import MongoServer
from .support import listed, opened, until, until_works

TEXT = '{"n":1}'
GENEROUS = 60.0
"""Seconds within which a busy machine gets anything done."""


def stored(data: str = TEXT) -> StoredSession:
    """A record that outlives the test."""
    return StoredSession(data, now_ms() + 3_600_000)


pytestmark = LEAVES_SOCKETS


@pytest.fixture(autouse=True)
def _a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    """A store that has found nobody is not ready for longer than a busy machine takes to look at it."""
    monkeypatch.setattr(connection, "RETRY_SECONDS", 5.0)


@pytest.fixture
def server() -> Iterator[MongoServer]:
    """A server of the test's own, to be harmed."""
    with MongoServer() as server:
        yield server


@pytest.fixture
def mongo(io_loop: IOLoop, server: MongoServer) -> Iterator[MongoStore]:
    """A store on it, which waits two seconds for a reply."""
    with opened(io_loop, MongoStore(server.url, timeout=2_000)) as store:
        yield store


async def unavailable(call: Any) -> StoreUnavailable:
    """The error of a call that has to fail for the moment, with its cause."""
    with pytest.raises(StoreUnavailable) as failure:
        await call
    assert failure.value.__cause__ is not None
    return failure.value


async def recovered(mongo: MongoStore) -> None:
    """Return once the store is served again, by nothing but being asked."""
    await until_works(lambda: asyncio.gather(mongo.get("nobody"), mongo.destroy("nobody")), GENEROUS)


async def test_a_killed_server_is_unavailable_and_has_what_it_acknowledged(
    mongo: MongoStore, server: MongoServer
) -> None:
    """When it is started again on its folder the store goes on by itself."""
    await mongo.create("a", stored())
    server.kill()

    while mongo.ready:
        for call in (mongo.get("a"), mongo.create("b", stored()), mongo.length()):
            assert str(await unavailable(call)).startswith(f"{mongo.name}: ")

    server.start()
    await recovered(mongo)
    assert mongo.ready is True
    assert (await mongo.update("a", stored('"new"'), stored())).outcome is Outcome.SAVED
    assert await mongo.get("b") is None


async def test_a_server_that_is_away_keeps_nobody_waiting(mongo: MongoStore, server: MongoServer) -> None:
    """After one call has waited in vain the others fail at once, for a while."""
    server.kill()
    while mongo.ready:
        await unavailable(mongo.get("a"))
    begin = time.monotonic()
    await asyncio.gather(*(unavailable(mongo.get(f"{n}")) for n in range(50)))
    await asyncio.gather(*(unavailable(mongo.set(f"{n}", stored())) for n in range(50)))

    assert time.monotonic() - begin < 2  # each would have waited as long


async def test_nobody_at_the_address_is_an_error_at_the_start(server: MongoServer) -> None:
    """In time, and the store is closed."""
    server.kill()
    store = MongoStore(server.url, timeout=500)
    error = await unavailable(store.__aenter__())

    assert f"127.0.0.1:{server.port}" in str(error)
    assert (store.ready, store.is_open) == (False, False)


async def test_connections_cut_under_way_fail_their_calls_and_no_others(mongo: MongoStore, server: MongoServer) -> None:
    """Every call ends, with its own outcome or an error, and no acknowledged change is missing."""
    await mongo.create("a", stored("0"))
    acknowledged, failed = 0, 0
    for n in range(60):
        row = await until_works(lambda: mongo.get("a"), GENEROUS)
        update = asyncio.ensure_future(mongo.update("a", stored(str(int(row.data) + 1)), row))
        if n % 5 == 0:
            await asyncio.sleep(0)
            server.hang_up()
        try:
            acknowledged += (await update).outcome is Outcome.SAVED
        except StoreUnavailable:
            failed += 1

    await recovered(mongo)
    final = await mongo.get("a")
    assert final is not None
    assert acknowledged <= int(final.data) <= acknowledged + failed
    assert acknowledged > 0


async def test_a_paused_server_is_unavailable_in_time(mongo: MongoStore, server: MongoServer) -> None:
    """SIGSTOP: the connection stays, nobody answers; the store gives up after its timeout, well before the session's."""
    await mongo.create("a", stored())
    server.pause()
    try:
        begin = time.monotonic()
        await asyncio.gather(unavailable(mongo.get("a")), unavailable(mongo.set("b", stored())))
        took = time.monotonic() - begin

        assert 1.9 < took < 30
        assert mongo.ready is False
        await until(lambda: mongo.ready, GENEROUS)  # another try may be made
    finally:
        server.go_on()

    await recovered(mongo)
    assert (await mongo.get("a") or stored("?")).data == TEXT


async def test_the_sessions_deadline_holds_whatever_the_store_waits_for(mongo: MongoStore, server: MongoServer) -> None:
    """Where `storeTimeout` is below the store's own timeout it cuts the call, and the store is sound afterwards."""
    await mongo.create("a", stored())
    server.pause()
    try:
        with pytest.raises(StoreUnavailable, match="whether a change was saved is unknown"):
            await Deadline(0.05).keep(mongo.get("a"))
    finally:
        server.go_on()

    await recovered(mongo)
    assert (await mongo.get("a") or stored("?")).data == TEXT


async def test_a_late_reply_is_nobody_elses(mongo: MongoStore, server: MongoServer) -> None:
    """What a paused server answers after the call was given up reaches no other call: each gets its own."""
    rows = {f"id-{n}": stored(f'"{n}"') for n in range(40)}
    await asyncio.gather(*(mongo.create(sid, row) for sid, row in rows.items()))
    for _ in range(3):
        server.pause()
        late = [asyncio.ensure_future(mongo.get(sid)) for sid in rows]
        try:
            await asyncio.wait(late)
        finally:
            server.go_on()
        await recovered(mongo)
        assert all(isinstance(each.exception(), StoreUnavailable) for each in late)

        found = await asyncio.gather(*map(mongo.get, rows))
        assert [row.data for row in found if row] == [row.data for row in rows.values()]


@pytest.mark.parametrize("verb", ["insert", "update", "delete"])
async def test_a_write_with_a_lost_reply_is_reported_and_done_once(
    mongo: MongoStore, server: MongoServer, verb: str
) -> None:
    """Its caller got StoreUnavailable; nothing is sent a second time to a server that could not know it again."""
    await mongo.create("a", stored("0"))
    calls: dict[str, Callable[[], Any]] = {
        "insert": lambda: mongo.create("b", stored("1")),
        "update": lambda: mongo.update("a", stored("1"), stored("0")),
        "delete": lambda: mongo.destroy("a"),
    }
    server.fail(verb, times=1, replyLost=True)
    await unavailable(calls[verb]())
    await recovered(mongo)

    left = {sid: row.data for sid, row in (await listed(mongo)).items()}
    assert left == {"insert": {"a": "0", "b": "1"}, "update": {"a": "1"}, "delete": {}}[verb]


async def test_a_full_disk_refuses_what_needs_room(mongo: MongoStore, server: MongoServer) -> None:
    """A 503 for a new or changed session; reads go on; with room all do, and nothing is half done."""
    await mongo.create("a", stored())
    server.fill_disk()
    big = stored('{"a":"' + "x" * 500_000 + '"}')
    for call in (mongo.create("b", big), mongo.update("a", big, stored()), mongo.rename("a", "c", big, stored())):
        await unavailable(call)

    assert (await mongo.get("a") or stored("?")).data == TEXT
    server.empty_disk()
    await recovered(mongo)
    assert (await mongo.update("a", big, stored())).outcome is Outcome.SAVED
    assert {sid: row.data for sid, row in (await listed(mongo)).items()} == {"a": big.data}


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (13, StoreError),  # Unauthorized
        (121, StoreError),  # DocumentValidationFailure
        (50, StoreUnavailable),  # MaxTimeMSExpired
        (91, StoreUnavailable),  # ShutdownInProgress
        (10107, StoreUnavailable),  # NotWritablePrimary
        (14031, StoreUnavailable),  # OutOfDiskSpace
    ],
)
async def test_a_refusal_is_known_by_its_code(
    mongo: MongoStore, server: MongoServer, code: int, kind: type[StoreError]
) -> None:
    """What may pass is a 503; the others are not. Nothing was changed."""
    await mongo.create("a", stored())
    server.fail("update", times=1, errorCode=code)
    with pytest.raises(StoreError) as refusal:
        await mongo.update("a", stored('"new"'), stored())

    assert type(refusal.value) is kind
    assert f"(code {code})" in str(refusal.value) or kind is StoreUnavailable
    await recovered(mongo)
    assert (await mongo.get("a") or stored("?")).data == TEXT


async def test_a_user_without_a_right_is_refused_at_the_start(server: MongoServer) -> None:
    """With what the user needs, and not at each visitor."""
    for command in ("insert", "update", "delete", "find"):
        server.fail(command, errorCode=13)
        with pytest.raises(StoreError, match="needs the role readWrite") as refusal:
            await MongoStore(server.url, timeout=2_000).__aenter__()

        assert type(refusal.value) is StoreError


async def test_an_index_that_may_not_be_made_is_no_error(server: MongoServer, caplog: pytest.LogCaptureFixture) -> None:
    """What has expired is swept then, and the users are found by reading all, which the log says once."""
    server.fail("createIndexes", "listIndexes", "listCollections", errorCode=13)
    store = MongoStore(server.url, timeout=2_000)
    store.users.index(("user",))
    for _ in range(2):
        async with store:
            await store.create("a", StoredSession('{"cookie":{},"__meta":{"user":"ada"},"user":"ada"}', now_ms() - 1))
            assert store.lead() is True
            assert await store.sweep(10) == 1
    server.fail()

    warned = [each.getMessage() for each in caplog.records]
    assert len(warned) == 1
    assert "has no index of the users (" in warned[0]
    assert "(code 13)" in warned[0]


async def test_a_server_that_comes_back_empty_has_no_sessions(mongo: MongoStore, server: MongoServer) -> None:
    """What is lost is lost: nobody's late write brings it back."""
    await mongo.create("a", stored())
    server.admin.drop_database("test")

    assert await mongo.get("a") is None
    assert await mongo.update("a", stored('"new"'), stored()) == GONE
    assert await mongo.touch("a", now_ms() + 1_000, stored()) == GONE
    assert await mongo.rename("a", "b", stored('"new"'), stored()) == GONE
    assert await listed(mongo) == {}
