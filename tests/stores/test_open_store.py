"""The way from a URL to a store: what each names, and what is said of one that names none."""

import asyncio
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from clock import MovableClock

from sessions import open_store
from sessions.errors import OptionsError, StoreUnavailable
from sessions.store import StoredSession, sweepable
from sessions.stores.memory import MemoryStore
from sessions.stores.postgres import PostgresStore
from sessions.stores.redis import RedisStore
from sessions.stores.sqlite import SQLiteStore

from .support import LATER

ROOT = Path(__file__).parents[2]


def test_memory() -> None:
    """`memory:` is a dict in this process, a new one each time."""
    one, two = open_store("memory:"), open_store("memory:")

    assert type(one) is MemoryStore
    assert one is not two


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("sqlite:sessions.db", "sessions.db"),
        ("sqlite:./sessions.db", "sessions.db"),
        ("sqlite:data/sessions.db", "data/sessions.db"),
        ("sqlite:../sessions.db", "../sessions.db"),
        ("sqlite://sessions.db", "sessions.db"),
        ("sqlite:/var/lib/sessions.db", "/var/lib/sessions.db"),
        ("sqlite:///var/lib/sessions.db", "/var/lib/sessions.db"),
        ("sqlite:with space é.db", "with space é.db"),
    ],
)
def test_sqlite_paths(url: str, path: str) -> None:
    """Relative to the working folder, or absolute with one slash, or with three as in a file URL."""
    store = open_store(url)

    assert type(store) is SQLiteStore
    assert store.path == Path(path)


@pytest.mark.parametrize(
    ("url", "meant"),
    [
        ("sqlite:///sessions.db", "sqlite:sessions.db"),
        ("sqlite:///./sessions.db", "sqlite:sessions.db"),
        ("sqlite:///my sessions.sqlite3", "sqlite:my sessions.sqlite3"),
        ("sqlite:///instance/sessions.db", "sqlite:instance/sessions.db"),
    ],
)
def test_a_relative_path_in_the_spelling_of_others_is_refused(folder: Path, url: str, meant: str) -> None:
    """SQLAlchemy's three slashes would make a file in the root folder, or look for a folder there that is here."""
    (folder / "instance").mkdir()

    with pytest.raises(OptionsError, match=f"^store: .* the one in the working folder is {re.escape(meant)} "):
        open_store(url)


def test_an_absolute_path_is_never_taken_for_a_relative_one(folder: Path) -> None:
    """Neither if its folder is there, nor with one slash, nor with SQLAlchemy's four."""
    (folder / "data").mkdir()
    for url, path in (
        (f"sqlite://{folder}/data/s.db", f"{folder}/data/s.db"),
        ("sqlite:/s.db", "/s.db"),
        ("sqlite:////s.db", "//s.db"),
    ):
        store = open_store(url)

        assert isinstance(store, SQLiteStore)
        assert store.path == Path(path)


async def test_what_it_names_is_where_sessions_go(tmp_path: Path, clock: MovableClock) -> None:
    """The file is made when the store is opened, not before; options reach the store."""
    url = f"sqlite:{tmp_path}/here.db"
    store = open_store(url, durability="normal", busy_timeout=50, clock=clock)
    assert list(tmp_path.iterdir()) == []  # noqa: ASYNC240 # nobody else is on the loop

    async with store:
        await store.create("a", StoredSession("x", clock() + 1))
    async with open_store(url, clock=clock) as again:
        assert await again.get("a") == StoredSession("x", clock() + 1)
        clock.forward(1)
        assert await again.get("a") is None


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("sqllite:sessions.db", "did you mean store: sqlite?"),
        ("SQLite:sessions.db", "sqlite"),
        ("memry:", "did you mean store: memory?"),
        ("mysql:x", "mysql"),
        (":x", "no such store"),
        ("sessions.db", "expected a URL such as sqlite:sessions.db or memory:, got 'sessions.db'"),
        ("", "expected a URL such as sqlite:sessions.db or memory:, got ''"),
        ("memory", "expected a URL such as sqlite:sessions.db or memory:, got 'memory'"),
        ("memory:x", "memory: takes no path, got 'memory:x'"),
        ("sqlite:", "expected sqlite:PATH, got 'sqlite:'"),
        ("sqlite://", "expected sqlite:PATH, got 'sqlite://'"),
        ("sqlite:x.db?mode=ro", "expected sqlite:PATH, got 'sqlite:x.db?mode=ro'"),
        ("sqlite:x.db#y", "expected sqlite:PATH, got 'sqlite:x.db#y'"),
        ("sqlite::memory:", "memory:"),
        ("sqlite://[x", "sqlite"),
    ],
)
def test_a_url_that_names_no_store_is_refused(url: str, words: str) -> None:
    """In words that name the option, what was expected, and the nearest that there is."""
    with pytest.raises(OptionsError, match=f"^store: .*{re.escape(words)}"):
        open_store(url)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql://me:hush@db.example:5433/mine", "postgresql://db.example:5433/mine"),
        ("postgres://me@[::1]/mine?password=hush&sslmode=require", "postgresql://[::1]/mine"),
        ("postgresql:///mine?host=/run/postgresql", "postgresql:///mine"),
        ("postgresql://one:1,two:2/mine?target_session_attrs=read-write", "postgresql://one:1,two:2/mine"),
    ],
)
async def test_postgresql(url: str, shown: str) -> None:
    """A database by its URL, in both spellings; nothing is connected yet, and nothing said of it shows a password."""
    store = open_store(url)

    assert type(store) is PostgresStore
    with pytest.raises(StoreUnavailable, match=f"^{re.escape(shown)}: the store was never opened; "):
        await store.get("a")
    assert "hush" not in repr(store)


@pytest.mark.parametrize(
    "url",
    [
        "postgresql:", "postgresql:mine", "postgres:/me:hush@host/mine", "postgresql://me:hush@host:port/mine",
        "postgresql://me:hush@host:70000/mine", "postgresql://me:hush@[host/mine", "postgresql://me:hu@sh@host/mine",
        "postgresql://me:hu#sh@host/mine", "postgresql://me:hush@host/mine#hush", "postgresql://me@host/mine?hush",
        "postgresql://one:1,me:hush@two:x/mine", "postgresql://me:hu/sh@host/mine", "postgresql://me:1/hush@host/mine",
    ],
)  # fmt: skip
def test_a_wrong_postgresql_url_is_not_shown(url: str) -> None:
    """Wherever in it the password is: the message says how such a URL is written, and what is wrong."""
    with pytest.raises(OptionsError, match=r"^store: expected a URL such as postgresql://") as caught:
        open_store(url)

    assert "hu" not in str(caught.value)
    assert caught.value.__context__ is None or "hu" not in str(caught.value.__context__)


def test_a_store_without_its_driver_says_which_extra_has_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Drivers are extras: the error for a store without its driver says what to install."""
    for name in ("", ".store", ".connections"):
        monkeypatch.delitem(sys.modules, f"sessions.stores.postgres{name}")
    monkeypatch.setitem(sys.modules, "asyncpg", None)

    with pytest.raises(OptionsError, match=r"^store: postgresql: needs the package asyncpg.*\[postgres\]"):
        open_store("postgresql://host/mine")


@pytest.mark.parametrize(
    ("url", "place"),
    [
        ("redis://localhost", "redis at localhost:6379"),
        ("redis://localhost/", "redis at localhost:6379"),
        ("redis://user:secret@10.0.0.1:7000/3", "redis at 10.0.0.1:7000"),
        ("redis://:secret@[::1]:7000", "redis at [::1]:7000"),
        ("redis://:p%40ss%2Fword@localhost", "redis at localhost:6379"),
        ("rediss://localhost?ssl_ca_certs=/etc/ca.pem&ssl_check_hostname=false", "redis at localhost:6379"),
        ("valkey://localhost", "redis at localhost:6379"),
        ("valkeys://localhost:1", "redis at localhost:1"),
        ("unix:///run/redis.sock", "redis at /run/redis.sock"),
        ("unix://user:secret@/run/redis.sock?db=2", "redis at /run/redis.sock"),
        ("redis+sentinel://a,b:7000/main", "redis sentinel a:26379, b:7000"),
        ("rediss+sentinel://u:secret@a/main/5?sentinel_password=secret", "redis sentinel a:26379"),
        ("redis+cluster://a,b:7000,[::1]", "redis cluster a:6379, b:7000, [::1]:6379"),
        ("valkeys+cluster://:secret@a", "redis cluster a:6379"),
    ],
)
def test_redis_urls(url: str, place: str) -> None:
    """One server, a socket, Sentinel, a cluster; what errors will name is without user and password."""
    store = open_store(url)

    assert type(store) is RedisStore
    assert store.name == place


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("redis:", "expected redis://[user:password@]host[:port][/db]"),
        ("redis:localhost", "expected redis://"),
        ("redis://", "expected redis://"),
        ("redis://u:secret@", "expected redis://"),
        ("redis://u:secret@h:port", "expected redis://"),
        ("redis://u:secret@h:", "expected redis://"),
        ("redis://u:secret@h:70000", "expected redis://"),
        ("redis://u:secret@[h", "expected redis://"),
        ("redis://u:secret@h/first", "db is a number"),
        ("redis://u:secret@h/1/2", "expected redis://"),
        ("redis://u:secret@a,b", "expected redis://"),
        ("redis://u:secret@h#x", "expected redis://"),
        ("redis://u:secret@h?db=1", "redis:// takes no ?db"),
        ("rediss://u:secret@h?ssl_ca_cert=x", "did you mean store: ssl_ca_certs?"),
        ("rediss://u:secret@h?ssl_cert_reqs=maybe", "ssl_cert_reqs: expected required or optional or none"),
        ("rediss://u:secret@h?ssl_keyfile=", "ssl_keyfile: expected a value"),
        ("unix:", "expected unix:///path/to/socket"),
        ("unix://secret/socket", "expected unix:///path/to/socket"),
        ("unix:///s?db=x&password=secret", "db"),
        ("redis+sentinel://u:secret@h", "the service is missing"),
        ("redis+sentinel://u:secret@h/", "the service is missing"),
        ("redis+sentinel://u:secret@h/main/x", "db is a number"),
        ("redis+cluster://u:secret@h/0", "expected redis+cluster://"),
        ("redis+cluster://u:secret@h,", "expected redis+cluster://"),
        ("redis+sentinal://u:secret@h/main", "did you mean store: redis+sentinel?"),
        ("reddis://u:secret@h", "did you mean store: redis?"),
    ],
)
def test_a_wrong_redis_url_is_refused(url: str, words: str) -> None:
    """In words that say what was expected, and never show the password."""
    with pytest.raises(OptionsError, match=f"^store: .*{re.escape(words)}") as refusal:
        open_store(url)

    assert "secret" not in str(refusal.value)


def test_an_unknown_scheme_lists_the_known_where_none_is_near() -> None:
    """There is always a next step in the message."""
    with pytest.raises(OptionsError, match=r"sqlite, memory, redis, .*, unix, postgresql"):
        open_store("xyzzy:1")


@pytest.mark.parametrize("url", ["memory:", "sqlite:sessions.db", "redis://localhost", "postgresql://host/mine"])
def test_an_unknown_option_is_refused_by_name(url: str) -> None:
    """No option is read and ignored."""
    with pytest.raises(TypeError, match="durabilty"):
        open_store(url, durabilty="full")


def test_a_wrong_value_is_refused_when_the_store_is_made() -> None:
    """At the start, not at the first visitor."""
    with pytest.raises(OptionsError, match=r'^durability: expected "full" or "normal", got 1'):
        open_store("sqlite:sessions.db", durability=1)


def test_a_driver_is_imported_when_its_store_is_chosen() -> None:
    """Who keeps sessions in memory needs no database's package."""
    code = (
        "import sys; from sessions import open_store; open_store('memory:'); before = 'aiosqlite' in sys.modules;"
        "open_store('sqlite:x'); print(before, 'aiosqlite' in sys.modules, 'redis' in sys.modules);"
        "open_store('redis://h'); print('redis' in sys.modules)"
    )
    run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, capture_output=True, text=True)

    assert run.stdout == "False True False\nTrue\n"


@pytest.mark.parametrize("url", ["sqlite:sessions.db", "redis://127.0.0.1:1", "postgresql://127.0.0.1:1/mine"])
async def test_each_verb_of_a_store_that_was_never_opened_says_so(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The verbs of the core, and those of its powers."""
    monkeypatch.chdir(tmp_path)
    store: Any = open_store(url)
    record = StoredSession("{}", LATER)
    calls = [
        *(
            store.get("a"),
            store.create("a", record),
            store.update("a", record, record),
            store.touch("a", LATER, record),
        ),
        *(store.rename("a", "b", record, record), store.destroy("a"), store.set("a", record)),
        *(store.length(), store.clear(), anext(store.all())),
    ]
    if sweepable(store):
        calls += [store.sweep(1), store.backlog(1)]

    said = [str(each) for each in await asyncio.gather(*calls, return_exceptions=True)]

    assert {each.partition(": ")[2] for each in said} == {"the store was never opened; open it by `async with store:`"}
