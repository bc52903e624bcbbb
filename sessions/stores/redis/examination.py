"""Owns the examination of Redis for `doctor`: what is asked of each server, and what is said of the answers.

A right is tried by a command that changes nothing even where it is given: on a key that is not there, with the option
XX, or with a number of keys that no script can have. A server looks at the rights first.
"""

import contextlib
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from dataclasses import replace
from secrets import token_urlsafe
from typing import TYPE_CHECKING, Any, NamedTuple

from redis.exceptions import ResponseError

from ...findings import Finding, fault, note, warning
from ..examination import Asked, clocks, transport
from .cluster import Cluster
from .errors import DRIVER
from .one_server import OneServer
from .url import Target

if TYPE_CHECKING:
    from .store import RedisStore

_NO_SCRIPT = "0" * 40
_OLDEST = (6, 0)
_FULL = 0.9
"""The share of `maxmemory` from which on a server is nearly full."""


class Facts(NamedTuple):
    """What a server is."""

    info: Mapping[str, str]
    """What INFO says; nothing: the user may not ask."""
    save: str | None
    """When it saves; None: the user may not ask."""
    refused: Mapping[str, str]
    """What is wrong, by the command."""


async def examine(store: "RedisStore", asked: Asked) -> AsyncIterator[Finding]:
    """Yield what is wrong with the servers of a store. Raises StoreError if one cannot be asked."""
    target, seconds = store._target, store._seconds  # noqa: SLF001 # it is a part of the store
    hosts = [host for host, _ in target.addresses]
    for finding in transport(hosts, store.name, is_encrypted=target.tls):
        yield finding
    with store.driver_errors():
        async for name, server in _masters(target, seconds, store.name):
            found: list[Finding] = []
            with contextlib.suppress(ResponseError):  # a right that only users' sets need
                before = asked.now
                second, micros = await server.send("TIME")
                now = int(second) * 1000 + int(micros) // 1000
                found += clocks(now - (before + asked.now) / 2, name, decides=False)
            facts = await _facts(server, store._prefix, has_users=asked.user_path is not None)  # noqa: SLF001 # the keys that it may read
            found += [*version(facts, name), *role(facts, name), *rights(facts, name), *unseen(facts, name)]
            found += [*eviction(facts, name), *memory(facts, name), *persistence(facts, name), *saving(facts, name)]
            for finding in found:
                yield finding


# -------------------------------------------------------------------- the checks


def version(facts: Facts, name: str) -> Iterator[Finding]:
    """Yield a finding if the server is too old."""
    given = facts.info.get("redis_version", "")
    numbers = tuple(int(part) for part in given.split(".")[:2] if part.isdigit())
    if numbers and numbers < _OLDEST:
        yield fault("redis.version", f"{name}: is Redis {given}", "sessions need Redis 6.0 or newer, or Valkey")


def role(facts: Facts, name: str) -> Iterator[Finding]:
    """Yield a finding if the server only reads."""
    if facts.info.get("role") == "slave":
        problem = f"{name}: is a replica, which takes no writes: no session can be stored"
        yield fault("redis.replica", problem, "name its master, or the Sentinels (redis+sentinel://)")


def rights(facts: Facts, name: str) -> Iterator[Finding]:
    """Yield findings about commands that the user may not use, or that the server has not."""
    scripts = _words(facts, lambda command: command.startswith("EVAL"))
    if scripts:
        problem = f"{name}: refuses scripts ({scripts}), by which every session is read and written"
        yield fault("redis.scripting", problem, "ACL SETUSER … +eval +evalsha")
    users = _words(facts, _is_for_users)
    if users:
        problem = f"{name}: refuses {users}, so there is no index of the users: to find one reads all"
        yield warning("redis.user-rights", problem, "ACL SETUSER … with these commands, and ~user-* among the keys")
    others = _words(facts, lambda command: not command.startswith("EVAL") and not _is_for_users(command))
    if others:
        problem = f"{name}: refuses {others}, which sessions need"
        yield fault("redis.rights", problem, "ACL SETUSER … with these commands, and the keys of the prefix")


def _is_for_users(command: str) -> bool:
    return command.startswith("Z") or command == "TIME"


def _words(facts: Facts, concerns: Callable[[str], bool]) -> str:
    """Return the commands that are refused, with the server's words."""
    return ", ".join(f"{command}: {words}" for command, words in facts.refused.items() if concerns(command))


def unseen(facts: Facts, name: str) -> Iterator[Finding]:
    """Yield a finding if the user may not see what the server does when it is full, or ends."""
    if not facts.info or (facts.save is None and facts.info.get("aof_enabled") != "1"):
        problem = f"{name}: the user may not see {'how it saves' if facts.info else 'what it evicts and how it saves'}"
        yield note("redis.unseen", problem, "ask as a user with +info +config|get, or whoever runs the server")


def eviction(facts: Facts, name: str) -> Iterator[Finding]:
    """Yield a finding if the server drops living sessions when it is full."""
    policy = facts.info.get("maxmemory_policy", "noeviction")
    if policy == "noeviction":
        return
    limit = int(facts.info.get("maxmemory", 0))
    problem = f"{name}: its maxmemory-policy is {policy}: when its memory is full it signs visitors out"
    evicted = int(facts.info.get("evicted_keys", 0))
    problem += f" ({evicted} keys so far)" if evicted else "" if limit else " (maxmemory is not set yet)"
    advice = "CONFIG SET maxmemory-policy noeviction, and memory enough"
    yield (fault if limit else warning)("redis.eviction", problem, advice)


def memory(facts: Facts, name: str) -> Iterator[Finding]:
    """Yield a finding if the server is nearly full and then refuses."""
    limit, used = int(facts.info.get("maxmemory", 0)), int(facts.info.get("used_memory", 0))
    if limit and used > _FULL * limit and facts.info.get("maxmemory_policy") == "noeviction":
        problem = f"{name}: {used * 100 // limit} % of its memory is used; when it is full it takes no new sessions"
        yield warning("redis.memory", problem, "raise maxmemory, or shorten the sessions' lives")


def persistence(facts: Facts, name: str) -> Iterator[Finding]:
    """Yield a finding if a restart of the server ends every session."""
    if facts.info.get("aof_enabled") == "0" and facts.save == "":
        problem = f"{name}: keeps nothing on disk, so a restart signs everybody out"
        yield warning("redis.persistence", problem, "appendonly yes, or save 3600 1 300 100 60 10000")


def saving(facts: Facts, name: str) -> Iterator[Finding]:
    """Yield a finding if the server cannot save; then it mostly refuses writes too."""
    failed = [each for each in ("rdb_last_bgsave_status", "aof_last_write_status") if facts.info.get(each) == "err"]
    if failed:
        problem = f"{name}: its last save failed ({', '.join(failed)}), and it may refuse writes for that"
        yield fault("redis.saving", problem, "see its log: mostly the disk is full, or the folder is not its own")


# -------------------------------------------------------------------- the facts


async def _facts(server: OneServer, prefix: bytes, *, has_users: bool) -> Facts:
    key = prefix + token_urlsafe().encode()
    probes: list[tuple[Any, ...]] = [
        ("EVALSHA", _NO_SCRIPT, 0), ("EVAL", "return 1", -1), ("GET", key), ("SET", key, "", "PX", 1000, "XX"),
        ("PTTL", key), ("EXISTS", key), ("PEXPIRE", key, 1000), ("DEL", key), ("SCAN", 0, "COUNT", 1),
    ]  # fmt: skip
    if has_users:
        users = b"user-" + key
        probes += [
            ("TIME",), ("ZADD", users, "XX", 1, key), ("ZRANGE", users, 0, -1), ("ZREM", users, key),
            ("ZREMRANGEBYSCORE", users, "-inf", 0),
        ]  # fmt: skip
    refused = {}
    for probe in probes:
        words = await _refusal(server, *probe)
        if words:
            refused[probe[0]] = words
    info: dict[str, str] = {}
    save = None
    with contextlib.suppress(ResponseError):
        lines = (await server.send("INFO")).decode("utf-8", "replace").splitlines()
        info = {name: value for name, colon, value in (line.partition(":") for line in lines) if colon}
    with contextlib.suppress(ResponseError):
        found = await server.send("CONFIG", "GET", "save")
        save = found[1].decode() if found else None
    return Facts(info, save, refused)


async def _refusal(server: OneServer, *command: Any) -> str:
    """Return the server's word for a command that the user may not use, or that it has not; "" where it is done."""
    try:
        await server.send(*command)
    except ResponseError as error:
        words = str(error)
        if type(error).__name__ == "NoPermissionError" or words.startswith("NOPERM"):
            return "no permission"
        return "unknown command" if "unknown command" in words else ""
    return ""


async def _masters(target: Target, seconds: float, name: str) -> AsyncIterator[tuple[str, OneServer]]:
    """Yield each server that takes writes, with its name, open."""
    targets = {name: target}
    if target.kind == "cluster":
        cluster = Cluster(target, seconds)
        try:
            await cluster.open()
            targets = {
                f"redis at {host}:{port}": replace(
                    target, kind="", addresses=((host, port),), login={**target.login, "db": 0}
                )
                for host, port in cluster.masters
            }
        finally:
            await cluster.close()
    for each, one in targets.items():
        server = OneServer(one, seconds)
        try:
            with contextlib.suppress(ResponseError):  # a server that cannot save refuses even this
                await server.open()
            yield each, server
        finally:
            with contextlib.suppress(*DRIVER):
                await server.close()
