"""What sealed data and hashed ids cost: microseconds of a text, and the share of a request that reads and writes it.

In this process, without HTTP: the codec by itself, and a load and a commit of a changed session on a SQLite store with
`durability = "normal"`. What counts is the processor's time, that of the store's thread included: what other work the
machine has, and its disk, make no difference.
"""

import argparse
import asyncio
import json
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

from bench.process import folder
from sessions import CookieOptions, HashedIds, SealedStore, SessionManager, SessionOptions, now_ms
from sessions.at_rest.keyring import Keyring
from sessions.at_rest.seal import Seal
from sessions.formats.signing import new_id
from sessions.store import StoredSession
from sessions.stored_cookie import StoredCookie
from sessions.stores.sqlite import SQLiteStore

SIZES = {"200 bytes": 200, "4 kB": 4_000, "100 kB": 100_000}
DAY = 86_400_000
KEYS = {"bench": b"k" * 32}
OPTIONS = SessionOptions(secret="no visitor ever sees a cookie of this benchmark", cookie=CookieOptions(max_age=DAY))
WRAPPED: dict[str, Callable[[Any], Any]] = {
    "in the clear": lambda store: store,
    "sealed": lambda store: SealedStore(store, KEYS),
    "hashed": lambda store: HashedIds(store, KEYS, legacy_until=0),
    "both": lambda store: HashedIds(SealedStore(store, KEYS), KEYS, legacy_until=0),
}


def session_of(size: int) -> StoredSession:
    """A session of about so many bytes, of short texts as a shop has them."""
    cookie = {"originalMaxAge": DAY, "expires": "2100-01-01T00:00:00.000Z", "httpOnly": True, "path": "/"}
    text = {"cookie": cookie, "n": 0, "items": [f"item number {n}" for n in range(max(size - 130, 20) // 20)]}
    return StoredSession(json.dumps(text, separators=(",", ":")), now_ms() + DAY)


def microseconds(act: Callable[[], object], seconds: float) -> float:
    """The time of one call, the median of many rounds."""
    rounds, ends = [], time.perf_counter() + seconds
    while time.perf_counter() < ends:
        began = time.thread_time()
        for _ in range(20):
            act()
        rounds.append((time.thread_time() - began) / 20 * 1e6)
    return median(rounds)


async def request(manager: SessionManager, sid: str) -> None:
    """What a request does to its session: load it, change it, commit."""
    state = await manager.load(
        [sid], lambda: (new_id(), StoredCookie.new(CookieOptions(), now_ms, is_secure=lambda: False))
    )
    state.data.values["n"] += 1
    commit = manager.commit(state)
    if commit is not None:
        await commit


async def requests(path: Path, seconds: float) -> dict[str, dict[str, float]]:
    """The microseconds of a request, by size and wrapper. The wrappers take turns."""
    found: dict[str, dict[str, list[float]]] = {size: {name: [] for name in WRAPPED} for size in SIZES}
    async with SQLiteStore(path, durability="normal") as inner:
        managers = {name: (SessionManager(wrap(inner), OPTIONS), wrap(inner)) for name, wrap in WRAPPED.items()}
        for size, count in SIZES.items():
            sids = {name: new_id() for name in WRAPPED}
            for name, (_, store) in managers.items():
                await store.create(sids[name], session_of(count))
            ends = time.perf_counter() + seconds * len(WRAPPED)
            while time.perf_counter() < ends:
                for name, (manager, _) in managers.items():
                    began = time.process_time()
                    for _ in range(10):
                        await request(manager, sids[name])
                    found[size][name].append((time.process_time() - began) / 10 * 1e6)
        for manager, _ in managers.values():
            await manager.close()
    return {size: {name: median(times) for name, times in each.items()} for size, each in found.items()}


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a tenth of the time")
    seconds = 0.3 if parser.parse_args().quick else 3
    seal = Seal(Keyring(KEYS))
    with folder() as place:
        times = asyncio.run(requests(place / "sessions.db", seconds))
    print("| session | seal, µs | open, µs | request in the clear, µs | sealed | hashed | both |")
    print("|---|---|---|---|---|---|---|")
    for size, count in SIZES.items():
        text = session_of(count).data
        box = seal.sealed("a", text, None)
        acts = (partial(seal.sealed, "a", text, None), partial(seal.opened, "a", box))
        codec = [microseconds(act, seconds) for act in acts]
        clear, *rest = (times[size][name] for name in WRAPPED)
        shares = " | ".join(f"+{each / clear - 1:.0%}" if each >= clear else f"{each / clear - 1:.0%}" for each in rest)
        print(f"| {size} | {codec[0]:.0f} | {codec[1]:.0f} | {clear:.0f} | {shares} |")


if __name__ == "__main__":
    main()
