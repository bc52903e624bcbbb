"""Owns the measurement of what a session weighs in Redis: 100,000 of each of three sizes, through RedisStore."""

import asyncio
import json
import secrets

from redis import Redis

from bench.serve import redis
from sessions import RedisStore, StoredSession, now_ms

COUNT = 100_000
LIFETIME = 86_400_000
CHUNK = 1_000

COOKIE = {
    "originalMaxAge": LIFETIME, "expires": "2026-11-26T12:00:00.000Z", "httpOnly": True, "path": "/", "sameSite": "lax",
}  # fmt: skip
DATA = {
    "a login": {"user": 4711, "csrf": secrets.token_hex(16)},
    "a basket": {"user": 4711, "basket": [{"sku": f"A-{n:06}", "n": 1, "price": 19.9} for n in range(20)]},
    "a form": {"user": 4711, "draft": "An unfinished text of a visitor. " * 120},
}


async def weigh(server: Redis, url: str, name: str) -> None:
    """Fill an empty server, and print what has grown."""
    server.config_set("lazyfree-lazy-user-flush", "no")  # or Valkey frees the memory of the size before during this one
    server.flushall()
    text = json.dumps({"cookie": COOKIE, **DATA[name]}, separators=(",", ":"))
    before = server.info("memory")["used_memory"]
    async with RedisStore(url) as store:
        for _ in range(COUNT // CHUNK):
            ids = [secrets.token_urlsafe(24) for _ in range(CHUNK)]
            stored = StoredSession(text, now_ms() + LIFETIME)
            await asyncio.gather(*(store.set(sid, stored) for sid in ids))
    grown = server.info("memory")["used_memory"] - before
    one = server.memory_usage(f"sess:{ids[-1]}")
    print(f"| {name} | {len(text):,} | {one:,} | {grown / COUNT:,.0f} | {grown / COUNT / 10:,.1f} |")


def main() -> None:
    """Start a server, weigh, end it."""
    with redis() as running, Redis(port=running.port) as server:
        print(f"Valkey {running.about['Valkey server']}, {COUNT:,} sessions of each size")
        print("| session | bytes of text | MEMORY USAGE | used_memory, per session | GB for 100 million |")
        for name in DATA:
            asyncio.run(weigh(server, running.url, name))


if __name__ == "__main__":
    main()
