"""`index` makes the index of the users on a table that is too large for a server to make it."""

import asyncio
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from interop.processes import wait_until
from stores.postgres_server import shared as shared_postgres

from sessions import OptionsError
from sessions.cli.target import Target
from sessions.stores.postgres import users as postgres_users
from sessions.stores.sqlite import file as sqlite_file
from sessions.stores.sqlite.user_statements import UserStatements

from .support import SECONDS, Place, table_of


@pytest.fixture
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every table is too large to get its index by itself."""
    monkeypatch.setattr(postgres_users, "_MOST_INDEXED", 0)
    monkeypatch.setattr(sqlite_file, "MOST_INDEXED", 0)


@pytest.fixture(params=["sqlite", "postgres"])
def large(request: pytest.FixtureRequest, tmp_path: Path, _small: None) -> Place:
    """A store without an index of its users, with two sessions."""
    place = Place(request.param, tmp_path)
    place.put_all([("ada", None, {}), ("bob", None, {})])
    assert indexes(place) == []
    return place


def indexes(place: Place) -> list[str]:
    """The indexes of users that the table has; an invalid one is named so."""
    if place.kind == "sqlite":
        with closing(sqlite3.connect(place.folder / "sessions.db")) as file:
            return [row[0] for row in file.execute("SELECT name FROM sqlite_master WHERE name LIKE 'sessions_user%'")]
    found = shared_postgres().sql(f"""
        SELECT CASE WHEN i.indisvalid THEN c.relname ELSE 'invalid' END FROM pg_index AS i
        JOIN pg_class AS c ON c.oid = i.indexrelid
        WHERE i.indrelid = '"{table_of(place.folder)}"'::regclass AND c.relname LIKE '%user%'
    """)
    return found.splitlines()


def test_an_index_is_made_that_servers_use(large: Place, caplog: pytest.LogCaptureFixture) -> None:
    """Its name carries the path. A store that opens afterwards misses none."""
    ran = large.run("index", "--json")

    assert (ran.code, ran.json) == (0, {"made": True})
    (name,) = indexes(large)
    assert name.endswith("_user_username")
    caplog.clear()
    listed = large.run("list", "--user", "ada", "--json")
    assert len(listed.json["sessions"]) == 1
    assert caplog.messages == []


def test_an_index_that_is_there_is_left(large: Place) -> None:
    """Unless it is to be made again."""
    large.run("index")

    again, rebuilt = large.run("index"), large.run("index", "--rebuild", "--json")

    assert (again.code, "is there" in again.out) == (0, True)
    assert (rebuilt.code, rebuilt.json) == (0, {"made": True})
    assert len(indexes(large)) == 1


@pytest.mark.usefixtures("_small")
def test_an_index_of_postgres_that_was_left_invalid_is_made_again(tmp_path: Path) -> None:
    """As a CREATE INDEX CONCURRENTLY leaves it that failed or was ended."""
    place = Place("postgres", tmp_path)
    place.run("index")
    shared_postgres().sql(
        f"""UPDATE pg_index SET indisvalid = false WHERE indexrelid =
            '"IDX_{table_of(tmp_path)}_user_username"'::regclass"""
    )
    assert indexes(place) == ["invalid"]

    ran = place.run("index", "--json")

    assert ran.json == {"made": True}
    assert indexes(place) == [f"IDX_{table_of(tmp_path)}_user_username"]


@pytest.mark.usefixtures("_small")
def test_two_processes_do_not_make_it_at_once_in_postgres(tmp_path: Path) -> None:
    """The second is sent away, and nothing is left of it."""
    place = Place("postgres", tmp_path)

    async def both(store: Any) -> Any:
        async with store._connections.apart() as other:
            sql = store.users._statements()
            assert await other.fetchval(sql.lock_index)
            return await asyncio.to_thread(place.process, "index")

    ran = place.within(both)

    assert (ran.code, ran.out) == (1, "")
    assert "another process makes the index" in ran.err
    assert place.run("index", "--json").json == {"made": True}


@pytest.mark.usefixtures("_small")
def test_postgres_writes_while_the_index_is_made(tmp_path: Path) -> None:
    """It waits for a transaction that is open, and others write meanwhile; the role's limit of time does not end it."""
    place = Place("postgres", tmp_path)
    place.put("ada")

    def is_waiting() -> bool:
        """Whether the making waits for the transaction; asked outside of it, which sees what it has seen before."""
        asked = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%CONCURRENTLY%'"
        return shared_postgres().sql(asked) != "0"

    async def act(store: Any) -> str:
        async with store._connections.apart() as other:
            await other.execute(f'BEGIN; LOCK TABLE "{table_of(tmp_path)}" IN ROW EXCLUSIVE MODE')
            making = asyncio.create_task(store.users.make_index(rebuild=False, progress=lambda _done, _all: None))
            await asyncio.to_thread(wait_until, is_waiting, SECONDS)
            sid = "written-meanwhile"
            record = await store.get(place.ids[0])
            await store.set(sid, record)
            await other.execute("COMMIT")
            assert await making
            return str((await store.get(sid)).data)

    assert '"ada"' in place.within(act)
    assert place.run("list", "--user", "ada", "--json").json["sessions"][1]


def test_pgbouncer_in_between_is_refused(tmp_path: Path) -> None:
    """It would give the lock's connection to somebody else."""
    place = Place("postgres", tmp_path)
    place.config.write_text(place.config.read_text() + "\nstatementCache = 0")

    async def make(store: Any) -> None:
        with pytest.raises(OptionsError, match=r"statementCache: .*PostgreSQL itself"):
            await store.users.make_index(rebuild=True, progress=lambda _done, _all: None)

    place.within(make)
    assert place.run("index", "--rebuild").code == 2


def test_a_column_text_gets_no_index(tmp_path: Path) -> None:
    """What is in it may be no JSON."""
    shared_postgres().sql(
        f'CREATE TABLE "{table_of(tmp_path)}" (sid text PRIMARY KEY, sess text NOT NULL, expire timestamp NOT NULL)'
    )
    place = Place("postgres", tmp_path)

    ran = place.run("index")

    assert ran.code == 2
    assert "the column sess is text" in ran.err


def test_redis_has_none_to_make(tmp_path: Path) -> None:
    """It keeps a set for each user."""
    ran, document = (Place("redis", tmp_path).run("index", *json) for json in ([], ["--json"]))

    assert (ran.code, document.json) == (0, {"made": False})
    assert "no index to make" in ran.out


def test_without_a_user_key_there_is_nothing_to_index(sqlite: Callable[..., Place]) -> None:
    """It says what to give."""
    place = sqlite()
    place.config.write_text(place.config.read_text().replace("userKey", "# userKey"))

    for ran in (place.run("index"), place.process("index", env={"SESSION_STORE": "sqlite:sessions.db"})):
        assert ran.code == 2
        assert "userKey: is not set" in ran.err


@pytest.mark.usefixtures("_small")
def test_the_index_of_sqlite_is_used_by_servers_that_run(sqlite: Callable[..., Place]) -> None:
    """They have found none at their start; SQLite finds it."""
    place = sqlite()
    place.put("ada")

    async def act(store: Any) -> list[Any]:
        assert len(await store.users.rows("ada")) == 1
        await asyncio.to_thread(place.process, "index")
        assert len(await store.users.rows("ada")) == 1
        question = UserStatements(("username",), uses_index=store.users._has_index).found(1)
        return [row[3] for row in await store._query(f"EXPLAIN QUERY PLAN {question}", 0, "ada")]

    assert "sessions_user_username" in " ".join(place.within(act))


def test_a_target_says_what_it_makes(sqlite: Callable[..., Place]) -> None:
    """The store of a command makes no index by itself, on a small table either."""
    place = sqlite()
    with closing(sqlite3.connect(place.folder / "sessions.db")) as file:
        file.execute("DROP INDEX sessions_user_username")

    async def ask() -> int:
        async with Target.of_file(place.config).open(reads=True) as store:
            return len(await store.users.rows("ada"))  # type: ignore[attr-defined] # SQLiteStore has the power

    assert asyncio.run(ask()) == 0
    assert indexes(place) == []
