"""Owns the Lua scripts of the Redis store: one that reads any number of sessions, one that writes any number.

A script is one atomic step and one reply, however many jobs it carries: that is what makes compare-and-set atomic, and
what makes a batch cheap. Each job has a key of its own. A command that Redis refuses fails its own job only: `pcall`
keeps the error, and it is returned as text, because an error inside a reply would break it off.
"""

import hashlib
from typing import NamedTuple


class Script(NamedTuple):
    """A script, and the SHA-1 under which a server that has seen it knows it."""

    sha: str
    text: str


def _script(text: str) -> Script:
    return Script(hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest(), text)


READ = _script("""
local out = {}
for i, key in ipairs(KEYS) do
  local text = redis.pcall('GET', key)
  if type(text) == 'table' then
    out[i] = {text.err}
  elseif text then
    out[i] = {text, redis.call('PTTL', key)}
  else
    out[i] = 0
  end
end
return out
""")
"""For each key: [text, milliseconds that are left], or 0 where there is none, or [error]. No expiry is -1."""

WRITE = _script("""
local out = {}
for i, key in ipairs(KEYS) do
  local verb, life, new, old = ARGV[4 * i - 3], ARGV[4 * i - 2], ARGV[4 * i - 1], ARGV[4 * i]
  local lives = tonumber(life) > 0
  local was, reply
  if verb == 'update' or verb == 'touch' then
    was = redis.pcall('GET', key)
  end
  if type(was) == 'table' then
    reply = was
  elseif was == false then
    out[i] = 0
  elseif was and was ~= old then
    out[i] = {was, redis.call('PTTL', key)}
  elseif verb == 'destroy' then
    reply = redis.pcall('DEL', key)
  elseif verb == 'create' and not lives then
    if redis.call('EXISTS', key) == 1 then out[i] = 0 else out[i] = 1 end
  elseif not lives then
    reply = redis.pcall('DEL', key)
  elseif verb == 'touch' then
    reply = redis.pcall('PEXPIRE', key, life)
  elseif verb == 'create' then
    reply = redis.pcall('SET', key, new, 'NX', 'PX', life)
    if not reply then out[i] = 0 end
  else
    reply = redis.pcall('SET', key, new, 'PX', life)
  end
  if type(reply) == 'table' and reply.err then
    out[i] = {reply.err}
  elseif not out[i] then
    out[i] = 1
  end
end
return out
""")
"""ARGV has four items for each key: a verb, the milliseconds to live, the new text, the text that is expected there.

For each: 1 where it was done, 0 where a create found a session or another verb none, [text, milliseconds that are left]
where another text stood there, or [error]. What has no life left is not stored: a moment of life would be seen.
"""
