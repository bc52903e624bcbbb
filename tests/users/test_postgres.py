"""How PostgreSQL finds a user: its index over rows that Node wrote, and tables in which there can be none."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from stores.postgres_client import NODE_SET, TABLE_SQL, connected, database, locked, table
from stores.postgres_server import shared
from stores.support import postgres, postgres_of_peers

from sessions import StoredSession, now_ms
from sessions.stores.postgres import PostgresStore, users
from sessions.user_text import user_in

from .odd import LOOK_ALIKES, USERS, odd_rows, of

PATH = ("user",)
HOUR = 3_600_000
UPGRADE = Path(__file__).parent.parent / "upgrade" / "0.1.0" / "postgres.sql"


@asynccontextmanager
async def opened(store: PostgresStore, path: tuple[str, ...] = PATH) -> AsyncIterator[PostgresStore]:
    """Open a store, in which users are asked for."""
    store.users.index(path, node_peer=True)
    async with store:
        yield store


async def indexes(store: PostgresStore, url: str | None = None) -> list[str]:
    """The definitions of the valid indexes of the users."""
    async with connected(url) as other:
        rows = await other.fetch(
            "SELECT pg_get_indexdef(indexrelid) FROM pg_index WHERE indrelid = to_regclass($1) AND indisvalid",
            table(store),
        )
    return [row[0] for row in rows if "_user" in row[0]]


async def node_writes(store: PostgresStore, rows: dict[str, str]) -> list[str]:
    """Write texts with the statement of connect-pg-simple. Returns the ids of those that the column does not take."""
    refused = []
    async with connected() as node:
        for sid, text in rows.items():
            try:
                await node.execute(NODE_SET.format(table(store)), text, (now_ms() + HOUR) // 1000, sid)
            except Exception:  # noqa: BLE001 # the server's word
                refused.append(sid)
    return refused


async def found(store: PostgresStore, user: str) -> set[str]:
    """The ids of a user's sessions."""
    return {sid for sid, record in await store.users.rows(user) if user_in(record.data, PATH) == user}


TEXT = "sid varchar PRIMARY KEY, sess text NOT NULL, expire timestamp(6) NOT NULL"


def of_text(place: Path) -> PostgresStore:
    """A store with a column that may hold any text."""
    store = postgres(place)
    shared().sql(f"CREATE TABLE {table(store)} ({TEXT})")
    return store


@pytest.mark.parametrize(
    ("make", "refused"),
    [
        (postgres, set()),
        (postgres_of_peers, {"nul beside", "nul inside", "half an emoji beside", "half an emoji inside"}),
        (of_text, set()),
    ],
    ids=["json", "jsonb", "text"],
)
async def test_odd_rows_of_node_are_found_and_ended(make: Any, refused: set[str], tmp_path: Path) -> None:
    """A row that the column takes, it takes with the index there; and the right ones end."""
    async with opened(make(tmp_path)) as store:
        assert set(await node_writes(store, {sid: text for sid, (text, _) in odd_rows().items()})) == refused
        sets = {user: await found(store, user) for user in (*USERS, *LOOK_ALIKES)}
        ended = {user: set(await store.users.end(user)) for user in (*LOOK_ALIKES, *USERS)}
        left = {sid async for sid, _ in store.all()}

    expected = {user: of(user) - refused for user in (*USERS, *LOOK_ALIKES)}
    assert sets == expected
    assert ended == expected
    assert left == {sid for sid, (_, user) in odd_rows().items() if user is None} - refused


async def test_an_emoji_that_was_written_as_escapes_is_found(tmp_path: Path) -> None:
    """PHP and Python's json write it so; JSON.stringify does not."""
    text = '{"cookie":{},"user":"ada\\ud83d\\ude00"}'
    async with opened(postgres(tmp_path)) as store:
        await node_writes(store, {"a": text, "b": '{"cookie":{},"user":"ada??"}'})
        rows = await found(store, "ada\U0001f600")
        ended = [await store.users.end("ada\U0001f600"), await store.users.end("ada??")]

    assert rows == {"a"}
    assert ended == [["a"], ["b"]]


async def test_a_question_reads_the_index(tmp_path: Path) -> None:
    """Of 500 rows those of the user, by a plan for any user."""
    async with opened(postgres(tmp_path)) as store:
        await asyncio.gather(
            *(store.create(f"{n}", StoredSession(f'{{"user":"user {n}"}}', now_ms() + HOUR)) for n in range(500))
        )
        await store.users.rows("user 1")
        sql = store.users._sql
        assert sql is not None
        async with connected() as other:
            await other.execute("SET enable_seqscan = off; SET plan_cache_mode = force_generic_plan")
            await other.execute(f"PREPARE find(text[]) AS {sql.found}")
            plan = await other.fetch("EXPLAIN EXECUTE find(ARRAY['user 1'])")

    assert len(await indexes(store)) == 1
    assert sql.index in "\n".join(row[0] for row in plan)


async def test_a_table_of_0_1_0_gets_its_index() -> None:
    """No row is lost or changed."""
    url = database("users of 0.1.0")
    async with connected(url) as other:
        await other.execute(UPGRADE.read_text("utf-8"))
        before = await other.fetch("SELECT sid, sess::text, expire FROM session ORDER BY sid")
        async with opened(PostgresStore(url)) as store:
            pass
        assert await other.fetch("SELECT sid, sess::text, expire FROM session ORDER BY sid") == before

    assert len(await indexes(store, url)) == 1


async def test_a_role_without_rights_goes_on_with_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    """An old deployment's role may not make an index: users are found slowly, which the log says once."""
    shared().sql("DROP DATABASE IF EXISTS users_of_guest")
    shared().sql("DROP ROLE IF EXISTS old_guest; CREATE ROLE old_guest LOGIN")
    url = database("users_of_guest")
    async with connected(url) as owner:
        await owner.execute(TABLE_SQL)
        await owner.execute("GRANT SELECT, INSERT, UPDATE, DELETE ON session TO old_guest")
    guest = url.replace("postgres@", "old_guest@")
    async with opened(PostgresStore(guest)) as store:
        await store.create("a", StoredSession('{"user":"ada"}', now_ms() + HOUR))
        await store.create("b", StoredSession('{"user":"bob"}', now_ms() + HOUR))
        rows = await found(store, "ada")
        ended = await store.users.end("ada")

    assert [rows, ended] == [{"a"}, ["a"]]
    assert await indexes(store, url) == []
    warned = [each.getMessage() for each in caplog.records if each.levelno == logging.WARNING]
    assert len(warned) == 1
    assert "has no index of the users" in warned[0]
    assert "must be owner" in warned[0]


async def test_an_invalid_index_is_made_again(tmp_path: Path) -> None:
    """What a CREATE INDEX CONCURRENTLY leaves that was cut off."""
    async with opened(postgres(tmp_path)) as store:
        name = store.users._sql.index if store.users._sql is not None else ""
    shared().sql(f"UPDATE pg_index SET indisvalid = false WHERE indexrelid = '\"{name}\"'::regclass")
    before = await indexes(store)
    async with opened(postgres(tmp_path)):
        pass

    assert before == []
    assert len(await indexes(store)) == 1


async def test_a_large_table_gets_no_index_by_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """To make one would keep all writers waiting."""
    monkeypatch.setattr(users, "_MOST_INDEXED", 2)
    async with postgres(tmp_path) as store:
        for sid in "ab":
            await store.create(sid, StoredSession('{"user":"ada"}', now_ms() + HOUR))
    async with opened(postgres(tmp_path)) as store:
        ended = await store.users.end("ada", keep="b")

    assert ended == ["a"]
    assert await indexes(store) == []
    assert "a server does while the table has under 2 rows" in caplog.text


async def test_a_row_that_another_transaction_changes_is_waited_for(tmp_path: Path) -> None:
    """And judged as it is by then: it went to another user."""
    async with opened(postgres(tmp_path)) as store:
        for sid in "ab":
            await store.create(sid, StoredSession('{"user":"ada"}', now_ms() + HOUR))
        async with locked(store, "a", text='{"user":"bob"}'):
            ending = asyncio.ensure_future(store.users.end("ada"))
            await asyncio.sleep(0.2)
            assert not ending.done()
        ended = await ending

    assert ended == ["b"]


@pytest.mark.parametrize("path", [("passport", "user"), ("it's", "a.b", "{c}"), ("k" * 90,)])
async def test_a_path_of_any_keys_has_its_index(tmp_path: Path, path: tuple[str, ...]) -> None:
    """A name that is too long for PostgreSQL is shortened, and not by PostgreSQL."""
    text = '"ada"'
    for key in reversed(path):
        text = f'{{"{key}":{text}}}'
    async with opened(postgres(tmp_path), path) as store:
        await store.create("a", StoredSession(text, now_ms() + HOUR))
        ended = await store.users.end("ada")

    assert ended == ["a"]
    assert len(await indexes(store)) == 1
