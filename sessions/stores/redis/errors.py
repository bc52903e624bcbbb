"""Owns what a failure of Redis means: which error of redis-py, or word of a server, becomes which error of ours."""

import re

from redis.asyncio.sentinel import MasterNotFoundError
from redis.exceptions import RedisClusterException, RedisError, ResponseError

from ...errors import StoreError, StoreUnavailable

DRIVER = (RedisError, RedisClusterException, OSError, ValueError)
"""What redis-py raises: ValueError for a reply or an option that it cannot read. The built-in TimeoutError, which our
time limit raises, is an OSError."""

_TROUBLE = {
    "LOADING", "BUSY", "MASTERDOWN", "CLUSTERDOWN", "TRYAGAIN", "READONLY", "OOM", "MISCONF", "NOREPLICAS", "NOAUTH",
    "WRONGPASS", "UNBLOCKED",
}  # fmt: skip
"""The codes of refusals that may pass: the server's state is at fault, not the command."""

_AWAY = {"BUSY", "MASTERDOWN", "CLUSTERDOWN"}
"""Those of them that meet every command."""

_ELSEWHERE = {"MOVED", "ASK", "CROSSSLOT"}
_CODE = re.compile(r"(?:@user_script: ?\d+: )?-?([A-Z]{2,}) ")  # Redis 6.2 says first where in the script it happened

_CODES = {
    "ReadOnlyError": "READONLY", "OutOfMemoryError": "OOM", "ClusterDownError": "CLUSTERDOWN",
    "MasterDownError": "MASTERDOWN", "TryAgainError": "TRYAGAIN", "MovedError": "MOVED", "AskError": "ASK",
    "ClusterCrossSlotError": "CROSSSLOT", "NoPermissionError": "NOPERM",
}  # fmt: skip
"""The codes that redis-py takes out of the text and makes a class of."""


def refused(name: str, text: str, advice: str = "") -> StoreError:
    """Return the error for what a server says in words, which `advice` follows. `name` is the store's in messages."""
    found = _CODE.match(text)
    code = found[1] if found else ""
    said = text[found.start(1) :] if found else text
    said = said.partition(", with args")[0]  # an id would follow
    if code in _ELSEWHERE:
        return StoreError(f"{name}: is a node of a cluster: the store's URL must begin with redis+cluster://")
    return (StoreUnavailable if code in _TROUBLE else StoreError)(f"{name}: {said}{advice}")


def translated(name: str, error: Exception, advice: str = "") -> StoreError:
    """Return our error for one of the driver's; `advice` follows what the server says."""
    if isinstance(error, ResponseError):
        return refused(name, _words(error), advice)
    if isinstance(error, TimeoutError):  # the built-in one: redis-py's own does not derive from it
        return StoreUnavailable(f"{name}: did not answer in time")
    if isinstance(error, MasterNotFoundError):  # behind the colon comes the repr of each Sentinel's client
        return StoreUnavailable(f"{name}: {str(error).partition(' : ')[0]}")
    return StoreUnavailable(f"{name}: {error}")


def is_away(error: Exception) -> bool:
    """Return True if the next command would fail too, if it were sent at once."""
    return not isinstance(error, ResponseError) or _words(error).partition(" ")[0] in _AWAY


def _words(error: ResponseError) -> str:
    """Return what the server said, with its code."""
    text = str(error)
    code = _CODES.get(type(error).__name__, "")
    return text if not code or text.startswith(code) else f"{code} {text}"
