"""Owns what the store asks of Redis, wherever it runs, and what holds for every way to it.

redis-py's public API only. Nothing is tried again: a write that lost its reply may have taken effect, and would be done
twice. One time limit holds for a whole call, connecting included; that costs less than redis-py's own limit for every
socket operation. A connection is closed if its call was cut short, so its late reply reaches nobody.
"""

from collections.abc import AsyncIterator, Sequence
from typing import Any, Protocol

from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from .scripts import Script

SEND_ONCE: dict[str, Any] = {"retry": Retry(NoBackoff(), 0), "protocol": 2}
"""Options of redis-py: no retries, and RESP2, the form of replies that these files read."""

_PAGE = 500
"""Keys that one SCAN looks at."""


class Servers(Protocol):
    """One server (one_server.py) or a cluster (cluster.py). It knows no verbs, and raises what redis-py raises."""

    @property
    def ready(self) -> bool:
        """True if the servers are up, as far as is known without asking, or are worth another try."""

    async def open(self) -> None:
        """Connect. Raises if nobody answers."""

    async def close(self) -> None:
        """Close every connection."""

    async def run(self, script: Script, keys: Sequence[bytes], args: Sequence[Any]) -> list[Any]:
        """Return the replies of a script. An exception may be in the place of a reply."""

    async def send(self, *command: Any) -> Any:
        """Return the reply to a command with keys on one node."""

    def reconnect(self) -> None:
        """Connect again before the next call: the server has refused a command, and may not be the master any more."""

    def scan(self, pattern: bytes) -> AsyncIterator[list[bytes]]:
        """Yield the keys of all servers that match a pattern and hold a string, in pages; a key may come twice."""


def scan_command(cursor: Any, pattern: bytes) -> tuple[Any, ...]:
    """Return the command for one page of keys."""
    return ("SCAN", cursor, "MATCH", pattern, "COUNT", _PAGE, "TYPE", "string")
