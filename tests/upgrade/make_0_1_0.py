"""Owns the making of 0.1.0/: every store as version 0.1.0 fills it over HTTP, and the list of what is in it.

It runs with that version of the library only, in `tests/`: `python -m upgrade.make_0_1_0`. It has run once. It stays
to tell how the files came about, and as the pattern for those of later versions.
"""

import asyncio
import json
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import redis
from client import sid_of
from stores import postgres_server, redis_server

from sessions import CookieOptions, Store, now_ms, open_store

from .pages import attributes, serving

VERSION = "0.1.0"
FOLDER = Path(__file__).parent / VERSION

SECRET = "the secret of the stores that were made for upgrade tests"
OLD_SECRET = "the secret that was in use before it, and still verifies"

YEARS_50 = 50 * 365 * 86_400_000
NEEDLESS = ("--", "\\", "SET ", "SELECT ")
"""How the lines of a dump begin that are comments, psql's own, or settings of the connection."""

MOMENT = 10_000
"""The lifetime of what is to expire: enough for Redis to be read before."""

PAUSE = 2.5
"""Seconds after which a session is touched: so the end of its row is seen to be another than the one in its text."""

LASTING = CookieOptions(max_age=YEARS_50)
USER = {"user": 7}

DATA = {
    "text": "plain",
    "nothing in it": "",
    "unicode": "Grüße, Ωμέγα, 日本語, שלום, 👩‍👩‍👧, e\u0301",
    "escapes": "\"double\", 'single', \\, /, </script>, \n\r\t\b\f\u0001\u007f\u2028\u2029, %s, $1, ?1, :name",
    "größe 'of' a \"key\"": True,
    "": "under the empty key",
    "numbers": [0, -1, 0.1, -2.5, 1e-7, 1e21, 9_007_199_254_740_991, -9_007_199_254_740_991],
    "others": [True, False, None],
    "nested": {"list": [[], {}, [1, [2, [3]]], {"a": {"b": {"c": None}}}], "cookie": {"path": "/mine"}, "__meta": 1},
    "long": "0123456789" * 500,
}


class Case(NamedTuple):
    """A session: what a visitor asks for, one request after the other, and what is in it at the end."""

    name: str
    steps: list[dict[str, Any]]
    data: dict[str, Any]
    options: dict[str, Any]
    alive: bool = True


def case(name: str, *steps: dict[str, Any], data: dict[str, Any], alive: bool = True, **options: Any) -> Case:
    """A case; of the options only what is not usual."""
    usual = {"secret": SECRET, "ttl": YEARS_50, "cookie": LASTING}
    return Case(name, list(steps), data, usual | options, alive)


KEYS_100 = {f"key {n}": {"n": n, "text": "x" * n} for n in range(100)}
BASKET = {"basket": ["apples", "pears"]}
ATTRIBUTES = CookieOptions(
    max_age=YEARS_50, secure=True, same_site="strict", domain="example.org", priority="high", http_only=False
)

CASES = [
    case("plain", {"set": DATA}, data=DATA),
    case("empty", {}, data={}, save_uninitialized=True),
    case("remembered", {"set": USER, "maxAge": YEARS_50}, data=USER, cookie=CookieOptions()),
    case("until the browser is closed", {"set": USER}, data=USER, cookie=CookieOptions()),
    case("aged", {"set": USER}, data=USER, absolute_timeout=YEARS_50, cookie=CookieOptions()),
    case("regenerated", {"set": BASKET}, {"call": ["regenerate"], "set": USER}, data=USER),
    case("rotated", {"set": BASKET}, {"call": ["rotate"], "set": USER}, data=BASKET | USER),
    case("changed", {"set": {"n": 1}}, {"set": {"n": 2}}, data={"n": 2}),
    case("touched", {"set": USER}, data=USER, touch_after=0),
    case("of 100 keys", {"set": KEYS_100}, data=KEYS_100),
    case("with attributes", {"set": USER}, data=USER, cookie=ATTRIBUTES),
    case("signed with the old secret", {"set": USER}, data=USER, secret=OLD_SECRET),
    case("expired", {"set": USER}, data=USER, cookie=CookieOptions(max_age=MOMENT), alive=False),
]


async def make(url: str) -> list[dict[str, Any]]:
    """Fill the store. Returns what is to be known of each session."""
    async with open_store(url) as store:
        return [entry for each in CASES for entry in await make_case(store, each)]


async def make_case(store: Store, case: Case) -> list[dict[str, Any]]:
    """Make one session; what it was before a new id comes as an entry of its own, which is gone."""
    entries: list[dict[str, Any]] = []
    async with serving(store, **case.options) as visitor_with:
        visitor = visitor_with()
        for step in case.steps:
            before = visitor.cookie()
            await visitor.ask(**step)
            if before is not None and before.value != visitor.kept().value:
                sid = sid_of(before.value)
                entries.append({"name": f"{case.name}: before", "id": sid, "cookie": before.value, "alive": False})
        if case.name == "touched":
            await asyncio.sleep(PAUSE)
        seen = await visitor.look()
    assert seen == {"id": visitor.sid, "data": case.data}, (case.name, seen)
    row = await store.get(seen["id"])
    assert row is not None
    members = json.loads(row.data)
    entry = {
        "name": case.name,
        "id": visitor.sid,
        "cookie": visitor.kept().value,
        "alive": case.alive,
        "data": case.data,
        "attributes": attributes(visitor),
        "originalMaxAge": members["cookie"]["originalMaxAge"],
        "expiresAt": row.expires_at,
    }
    created = members.get("__meta", {}).get("createdAt")
    return [*entries, entry if created is None else {**entry, "createdAt": created}]


async def make_sqlite() -> list[dict[str, Any]]:
    """sessions.db, closed."""
    path = FOLDER / "sessions.db"
    path.unlink(missing_ok=True)
    made = await make(f"sqlite:{path}")
    assert [each.name for each in FOLDER.glob("sessions.db*")] == [path.name]
    return made


async def make_redis() -> list[dict[str, Any]]:
    """redis.jsonl: a key a line, with the moment of its end."""
    with redis_server.RedisServer() as server:
        made = await make(server.url)
        with redis.Redis(redis_server.HOST, server.port, decode_responses=True) as client:
            lines = [
                {"key": key, "value": client.get(key), "expires_at": now_ms() + client.pttl(key)}
                for key in sorted(client.scan_iter())
            ]
    assert len(lines) == len(CASES)
    text = "".join(json.dumps(line) + "\n" for line in lines)
    (FOLDER / "redis.jsonl").write_text(text, "utf-8")
    return made


async def make_postgres() -> list[dict[str, Any]]:
    """postgres.sql: plain statements that make the table and fill it. Its times are UTC, as the server's."""
    with postgres_server.Server() as server:
        made = await make(server.tcp_url)
        at = ("-h", server.folder, "-p", server.port, "-U", postgres_server.USER)
        dump = server._run("pg_dump", *at, "--no-owner", "--no-privileges", "--inserts", "--table=session", "postgres")
    lines = [line for line in dump.split("\n") if line and not line.startswith(NEEDLESS)]
    (FOLDER / "postgres.sql").write_text("\n".join(lines) + "\n", "utf-8")
    return made


async def main() -> None:
    """Make them all."""
    FOLDER.mkdir(exist_ok=True)
    stores = {"sqlite": await make_sqlite(), "redis": await make_redis(), "postgres": await make_postgres()}
    manifest = {"version": VERSION, "secrets": [SECRET, OLD_SECRET], "ttl": YEARS_50, "stores": stores}
    (FOLDER / "sessions.json").write_text(json.dumps(manifest, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    assert version("tornado-express-sessions") == VERSION, f"it runs with version {VERSION} only"
    asyncio.run(main())
