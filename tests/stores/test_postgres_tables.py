"""Tables that others have made: which are taken, which are refused at the start, and what a `jsonb` column changes."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
from clock import MINUTE, MovableClock
from tornado.ioloop import IOLoop

from sessions.errors import StoreError, StoreUnavailable
from sessions.store import TAKEN, Outcome, StoredSession
from sessions.stores.postgres import PostgresStore

from .postgres_client import NODE_GET, NODE_SET, NODE_TOUCH, TABLE_SQL, connected, emptied, shape, table
from .postgres_server import shared
from .postgres_time import timed
from .support import LATER, NEW, OLD, OTHER, listed, opened, outcome, postgres, postgres_of_peers

SID, SESS, EXPIRE = "sid varchar PRIMARY KEY", "sess json NOT NULL", "expire timestamp(6) NOT NULL"

TAKEN_TABLES = {
    "sess jsonb": [f"CREATE TABLE session ({SID}, sess jsonb NOT NULL, {EXPIRE})"],
    "sess text": [f"CREATE TABLE session ({SID}, sess text NOT NULL, {EXPIRE})"],
    "sid text": [f"CREATE TABLE session (sid text PRIMARY KEY, {SESS}, {EXPIRE})"],
    "sid varchar(255)": [f"CREATE TABLE session (sid varchar(255) PRIMARY KEY, {SESS}, {EXPIRE})"],
    "expire timestamptz": [f"CREATE TABLE session ({SID}, {SESS}, expire timestamptz(6) NOT NULL)"],
    "expire timestamp(3)": [f"CREATE TABLE session ({SID}, {SESS}, expire timestamp(3) NOT NULL)"],
    "expire may be NULL": [f"CREATE TABLE session ({SID}, {SESS}, expire timestamp)"],
    "all at once": ["CREATE TABLE session (sid text PRIMARY KEY, sess jsonb, expire timestamptz)"],
    "other names of the key": [
        f'CREATE TABLE session (sid varchar NOT NULL, {SESS}, {EXPIRE}, CONSTRAINT "Session_pk" PRIMARY KEY (sid))',
        'CREATE INDEX "sessionExpire" ON session (expire)',
    ],
    "an index for a key": [
        f"CREATE TABLE session (sid varchar NOT NULL, {SESS}, {EXPIRE})",
        "CREATE UNIQUE INDEX one_each ON session (sid)",
    ],
    "more columns": [
        f"CREATE TABLE session (id serial, {SID}, {SESS}, {EXPIRE}, made timestamptz NOT NULL DEFAULT now(), who text)"
    ],
    "partitions": [
        f"CREATE TABLE session ({SID}, {SESS}, {EXPIRE}) PARTITION BY HASH (sid)",
        *(f"CREATE TABLE s{n} PARTITION OF session FOR VALUES WITH (MODULUS 2, REMAINDER {n})" for n in range(2)),
    ],
}
"""Tables of which connect-pg-simple sees no difference; some are from the schemas of Drizzle and Prisma."""

GRANTED = f"CREATE TABLE session ({SID}, {SESS}, {EXPIRE}); GRANT {{}} ON session TO guest"
REFUSED = {
    "no key": (
        f"CREATE TABLE session (sid varchar NOT NULL, {SESS}, {EXPIRE})",
        r"no unique .* constraint.*; sid needs a key: ALTER TABLE .*session.* ADD PRIMARY KEY \(sid\)$",
    ),
    "a key of two columns": (
        f"CREATE TABLE session (sid varchar, tenant int DEFAULT 1, {SESS}, {EXPIRE}, PRIMARY KEY (sid, tenant))",
        "sid needs a key: ALTER TABLE",
    ),
    "a key that is checked late": (
        f"CREATE TABLE session (sid varchar PRIMARY KEY DEFERRABLE, {SESS}, {EXPIRE})",
        "the key on sid has to be NOT DEFERRABLE$",
    ),
    "one more column": (
        f"CREATE TABLE session ({SID}, {SESS}, {EXPIRE}, tenant int NOT NULL)",
        'null value in column "tenant".*ALTER COLUMN "tenant" SET DEFAULT',
    ),
    "one more column of another name": (
        f'CREATE TABLE session (id uuid NOT NULL, "weird "" name" int NOT NULL DEFAULT 1, {SID}, {SESS}, {EXPIRE})',
        'column "id".*ALTER COLUMN "id" SET DEFAULT',
    ),
    "ids that are too short": (
        f"CREATE TABLE session (sid varchar(20) PRIMARY KEY, {SESS}, {EXPIRE})",
        "value too long.*; an id has 32 characters or more: ALTER TABLE .* ALTER COLUMN sid TYPE varchar$",
    ),
    "a trigger that refuses": (
        f"""CREATE TABLE session ({SID}, {SESS}, {EXPIRE});
        CREATE FUNCTION no() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'ask the owner'; END $$;
        CREATE TRIGGER no BEFORE INSERT ON session EXECUTE FUNCTION no()""",
        'the table "session" cannot be written: ask the owner$',
    ),
    "a check that no session passes": (
        f"CREATE TABLE session ({SID}, {SESS}, {EXPIRE}, CHECK (sess->>'tenant' IS NOT NULL))",
        "violates check constraint",
    ),
    "no rights": (
        GRANTED.format("TRUNCATE"),
        'lacks SELECT, INSERT, UPDATE, DELETE: GRANT SELECT, INSERT, UPDATE, DELETE ON "session" TO "guest"$',
    ),
    "a role that only reads": (GRANTED.format("SELECT"), "lacks INSERT, UPDATE, DELETE: GRANT"),
    "a role that ends nothing": (GRANTED.format("SELECT, INSERT, UPDATE"), "permission denied.*lacks DELETE: GRANT"),
    "a role that moves nothing": (
        GRANTED.format("SELECT, INSERT, UPDATE (sess, expire), DELETE"),
        "permission denied.*lacks UPDATE: GRANT",
    ),
    "sid uuid": (
        f"CREATE TABLE session (sid uuid PRIMARY KEY, {SESS}, {EXPIRE})",
        "is no table of sessions: sid is uuid; expected sid character varying or text$",
    ),
    "sid char(40)": (f"CREATE TABLE session (sid char(40) PRIMARY KEY, {SESS}, {EXPIRE})", "sid is character;"),
    "sess bytea": (f"CREATE TABLE session ({SID}, sess bytea, {EXPIRE})", "sess is bytea; expected sess json or jsonb"),
    "expire bigint": (f"CREATE TABLE session ({SID}, {SESS}, expire bigint)", "expire is bigint; expected expire time"),
    "another table": (
        "CREATE TABLE session (a int)",
        "sid is missing, sess is missing, expire is missing; expected sid",
    ),
}


@pytest.fixture
def url() -> Iterator[str]:
    """An empty database, and a role that has no rights in it."""
    url = emptied("of others")
    shared().sql("CREATE ROLE guest LOGIN")
    yield url
    shared().sql("DROP OWNED BY guest; DROP ROLE guest", "of others")


@pytest.mark.parametrize("statements", TAKEN_TABLES.values(), ids=TAKEN_TABLES)
async def test_a_table_that_node_is_content_with_is_taken(url: str, statements: list[str], clock: MovableClock) -> None:
    """Every verb works on it, and Node reads and writes the same rows."""
    for statement in statements:
        shared().sql(statement, "of others")

    async with PostgresStore(timed(shared(), url, clock)) as store, connected(url) as node:
        made = await store.create("a", OLD)
        assert made is not None
        assert await store.create("a", NEW) is None
        updated = await store.update("a", NEW, made)
        assert updated.outcome is Outcome.SAVED
        assert updated.record is not None
        assert (await store.update("a", OTHER, made)).outcome is Outcome.CONFLICT
        assert (await store.touch("a", LATER + MINUTE, updated.record)).outcome is Outcome.SAVED
        await store.create("b", OLD)
        assert await store.rename("a", "b", OTHER, updated.record) == TAKEN
        assert (await store.rename("a", "c", OTHER, updated.record, OLD)).outcome is Outcome.SAVED
        await store.destroy("b")
        await node.execute(NODE_SET.format("session"), OTHER.data, LATER // 1000, "n")
        await node.execute(NODE_TOUCH.format("session"), LATER // 1000 + 60, "n")
        seen = await node.fetchval(NODE_GET.format("session"), "c", LATER // 1000)

        rows = {sid: (record.data.replace(" ", ""), record.expires_at) for sid, record in (await listed(store)).items()}
        assert rows == {
            "a": (OLD.data, LATER), "c": (OTHER.data, OTHER.expires_at), "n": (OTHER.data, LATER + MINUTE),
        }  # fmt: skip
        assert seen.replace(" ", "") == OTHER.data
        clock.now = LATER + MINUTE
        assert (await store.backlog(5), await store.sweep(5), await store.length()) == (3, 3, 0)


@pytest.mark.parametrize(("statement", "words"), REFUSED.values(), ids=REFUSED)
async def test_a_setup_that_can_never_work_is_an_error_at_the_start(url: str, statement: str, words: str) -> None:
    """By what is wrong and what to do; it is no passing outage, and nothing is left in the table."""
    shared().sql(statement, "of others")
    guest = url.replace("postgres@", "guest@") if "GRANT" in statement else url

    with pytest.raises(StoreError, match=words) as caught:
        await PostgresStore(guest).__aenter__()

    assert not isinstance(caught.value, StoreUnavailable)
    assert shared().sql("SELECT count(*) FROM session", "of others") == "0"


async def test_a_role_that_cannot_make_the_table_is_an_error(url: str) -> None:
    """A missing table is made, unless the role may not."""
    shared().sql("REVOKE CREATE ON SCHEMA public FROM PUBLIC", "of others")

    with pytest.raises(StoreError, match="permission denied for schema public") as caught:
        await PostgresStore(url.replace("postgres@", "guest@")).__aenter__()

    assert not isinstance(caught.value, StoreUnavailable)


async def test_a_schema_that_is_missing_is_an_error(url: str) -> None:
    """It is not made."""
    with pytest.raises(StoreError, match='schema "elsewhere" does not exist') as caught:
        await PostgresStore(url, schema="elsewhere").__aenter__()

    assert not isinstance(caught.value, StoreUnavailable)


async def test_the_start_leaves_the_table_as_it_is(url: str, clock: MovableClock) -> None:
    """Its rows, its columns, and no lock."""
    shared().sql(TABLE_SQL, "of others")
    async with connected(url) as node:
        await node.execute(NODE_SET.format("session"), OLD.data, LATER // 1000, "a")
        before = await node.fetch("SELECT *, xmin::text FROM session"), await shape(node, "session")
        async with PostgresStore(timed(shared(), url, clock)):
            after = await node.fetch("SELECT *, xmin::text FROM session"), await shape(node, "session")
            held = await node.fetchval("SELECT count(*) FROM pg_locks WHERE relation = 'session'::regclass")

    assert after == before
    assert held == 0


async def test_a_server_that_only_reads_is_opened(url: str) -> None:
    """As a standby is that will be promoted: the sessions that are there can be read."""
    shared().sql(TABLE_SQL, "of others")
    async with connected(url) as node:
        await node.execute(NODE_SET.format("session"), OLD.data, 4_000_000_000, "a")

    async with PostgresStore(f"{url}&default_transaction_read_only=on") as store:
        read = await store.get("a")
        with pytest.raises(StoreUnavailable, match="read-only transaction"):
            await store.destroy("a")

    assert read == StoredSession(OLD.data, 4_000_000_000_000)


@pytest.mark.parametrize(
    ("statement", "words"),
    [
        ("REVOKE UPDATE ON session FROM guest", "permission denied"),
        ("ALTER TABLE session RENAME COLUMN sess TO data", "column .* does not exist"),
        ("ALTER TABLE session RENAME TO away", "does not exist"),
    ],
)
async def test_what_is_taken_away_later_is_no_passing_outage(url: str, statement: str, words: str) -> None:
    """Waiting does not help: no error asks to try again."""
    shared().sql(GRANTED.format("SELECT, INSERT, UPDATE, DELETE"), "of others")
    async with PostgresStore(url.replace("postgres@", "guest@")) as store:
        made = await store.create("a", StoredSession("1", 4_000_000_000_000))
        assert made is not None
        shared().sql(statement, "of others")
        with pytest.raises(StoreError, match=words) as caught:
            await store.update("a", made, made)

        assert not isinstance(caught.value, StoreUnavailable)
        assert store.ready


class TestJsonb:
    """A column that keeps values and not their texts."""

    @pytest.fixture
    def store(self, io_loop: IOLoop, tmp_path: Path, clock: MovableClock) -> Iterator[PostgresStore]:
        """The store on such a table, open and empty."""
        with opened(io_loop, postgres_of_peers(tmp_path, clock)) as store:
            yield store

    async def test_a_text_comes_back_as_its_value(self, store: PostgresStore) -> None:
        """In PostgreSQL's spelling; a record that was written and one that was read are the same all the same."""
        record = StoredSession('{"cookie":{"path":"/"},"b":1e2,"a":"\\u00e9","n":1,"n":2.50}', LATER)
        made = await store.create("a", record)
        read = await store.get("a")

        assert made is not None
        assert read is not None
        assert read[:2] == ('{"a": "é", "b": 100, "n": 2.50, "cookie": {"path": "/"}}', LATER)
        assert made.same_as(read)
        assert (await store.update("a", NEW, made)).outcome is Outcome.SAVED

    async def test_what_node_saves_meanwhile_is_a_conflict(self, store: PostgresStore) -> None:
        """Whatever it was loaded as; the record that comes back is good for the next write."""
        made = await store.create("a", OLD)
        assert made is not None
        async with connected() as node:
            await node.execute(NODE_SET.format(table(store)), '{ "n" : 7 }', LATER // 1000, "a")
        late = await store.update("a", NEW, made)
        assert late.record is not None

        assert (late.outcome, late.record.data) == (Outcome.CONFLICT, '{"n": 7}')
        assert (await store.update("a", NEW, late.record)).outcome is Outcome.SAVED

    async def test_nodes_touch_and_an_equal_text_are_no_conflict(self, store: PostgresStore) -> None:
        """Express writes the expiry with every request: it changes no session."""
        made = await store.create("a", StoredSession('{"a":1,"b":{"c":[]}}', LATER))
        assert made is not None
        async with connected() as node:
            await node.execute(NODE_TOUCH.format(table(store)), LATER // 1000 + 60, "a")
            await node.execute(NODE_SET.format(table(store)), '{"b": {"c": [ ]}, "a": 1}', LATER // 1000, "a")

        assert (await store.update("a", NEW, made)).outcome is Outcome.SAVED

    async def test_a_touch_leaves_the_value_that_node_wrote(self, store: PostgresStore) -> None:
        """And the next update finds it."""
        made = await store.create("a", OLD)
        assert made is not None
        async with connected() as node:
            await node.execute(NODE_SET.format(table(store)), OTHER.data, LATER // 1000, "a")
        touched = await store.touch("a", LATER + 1, made)
        assert touched.record is not None
        update = await store.update("a", NEW, touched.record)
        assert update.record is not None

        assert touched.outcome is Outcome.SAVED
        assert (update.outcome, update.record.data) == (Outcome.CONFLICT, '{"n": 3}')

    @pytest.mark.parametrize("text", ['{"a":"\\u0000"}', '{"a":"\\ud800"}', '{"a":', "", '{"a":"x'])
    async def test_what_jsonb_cannot_hold_is_refused_alone(self, store: PostgresStore, text: str) -> None:
        """NUL and half a character too, which `json` keeps."""
        calls = [store.create(f"id-{n}", OLD if n != 3 else StoredSession(text, LATER)) for n in range(8)]
        made = await asyncio.gather(*map(outcome, calls))

        assert [each is StoreError for each in made] == [n == 3 for n in range(8)]
        assert await store.get("id-3") is None

    async def test_every_write_is_one_statement(self, store: PostgresStore, monkeypatch: pytest.MonkeyPatch) -> None:
        """The version comes back with what was written, and the text of what is expected is not sent."""
        asked: list[list[str]] = []
        fetch = store._connections.fetch

        async def noting(pool: object, sql: str, *columns: tuple[str, ...], **options: object) -> object:
            asked.append([each for column in columns for each in column])
            return await fetch(pool, sql, *columns, **options)  # type: ignore[arg-type] # as they were given

        monkeypatch.setattr(store._connections, "fetch", noting)
        made = await store.create("a", OLD)
        assert made is not None
        updated = await store.update("a", NEW, made)
        assert updated.record is not None
        renamed = await store.rename("a", "b", OTHER, updated.record)

        assert renamed.outcome is Outcome.SAVED
        assert [OLD.data in each for each in asked] == [True, False, False]


async def test_the_text_of_a_json_column_has_no_version(tmp_path: Path, clock: MovableClock) -> None:
    """It is its own: what was read by an earlier version of this library is compared as before."""
    async with postgres(tmp_path, clock) as store:
        assert await store.create("a", OLD) == OLD
        assert await store.get("a") == OLD
