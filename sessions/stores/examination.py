"""Owns the way to a store's examination: what `doctor` asks of it, and what the stores say alike.

A store's file `examination.py` looks at its database as it is: it reads, by connections of its own, makes nothing that
is missing, and takes nothing for granted that the store relies on. How a store serves is not known here.
"""

from collections.abc import AsyncIterator, Iterator, Mapping
from importlib import import_module
from typing import Any, NamedTuple

from ..clock import Clock
from ..findings import Finding, fault, note, warning
from . import open_store
from .tables import STORE_TABLES

SKEW = 60_000
"""Milliseconds that two clocks may differ without a word: time servers keep them within a second."""

UNSWEPT = 600_000
"""Milliseconds at the least that an expired row lies before it is a finding."""

BACKLOG_LIMIT = 10_000
"""How far expired rows are counted."""

LOCAL = ("localhost", "127.", "::1", "/")
"""How the name of a host begins that is this machine, or a socket in a folder of it."""


class Asked(NamedTuple):
    """What is known of a deployment beside its store."""

    clock: Clock
    """This machine's, in milliseconds since the epoch."""
    user_path: tuple[str, ...] | None
    """The path of `userKey`; None: no user is known."""
    knows_user_key: bool
    """False if nobody has said whether there is a `userKey`."""
    node_peer: bool
    sweep_interval: float
    """Milliseconds."""

    @property
    def now(self) -> int:
        """Milliseconds since the epoch."""
        return self.clock()


async def examine(url: str, options: Mapping[str, Any], asked: Asked) -> AsyncIterator[Finding]:
    """Yield what is wrong with the store of a URL. Raises OptionsError.

    If the store cannot be asked, or not to the end, it raises StoreError after what was found until then.
    """
    store = open_store(url, **options)
    table = STORE_TABLES.get(url.partition(":")[0])
    if table is None:
        problem = "the store is of another package, and was not examined"
        yield note("store.elsewhere", problem, "see what its documentation says of its health")
    elif table != "memory":
        examination = import_module(f".{table}.examination", __package__)
        async for finding in examination.examine(store, asked):
            yield finding


def clocks(off: float, name: str, *, decides: bool) -> Iterator[Finding]:
    """Yield a finding if a database's clock is off: so many milliseconds ahead of ours.

    `decides` says that it decides which sessions have expired.
    """
    if abs(off) < SKEW:
        return
    problem = f"{name}: its clock is {duration(abs(off))} {'ahead of' if off > 0 else 'behind'} this machine's"
    advice = "let both follow a time server"
    if decides:
        yield fault("clock.off", f"{problem}, so sessions end {'early' if off > 0 else 'late'} by as much", advice)
    else:
        yield warning("clock.off", problem, advice)


def backlog(expired: int, age: float | None, asked: Asked, name: str) -> Iterator[Finding]:
    """Yield a finding if expired rows lie longer than a sweeper leaves them; `age` is since the first has ended."""
    if age is None or age < max(UNSWEPT, 10 * asked.sweep_interval):
        return
    many = f"at least {expired}" if expired == BACKLOG_LIMIT else f"{expired}"
    yield warning(
        "store.backlog",
        f"{name}: {many} expired sessions wait to be swept, the oldest for {duration(age)}: they grow in number,"
        " because nobody sweeps or the sweeps are too small",
        "see that a server runs with a Sweeper, raise [sweeper] batch, or run `python -m sessions sweep`",
    )


def user_index(has: bool | None, name: str, asked: Asked) -> Iterator[Finding]:
    """Yield a finding if the index of the users is missing (None), or invalid (False)."""
    if asked.user_path is None or has:
        return
    if has is None:
        problem = f"{name}: has no index of the users, so to find the sessions of one reads all"
        yield warning("user-index.missing", problem, "make it with `python -m sessions index`")
    else:
        problem = (
            f"{name}: the index of the users is invalid, since making it failed: it costs writes and finds nothing"
        )
        yield warning("user-index.invalid", problem, "make it again with `python -m sessions index --rebuild`")


def left_over(indexes: list[str], name: str, asked: Asked) -> Iterator[Finding]:
    """Yield a finding for indexes of users by another `userKey` than the present one."""
    if indexes and asked.knows_user_key:
        yield warning(
            "user-index.left",
            f"{name}: has an index of an older userKey ({', '.join(indexes)}), which costs every write",
            "; ".join(f'DROP INDEX "{each}"' for each in indexes),
        )


def transport(hosts: list[str], name: str, *, is_encrypted: bool) -> Iterator[Finding]:
    """Yield a finding if sessions and passwords go to another machine in the clear."""
    others = [host for host in hosts if host and not host.lower().startswith(LOCAL)]
    if others and not is_encrypted:
        yield warning(
            "store.clear-text",
            f"{name}: sessions and passwords go to {', '.join(others)} without TLS",
            "use TLS (rediss://, sslmode=verify-full, tls=true), unless the network between is yours alone",
        )


def duration(milliseconds: float) -> str:
    """Return milliseconds in words."""
    seconds = round(milliseconds / 1000)
    for unit, size in (("days", 86_400), ("hours", 3_600), ("minutes", 60)):
        if seconds >= 2 * size:
            return f"{seconds // size} {unit}"
    return f"{seconds} seconds"
