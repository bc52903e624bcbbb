"""Owns the mutants of the Redis store: its scripts, its start, its keys, and the batches that it shares with others."""

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


# ---------------------------------------------------------------- the start, the keys, the batches


@breaks(7, "a start in Redis tries nothing", "stores/test_redis_rehearsal.py", "stores.redis.rehearsal:rehearse")
def _(_original: Any) -> Any:
    async def rehearse(*_: Any) -> None:
        pass

    return rehearse


@breaks(4, "Redis takes the keys of a longer prefix", "stores/test_redis.py", "stores.redis.store:RedisStore._id_of")
def _(_original: Any) -> Any:
    return lambda self, key: key.removeprefix(self._prefix).decode()


breaks(6, "a reply of Redis has no bound", "stores/test_redis.py", "stores.redis.scripts:READ")(
    script("if room < 0 then", "if false then")
)
breaks(6, "a batch has no bound of text", "stores/test_batching.py", "stores.batching:Job.size")(
    lambda _: property(lambda _self: 0)
)
