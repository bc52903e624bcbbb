"""A configuration file: its tables, what is said of a mistake in them, and what of it is shown."""

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest

from sessions import CookieOptions, OptionsError, SessionOptions, SQLiteStore
from sessions.config import TABLES, Config, ConfigFile, effective_options
from sessions.sweeper import SweeperOptions
from sessions.validation import express_names, wrong

SECRET = "of-the-tests-and-as-long-as-a-server-demands"
FILE = Path("my.toml")

pytestmark = pytest.mark.usefixtures("folder")


@dataclass(frozen=True, kw_only=True)
class Lamp:
    """A table of an application's own."""

    watts: int = 40
    is_on: bool = False

    def __post_init__(self) -> None:
        if self.watts < 0:
            raise wrong("watts", "a number of watts", self.watts)


def read(text: str, *others: str) -> ConfigFile:
    """The file with a text."""
    FILE.write_text(text, encoding="utf-8")
    return ConfigFile(FILE, others=others)


def config(text: str) -> Config:
    """What a file says, of a server that only its own machine reaches."""
    return read(text).config(exposed=False)


def refusal(text: str) -> str:
    """What is said of a file that is refused, behind its name."""
    with pytest.raises(OptionsError) as error:
        config(text)

    said = str(error.value)
    assert said.startswith(f"{FILE}: ")
    return said.removeprefix(f"{FILE}: ")


# ---------------------------------------------------------------- what is right


def test_an_empty_file_is_all_defaults() -> None:
    """Every table, of the sessions and of each store."""
    found = config("")

    assert found.session == SessionOptions(secret=found.session.keys)
    assert found.sweeper == SweeperOptions()
    assert tuple(found.tables) == TABLES


def test_the_store_gets_the_options_of_its_table() -> None:
    """And none of another store's."""
    store = config(
        '[session]\nstore = "sqlite:mine.db"\n[sqlite]\ndurability = "normal"\n[redis]\nprefix = "x:"\n'
    ).open_store()

    assert isinstance(store, SQLiteStore)
    assert store.path == Path("mine.db")


def test_a_table_of_the_callers_is_read_as_the_caller_says() -> None:
    """In the spelling of the other tables."""
    file = read("[lamp]\nwatts = 60\nisOn = true\n", "lamp")

    assert file.table("lamp", Lamp) == Lamp(watts=60, is_on=True)


def test_a_table_of_the_callers_may_be_missing() -> None:
    """Its defaults count."""
    assert read("", "lamp").table("lamp", Lamp) == Lamp()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[lamp]\nwats = 60\n", "my.toml: [lamp] wats: no such option; did you mean watts?"),
        ("[lamp]\nrolling = true\n", "my.toml: [lamp] rolling: no such option; it belongs to [session]"),
        ("[lamp]\nmaxAge = 5\n", "my.toml: [lamp] maxAge: no such option; it belongs to [session] as cookie.maxAge"),
        ("[lamp]\nwatts = -1\n", "my.toml: [lamp] watts: expected a number of watts, got -1"),
        ("lamp = 1\n", "my.toml: lamp: expected a table [lamp]"),
    ],
)
def test_a_mistake_in_the_callers_table_is_named_alike(text: str, said: str) -> None:
    """By file, table and option."""
    with pytest.raises(OptionsError) as error:
        read(text, "lamp").table("lamp", Lamp)

    assert str(error.value) == said


def test_the_error_of_an_option_of_the_callers_table_says_its_place() -> None:
    """The other way round, once the table is read."""
    file = read("[session]\nwatts = 60\n", "lamp")
    file.table("lamp", Lamp)

    with pytest.raises(OptionsError, match=r"^my\.toml: \[session\] watts: no such option; it belongs to \[lamp\]$"):
        file.config(exposed=False)


@pytest.mark.parametrize(
    ("text", "scheme"),
    [
        ("", "sqlite"),
        ('[session]\nstore = "memory:"\n', "memory"),
        ('[session]\nstore = "redis+cluster://h"\n', "redis+cluster"),
        ('[session]\nstore = "sessions.db"\n', ""),
        ("[session]\nstore = 5\n", ""),
    ],
)
def test_the_scheme_is_known_before_the_options_are_read(text: str, scheme: str) -> None:
    """For who must know which store it is."""
    assert read(text).scheme == scheme


# ---------------------------------------------------------------- mistakes

STORES = {
    "postgres": "postgresql://me@nowhere.invalid/mine",
    "memory": "memory:",
    "redis": "redis://h",
    "mongodb": "mongodb://h",
}
"""The URL with which the values of a table are looked at."""

WRONG: dict[str, dict[str, tuple[str, str]]] = {
    "session": {
        "name": ('"my session"', "a cookie name (a token of RFC 9110: no blanks, no separators) of at most 3930 bytes"),
        "resave": ('"yes"', "true or false"),
        "rolling": ("1", "true or false"),
        "saveUninitialized": ('"true"', "true or false"),
        "unset": ('"delete"', '"keep" or "destroy"'),
        "proxy": ('"yes"', "true or false, or nothing"),
        "proxySecure": ("1", "true or false"),
        "store": ("5", "a URL such as sqlite:sessions.db or memory:"),
        "secretFile": ('""', "the path of a file, or nothing"),
        "grace": ("300001", "a number of milliseconds from 0 to 300000, or nothing"),
        "touchAfter": ("-1", "a number of milliseconds, 0 or more"),
        "ttl": ("0", "a number of milliseconds above 0"),
        "absoluteTimeout": ("0", "a number of milliseconds above 0, or nothing"),
        "maxBytes": ('"1M"', "a whole number of bytes, 0 for no limit"),
        "conflict": ('"win"', '"merge", "reject" or "overwrite"'),
        "saveOnError": ('"no"', "true or false"),
        "clearCookie": ("0", "true or false"),
        "cacheHeaders": ("0", "true or false"),
        "userKey": (
            '"my user"',
            "a key of the data, or up to 3 of them with dots between, that are not cookie or __meta",
        ),
        "renewAfter": ("0", "a number of milliseconds above 0, or nothing"),
        "reuse": ('"End"', '"log" or "end"'),
        "header": (
            '"Cookie"',
            "the name of a header (a token of RFC 9110) that HTTP has no meaning for, such as X-Session, or nothing",
        ),
        "maxPerUser": ("0", "a whole number above 0, or nothing"),
        "atLimit": ('"drop"', '"evict" or "refuse"'),
        "devices": ("1", "true or false"),
        "nodePeer": ("1", "true or false"),
        "encryption": ("1", "a table [session.encryption]"),
        "requireSealed": ("1", "true or false"),
        "hashedIds": ('"yes"', "true or false"),
        "hashing": ("1", "a table [session.hashing]"),
        "storeDown": ('"503"', '"error" or "none"'),
        "storeTimeout": ("0", "a number of milliseconds above 0"),
        "watchInterval": ("0", "a number of milliseconds above 0"),
        "cookie": ("1", "a table of cookie options"),
        "cookie.path": ('"/a;b"', "a path of printable ASCII without ';', 1024 bytes at most"),
        "cookie.domain": ('"a b"', "a domain name"),
        "cookie.expires": ('"tomorrow"', "a date with a time zone"),
        "cookie.maxAge": ('"1 day"', "a number of milliseconds"),
        "cookie.originalMaxAge": ("true", "a number of milliseconds"),
        "cookie.httpOnly": ("1", "true or false"),
        "cookie.secure": ('"yes"', 'true, false or "auto"'),
        "cookie.sameSite": ('"laxx"', 'true, false, "lax", "strict", "none" or "auto"'),
        "cookie.partitioned": ("1", "true or false"),
        "cookie.priority": ('"urgent"', '"low", "medium" or "high"'),
    },
    "sqlite": {
        "durability": ('"ful"', '"full" or "normal"'),
        "busyTimeout": ("-1", "a number of milliseconds, 0 or more"),
    },
    "postgres": {
        "table": ('""', "a name of 1 to 52 bytes"),
        "schema": ("1", "a name of 1 to 63 bytes"),
        "pool": ("2", "a whole number, 3 or more"),
        "timeout": ("0", "a number of milliseconds, 1 or more"),
        "statementCache": ("true", "a whole number, 0 or more"),
    },
    "mongodb": {
        "collection": ('""', "a name of 1 to 120 bytes"),
        "timeout": ("0", "a number of milliseconds, 1 or more"),
    },
    "memory": {"maxSessions": ("0", "a whole number above 0"), "maxBytes": ("-1", "a whole number above 0")},
    "redis": {
        "prefix": ("1", "a text"),
        "colonIds": ("1", "true or false"),
        "timeout": ("0", "a number of milliseconds above 0"),
    },
    "sweeper": {
        "interval": ("0", "a number of at least 1"),
        "batch": ("1.5", "a whole number"),
        "pause": ("-1", "a number of at least 0"),
        "jitter": ("1", "a share of the interval between 0 and 1"),
    },
}
"""For every option of every table a wrong value, and what is expected."""


@pytest.mark.parametrize(
    ("table", "option"),
    [pytest.param(table, option, id=f"{table}.{option}") for table, options in WRONG.items() for option in options],
)
def test_a_wrong_value_is_named_with_what_is_expected(table: str, option: str) -> None:
    """By file, table and option."""
    value, expected = WRONG[table][option]
    chosen = f'[session]\nstore = "{STORES[table]}"\n' if table in STORES else ""

    said = refusal(f"{chosen}[{table}]\n{option} = {value}\n")

    assert said.startswith(f"[{table}] {option}: expected {expected}, got ")


def test_every_option_of_every_table_has_a_wrong_value() -> None:
    """Of those that a file can hold; the secret has tests of its own."""
    tried = {table: set(options) for table, options in WRONG.items()}

    there = {name: set(express_names(type(table))) for name, table in config("").tables.items()}
    there["session"] |= {f"cookie.{name}" for name in express_names(CookieOptions)}
    there["session"] -= {"secret", "genid"}
    assert tried == there


MISTAKES = {
    "[mail]\n": "[mail]: no such table; known are session, sqlite, postgres, mongodb, memory, redis, sweeper",
    "[sesion]\n": "[sesion]: no such table; did you mean [session]?",
    "[rediss]\n": "[rediss]: no such table; did you mean [redis]?",
    "ttl = 3000\n": "[ttl]: no such table; ttl is an option of [session]",
    "timeout = 3000\n": "[timeout]: no such table; timeout is an option of [postgres] or [mongodb] or [redis]",
    "[cookie]\nmaxAge = 1\n": "[cookie]: no such table; the cookie's options are lines of [session], such as cookie.maxAge",
    "[session]\ninterval = 1000\n": "[session] interval: no such option; it belongs to [sweeper]",
    "[session]\ncookie.rolling = true\n": "[session] cookie.rolling: no such option; it belongs to [session]",
    "[sqlite]\ntimeout = 1000\n": "[sqlite] timeout: no such option; it belongs to [postgres] or [mongodb] or [redis]",
    "[sweeper]\nttl = 1000\n": "[sweeper] ttl: no such option; it belongs to [session]",
    "session = 3000\n": "session: expected a table [session]",
    "[session]\nsaveUninitialised = true\n": "[session] saveUninitialised: no such option; did you mean saveUninitialized?",
    "[session]\nmaxAge = 1\n": "[session] maxAge: no such option; did you mean cookie.maxAge?",
    "[session]\ncookie.maxage = 1\n": "[session] cookie.maxage: no such option; did you mean cookie.maxAge?",
    "[session]\nproxySecure = true\n": "[session] proxySecure: needs proxy = true",
    '[session]\nsecret = ""\n': "[session] secret: is empty",
    '[session]\nstore = "sqllite:sessions.db"\n': "[session] store: sqllite: no such store; did you mean store: sqlite?",
    '[session]\nstore = "sessions.db"\n': "[session] store: expected a URL such as sqlite:sessions.db",
    '[session]\nstore = ":x"\n': "[session] store: : no such store",
    '[session]\nstore = "memory:5"\n': "[session] store: memory: takes no path",
    '[session]\nstore = "postgresql:mine"\n': "[session] store: expected a URL such as postgresql://",
    '[session]\nstore = "postgresql://me:a@b@c/d"\n': "[session] store: expected a URL",
    '[session]\nstore = "redis+sentinel://h"\n': "[session] store: expected redis+sentinel://",
    "[sqlite]\ndurable = 1\n": "[sqlite] durable: no such option; did you mean durability?",
    "[sqlite]\npath = 1\n": "[sqlite] path: no such option; known are durability, busyTimeout",
    "[postgres]\ntables = 1\n": "[postgres] tables: no such option; did you mean table?",
    "[memory]\nmaxSession = 1\n": "[memory] maxSession: no such option; did you mean maxSessions?",
    "[redis]\nprefx = 1\n": "[redis] prefx: no such option; did you mean prefix?",
    "[sweeper]\nintervall = 1\n": "[sweeper] intervall: no such option; did you mean interval?",
}


@pytest.mark.parametrize("text", MISTAKES)
def test_a_mistake_is_named(text: str) -> None:
    """By file, table and option, with what was expected or the nearest name."""
    assert refusal(text).startswith(MISTAKES[text])


FOUND = {
    "a nest of brackets": ("a = " + "[" * 1_500, "recursion"),
    "digits without end": ("[sweeper]\nbatch = " + "1" * 5_000, "digits"),
    "a file's name without end": (f'[session]\nstore = "sqlite:{"a" * 300}"', "[session] store: File name too long"),
    "a folder's name without end": (
        f'[session]\nstore = "sqlite:{"a" * 300}/b"',
        "[session] store: File name too long",
    ),
    "NUL in a file's name": ('[session]\nstore = "sqlite:a\\u0000b"', "[session] store: expected sqlite:PATH"),
    "an interval without end": ("[sweeper]\ninterval = " + "1" * 400, "[sweeper] interval: expected a number"),
    "a wait that SQLite takes for none": (
        "[sqlite]\nbusyTimeout = 3000000000",
        "[sqlite] busyTimeout: expected a number",
    ),
}
"""What fuzzing has found: each was a traceback, or the last one no wait at all."""


@pytest.mark.parametrize("kind", FOUND)
def test_what_fuzzing_has_found_is_named_too(kind: str) -> None:
    """As any other mistake is."""
    text, words = FOUND[kind]

    assert words in refusal(text)


@pytest.mark.parametrize("store", ["sqllite:mine.db", "sqlite:mine.db?mode=ro", "memory:5", "sqlite:mine.db"])
def test_a_mistake_leaves_nothing_behind(folder: Path, store: str) -> None:
    """No secret is made for a configuration that is refused, wherever its mistake is."""
    refusal(f'[session]\nstore = "{store}"\n[sweeper]\nbatch = 0\n')

    assert [each.name for each in folder.iterdir()] == [FILE.name]


def test_a_file_that_is_missing_is_named() -> None:
    """With the system's words."""
    with pytest.raises(OptionsError, match=r"^nowhere\.toml: .*No such file"):
        ConfigFile(Path("nowhere.toml"))


# ---------------------------------------------------------------- what counts


def test_every_option_is_shown_with_the_value_that_counts() -> None:
    """The file's or the default, in the file's spelling; the cookie has a table of its own."""
    text = f'[session]\nsecret = "{SECRET}"\ncookie.maxAge = 5\ncookie.expires = 2030-01-01T00:00:00Z\n'

    shown = effective_options(config(text).tables)

    lines = shown.splitlines()
    assert [line for line in lines if line.startswith("[")] == [
        "[session]", "[session.cookie]", "[sqlite]", "[postgres]", "[mongodb]", "[memory]", "[redis]", "[sweeper]",
    ]  # fmt: skip
    for line in (
        "secret = ********",
        'durability = "full"',
        "proxy = (not set)",
        'expires = "2030-01-01 00:00:00+00:00"',
    ):
        assert line in lines
    assert config(text).session.cookie == CookieOptions(expires=datetime(2030, 1, 1, tzinfo=UTC))
    assert SECRET not in shown


@pytest.mark.parametrize(
    ("store", "shown"),
    [
        ("postgresql://me:hush@host/mine", "postgresql://********@host/mine"),
        ("postgresql://host/mine?user=me&password=hush&sslmode=require", "postgresql://host/mine?user=me&password=********&sslmode=require"),
        ("mongodb://h/?tlsCertificateKeyFilePassword=hush&w=1", "mongodb://h/?tlsCertificateKeyFilePassword=********&w=1"),
        ("mongodb://h/?authmechanismproperties=AWS_SESSION_TOKEN:hush", "mongodb://h/?authmechanismproperties=********"),
        ("redis://:hu@sh@host/0", "redis://********@host/0"),
        ("memory:redis://me:hush@host", "memory:********@host"),
        ("sqlite:redis:me:hush@host", "sqlite:********@host"),
        ("redis:/me:hush@host", "redis:********@host"),
        ("sqlite:data@home/mine.db", "sqlite:data@home/mine.db"),
    ],
)  # fmt: skip
def test_the_password_of_a_store_is_masked(store: str, shown: str) -> None:
    """Wherever the URL has it."""
    options = SessionOptions(secret=SECRET, store=store)

    assert f'store = "{shown}"\n' in effective_options({"session": options})


@pytest.mark.parametrize(
    "store",
    [
        '"memory:redis://me:hush@host"',
        '"sqlite:postgresql://me:hush@host/d?x=1"',
        '"redis:/me:hush@host"',
        '"redis://me:hush@[host"',
        '"postgres://me:hush@@host:x/d"',
        '"sqlite://me:hush@[host"',
        '["redis://me:hush@host", "redis://b"]',
        '{ url = "redis://me:hush@host" }',
        '{ password = "hush" }',
    ],
)
def test_a_store_that_is_refused_shows_no_password(store: str) -> None:
    """Whatever is wrong with the URL, in the errors behind the error too."""
    with pytest.raises(OptionsError) as error:
        config(f"[session]\nstore = {store}\n")

    shown = ""
    seen: BaseException | None = error.value
    while seen is not None:
        shown, seen = f"{shown}{seen!r}{seen}", seen.__cause__ or seen.__context__
    assert "hush" not in shown


def test_what_a_table_of_another_store_keeps_secret_is_masked() -> None:
    """By the names of its options, and in what they hold; a user key is a name."""
    table = {
        "api_key": "hush",
        "password": "hush",
        "auth": {"token": "hush", "user": "me"},
        "peers": ["mine://me:hush@a", "mine://b"],
        "user_key": "username",
    }

    shown = effective_options({"mine": table})

    assert shown == (
        '[mine]\napiKey = ********\npassword = ********\nauth = {"token": "********", "user": "me"}\n'
        'peers = ["mine://********@a", "mine://b"]\nuserKey = "username"'
    )
