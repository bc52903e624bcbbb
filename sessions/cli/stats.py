"""Owns `stats`: how many sessions there are, what they take, and who has the most."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import click

from ..clock import now_ms
from ..meta import is_closed
from ..store import Store, StoredSession, name_of, sweepable
from .found import found, lists
from .output import Output, size, utc
from .target import Target, targeted

_MOST = 10
"""Users that are named."""

_COUNTED = 10_000_000
"""Expired sessions that are counted at most."""


@dataclass
class Stats:
    """What was counted."""

    living: int = 0
    tombstones: int = 0
    anonymous: int = 0
    unreadable: int = 0
    characters: int = 0
    oldest: tuple[int, str] | None = None
    """When the oldest is known to have been there, in milliseconds since the epoch, and its handle."""
    users: Counter[str] = field(default_factory=Counter)

    def count(self, key: str, record: StoredSession, target: Target) -> None:
        """Count a row."""
        self.characters += len(record.data.encode("utf-8", "surrogatepass"))
        if is_closed(record, now_ms()):
            self.tombstones += 1
            return
        self.living += 1
        info, is_readable = found(key, record, target)[2:]
        if not is_readable:
            self.unreadable += 1
        elif info.user:
            self.users[info.user] += 1
        else:
            self.anonymous += 1
        moments = [each for each in (info.created, info.signed_in, info.seen) if each is not None and utc(each)]
        if moments and (self.oldest is None or min(moments) < self.oldest[0]):
            self.oldest = min(moments), info.handle


@click.command(name="stats")
@targeted
async def command(target: Target, out: Output) -> None:
    """Count the sessions: living, expired, their bytes, the oldest, and the ten users with the most.

    A tombstone is what stays for some seconds under an id that a session has left. All sessions are read once, in
    pages. Of the users the names are kept meanwhile, some 150 bytes each.
    """
    async with target.open(reads=True) as store:
        stats, power = Stats(), lists(store)
        with out.progress("reading", await power.length()) as bar:
            async for key, record in power.all():
                stats.count(key, record, target)
                bar.advance()
        document = _document(stats, target, store, await _expired(store))
    if out.as_json:
        out.document(document)
    else:
        _print(out, document)


async def _expired(store: Store) -> int | None:
    """Return how many expired sessions wait to be swept; None for a store that drops them by itself."""
    power = sweepable(store)
    return None if power is None else await power.backlog(_COUNTED)


def _document(stats: Stats, target: Target, store: Store, expired: int | None) -> dict[str, Any]:
    has_users = target.options.user_path is not None
    return {
        "store": name_of(store),
        "living": stats.living,
        "expired": expired,
        "tombstones": stats.tombstones,
        "unreadable": stats.unreadable,
        "bytes": stats.characters,
        "oldest": None if stats.oldest is None else {"handle": stats.oldest[1], "since": utc(stats.oldest[0])},
        "anonymous": stats.anonymous if has_users else None,
        "users": len(stats.users) if has_users else None,
        "most": [{"user": user, "sessions": number} for user, number in stats.users.most_common(_MOST)],
    }


def _print(out: Output, document: dict[str, Any]) -> None:
    oldest, expired = document["oldest"], document["expired"]
    facts = [
        ("store", document["store"]),
        ("living", f"{document['living']:,}"),
        ("expired", "dropped by the store itself" if expired is None else f"{expired:,}"),
        ("tombstones", f"{document['tombstones']:,}"),
        ("unreadable", f"{document['unreadable']:,}"),
        ("bytes", size(document["bytes"])),
        ("oldest", "-" if oldest is None else f"{out.handle(oldest['handle'])} since {out.moment(oldest['since'])}"),
    ]
    if document["users"] is not None:
        facts += [("anonymous", f"{document['anonymous']:,}"), ("users", f"{document['users']:,}")]
    out.facts(facts)
    if document["most"]:
        out.line("")
        out.table(
            [("USER", lambda row: row["user"]), ("SESSIONS", lambda row: f"{row['sessions']:,}")], document["most"]
        )
