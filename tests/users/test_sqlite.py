"""How SQLite finds a user: its index over rows that Node wrote, a file that has none yet, and a file that is large."""

import logging
import shutil
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path

import pytest
from clock import MINUTE, START, MovableClock
from stores.support import locked, node_writes, query, until

from sessions import SessionManager, SessionOptions, StoredSession
from sessions.config import ConfigFile
from sessions.store import Limit, users
from sessions.stores.sqlite import SQLiteStore, file
from sessions.stores.sqlite.user_statements import UserStatements
from sessions.user_text import UserPlace, user_in

from .odd import LOOK_ALIKES, USERS, odd_rows, of

PATH = ("user",)
UPGRADE = Path(__file__).parent.parent / "upgrade" / "0.1.0" / "sessions.db"
INDEX, _ = UserStatements(UserPlace(PATH)).index


@asynccontextmanager
async def opened(
    database: Path, clock: MovableClock | None = None, path: tuple[str, ...] = PATH
) -> AsyncIterator[SQLiteStore]:
    """Open a file, in which users are asked for."""
    store = SQLiteStore(database, busy_timeout=100) if clock is None else SQLiteStore(database, clock=clock)
    store.users.index(path, node_peer=True)
    async with store:
        yield store


def has_index(database: Path, name: str = INDEX) -> bool:
    """Whether the file has the index, as another process sees it."""
    return bool(query(database, "SELECT 1 FROM sqlite_master WHERE type = 'index' AND name = ?", name))


async def found(store: SQLiteStore, user: str) -> set[str]:
    """The ids of a user's sessions."""
    return {sid for sid, record in await store.users.rows(user) if user_in(record.data, PATH) == user}


@pytest.fixture
def database(tmp_path: Path) -> Path:
    """Where the file is."""
    return tmp_path / "sessions.db"


@pytest.mark.parametrize("is_indexed", [True, False])
async def test_odd_rows_of_node_are_found_and_ended(
    database: Path, clock: MovableClock, is_indexed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The right ones, whatever SQLite can read of them, and with no index as well."""
    if not is_indexed:
        monkeypatch.setattr(file, "MOST_INDEXED", 0)
    async with opened(database, clock) as store:
        node_writes(database, *((sid, START + MINUTE, text) for sid, (text, _) in odd_rows().items()))
        sets = {user: await found(store, user) for user in (*USERS, *LOOK_ALIKES)}
        ended = {user: set(await store.users.end(user)) for user in (*LOOK_ALIKES, *USERS)}
        left = {sid for sid, _ in query(database, "SELECT sid, 1 FROM sessions")}

    expected = {user: of(user) for user in (*USERS, *LOOK_ALIKES)}
    assert has_index(database) is is_indexed
    assert sets == expected
    assert ended == expected
    assert left == {sid for sid, (_, user) in odd_rows().items() if user is None}


@pytest.mark.parametrize(
    ("text", "entry"),
    [
        ('{"user":"ada"}', "ada"),
        ('{"user":"ad\\u00e9"}', "ad\u00e9"),
        (f'{{"user":7,"x":{[1] * 1_500}}}', "7"),
        (f'{{"user":"ada","x":"{"[{" * 499}"}}', "ada"),
        ('{"user":"ada\\u0000"}', ""),  # "ada" in 3.40
        ('{"us\\u0065r":"ada"}', ""),  # "ada" in 3.54
        (f'{{"user":"ada","x":{"[" * 1_500 + "]" * 1_500}}}', ""),  # "ada" in 3.40
        (f'{{"user":{2**64}}}', None),  # 1.84467440737096e+19 in 3.40, 1.8446744073709552e+19 in 3.54
    ],
)
def test_every_sqlite_has_the_same_entry_in_the_index(database: Path, text: str, entry: str | None) -> None:
    """Or a row that Node's has written could not be changed by ours: the database disk image is malformed."""
    expression = UserStatements(UserPlace(PATH)).index[1].partition(" ON sessions (")[2].partition(") WHERE ")[0]

    assert query(database, f"SELECT {expression} FROM (SELECT ? AS sess)", text) == [(entry,)]


async def test_the_index_holds_what_lives_once_swept(database: Path, clock: MovableClock) -> None:
    """Sessions made, expired, revoked, moved, and replaced by Node."""
    async with opened(database, clock) as store:
        records = {
            n: StoredSession(f'{{"user":"user {n % 50}"}}', START + (MINUTE if n % 3 else 5)) for n in range(3_000)
        }
        made = {n: await store.create(f"{n}", record) for n, record in records.items()}
        for n in range(0, 3_000, 7):
            expected = made[n]
            assert expected is not None
            await store.rename(f"{n}", f"new {n}", records[n], expected, StoredSession('{"cookie":{}}', START + MINUTE))
        node_writes(database, *((f"{n}", START + MINUTE, '{"user":"node"}') for n in range(0, 3_000, 11)))
        await store.users.end("user 7")
        clock.advance(5)
        await store.sweep(9_999)
        user = "json_extract(sess, '$.user')"
        living = query(database, f"SELECT count(*) FROM sessions WHERE {user} IS NOT NULL")
        with closing(sqlite3.connect(database)) as other:
            entries = other.execute("SELECT count(*) FROM sessions WHERE " + _expression() + " IS NOT NULL").fetchall()
            checked = other.execute("PRAGMA integrity_check").fetchall()

    assert entries == living
    assert checked == [("ok",)]
    assert count_of(database, "user 7") == 0


def _expression() -> str:
    return UserStatements(UserPlace(PATH)).index[1].partition("ON sessions (")[2].partition(") WHERE")[0]


def count_of(database: Path, user: str) -> int:
    """How many rows of a user there are."""
    ((count,),) = query(database, "SELECT count(*) FROM sessions WHERE json_extract(sess, '$.user') = ?", user)
    return int(count)


async def test_a_file_of_0_1_0_gets_its_index(tmp_path: Path) -> None:
    """When it is opened; no row is lost or changed."""
    database = Path(shutil.copy(UPGRADE, tmp_path))
    before = query(database, "SELECT * FROM sessions ORDER BY sid")
    async with opened(database):
        pass

    assert has_index(database)
    assert query(database, "SELECT * FROM sessions ORDER BY sid") == before


async def test_the_index_is_made_before_a_fork_where_a_file_configures_it(tmp_path: Path) -> None:
    """`prepare` makes it, as it makes the table."""
    database = tmp_path / "sessions.db"
    (tmp_path / "config.toml").write_text(
        f'[session]\nsecret = "{"s" * 40}"\nstore = "sqlite:{database}"\nuserKey = "passport.user"\n'
    )
    store = ConfigFile(tmp_path / "config.toml").config(exposed=False).open_store()
    assert isinstance(store, SQLiteStore)
    store.prepare()

    assert has_index(database, UserStatements(UserPlace(("passport", "user"))).index[0])


async def test_an_index_that_is_asked_for_late_is_made_when_it_is_needed(database: Path) -> None:
    """A manager is made after its store was opened, as a rule."""
    async with SQLiteStore(database) as store:
        store.users.index(PATH)
        before = has_index(database)
        await store.users.rows("ada")

    assert [before, has_index(database)] == [False, True]


async def test_a_manager_of_an_open_store_has_the_index_made(database: Path) -> None:
    """Without a question for a user: the table may be large before the first one comes."""
    async with SQLiteStore(database) as store:
        manager = SessionManager(store, SessionOptions(secret="s" * 40, user_key="user"))
        await until(lambda: has_index(database))
        await manager.close()

    assert has_index(database)


async def test_a_large_file_gets_no_index_and_a_warning_once(
    database: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Everything works without, and slowly: to make it would keep all writers waiting."""
    monkeypatch.setattr(file, "MOST_INDEXED", 3)
    async with SQLiteStore(database) as store:
        for n in range(3):
            await store.create(f"{n}", StoredSession('{"user":"ada"}', 9 * 10**15))
    async with opened(database) as store:
        sign_in = await store.users.sign_in(
            Limit("ada", 2, refuses=False), "new", StoredSession('{"user":"ada"}', 9 * 10**15)
        )
        ended = await store.users.end("ada")

    assert not has_index(database)
    assert len(sign_in.ended) == 2
    assert len(ended) == 2
    warned = [each.getMessage() for each in caplog.records if each.levelno == logging.WARNING]
    assert len(warned) == 1
    assert "has no index of the users" in warned[0]


async def test_an_index_that_somebody_drops_is_not_missed(database: Path) -> None:
    """The next question makes it again."""
    async with opened(database) as store:
        await store.create("a", StoredSession('{"user":"ada"}', 9 * 10**15))
        await store.users.rows("ada")
        query(database, f'DROP INDEX "{INDEX}"')
        rows = await store.users.rows("ada")
        query(database, f'DROP INDEX "{INDEX}"')
        ended = await store.users.end("ada")

    assert [sid for sid, _ in rows] == ["a"]
    assert ended == ["a"]
    assert has_index(database)


async def test_a_file_that_is_locked_while_it_is_opened_is_opened(database: Path) -> None:
    """It has no index then, and works."""
    async with SQLiteStore(database):
        pass
    with locked(database):
        async with opened(database) as store:
            rows = await store.users.rows("ada")

    assert rows == []


@pytest.mark.parametrize("path", [("a b",), ("passport", "user"), ("it's", "a.b", "{c}"), ("ü",)])
async def test_a_path_of_any_keys_has_its_index(database: Path, path: tuple[str, ...]) -> None:
    """Its statements use it, or they would fail."""
    text: object = '"ada"'
    for key in reversed(path):
        text = f'{{"{key}":{text}}}'
    async with opened(database, path=path) as store:
        await store.create("a", StoredSession(str(text), 9 * 10**15))
        rows = [sid for sid, _ in await store.users.rows("ada")]
        ended = await store.users.end("ada")

    assert [rows, ended] == [["a"], ["a"]]
    assert has_index(database, UserStatements(UserPlace(path)).index[0])


async def test_a_question_reads_the_index_and_not_the_table(database: Path) -> None:
    """Of rows that SQLite can read, the user's alone."""
    async with opened(database):
        plan = query(database, f"EXPLAIN QUERY PLAN {UserStatements(UserPlace(PATH)).found(1)}", 1, "ada")

    assert [row[3] for row in plan] == [f"SEARCH sessions USING INDEX {INDEX} (<expr>=?)"]


async def test_the_power_is_the_stores(database: Path) -> None:
    """And of nobody who asks for none there is no index."""
    async with SQLiteStore(database) as store:
        await store.create("a", StoredSession("{}", 9 * 10**15))

        power: object = store.users
        assert users(store) is power
    assert not has_index(database)
