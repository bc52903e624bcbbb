"""Owns the Lua scripts of the Redis store: one that reads any number of sessions, one that writes any number.

A script is one atomic step and one reply, however many jobs it carries: so compare-and-set and `rename` are atomic,
and a batch is cheap. A command that Redis refuses fails its own job only: `pcall` keeps the error, and the script
returns it as text, because an error inside a reply would break the reply off.
"""

import hashlib
from collections.abc import Collection, Sequence
from typing import Any, NamedTuple

from ..batching import MAX_CHARACTERS, Job


class Script(NamedTuple):
    """A script, and the SHA-1 under which a server that has run it knows it."""

    sha: str
    text: str


def _sha1(text: str | bytes) -> str:
    encoded = text if isinstance(text, bytes) else text.encode(errors="surrogatepass")  # which no stored text needs
    return hashlib.sha1(encoded, usedforsecurity=False).hexdigest()


def script(text: str) -> Script:
    """Return the script of a text."""
    return Script(_sha1(text), text)


READ = script(
    f"local out, room = {{}}, {MAX_CHARACTERS}\n"
    """
for i, key in ipairs(KEYS) do
  local text = redis.pcall('GET', key)
  if type(text) == 'table' then
    out[i] = {text.err}
  elseif text then
    out[i] = {text, redis.call('PTTL', key)}
    room = room - #text
    if room < 0 then
      break
    end
  else
    out[i] = 0
  end
end
return out
"""
)
"""For each key: [text, milliseconds that are left], or 0 if there is none, or [error]. No expiry is -1.

The reply ends early when its texts are more than a batch has: nobody else is served while the server copies them.
"""

DONE, MISSING, IS_TAKEN, IS_CHANGED = 1, 0, 2, 3
"""What WRITE replies where it replies a number. MISSING: there is nothing to write to, or, of a create, something is
in the way. IS_CHANGED: the set of the user has other members by now than the sign-in has counted."""

_ENTER = """
local function enter(set, member, life)
  local t = redis.call('TIME')
  local now = t[1] * 1000 + math.floor(t[2] / 1000)
  if tonumber(life) <= 0 then
    return redis.pcall('ZREM', set, member)
  end
  redis.pcall('ZREMRANGEBYSCORE', set, '-inf', now)
  local reply = redis.pcall('ZADD', set, now + life, member)
  local left = redis.pcall('PTTL', set)
  if type(left) == 'number' and left < tonumber(life) then
    redis.pcall('PEXPIRE', set, life)
  end
  return reply
end
"""
"""Keeps the set of a user: the keys of sessions by their expiry, in the server's milliseconds, without expired ones.

It lives as long as the last of them. A command that is refused fails no write: the set only helps to find sessions.
"""

WRITE = script(
    _ENTER
    + """
local function done(reply)
  if type(reply) == 'table' and reply.err then
    return {reply.err}
  end
  return 1
end

local function put(key, life, text)
  if tonumber(life) > 0 then
    return done(redis.pcall('SET', key, text, 'PX', life))
  end
  return done(redis.pcall('DEL', key))
end

local function perform(verb, key, life, text, expected, new, closed_life, closed)
  if verb == 'destroy' then
    return done(redis.pcall('DEL', key))
  elseif verb == 'set' then
    return put(key, life, text)
  elseif verb == 'create' then
    if redis.call('EXISTS', key) == 1 then
      return 0
    end
    return put(key, life, text)
  end
  local found = redis.pcall('GET', key)
  if not found then
    return 0
  elseif type(found) == 'table' then
    return done(found)
  end
  local compared = verb == 'touch' and redis.sha1hex(found) or found
  if compared ~= expected then
    return {found, redis.call('PTTL', key)}
  elseif verb == 'touch' then
    return done(redis.pcall('PEXPIRE', key, life))
  elseif verb == 'update' then
    return put(key, life, text)
  end
  if redis.call('EXISTS', new) == 1 then
    return 2
  end
  local reply = put(new, life, text)
  if reply ~= 1 then
    return reply
  end
  return put(key, closed_life, closed)
end

local function is_changed(set, digest)
  local members = redis.call('ZRANGE', set, 0, -1)
  table.sort(members)
  return redis.sha1hex(table.concat(members, '\\n')) ~= digest
end

local out, k, a = {}, 1, 1
while ARGV[a] do
  local entered, left, limited, digest, victims = '', '', nil, nil, {}
  if ARGV[a] == 'limit' then
    limited, digest = ARGV[a + 1], ARGV[a + 2]
    for n = 1, tonumber(ARGV[a + 3]) do
      victims[n] = ARGV[a + 3 + n]
    end
    a = a + 4 + #victims
  end
  if ARGV[a] == 'of' then
    entered, left, a = ARGV[a + 1], ARGV[a + 2], a + 3
  end
  local key, verb, life, text, expected = KEYS[k], ARGV[a], ARGV[a + 1], ARGV[a + 2], ARGV[a + 3]
  local reply, member = 3, key
  local waits = limited and is_changed(limited, digest)
  if verb == 'rename' then
    if not waits then
      reply = perform(verb, key, life, text, expected, KEYS[k + 1], ARGV[a + 4], ARGV[a + 5])
    end
    member = KEYS[k + 1]
    k, a = k + 2, a + 6
  else
    if not waits then
      reply = perform(verb, key, life, text, expected)
    end
    k, a = k + 1, a + 4
  end
  if reply == 1 then
    if left ~= '' then
      redis.pcall('ZREM', left, key)
    end
    if entered ~= '' then
      enter(entered, member, life)
    end
    for _, victim in ipairs(victims) do
      redis.call('DEL', victim)
      redis.call('ZREM', limited, victim)
    end
  end
  out[#out + 1] = reply
end
return out
"""
)
"""KEYS has the key of each job, and behind that of a rename the new key; ARGV has what `arguments` returns.

For each job: a number (DONE, MISSING, IS_TAKEN, IS_CHANGED), or [text, milliseconds that are left] if another text is
there, or [error]. What has no life left is not stored: a moment of life would be seen. A rename sets the new key first:
if the server has no room for it, the old key is untouched. Before a job may be what `of_users` and `within` return.
"""

ENTER_ONE = script(
    _ENTER
    + """
local reply = enter(KEYS[1], ARGV[1], ARGV[2])
return {type(reply) == 'table' and reply.err or ''}
"""
)
"""Enters a key into the set of a user, or takes it out if it has no life left. Replies an error, or ""."""


MEMBERS = script(
    """
local out = {}
for _, set in ipairs(KEYS) do
  for _, member in ipairs(redis.call('ZRANGE', set, 0, -1)) do
    out[#out + 1] = member
  end
end
return out
"""
)
"""Returns the members of several sets as of one moment: a session may move from one to another."""


def arguments(job: Job, now: int) -> tuple[Any, ...]:
    """Return what WRITE needs for a job: the verb, the milliseconds to live, the text, and what is compared.

    Of a touch that is the SHA-1 of the text, so that no text goes out; of a rename the life and the text of the
    tombstone follow, the life 0 if there is none. Texts are bytes already: redis-py takes longer to encode them.
    """
    record, expected, tombstone = job.record, job.expected, job.tombstone
    if record is None:
        return job.verb, job.expires_at - now, b"", b"" if expected is None else _sha1(expected.data)
    row = (job.verb, record.expires_at - now, record.data.encode(), b"" if expected is None else expected.data.encode())
    if job.new is None:
        return row
    return (*row, 0, b"") if tombstone is None else (*row, tombstone.expires_at - now, tombstone.data.encode())


def of_users(entered: bytes, left: bytes) -> tuple[Any, ...]:
    """Return what is before the arguments of a job that moves a session into a user's set, or out of one (or b"")."""
    return ("of", entered, left) if entered or left else ()


def within(user_set: bytes, members: Collection[bytes], victims: Sequence[bytes]) -> tuple[Any, ...]:
    """Return what is before the arguments of a sign-in that has counted a user's sessions.

    It is done only if the set has these members still; the victims end with it.
    """
    return ("limit", user_set, _sha1(b"\n".join(sorted(members))), len(victims), *victims)
