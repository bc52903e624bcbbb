"""What our objects and errors show of themselves: never an id, a cookie's value, data or a secret.

They come into logs, tracebacks and error pages by their repr() and their arguments. What the log itself shows is looked
at after every trip (trips/conftest.py, trips/test_log.py).
"""

import ast
import asyncio
import traceback
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from clock import MovableClock

from serving.options import Config, read_config
from sessions import (
    CookieOptions,
    MemoryStore,
    Outcome,
    SessionManager,
    SessionOptions,
    SQLiteStore,
    StoredSession,
    Sweeper,
    Update,
    open_store,
)
from sessions.checked_store import CheckedStore
from sessions.cli.found import Found
from sessions.copying.rules import Entry
from sessions.copying.texts import Row, digest_of
from sessions.data import Parts, SessionData
from sessions.doctor import Subject
from sessions.doctor.site import Answer, SetCookie
from sessions.formats.signing import Signer
from sessions.merge import _paired
from sessions.queues import CommitQueues
from sessions.session import Session
from sessions.state import SessionState
from sessions.stored_cookie import StoredCookie, _stored
from sessions.stores.batching import Job
from sessions.stores.postgres.connections import PoolSettings
from sessions.stores.postgres.url import parse as parse_postgres
from sessions.stores.redis.url import parse
from sessions.stores.sqlite.statements import CREATE
from sessions.stores.sqlite.transaction import Step
from sessions.users import info_of

ROOT = Path(__file__).parent.parent
SOURCES = [path for name in ("sessions", "handlers", "serving") for path in (ROOT / name).rglob("*.py")] + [
    ROOT / "server.py"
]

SID = "an-id-that-nobody-may-read"
DATA = "a-value-that-nobody-may-read"
SECRET = "a-secret-that-nobody-may-read-and-long-enough"
PASSWORD = "a-password-that-nobody-may-read"
HIDDEN = (SID, DATA, SECRET, PASSWORD)

STORED = StoredSession(f'{{"cookie":{{"originalMaxAge":null,"expires":null,"path":"/"}},"mark":"{DATA}"}}', 2**42)
POSTGRES = f"postgresql://user:{PASSWORD}@localhost/mine"
OPTIONS = SessionOptions(secret=SECRET, store=f"redis://user:{PASSWORD}@localhost")


def state_of(stored: StoredSession = STORED) -> SessionState:
    """What a request knows of a session that holds it all."""
    return SessionState.loaded(OPTIONS, MovableClock(), generate, SID, stored)


def loaded(stored: StoredSession = STORED) -> Session:
    """A handler's face over it."""
    return manager().face(state_of(stored))


def generate() -> tuple[str, StoredCookie]:
    """What makes new sessions."""
    return SID, StoredCookie.new(CookieOptions(), MovableClock(), is_secure=lambda: False)


def manager() -> SessionManager:
    """A manager with a store that holds the session."""
    store = MemoryStore()
    store._rows[SID] = STORED
    return SessionManager(store, OPTIONS)


def config(folder: Path) -> Config:
    """All that the server received."""
    file = folder / "config.toml"
    file.write_text(f'[session]\nsecret = "{SECRET}"\n')
    return read_config(file)


def is_hidden(shown: str) -> bool:
    """Whether nothing of it is there, neither whole nor the half that a shortened repr leaves."""
    return not any(each[:12] in shown or each[-12:] in shown for each in HIDDEN)


OBJECTS: dict[str, Callable[[Path], object]] = {
    "Answer": lambda _: Answer(200, (("Set-Cookie", f"connect.sid={SID}"),)),
    "CheckedStore": lambda _: CheckedStore(manager().store),
    "CommitQueues": lambda _: CommitQueues(manager().store, lambda _: False),
    "Config": config,
    "Cookie": lambda _: loaded().cookie,
    "Job": lambda _: Job("create", SID, STORED),
    "MemoryStore": lambda _: manager().store,
    "Parts": lambda _: Parts("{}", STORED.data, STORED.data),
    "PoolSettings": lambda _: PoolSettings(parse_postgres(POSTGRES), 5, 4_000, 100),
    "PostgresStore": lambda _: open_store(POSTGRES),
    "RedisStore": lambda _: open_store(OPTIONS.store),
    "_Stored": lambda _: _stored(f'{{"originalMaxAge":1,"expires":"+{DATA}","domain":"{SECRET}"}}'),
    "_Pairs": lambda _: _paired({"mark": DATA}, {"mark": SECRET}),
    "SQLiteStore": lambda folder: SQLiteStore(folder / "sessions.db"),
    "ServerURL": lambda _: parse_postgres(POSTGRES),
    "Session": lambda _: loaded(),
    "SessionData": lambda _: SessionData(STORED.data),
    "SessionManager": lambda _: manager(),
    "SessionOptions": lambda _: OPTIONS,
    "SetCookie": lambda _: SetCookie.of(f"connect.sid={SID}; Path=/"),
    "SessionState": lambda _: state_of(),
    "Signer": lambda _: Signer([SECRET.encode()]),
    "Step": lambda _: Step(CREATE, [], [(SID, STORED.data)], 0),
    "Entry": lambda _: Entry(1, SID, 0),
    "Found": lambda _: Found(SID, STORED, info_of(SID, STORED, manager().options)),
    "Row": lambda _: Row(STORED, digest_of(STORED.data)),
    "StoredCookie": lambda _: state_of().cookie,
    "StoredSession": lambda _: STORED,
    "Sweeper": lambda _: Sweeper(manager().store),
    "Subject": lambda _: Subject.of_url(OPTIONS.store),
    "Target": lambda _: parse(OPTIONS.store),
    "Update": lambda _: Update(Outcome.CONFLICT, STORED),
}


@pytest.mark.parametrize("kind", OBJECTS)
async def test_an_object_shows_no_secret(kind: str, tmp_path: Path) -> None:
    """By itself, in a list, as the outcome that a Future prints (asyncio's debug log does), and as an error's argument."""
    made = OBJECTS[kind](tmp_path)
    future = asyncio.get_running_loop().create_future()
    future.set_result([made])

    assert type(made).__name__ == kind
    for shown in (repr(made), str(made), f"{made}", repr([made]), repr(future), repr(LookupError(made))):
        assert is_hidden(shown)


def test_every_class_that_prints_its_fields_is_looked_at() -> None:
    """A dataclass or a named tuple shows what it holds: each of ours is above, or holds nothing secret."""
    found = set()
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.ClassDef):
                named = any(ast.unparse(base) == "NamedTuple" for base in node.bases)
                if named or any("dataclass" in ast.unparse(each) for each in node.decorator_list):
                    found.add(node.name)

    harmless = {
        "Access",
        "Asked",
        "Batch",
        "Changes",
        "Column",
        "Commit",
        "CookieOptions",
        "Diagnosis",
        "Facts",
        "Finding",
        "Holder",
        "Index",
        "Jar",
        "Limit",
        "Listening",
        "Load",
        "Login",
        "MemoryOptions",
        "MongoOptions",
        "Plan",
        "PostgresOptions",
        "RedisOptions",
        "Renewal",
        "Script",
        "Server",
        "ServerOptions",
        "SQLiteOptions",
        "Settings",
        "SessionEvent",
        "SessionInfo",
        "SignedIn",
        "Sockets",
        "Stats",
        "StoreCall",
        "StoreReady",
        "Sums",
        "Sweep",
        "SweeperOptions",
        "Tags",
        "Tally",
        "Trio",
        "UserPlace",
        "Rekeyed",
        "Opened",
        "Keys",
        "HashingOptions",
        "EncryptionOptions",
        "Write",
        "Zone",
    }
    assert found - OBJECTS.keys() == harmless


def test_what_is_shown_is_found() -> None:
    """The search works, on a shortened text too."""
    assert not is_hidden(f"<x {SID}>")
    assert not is_hidden(f"<x {DATA[:14]}...>")
    assert not is_hidden(f"<x ...{SECRET[-14:]}>")


# ---------------------------------------------------------------- errors

CORRUPT = (
    f'{{"cookie":{{}},"mark":"{DATA}"',
    f'{{"mark":"{DATA}"}}',
    f'{{"cookie":{{"path":["{DATA}"]}},"mark":"{DATA}"}}',
    f'{{"cookie":{{"originalMaxAge":"{DATA}"}}}}',
    f'["{DATA}"]',
    f'{{"cookie":{{}},"mark":"{DATA}",,}}',
)


def read_corrupt(row: str) -> None:
    """A row that is no session."""
    dict(loaded(StoredSession(row, 2**42)))


def set_nan() -> None:
    """A value that JSON has no form for, among others."""
    state = state_of()
    state.data.set("n", [DATA, float("nan")])
    state.to_store()


def set_object() -> None:
    """The same of another type."""
    state = state_of()
    state.data.set("n", {"a": {DATA}})
    state.to_store()


def send_stored(path: str) -> None:
    """A stored cookie that cannot be sent."""
    state_of(StoredSession(f'{{"cookie":{{"path":"{path}"}},"mark":"{DATA}"}}', 2**42)).cookie.check()


async def taken() -> None:
    """A genid that gives one id to all."""
    full = manager()
    state = full.new(generate)
    state.data.set("mark", DATA)
    await full.face(state).save()


ERRORS: dict[str, Callable[[], Any]] = {
    **{f"corrupt row {number}": partial(read_corrupt, row) for number, row in enumerate(CORRUPT)},
    "corrupt members": lambda: StoredCookie.load(f'{{"domain":{{"a":"{DATA}"}}}}', 2**42, MovableClock()),
    "a stored path": lambda: send_stored(f"/;{DATA}"),
    "no JSON": set_nan,
    "no type of JSON": set_object,
    "a genid that gives no text": lambda: SessionOptions(
        secret=SECRET,
        genid=lambda _: SID.encode(),  # type: ignore[arg-type,return-value] # that is what is wrong
    ).generated(None),
    "a genid that gives too much": lambda: SessionOptions(secret=SECRET, genid=lambda _: SID * 200).generated(None),
    "an id that is taken": taken,
    "a wrong secret": lambda: SessionOptions(
        secret=[SECRET, {SECRET: 1}],  # type: ignore[list-item] # that is what is wrong
    ),
    "another wrong option": lambda: SessionOptions(secret=SECRET, name=""),
}


async def error_of(kind: str) -> Exception:
    """What it raises."""
    try:
        outcome = ERRORS[kind]()
        if outcome is not None:
            await outcome
    except Exception as error:  # noqa: BLE001 # whichever it is
        return error
    raise AssertionError("it raises nothing")


@pytest.mark.parametrize("kind", ERRORS)
async def test_an_error_shows_no_secret(kind: str) -> None:
    """Neither its text, nor its arguments, nor the traceback with all its causes, as a log prints it."""
    error = await error_of(kind)

    printed = "".join(traceback.format_exception(error))
    assert type(error).__module__ == "sessions.errors"
    for shown in (str(error), repr(error), printed):
        assert is_hidden(shown)


# ---------------------------------------------------------------- signatures


def test_signatures_are_compared_in_constant_time_only() -> None:
    """`hmac.compare_digest` is called where a secret is compared; there nothing else compares, and nobody else makes one."""
    calls, makers, compared = [], [], []
    for path in SOURCES:
        tree = ast.parse(path.read_text("utf-8"))
        for function in ast.walk(tree):
            if not isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
                continue
            for node in ast.walk(function):
                called = ast.unparse(node.func) if isinstance(node, ast.Call) else ""
                if called.endswith("compare_digest"):
                    calls.append((path.name, function.name, called))
                if called in ("_mac", "hmac.new", "hmac.digest"):
                    makers.append((path.name, function.name))
                if isinstance(node, ast.Compare | ast.Match) and function.name in ("unsign", "_mac"):
                    compared.append(ast.unparse(node))

    assert sorted(calls) == [
        ("login.py", "is_stamp", "hmac.compare_digest"),
        ("signing.py", "unsign", "hmac.compare_digest"),
        ("xsrf.py", "bind", "hmac.compare_digest"),
        ("xsrf.py", "check", "hmac.compare_digest"),
    ]
    assert set(makers) == {
        ("signing.py", "sign"),
        ("signing.py", "unsign"),
        ("signing.py", "_derived"),
        ("hashed_ids.py", "_hashed"),
        ("keyring.py", "__init__"),
        ("keyring.py", "derived"),
        ("seal.py", "hidden"),
    }
    assert compared == []


def test_no_weak_hash_and_no_weak_randomness_is_used() -> None:
    """SHA-256 and the CSPRNG; `random` spreads sweeps and tries, and SHA-1 is by what Redis knows our scripts."""
    weak: list[tuple[str, str | None]] = []
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Attribute):
                used = ast.unparse(node)
                if used in ("hashlib.md5", "hashlib.sha1", "hashlib.new", "uuid.uuid4") or used.startswith("random."):
                    weak.append((path.name, used))
            if isinstance(node, ast.Import | ast.ImportFrom):
                names = {alias.name for alias in node.names} | {getattr(node, "module", None)}
                weak += [(path.name, name) for name in names & {"pickle", "marshal", "shelve", "uuid"}]

    assert sorted(weak, key=str) == [
        ("queues.py", "random.uniform"),
        ("scripts.py", "hashlib.sha1"),
        ("sweeper.py", "random.uniform"),
    ]
