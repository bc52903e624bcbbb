"""Owns the way to a cluster: every key is asked of the master that keeps it, and a node that fails is left alone."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Sequence
from typing import Any

from redis.asyncio import RedisCluster
from redis.asyncio.cluster import ClusterNode
from redis.exceptions import NoScriptError

from ..base import CircuitBreaker
from .errors import DRIVER, is_away, translated
from .scripts import Script
from .servers import SEND_ONCE, scan_command
from .url import Target

NODE_RETRY_SECONDS = 0.25
"""How long a node that did not answer is left alone; the other nodes are asked all the same."""

_NODE_CALLS = 16
"""How many calls one node is asked at a time, each on a connection of its own."""


class Cluster:
    """The masters of a cluster. Each key is a call: a script's keys must share a slot, and a pipeline takes no EVALSHA.

    `seconds` is the limit of a call.
    """

    def __init__(self, target: Target, seconds: float) -> None:
        self._name = target.place
        self._client = RedisCluster(
            startup_nodes=[ClusterNode(*address) for address in target.addresses],
            socket_timeout=0.8 * seconds,  # before ours: so that redis-py notices, and asks who the masters are
            socket_connect_timeout=0.8 * seconds,
            require_full_coverage=False,  # while some slots have no master the others are served
            reinitialize_steps=0,  # redis-py learns a slot that has moved; to start over would cut other calls off
            max_connections=2 * _NODE_CALLS,
            ssl=target.tls,
            **SEND_ONCE,
            **target.login,
        )
        self._seconds = seconds
        self._nodes: dict[str, _Node] = defaultdict(_Node)

    @property
    def ready(self) -> bool:
        """True unless every master has just failed."""
        masters = self._client.get_primaries()
        return not masters or any(self._nodes[str(each.name)].breaker.allows for each in masters)

    @property
    def masters(self) -> list[tuple[str, int]]:
        """The addresses of the masters, once it is open."""
        return [(str(each.host), int(each.port)) for each in self._client.get_primaries()]

    def node_of(self, key: bytes) -> str:
        """Return the name of the master that keeps a key, or "" if the key's slot has none."""
        try:
            node = self._client.get_node_from_key(key)  # type: ignore[arg-type] # bytes do as well
        except DRIVER:  # the call itself fails with it
            return ""
        return "" if node is None else str(node.name)

    async def open(self) -> None:
        """Learn the nodes. Raises what redis-py raises if none answers."""
        await self._in_time(self._client.initialize())

    async def close(self) -> None:
        """Close every connection."""
        await self._client.aclose()
        for nodes in ("nodes_cache", "startup_nodes"):  # aclose() closes none if redis-py was about to learn them again
            await self._client.nodes_manager.aclose(nodes)

    async def run(self, script: Script, keys: Sequence[bytes], args: Sequence[Any]) -> list[Any]:
        """Return the replies of a script, with one call for each key, side by side; a call's error is its reply."""
        each = len(args) // len(keys)
        rows = [args[n * each : (n + 1) * each] for n in range(len(keys))]
        calls = (self._one(script, key, row) for key, row in zip(keys, rows, strict=True))
        return await asyncio.gather(*calls, return_exceptions=True)

    async def send(self, *command: Any) -> Any:
        """Return the reply to a command with keys of one slot."""
        return await self._in_time(self._client.execute_command(*command))

    def reconnect(self) -> None:
        """Do nothing: redis-py follows a cluster's masters."""

    async def scan(self, pattern: bytes) -> AsyncIterator[list[bytes]]:
        """Yield the keys of every master that match a pattern, in pages."""
        for node in self._client.get_primaries():
            cursor: Any = 0
            while True:
                command = scan_command(cursor, pattern)
                cursors, keys = await self._in_time(self._client.execute_command(*command, target_nodes=node))
                yield keys
                (cursor,) = cursors.values()
                if not cursor:
                    break

    async def _one(self, script: Script, key: bytes, args: Sequence[Any]) -> Any:
        node = self._nodes[self.node_of(key)]
        async with node.calls:
            if node.error is not None and not node.breaker.allows:
                raise translated(self._name, node.error) from node.error
            try:
                (reply,) = await self._in_time(self._evaluate(script, key, args))
            except DRIVER as error:
                if is_away(error):
                    node.error = error
                    node.breaker.trip()
                raise
            node.breaker.reset()
            return reply

    async def _evaluate(self, script: Script, key: bytes, args: Sequence[Any]) -> Any:
        try:
            return await self._client.execute_command("EVALSHA", script.sha, 1, key, *args)
        except NoScriptError:  # nothing was done; from now on the node knows it
            return await self._client.execute_command("EVAL", script.text, 1, key, *args)

    async def _in_time(self, call: Awaitable[Any]) -> Any:
        async with asyncio.timeout(self._seconds):
            return await call


class _Node:
    """What is known of one node."""

    def __init__(self) -> None:
        self.calls = asyncio.Semaphore(_NODE_CALLS)
        self.breaker = CircuitBreaker(NODE_RETRY_SECONDS)
        self.error: Exception | None = None
        """Why it was last left alone."""
