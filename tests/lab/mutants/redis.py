"""Owns the mutants of the Redis store: words of the script that writes."""

from typing import Any

from .mutant import Replacement, edited, table

MUTANTS, breaks = table()

CONTRACT, RENAME = "stores/test_contract.py", "stores/test_redis_rename.py"
WRITE = "stores.redis.scripts:WRITE"


def script(old: str, new: str) -> Replacement:
    """A script in which some words are others, under the SHA-1 that it has then."""

    def replacement(original: Any) -> Any:
        from sessions.stores.redis.scripts import script as of

        return of(edited(original.text, old, new))

    return replacement


breaks(1, "what Redis refuses is taken for done", "stores/test_redis_faults.py", WRITE)(
    script("return {reply.err}", "return 1")
)
breaks(2, "an update in Redis compares nothing", CONTRACT, WRITE)(
    script("if compared ~= expected then", "if false then")
)
breaks(3, "an update in Redis inserts", CONTRACT, WRITE)(
    script(
        "if not found then", "if not found and verb == 'update' then return put(key, life, text) elseif not found then"
    )
)
breaks(3, "a rename in Redis leaves no tombstone", RENAME, WRITE)(
    script("return put(key, closed_life, closed)", "return done(redis.pcall('DEL', key))")
)
breaks(4, "a create in Redis overwrites", CONTRACT, WRITE)(
    script("if redis.call('EXISTS', key) == 1 then", "if false then")
)
breaks(4, "a rename in Redis overwrites another visitor's session", RENAME, WRITE)(
    script("if redis.call('EXISTS', new) == 1 then", "if false then")
)
breaks(5, "a touch in Redis writes a text", "stores/test_redis.py", WRITE)(
    script("redis.pcall('PEXPIRE', key, life)", "redis.pcall('SET', key, text, 'PX', life)")
)
