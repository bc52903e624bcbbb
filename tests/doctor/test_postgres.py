"""PostgreSQL: each fault is made on a real server, and the table that a server makes has no findings."""

import json
import shutil
from collections.abc import Iterator
from urllib.parse import quote

import pytest
from interop.processes import missing
from stores.postgres_client import connected, database
from stores.postgres_server import Bouncer, Server, shared

from sessions import now_ms
from sessions.errors import StoreUnavailable
from sessions.store import StoredSession
from sessions.stores.postgres import PostgresStore
from sessions.stores.postgres.statements import LOCKS

from .asking import ASKED, HOUR, store

WITH_USERS = ASKED._replace(user_path=("user",))
NAME = "examined"
INDEX = "IDX_session_user_user"


def sql(command: str) -> str:
    """What psql prints of a command in the database of these tests."""
    return shared().sql(command, NAME)


@pytest.fixture(scope="module")
def place() -> str:
    """The URL of a database of these tests' own."""
    return database(NAME)


@pytest.fixture
def url(place: str) -> Iterator[str]:
    """The same, empty again, and without settings and roles of the test before."""
    sql("DROP TABLE IF EXISTS session")
    yield place
    sql(f"ALTER DATABASE {NAME} RESET ALL")


async def make(url: str) -> None:
    """Start a server, and let it make its table."""
    served = PostgresStore(url)
    served.users.index(("user",))
    async with served:
        await served.create("a", StoredSession('{"user":"ada"}', now_ms() + 48 * HOUR))


async def test_a_healthy_one_has_no_findings(url: str) -> None:
    """With living sessions, and expired ones that the next sweep deletes."""
    await make(url)
    sql("INSERT INTO session VALUES ('expired', '{}', now() - interval '1 minute')")

    assert await store(url, WITH_USERS) == {}
    assert await store(url, ASKED._replace(knows_user_key=False)) == {}


async def test_one_that_no_server_has_made_yet(url: str) -> None:
    """It is not made."""
    found = await store(url)

    assert {name: each.severity for name, each in found.items()} == {"postgres.new": "note"}
    assert sql("SELECT to_regclass('session')") == ""


TABLES = {
    "sid varchar, sess json NOT NULL, expire timestamp(6)": {"postgres.key"},
    "sid varchar PRIMARY KEY DEFERRABLE, sess json, expire timestamp(6)": {"postgres.key"},
    "sid varchar, sess json, expire timestamp(6), PRIMARY KEY (sid, expire)": {"postgres.key"},
    "sid varchar PRIMARY KEY, sess jsonb, expire timestamp(6)": {"postgres.column-type"},
    "sid text PRIMARY KEY, sess json, expire timestamptz": {"postgres.column-type"},
    "sid varchar PRIMARY KEY, sess text, expire timestamp(6)": {"postgres.column-type", "user-index.missing"},
    "sid varchar PRIMARY KEY, sess bytea, expire timestamp(6)": {"postgres.columns"},
    "sid varchar PRIMARY KEY, sess json": {"postgres.columns"},
    "sid varchar(20) PRIMARY KEY, sess json, expire timestamp(6)": {"postgres.short-sid"},
    "sid varchar(32) PRIMARY KEY, sess json, expire timestamp(6)": set(),
    "sid varchar PRIMARY KEY, sess json, expire timestamp(6), tenant text NOT NULL": {"postgres.required-column"},
    "sid varchar PRIMARY KEY, sess json, expire timestamp(6), tenant text NOT NULL DEFAULT 'x'": set(),
    "sid varchar PRIMARY KEY, sess json, expire timestamp(6), n bigint GENERATED ALWAYS AS IDENTITY": set(),
}


@pytest.mark.parametrize(("columns", "names"), TABLES.items())
async def test_a_table_that_differs_from_nodes(url: str, columns: str, names: set[str]) -> None:
    """Without a key that holds at once, with other types, or with a column that nobody fills."""
    sql(f"CREATE TABLE session ({columns})")
    if "expire " in columns:
        sql("CREATE INDEX ON session (expire)")

    found = set(await store(url, WITH_USERS))

    assert found - {"user-index.missing"} == names - {"user-index.missing"}


async def test_another_type_beside_node_is_a_warning(url: str) -> None:
    """Alone it is a note."""
    sql("CREATE TABLE session (sid text PRIMARY KEY, sess json, expire timestamp(6)); CREATE INDEX ON session (expire)")

    alone = await store(url)
    beside = await store(url, ASKED._replace(node_peer=True))

    assert [found["postgres.column-type"].severity for found in (alone, beside)] == ["note", "warning"]


async def test_a_clock_that_is_an_hour_off(url: str) -> None:
    """PostgreSQL's decides, so sessions end early, or late."""
    await make(url)

    behind = await store(url, WITH_USERS._replace(clock=lambda: now_ms() - HOUR))
    ahead = await store(url, WITH_USERS._replace(clock=lambda: now_ms() + HOUR))

    assert (set(behind), set(ahead)) == ({"clock.off"}, {"clock.off"})
    assert behind["clock.off"].severity == "fault"
    assert "60 minutes ahead of this machine's, so sessions end early" in behind["clock.off"].problem
    assert "60 minutes behind this machine's, so sessions end late" in ahead["clock.off"].problem


class TestIndexes:
    """The index of the users, and that of the expired sessions."""

    async def test_one_that_is_missing(self, url: str) -> None:
        """Somebody has dropped it, or the table has grown over the limit up to which a server makes it."""
        await make(url)
        sql(f'DROP INDEX "{INDEX}"')

        assert set(await store(url, WITH_USERS)) == {"user-index.missing"}

    async def test_one_that_is_invalid(self, url: str) -> None:
        """As a CREATE INDEX CONCURRENTLY that fails leaves it."""
        await make(url)
        sql(f"UPDATE pg_index SET indisvalid = false WHERE indexrelid = '\"{INDEX}\"'::regclass")

        assert set(await store(url, WITH_USERS)) == {"user-index.invalid"}

    @pytest.mark.parametrize("path", [("account",), ("a" * 50, "b" * 50)])
    async def test_one_of_an_older_user_key(self, url: str, path: tuple[str, ...]) -> None:
        """Under a long path its name is a digest."""
        await make(url)

        assert set(await store(url, ASKED)) == {"user-index.left"}
        found = await store(url, ASKED._replace(user_path=path))
        assert set(found) == {"user-index.left", "user-index.missing"}
        assert f'DROP INDEX "{INDEX}"' in found["user-index.left"].advice

    async def test_none_of_expired_sessions(self, url: str) -> None:
        """Each sweep reads all."""
        await make(url)
        sql('DROP INDEX "IDX_session_expire"')

        assert set(await store(url, WITH_USERS)) == {"store.expiry-index"}


async def test_a_backlog_that_grows(url: str) -> None:
    """The oldest expired session is older than ten sweeps."""
    await make(url)
    sql("INSERT INTO session SELECT 'old' || n, '{}', now() - interval '3 hours' FROM generate_series(1, 25) AS n")

    found = await store(url, WITH_USERS)

    assert set(found) == {"store.backlog"}
    assert "25 expired sessions wait to be swept, the oldest for 3 hours" in found["store.backlog"].problem


async def test_a_sweeper_that_a_stranger_has_locked(url: str) -> None:
    """A session that holds the advisory lock of the sweep, and does nothing."""
    await make(url)
    oid = sql("SELECT 'session'::regclass::oid::int")
    async with connected(url) as stranger:
        await stranger.execute(f"SET application_name = 'a stranger'; SELECT pg_advisory_lock({LOCKS}, {oid})")
        found = await store(url, WITH_USERS)

    assert set(found) == {"sweeper.stranger"}
    assert "(a stranger, idle) holds the sweeper's lock" in found["sweeper.stranger"].problem
    assert await store(url, WITH_USERS) == {}


# ---------------------------------------------------------------- rights


@pytest.fixture
def role() -> Iterator[str]:
    """A role that may do nothing yet."""
    sql("CREATE ROLE reader LOGIN")
    yield "reader"
    sql("DROP OWNED BY reader; DROP ROLE reader")


async def test_a_role_that_only_reads(url: str, role: str) -> None:
    """It lacks rights for a server, and has all other findings."""
    await make(url)
    sql(f'GRANT SELECT ON session TO {role}; DROP INDEX "IDX_session_expire"')

    found = await store(url.replace("postgres@", f"{role}@"), WITH_USERS)

    assert set(found) == {"postgres.rights", "store.expiry-index"}
    assert "reader lacks INSERT, UPDATE, DELETE" in found["postgres.rights"].problem
    assert found["postgres.rights"].advice == 'GRANT SELECT, INSERT, UPDATE, DELETE ON "session" TO "reader"'


async def test_a_role_that_may_not_even_read(url: str, role: str) -> None:
    """The rows are not asked for."""
    await make(url)

    found = await store(url.replace("postgres@", f"{role}@"), WITH_USERS)

    assert set(found) == {"postgres.rights"}
    assert "lacks SELECT, INSERT" in found["postgres.rights"].problem


async def test_a_role_that_may_not_make_the_table(url: str, role: str) -> None:
    """And there is none."""
    found = await store(url.replace("postgres@", f"{role}@"), WITH_USERS)

    assert set(found) == {"postgres.rights"}


async def test_nothing_is_changed(url: str) -> None:
    """All is asked in a transaction that only reads."""
    await make(url)
    state = "SELECT json_agg(t) FROM (SELECT xmin::text, * FROM session ORDER BY sid) AS t"
    before, objects = json.loads(sql(state)), sql("SELECT count(*) FROM pg_class")

    await store(url, WITH_USERS)

    assert (json.loads(sql(state)), sql("SELECT count(*) FROM pg_class")) == (before, objects)


# ---------------------------------------------------------------- time zones


async def test_a_zone_of_the_url_alone(url: str) -> None:
    """Others read the table's times by another one."""
    await make(url)

    found = await store(f"{url}&timezone={quote('Asia/Tokyo')}", WITH_USERS)

    assert set(found) == {"postgres.zone"}
    assert "by TimeZone Asia/Tokyo here and by UTC for a connection without our URL's" in found["postgres.zone"].problem
    assert await store(f"{url}&timezone=Etc/UTC", WITH_USERS) == {}


async def test_a_zone_of_another_role(url: str, role: str) -> None:
    """Such as Node's; of a role that does not read the table it is no matter."""
    await make(url)
    sql(f"ALTER ROLE {role} IN DATABASE {NAME} SET TimeZone = 'America/Lima'")
    no_matter = await store(url, WITH_USERS)
    sql(f"GRANT SELECT ON session TO {role}")
    found = await store(url, WITH_USERS)

    assert no_matter == {}
    assert set(found) == {"postgres.zone"}
    assert "by America/Lima for reader" in found["postgres.zone"].problem


async def test_a_zone_where_clocks_are_put_back(url: str) -> None:
    """An hour comes twice there."""
    await make(url)
    sql(f"ALTER DATABASE {NAME} SET TimeZone = 'Europe/Berlin'")

    assert set(await store(url, WITH_USERS)) == {"postgres.summer-time"}


async def test_a_column_with_a_zone_has_no_such_trouble(url: str) -> None:
    """`timestamptz` is a moment."""
    sql("CREATE TABLE session (sid varchar PRIMARY KEY, sess json, expire timestamptz)")
    sql(f"CREATE INDEX ON session (expire); ALTER DATABASE {NAME} SET TimeZone = 'Europe/Berlin'")

    assert set(await store(url)) == {"postgres.column-type"}


# ---------------------------------------------------------------- the way to the server


@pytest.mark.skipif(shutil.which("pgbouncer") is None, reason=str(missing("pgbouncer")))
async def test_a_pooler_without_the_setting_for_it(url: str) -> None:
    """With it there are no findings."""
    await make(url)
    with Bouncer(shared(), NAME, connections=2) as bouncer:
        found = await store(bouncer.url, WITH_USERS)
        by_option = await store(bouncer.url, WITH_USERS, statement_cache=0)
        by_url = await store(f"{bouncer.url}?pgbouncer=true", WITH_USERS)

    assert set(found) == {"postgres.pooler"}
    assert "statementCache = 100" in found["postgres.pooler"].problem
    assert (by_option, by_url) == ({}, {})


async def test_a_standby() -> None:
    """It takes no writes."""
    with Server() as server:
        await make(server.url)
        server.stop()
        (server.data / "standby.signal").touch()
        server.start()
        found = await store(server.url, WITH_USERS)

    assert set(found) == {"postgres.standby"}


async def test_a_server_that_is_away() -> None:
    """It is said without a password."""
    with pytest.raises(StoreUnavailable) as error:
        await store("postgresql://ada:of-the-tests@127.0.0.1:1/x", WITH_USERS)

    assert "of-the-tests" not in str(error.value)


async def test_a_wrong_password() -> None:
    """Neither is it shown."""
    with pytest.raises(Exception, match="password authentication failed") as error:
        await store(shared().url_of("a-wrong-password"), WITH_USERS)

    assert "a-wrong-password" not in str(error.value)
