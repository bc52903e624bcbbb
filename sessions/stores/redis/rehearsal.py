"""Owns what is tried at the start: every command of the scripts, once, on a key that is gone afterwards.

A user who lacks a right, or a server without scripting, would refuse every visitor for ever. This file must not know
what a session is.
"""

from collections.abc import Sequence
from contextlib import suppress

from redis.exceptions import NoScriptError

from ...errors import StoreUnavailable
from .errors import DRIVER, refused, translated
from .scripts import script
from .servers import Servers

REHEARSAL = script("""
local key, out = KEYS[1], {}
local calls = {
  {'SET', key, '', 'PX', 1000}, {'GET', key}, {'PTTL', key}, {'EXISTS', key}, {'PEXPIRE', key, 1000}, {'DEL', key}
}
for _, call in ipairs(calls) do
  local reply = redis.pcall(unpack(call))
  if type(reply) == 'table' and reply.err then
    out[#out + 1] = {call[1], reply.err}
  end
end
return out
""")
"""Replies [command, error] for each command that is refused. Where DEL is, the key lives for a second."""


async def rehearse(servers: Servers, name: str, keys: Sequence[bytes], prefix: str) -> None:
    """Raise StoreError that names the first right or command that is missing; trouble that may pass is not said here.

    `keys` are keys of no session that lie on one node: two keys, in slots that differ, tell a cluster's node that was
    taken for a server by itself. `name` is the store's, as messages have it.
    """
    refusals: list[tuple[bytes, bytes]] = []
    with suppress(StoreUnavailable):
        for command, what in (("EVALSHA", REHEARSAL.sha), ("EVAL", REHEARSAL.text)):
            try:
                with suppress(NoScriptError):  # the right is asked first
                    refusals = await servers.send(command, what, len(keys), *keys)
            except DRIVER as error:
                raise translated(name, error, _needed(command, prefix)) from error
        for lacking, words in refusals:
            raise refused(name, words.decode(errors="replace"), _needed(lacking.decode(), prefix))


def _needed(command: str, prefix: str) -> str:
    return f"; sessions need {command} on the keys {prefix}*"
