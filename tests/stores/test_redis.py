"""What is Redis's own: the keys as connect-redis writes and reads them, real time, foreign values, the ways to a server."""

import asyncio
import hashlib
import json
import ssl
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import tornado
from redis.asyncio import Connection
from tornado.ioloop import IOLoop

from sessions import now_ms
from sessions.errors import OptionsError, StoreError, StoreUnavailable
from sessions.store import Outcome, StoredSession, Update, admin, overwriting, prepared, sweepable
from sessions.stores.redis import RedisStore
from sessions.validation import camel

from .redis_server import RedisServer, shared_server
from .support import listed, opened, outcome, until

CERTIFICATE = Path(tornado.__file__).parent / "test" / "test.crt"
HOUR = 3_600_000
SLACK = 20_000
"""Milliseconds that a test may take, on a machine that is busy with something else."""


@pytest.fixture
def server() -> RedisServer:
    """The shared server, empty."""
    server = shared_server()
    server.command("FLUSHALL")
    return server


@pytest.fixture
def redis(io_loop: IOLoop, server: RedisServer) -> Iterator[RedisStore]:
    """A store on it, in real time."""
    with opened(io_loop, RedisStore(server.url)) as store:
        yield store


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The commands that redis-py sends from now on."""
    sent: list[Any] = []
    send = Connection.send_command

    async def noting(connection: Connection, *command: Any, **options: Any) -> None:
        sent.append(command)
        await send(connection, *command, **options)

    monkeypatch.setattr(Connection, "send_command", noting)
    return sent


def ahead(milliseconds: int = HOUR, data: str = '{"n":1}') -> StoredSession:
    """A record that lives so long from now."""
    return StoredSession(data, now_ms() + milliseconds)


# ---------------------------------------------------------------- the format


async def test_a_session_is_a_string_with_an_expiry_under_the_prefix(redis: RedisStore, server: RedisServer) -> None:
    """As connect-redis lays it out."""
    await redis.create("a", ahead())

    assert server.command("KEYS", "*") == [b"sess:a"]
    assert server.command("GET", "sess:a") == b'{"n":1}'
    assert HOUR - SLACK < server.command("PTTL", "sess:a") <= HOUR


async def test_what_connect_redis_has_written_is_read(redis: RedisStore, server: RedisServer) -> None:
    """It sets whole seconds."""
    server.command("SET", "sess:a", '{"cookie":{}}', "EX", 3_600)
    before = now_ms()

    stored = await redis.get("a")

    assert stored is not None
    assert stored.data == '{"cookie":{}}'
    assert before + HOUR - SLACK < stored.expires_at <= now_ms() + HOUR


async def test_a_key_without_expiry_is_a_session_that_stays(redis: RedisStore, server: RedisServer) -> None:
    """As connect-redis writes it with `disableTTL`."""
    server.command("SET", "sess:a", '{"n":1}')

    stored = await redis.get("a")

    assert stored is not None
    assert stored.expires_at > now_ms() + 300 * 24 * HOUR
    outcome, newer = await redis.update("a", ahead(), ahead(data="other"))
    assert (outcome, newer and newer.data) == (Outcome.CONFLICT, '{"n":1}')
    assert server.command("PTTL", "sess:a") == -1


async def test_a_touch_moves_the_expiry_and_writes_no_text(redis: RedisStore, server: RedisServer) -> None:
    """PEXPIRE alone."""
    await redis.create("a", ahead(HOUR))
    server.command("CONFIG", "RESETSTAT")
    later = now_ms() + 2 * HOUR

    assert await redis.touch("a", later, ahead()) == Update(Outcome.SAVED, StoredSession('{"n":1}', later))

    calls = server.admin.info("commandstats")
    assert "cmdstat_set" not in calls
    assert calls["cmdstat_pexpire"]["calls"] == 1
    assert 2 * HOUR - SLACK < server.command("PTTL", "sess:a") <= 2 * HOUR


async def test_a_touch_sends_a_digest_and_gets_no_text(redis: RedisStore, sent: list[Any]) -> None:
    """40 characters go out, and neither the old text nor a new one, however long the session is."""
    record = ahead(data=json.dumps({"text": "é" * 10_000}))
    await redis.create("a", record)
    sent.clear()

    assert (await redis.touch("a", now_ms() + HOUR, record)).outcome is Outcome.SAVED

    ((command, _, _, key, verb, _, text, digest),) = sent
    assert (command, key, verb, text) == ("EVALSHA", b"sess:a", "touch", b"")
    assert digest == hashlib.sha1(record.data.encode()).hexdigest()


async def test_a_touch_of_another_text_is_a_conflict(redis: RedisStore, server: RedisServer) -> None:
    """The digest tells: the newer record comes back, and the key keeps its life."""
    await redis.create("a", ahead(data="newer"))

    outcome, newer = await redis.touch("a", now_ms() + 2 * HOUR, ahead())

    assert (outcome, newer and newer.data) == (Outcome.CONFLICT, "newer")
    assert server.command("PTTL", "sess:a") <= HOUR


@pytest.mark.parametrize("prefix", ["other:", "", "[a-z]*:", "sess?", "a\\b:", "{tag}é:"])
async def test_the_prefix_is_ones_own(server: RedisServer, prefix: str) -> None:
    """Listing and clearing reach the keys under the prefix, whatever its characters mean in a pattern."""
    foreign = {"xyz", "a", "sessX", "a\\\\b:c"} if prefix else {"sess:a"}
    for key in foreign:
        server.command("SET", key, "foreign")
    async with RedisStore(server.url, prefix=prefix) as store:
        await store.create("a", ahead())
        assert server.command("EXISTS", f"{prefix}a") == 1
        assert (await store.length(), list(await listed(store))) == (1, ["a"])
        await store.clear()
        assert await store.length() == 0

    assert {key.decode() for key in server.command("KEYS", "*")} == foreign


@pytest.mark.parametrize(
    ("prefix", "longer"),
    [("sess:", "sess:admin:"), ("sess:", "sess::"), ("", "sess:"), ("sess", "sess2:"), ("é*", "é*é:")],
)
async def test_a_longer_prefix_keeps_its_sessions(server: RedisServer, prefix: str, longer: str) -> None:
    """Of two prefixes that begin alike, the shorter one's verbs over all sessions reach its own only."""
    async with RedisStore(server.url, prefix=prefix) as shop, RedisStore(server.url, prefix=longer) as admin:
        await shop.create("a", ahead())
        await admin.create("b", ahead())

        assert (await shop.length(), list(await listed(shop))) == (1, ["a"])
        await shop.clear()
        assert (await shop.length(), await admin.length(), list(await listed(admin))) == (0, 1, ["b"])

    assert server.command("KEYS", "*") == [f"{longer}b".encode()]


async def test_a_longer_prefix_does_not_reach_a_shorter_one(server: RedisServer) -> None:
    """Its pattern does not match them, whatever their ids hold."""
    async with RedisStore(server.url, colon_ids=True) as shop, RedisStore(server.url, prefix="sess:admin:") as admin:
        await shop.create("a", ahead())
        await shop.create("admins:b", ahead())

        await admin.clear()

        assert await shop.length() == 2


async def test_an_id_with_a_colon_is_served_and_listed_if_it_is_said(server: RedisServer) -> None:
    """The six verbs take every id; `colon_ids` is for those that go over all sessions."""
    async with RedisStore(server.url) as silent, RedisStore(server.url, colon_ids=True) as said:
        await silent.create("shop:a", ahead())

        assert await silent.get("shop:a") is not None
        assert (await silent.length(), await listed(silent)) == (0, {})
        assert (await said.length(), list(await listed(said))) == (1, ["shop:a"])
        await silent.clear()
        assert await said.length() == 1
        await said.clear()
        assert await said.length() == 0


async def test_a_session_ends_by_itself(redis: RedisStore, server: RedisServer) -> None:
    """Redis drops it: no sweeper is needed, and none is offered."""
    await redis.create("a", ahead(300))
    async with asyncio.timeout(20):
        while await redis.get("a") is not None:  # noqa: ASYNC110 # the server's clock sets no event
            await asyncio.sleep(0.02)

    await until(lambda: server.command("DBSIZE") == 0, 20)
    assert sweepable(redis) is None


def test_a_store_has_three_powers() -> None:
    """It counts, lists and clears; it writes blindly; it is prepared before a fork."""
    store = RedisStore("redis://localhost")

    assert [power(store) for power in (admin, overwriting, prepared)] == [store] * 3


async def test_to_prepare_leaves_nothing_open(server: RedisServer) -> None:
    """It asks the server, or says that nobody answers; the process has no loop yet."""
    store = RedisStore(server.url)
    await asyncio.to_thread(store.prepare)

    assert store.ready is False
    await until(lambda: len(server.admin.client_list()) == 1, 20)  # the test's own
    with pytest.raises(StoreUnavailable, match="connecting"):
        await asyncio.to_thread(RedisStore("redis://127.0.0.1:1").prepare)


@pytest.mark.parametrize("life", [0, -1, -HOUR])
async def test_what_has_no_life_left_is_never_seen(redis: RedisStore, server: RedisServer, life: int) -> None:
    """Redis refuses an expiry in the past: such a write leaves nothing there, and the key is gone at once."""
    now = now_ms()
    frozen = RedisStore(server.url, clock=lambda: now)
    async with frozen:
        gone = StoredSession("x", now + life)
        assert await frozen.create("new", gone) == gone
        for sid in ("set", "updated", "touched", "there"):
            await redis.create(sid, ahead())
        assert await frozen.set("set", gone) == gone
        assert await frozen.update("updated", gone, ahead()) == Update(Outcome.SAVED, gone)
        touched = StoredSession('{"n":1}', now + life)
        assert await frozen.touch("touched", now + life, ahead()) == Update(Outcome.SAVED, touched)
        assert await frozen.create("there", gone) is None

    assert server.command("KEYS", "*") == [b"sess:there"]


async def test_hosts_with_different_clocks_agree_on_the_end(server: RedisServer) -> None:
    """A life is a span of time: a host that is a day ahead keeps the session as long as one that is right."""
    async with RedisStore(server.url, clock=lambda: now_ms() + 24 * HOUR) as fast, RedisStore(server.url) as right:
        await fast.create("a", ahead(25 * HOUR))

        stored = await right.get("a")

    assert stored is not None
    assert stored.expires_at == pytest.approx(now_ms() + HOUR, abs=SLACK)


# ---------------------------------------------------------------- foreign values


async def test_a_text_that_is_not_utf8_is_no_session(redis: RedisStore, server: RedisServer) -> None:
    """It is read as an empty text, which is a corrupt session; it is not changed, and no other session is affected."""
    server.command("SET", "sess:a", b"\xff\xfe", "EX", 3_600)
    await redis.create("b", ahead())

    stored, other = await asyncio.gather(redis.get("a"), redis.get("b"))

    assert stored is not None
    assert stored.data == ""
    assert other is not None
    assert other.data == '{"n":1}'
    assert (await redis.update("a", ahead(), stored)).outcome is Outcome.CONFLICT
    assert (await redis.touch("a", now_ms() + HOUR, stored)).outcome is Outcome.CONFLICT
    assert server.command("GET", "sess:a") == b"\xff\xfe"


async def test_a_key_of_another_type_fails_its_own_request_only(redis: RedisStore, server: RedisServer) -> None:
    """In words that name no id; who came with it has the outcome of always."""
    server.command("HSET", "sess:secret-id", "field", "1")
    server.command("SET", b"sess:\xff", "no id of ours", "EX", 3_600)
    await redis.create("b", ahead())

    made = ahead()
    wrong, right, refused, created = await asyncio.gather(
        redis.get("secret-id"),
        redis.get("b"),
        redis.update("secret-id", ahead(), ahead()),
        redis.create("c", made),
        return_exceptions=True,
    )

    for error in (wrong, refused):
        assert type(error) is StoreError
        assert "WRONGTYPE" in str(error)
        assert "secret" not in str(error)
    assert right is not None
    assert created == made
    assert await redis.create("secret-id", ahead()) is None
    assert set(await listed(redis)) == {"b", "c"}
    await redis.destroy("secret-id")
    assert await redis.get("secret-id") is None


# ---------------------------------------------------------------- the shared trips


async def test_what_waits_together_is_one_call(redis: RedisStore, server: RedisServer) -> None:
    """A hundred reads and a hundred writes are a handful of commands."""
    await redis.get("a")
    await redis.set("a", ahead())
    server.command("CONFIG", "RESETSTAT")

    await asyncio.gather(*(redis.get(f"{n}") for n in range(100)), *(redis.set(f"{n}", ahead()) for n in range(100)))

    assert server.admin.info("commandstats")["cmdstat_evalsha"]["calls"] <= 4
    assert await redis.length() == 101


MEGABYTE = "x" * 1_000_000
MOST = 2_200_000
"""Bytes of a call that begins with less than a batch has and ends with one session of a megabyte."""


@pytest.mark.parametrize("verb", ["create", "set", "update", "rename"])
async def test_a_call_that_writes_is_bounded_by_bytes(redis: RedisStore, sent: list[Any], verb: str) -> None:
    """Twelve sessions of a megabyte are no call of twelve: the server serves nobody else meanwhile."""
    old = ahead()
    new = ahead(data=MEGABYTE)
    if verb in ("update", "rename"):
        await asyncio.gather(*(redis.create(f"{n}", old) for n in range(12)))
    sent.clear()

    calls: dict[str, Callable[[int], Awaitable[Any]]] = {
        "create": lambda n: redis.create(f"{n}", new),
        "set": lambda n: redis.set(f"{n}", new),
        "update": lambda n: redis.update(f"{n}", new, old),
        "rename": lambda n: redis.rename(f"{n}", f"new {n}", new, old),
    }
    done = await asyncio.gather(*(calls[verb](n) for n in range(12)))

    assert done == [new if verb in ("create", "set") else Update(Outcome.SAVED, new)] * 12
    assert max(sum(len(word) for word in words if isinstance(word, bytes)) for words in sent) <= MOST
    assert len(sent) >= 6


async def test_a_call_that_compares_is_bounded_by_bytes(redis: RedisStore, sent: list[Any]) -> None:
    """The old text goes out, too."""
    old = ahead(data=MEGABYTE)
    await asyncio.gather(*(redis.create(f"{n}", old) for n in range(4)))
    sent.clear()

    await asyncio.gather(*(redis.update(f"{n}", ahead(data="{}"), old) for n in range(4)))

    assert max(sum(len(word) for word in words if isinstance(word, bytes)) for words in sent) <= MOST


async def test_a_reply_is_bounded_by_bytes(redis: RedisStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """Twelve sessions of a megabyte that are read together, and small ones and none between them, come in several."""
    large = {f"{n}": ahead(data=f"{n}{MEGABYTE}") for n in range(12)}
    await asyncio.gather(*(redis.create(sid, record) for sid, record in large.items()))
    await redis.create("small", ahead())
    received: list[int] = []
    read = Connection.read_response

    async def noting(connection: Connection, *arguments: Any, **options: Any) -> Any:
        reply = await read(connection, *arguments, **options)
        if isinstance(reply, list):
            received.append(sum(len(row[0]) for row in reply if row))
        return reply

    monkeypatch.setattr(Connection, "read_response", noting)
    sids = [*list(large)[:6], "small", "nobody", *list(large)[6:], "small"]
    found = await asyncio.gather(*map(redis.get, sids))

    texts = {sid: record.data for sid, record in large.items()} | {"small": '{"n":1}', "nobody": None}
    assert [record and record.data for record in found] == [texts[sid] for sid in sids]
    assert max(received) <= MOST
    assert sum(received) == sum(len(texts[sid] or "") for sid in sids)


async def test_few_connections_are_kept(redis: RedisStore, server: RedisServer) -> None:
    """However many calls wait: one connection for reads, one for writes, one for administration."""
    for _ in range(3):
        await asyncio.gather(
            *(redis.set(f"{n}", ahead()) for n in range(300)), *(redis.get(f"{n}") for n in range(300))
        )
    await asyncio.gather(*(redis.length() for _ in range(20)))

    mine = [each for each in server.admin.client_list() if not each["cmd"].startswith("client")]
    assert len(mine) <= 3


async def test_a_server_that_has_forgotten_the_scripts_is_taught_again(redis: RedisStore, server: RedisServer) -> None:
    """After SCRIPT FLUSH, or a restart; nothing is done twice."""
    await redis.create("a", ahead())
    server.command("SCRIPT", "FLUSH")

    assert (await redis.update("a", ahead(data="new"), ahead())).outcome is Outcome.SAVED
    server.command("SCRIPT", "FLUSH")
    stored = await redis.get("a")
    assert stored is not None
    assert stored.data == "new"


# ---------------------------------------------------------------- the ways to a server


async def test_through_a_socket_of_the_file_system(server: RedisServer) -> None:
    """unix://, with a database of its own."""
    async with RedisStore(f"unix://{server.folder}/socket?db=3") as store:
        await store.create("a", ahead())
        assert server.command("DBSIZE") == 0
        assert await store.length() == 1
    server.command("FLUSHALL")


async def test_as_valkey_with_a_database(server: RedisServer) -> None:
    """The scheme is another name for the same."""
    async with RedisStore(server.url.replace("redis", "valkey") + "/5") as store:
        await store.create("a", ahead())
        assert server.command("DBSIZE") == 0
        assert await store.length() == 1
    server.command("FLUSHALL")


async def test_a_closed_store_says_so(server: RedisServer) -> None:
    """Before it is opened, and afterwards; it can be opened again."""
    store = RedisStore(server.url)
    for words in ("the store was never opened; open it by `async with store:`", "the store is closed"):
        assert store.ready is False
        assert await outcome(store.get("a")) is StoreError
        with pytest.raises(StoreUnavailable, match=words):
            await store.set("a", ahead())
        async with store:
            assert store.ready is True
            assert await store.get("a") is None


async def test_nobody_there(server: RedisServer) -> None:
    """Opening says where it was looked for, with the cause, and without the password."""
    with pytest.raises(StoreUnavailable, match=r"^redis at 127\.0\.0\.1:1: .*connecting") as refusal:
        await RedisStore("redis://me:secret@127.0.0.1:1").__aenter__()

    assert refusal.value.__cause__ is not None
    assert "secret" not in f"{refusal.value} {refusal.value.__cause__}"


async def test_no_sentinel_there() -> None:
    """Nor is a client of theirs shown, which knows their password."""
    with pytest.raises(StoreUnavailable) as refusal:
        await RedisStore("redis+sentinel://127.0.0.1:1,127.0.0.1:2/main?sentinel_password=secret").__aenter__()

    assert str(refusal.value) == "redis sentinel 127.0.0.1:1, 127.0.0.1:2: No master found for 'main'"


@pytest.mark.parametrize(
    "options",
    [
        {"prefix": 1},
        {"prefix": "\ud800"},
        {"timeout": 0},
        {"timeout": "1"},
        {"timeout": float("inf")},
        {"colon_ids": 1},
    ],
)
def test_a_wrong_option_is_refused(options: dict[str, Any]) -> None:
    """When the store is made, by its name."""
    name = camel(next(iter(options)))
    with pytest.raises(OptionsError, match=f"^{name}: expected "):
        RedisStore("redis://localhost", **options)


async def test_a_write_with_a_lost_reply_is_sent_once(
    redis: RedisStore, server: RedisServer, sent: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """redis-py's own retries are off: what may have taken effect is not done twice."""
    read = Connection.read_response

    async def lost(connection: Connection, *arguments: Any, **options: Any) -> Any:
        await read(connection, *arguments, **options)
        raise ConnectionResetError

    await redis.set("a", ahead())
    sent.clear()
    monkeypatch.setattr(Connection, "read_response", lost)
    with pytest.raises(StoreUnavailable):
        await redis.create("b", ahead())

    assert [command for command, *_ in sent] == ["EVALSHA"]
    assert server.command("EXISTS", "sess:b") == 1


@pytest.mark.parametrize("scheme", ["rediss", "valkeys"])
async def test_over_tls(server: RedisServer, scheme: str) -> None:
    """What the certificate is checked against is said in the URL; one that nobody vouches for is refused."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(CERTIFICATE, CERTIFICATE.with_suffix(".key"))
    pipes: set[asyncio.Task[None]] = set()

    async def pipe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, ssl.SSLError):
            while data := await reader.read(65_536):
                writer.write(data)
                await writer.drain()
        writer.close()

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        inner = await asyncio.open_connection("127.0.0.1", server.port)
        pipes.update(map(asyncio.ensure_future, (pipe(reader, inner[1]), pipe(inner[0], writer))))

    proxy = await asyncio.start_server(accept, "127.0.0.1", 0, ssl=context)
    url = f"{scheme}://127.0.0.1:{proxy.sockets[0].getsockname()[1]}"
    async with proxy:
        async with RedisStore(f"{url}?ssl_ca_certs={CERTIFICATE}&ssl_check_hostname=false") as store:
            await store.create("a", ahead())
            assert server.command("EXISTS", "sess:a") == 1
        with pytest.raises(StoreUnavailable, match="certificate"):
            await RedisStore(url).__aenter__()
        await asyncio.gather(*pipes)
