"""Owns the mutants of the sessions of a user: how each store finds them and ends them, and what a manager lists."""

import inspect
from typing import Any

from .mutant import Replacement, always, edited, table
from .redis import script

MUTANTS, breaks = table()

CONTRACT, MANAGER, RACES = "stores/test_contract.py", "users/test_manager.py", "users/test_races.py"
POSTGRES = "stores.postgres.users:UserStatements"


def statement(name: str, old: str, new: str) -> Replacement:
    """A class of PostgreSQL's statements for users in which one has other words. It is tried at once."""

    def replacement(original: Any) -> Any:
        class UserStatements(original):  # type: ignore[misc] # the class is not known before
            def __init__(self, *args: Any) -> None:
                super().__init__(*args)
                if getattr(self, name) is not None:
                    setattr(self, name, edited(getattr(self, name), old, new))

        from sessions.stores.postgres.table import Table
        from sessions.user_text import UserPlace

        UserStatements(Table("session"), "json", UserPlace(("user",)), "s.sid")
        return UserStatements

    return replacement


def rewritten(old: str, new: str) -> Replacement:
    """A method of which the source has other words."""

    def replacement(original: Any) -> Any:
        source = edited(inspect.cleandoc(f"\n{inspect.getsource(original)}"), old, new)
        made: dict[str, Any] = {}
        exec(compile(source, original.__code__.co_filename, "exec"), original.__globals__, made)  # a mutant is code
        return made[original.__name__]

    return replacement


breaks(3, "PostgreSQL ends what only seems to be the user's", "users/test_postgres.py", POSTGRES)(
    statement("delete", "= ANY($2::text[])", "<> '' AND $2::text[] IS NOT NULL")
)
breaks(3, "PostgreSQL ends the session that is kept", f"{CONTRACT}::TestPostgres::test_end_keeps_one", POSTGRES)(
    statement("delete", "IS DISTINCT FROM $3::text", "IS DISTINCT FROM left($3::text, 0)")
)
breaks(
    3,
    "two sign-ins in PostgreSQL count side by side",
    f"{CONTRACT}::TestPostgres::test_many_sign_ins_keep_the_limit",
    POSTGRES,
)(statement("lock", "pg_advisory_xact_lock(", "least("))
breaks(
    3, "SQLite reads what another reads differently", "users/test_sqlite.py", "stores.sqlite.user_statements:_IS_ODD"
)(lambda _original: "NOT json_valid(sess)")
breaks(3, "SQLite passes over what it cannot read", "users/test_sqlite.py", "stores.sqlite.users:SQLiteUsers._odd")(
    lambda _original: _nothing
)
breaks(
    3,
    "a sign-in in SQLite ends nobody",
    f"{CONTRACT}::TestSQLite::test_many_sign_ins_keep_the_limit",
    "stores.sqlite.transaction:surplus",
)(always([]))
breaks(
    3,
    "a sign-in in Redis goes by an old count",
    f"{CONTRACT}::TestRedis::test_many_sign_ins_keep_the_limit",
    "stores.redis.scripts:WRITE",
)(script("limited and is_changed(limited, digest)", "false"))
breaks(
    3,
    "a session that moves in Redis stays where it was in the set",
    "users/test_redis.py",
    "stores.redis.scripts:WRITE",
)(script("redis.pcall('ZREM', left, key)", "redis.pcall('ZCARD', left)"))
breaks(3, "Redis reads the set of a user once", RACES, "stores.redis.users:RedisUsers.end")(
    rewritten("if not living and over.issuperset(sids):", "if not sids or over:")
)
breaks(3, "a manager lists a tombstone", MANAGER, "users:is_closed")(always(value=False))
breaks(3, "a manager keeps no session", MANAGER, "users:UserSessions.revoke_all")(
    rewritten("None if keep is None else await self._key(keep)", "None")
)
breaks(3, "a session that has moved is not revoked", MANAGER, "users:closed_meta")(always(None))
breaks(3, "True is a user", "users/test_user_text.py", "user_text:user_text")(lambda _original: str)


async def _nothing(*_: Any) -> list[str]:
    return []
