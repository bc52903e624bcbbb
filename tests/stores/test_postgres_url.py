"""The URLs of PostgreSQL as providers and tools hand them out: what counts, what is dropped with a word, what is refused."""

import logging
from collections.abc import Iterator
from typing import Any

import asyncpg
import pytest

from sessions import OptionsError, open_store
from sessions.errors import StoreError
from sessions.store import StoredSession
from sessions.stores.postgres import PostgresStore, url
from sessions.stores.postgres.url import parse

from .postgres_client import connected, database
from .postgres_server import shared

HUSH = "hush-and-more"
RECORD = StoredSession("1", 4_000_000_000_000)


@pytest.fixture(autouse=True)
def _nothing_was_said_before() -> Iterator[None]:
    url._say.cache_clear()
    yield
    url._say.cache_clear()


async def settings_of(given: str, *names: str) -> list[str]:
    """What the connections of a store have."""
    async with PostgresStore(given) as store:
        rows = await store._query(f"SELECT {', '.join(f'current_setting({name!r})' for name in names)}")
    return list(rows[0])


class TestHosts:
    """Where the servers are, on every Python."""

    @pytest.mark.parametrize(
        ("hosts", "addresses"),
        [
            ("", None),
            ("db.example", [("db.example", 5432)]),
            ("db.example:6543", [("db.example", 6543)]),
            ("one:1,two:2,three", [("one", 1), ("two", 2), ("three", 5432)]),
            ("[::1]", [("::1", 5432)]),
            ("[::1]:6543,[2001:db8::1],10.0.0.1:7", [("::1", 6543), ("2001:db8::1", 5432), ("10.0.0.1", 7)]),
            ("%2Frun%2Fpostgresql", ["/run/postgresql/.s.PGSQL.5432"]),
        ],
    )
    def test_hosts_in_front_of_the_path(self, hosts: str, addresses: list[Any] | None, monkeypatch: Any) -> None:
        """Several too, and IPv6 among them, which Python 3.14 no longer takes for a host."""
        monkeypatch.delenv("PGPORT", raising=False)
        monkeypatch.delenv("PGHOST", raising=False)

        found, login = driver_reads(f"postgresql://me:{HUSH}@{hosts}/mine")

        assert found == addresses if addresses else found[0].startswith("/")
        assert (login.user, login.password, login.database) == ("me", HUSH, "mine")

    @pytest.mark.parametrize(
        ("query", "addresses"),
        [
            ("host=/run/a,/run/b", ["/run/a/.s.PGSQL.5432", "/run/b/.s.PGSQL.5432"]),
            ("host=one,two&port=1,2", [("one", 1), ("two", 2)]),
            ("host=one,two&port=7", [("one", 7), ("two", 7)]),
            ("host=::1", [("::1", 5432)]),
            ("host=one:1,[::1]:2", [("one", 1), ("::1", 2)]),
            ("host=/cloudsql/project:region:name", ["/cloudsql/project:region:name/.s.PGSQL.5432"]),
            ("hostaddr=10.0.0.1", [("10.0.0.1", 5432)]),
        ],
    )
    def test_hosts_as_a_parameter_count_first(self, query: str, addresses: list[Any], monkeypatch: Any) -> None:
        """As libpq and node-postgres have it: Cloud SQL's URL has `localhost` and the folder of a socket."""
        monkeypatch.delenv("PGPORT", raising=False)
        front = "" if "hostaddr" in query else "localhost"

        assert driver_reads(f"postgresql://me@{front}/mine?{query}")[0] == addresses

    @pytest.mark.parametrize(
        "rest",
        [
            "me@host:0/mine", "me@host:/mine", "me@one:1,two:x/mine", "me@[::1/mine", "me@[::1]x/mine", "me@one,,two/mine",
            "me@one,two/mine?port=1,2,3", "me@host/mine?port=70000", "me@host/mine?port=x", "me@/mine?host=[x",
            f"me:{HUSH}@host/mine?a", f"me@host/mine?{HUSH}=1", f"me:{HUSH}[@host:x/mine", f"me:@{HUSH}@host/mine",
        ],
    )  # fmt: skip
    def test_what_cannot_be_read_is_refused(self, rest: str) -> None:
        """Without a word of the URL."""
        with pytest.raises(OptionsError, match=r"^store: expected a URL such as postgresql://.*, but ") as caught:
            parse(f"postgresql://{rest}")

        assert HUSH not in str(caught.value)

    @pytest.mark.parametrize("password", ["a[b", "p%40ss%2Fword%25", "a%20b+c", "%C3%A9", ":::"])
    def test_a_password_reaches_the_driver_as_it_is(self, password: str) -> None:
        """Also one that Python takes for an IPv6 address."""
        assert driver_reads(f"postgresql://me:{password}@host/mine")[1].password in (
            "a[b", "p@ss/word%", "a b+c", "é", ":::",
        )  # fmt: skip


def driver_reads(given: str) -> tuple[list[Any], Any]:
    """The addresses and the login that asyncpg finds in what we hand it."""
    arguments = dict.fromkeys((
        "host", "port", "user", "password", "passfile", "database", "ssl", "service", "servicefile", "direct_tls",
        "target_session_attrs", "krbsrvname", "gsslib",
    ))  # fmt: skip
    addresses, login = asyncpg.connect_utils._parse_connect_dsn_and_args(
        dsn=parse(given).dsn, server_settings={}, **arguments
    )
    return addresses, login


class TestHonoured:
    """Parameters that count."""

    async def test_settings_reach_the_server(self) -> None:
        """Those of libpq, and any other of the server's, whatever its capitals."""
        given = f"{shared().url}&application_name=mine&options=-c%20work_mem%3D5MB&TimeZone=Asia/Tokyo&my.own=7"

        found = await settings_of(given, "application_name", "work_mem", "timezone", "my.own")

        assert found == ["mine", "5MB", "Asia/Tokyo", "7"]

    async def test_a_fallback_name_counts_where_there_is_no_other(self) -> None:
        """As in libpq."""
        names = [
            await settings_of(f"{shared().url}&fallback_application_name=a{more}", "application_name")
            for more in ("", "&application_name=b")
        ]

        assert names == [["a"], ["b"]]

    async def test_prismas_schema_is_where_the_table_is(self) -> None:
        """Unless the option says otherwise."""
        given = database("prisma")
        async with connected(given) as owner:
            await owner.execute("CREATE SCHEMA app; CREATE SCHEMA sessions")
        async with PostgresStore(f"{given}&schema=app"), PostgresStore(f"{given}&schema=app", schema="sessions"):
            pass
        async with connected(given) as owner:
            found = await owner.fetch("SELECT schemaname FROM pg_tables WHERE tablename = 'session' ORDER BY 1")

        assert [row[0] for row in found] == ["app", "sessions"]

    async def test_a_schema_of_the_url_is_checked(self) -> None:
        """As the option is."""
        with pytest.raises(OptionsError, match="schema"):
            PostgresStore(f"postgresql://me@host/mine?schema={'x' * 64}")

    @pytest.mark.parametrize(
        ("query", "prepared"), [("", 100), ("&pgbouncer=true", 0), ("&pgbouncer=false", 100), ("&statement_cache_size=7", 7)]
    )  # fmt: skip
    async def test_prismas_words_for_pgbouncer_count(self, query: str, prepared: int) -> None:
        """No statement is prepared and nothing is set for a connection, as with `statementCache = 0`."""
        async with PostgresStore(f"{shared().url}{query}", table="of prisma") as store:
            settings = store._connections._settings
            limit = await store._query("SELECT current_setting('enable_seqscan')")
            await store.set("a", RECORD)

        assert settings.statement_cache == prepared
        assert limit[0][0] == "off"

    def test_connect_timeout_counts_if_it_is_shorter(self) -> None:
        """In seconds; 0 and less mean none, in libpq too."""
        found = [parse(f"postgresql://h/d?connect_timeout={each}").connect_timeout for each in (2, 0, -1)]

        assert found == [2, None, None]

    def test_the_systems_authorities_are_trusted(self) -> None:
        """`sslrootcert=system`, which asyncpg takes for a file's name: the server's name is checked."""
        found = parse("postgresql://h/d?sslrootcert=system&sslmode=verify-full")
        tls = found.tls()

        assert "ssl" not in found.dsn
        assert tls is not None
        assert tls.check_hostname
        with pytest.raises(OptionsError, match="sslrootcert=system needs sslmode=verify-full"):
            parse("postgresql://h/d?sslrootcert=system&sslmode=require")

    @pytest.mark.parametrize(
        "query",
        [
            "sslmode=verify-ca&sslrootcert=/nowhere.pem",
            "sslmode=require&sslcert=/nowhere.pem&sslkey=/nowhere.pem",
            "sslrootcert=system&sslcert=/nowhere.pem&sslkey=/nowhere.pem",
            "sslrootcert=system&sslcert=/dev/null",
        ],
    )
    async def test_a_wrong_file_of_a_certificate_is_the_stores_error(self, query: str) -> None:
        """At the start, whether the driver reads the file or the store does."""
        store = PostgresStore(f"{shared().tcp_url}?{query}")

        with pytest.raises(StoreError, match=r"No such file|\[SSL\]"):
            await store.__aenter__()


DROPPED = {
    "channel_binding=prefer": "asyncpg cannot",
    "channel_binding=require": "asyncpg cannot do it; sslmode=verify-full has the server prove who it is",
    "gssencmode=disable": "asyncpg cannot",
    "gssencmode=prefer": "asyncpg cannot",
    "keepalives=1": "asyncpg cannot",
    "keepalives_idle=30": "asyncpg cannot",
    "keepalives_interval=10&keepalives_count=3": "asyncpg cannot",
    "tcp_user_timeout=1000": "asyncpg cannot",
    "load_balance_hosts=random": "asyncpg cannot",
    "sslsni=1": "asyncpg cannot",
    "hostaddr=127.0.0.1": "asyncpg cannot",
    "client_encoding=LATIN1": "it is always UTF8",
    "default_transaction_isolation=serializable": "it is always read committed",
    "statement_timeout=1": "[postgres] timeout says it",
    "LOCK_TIMEOUT=1": "[postgres] timeout says it",
    "connection_limit=1": "[postgres] pool says it",
    "pool_timeout=0&socket_timeout=3": "[postgres] timeout says it",
    "sslaccept=accept_invalid_certs": "asyncpg cannot",
    "uselibpqcompat=true": "asyncpg cannot",
}


@pytest.mark.parametrize("query", DROPPED)
async def test_what_the_driver_cannot_honour_is_dropped_with_a_word(query: str, caplog: Any) -> None:
    """One for each, in which the value is not; the store works."""
    async with PostgresStore(f"{shared().url}&{query}", table="of providers") as store:
        await store.set("a", RECORD)
        found = await store.get("a")

    assert found is not None
    said = [record.getMessage() for record in caplog.records if record.name == "sessions"]
    names = [each.partition("=")[0] for each in query.split("&")]
    assert said == [
        f"[session] store: the URL's {name} is dropped: {said[n].partition('dropped: ')[2]}"
        for n, name in enumerate(names)
    ]
    assert DROPPED[query] in said[0]


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("ssl_mode", "; did you mean sslmode?"), ("aplication_name", "; did you mean application_name?"),
        ("sslrootcrt", "; did you mean sslrootcert?"), ("xyzzy", ""), ("target_session_attr", "; did you mean target_"),
    ],
)  # fmt: skip
def test_what_nobody_knows_is_named(name: str, hint: str, caplog: Any) -> None:
    """It may be a setting of the server's. It is said once, however often the store is made."""
    stores = [open_store(f"postgresql://me@host/mine?{name}={HUSH}") for _ in range(3)]

    (said,) = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    assert len(stores) == 3
    assert said.startswith(f"[session] store: the URL's {name} goes to the server as a setting")
    assert hint in said
    assert HUSH not in said


async def test_what_the_server_does_not_know_either_is_an_error_at_the_start() -> None:
    """In its own words."""
    with pytest.raises(StoreError, match='unrecognized configuration parameter "xyzzy"'):
        await PostgresStore(f"{shared().url}&xyzzy=1").__aenter__()


NONSENSE = {
    "sslmode": ("nonsense", "verify_full", "no-verify", "REQUIRE"),
    "target_session_attrs": ("primary-or-so", "read_write"),
    "sslnegotiation": ("sometimes",),
    "ssl_min_protocol_version": ("SSLv3", "1.2"),
    "channel_binding": ("yes",),
    "gssencmode": ("on",),
    "keepalives": ("true",),
    "keepalives_idle": ("30s",),
    "connect_timeout": ("ten", "1.5"),
    "pgbouncer": ("1",),
    "statement_cache_size": ("none", "-1"),
    "connection_limit": ("many",),
    "load_balance_hosts": ("yes",),
}
"""Values that a parameter cannot have."""


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, values in NONSENSE.items() for value in values])
def test_a_nonsense_value_is_refused(name: str, value: str) -> None:
    """When the store is made, by its name and what was expected."""
    with pytest.raises(OptionsError, match=rf"{name}|statementCache") as caught:
        open_store(f"postgresql://me:{HUSH}@host/mine?{name}={value}")

    assert "expected" in str(caught.value)
    assert HUSH not in str(caught.value)


@pytest.mark.parametrize(
    "query",
    ["gssencmode=require", "requirepeer=postgres", "require_auth=scram-sha-256", "sslcrldir=/etc/crl", "sslaccept=strict",
     "sslcertmode=require", "requiressl=1", "ssl=true"],
)  # fmt: skip
def test_a_demand_that_dropping_would_break_is_refused(query: str) -> None:
    """A connection that is less than was asked for is not made."""
    name = query.partition("=")[0]

    with pytest.raises(OptionsError, match=f"^store: the URL's {name}: asyncpg cannot do what it demands"):
        open_store(f"postgresql://me@host/mine?{query}")
