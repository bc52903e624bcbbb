"""Owns the mutants of the PostgreSQL store."""

import asyncio
from typing import Any, Self

from .mutant import Replacement, edited, members, table

MUTANTS, breaks = table()

CONTRACT = "stores/test_contract.py"
TABLES, GIVEN_UP = "stores/test_postgres_tables.py", "stores/test_postgres_given_up.py"
LOCKED, RENAME = "stores/test_postgres_locked.py", "stores/test_postgres_rename.py"
STATEMENTS = "stores.postgres.statements:Statements"
CONNECTIONS = "stores.postgres.connections"


def statement(name: str, old: str, new: str) -> Replacement:
    """A class of statements in which one has other words. What it does is tried at once, so that it cannot be stale."""

    def replacement(original: Any) -> Any:
        class Statements(original):  # type: ignore[misc] # the class is not known before
            def __init__(self, *args: Any) -> None:
                super().__init__(*args)
                if name in self.writes:
                    self.writes[name] = self.writes[name]._replace(sql=edited(self.writes[name].sql, old, new))
                else:
                    setattr(self, name, edited(getattr(self, name), old, new))

        Statements("session", "json")
        return Statements

    return replacement


SAME = "s.sess::text = job.expected"

breaks(2, "PostgreSQL saves over a change that it has waited for", LOCKED, STATEMENTS)(
    statement("update", f" AND {SAME}", "")
)
breaks(2, "a PostgreSQL rename compares nothing", RENAME, STATEMENTS)(
    statement("rename", SAME, "job.expected IS NOT NULL")
)
breaks(2, "a PostgreSQL touch overtakes another", "stores/test_postgres.py", STATEMENTS)(
    statement("touch", "= job.expected::bigint", "IS NOT NULL AND job.expected IS NOT NULL")
)
breaks(3, "PostgreSQL saves what has expired", CONTRACT, STATEMENTS)(statement("update", " AND s.expire > now()", ""))
breaks(3, "a PostgreSQL rename leaves no tombstone", RENAME, STATEMENTS)(
    statement("rename", "WHERE closed IS NOT NULL", "WHERE false")
)
breaks(6, "every PostgreSQL sweeper leads", LOCKED, STATEMENTS)(
    statement(
        "sweep", "(SELECT pg_try_advisory_xact_lock(1936028531, to_regclass($2)::oid::int))", "$2::text IS NOT NULL"
    )
)
breaks(6, "a PostgreSQL sweep waits for rows that somebody holds", LOCKED, STATEMENTS)(
    statement("sweep", "FOR UPDATE SKIP LOCKED", "FOR UPDATE")
)


@breaks(
    7, "a PostgreSQL time loses its milliseconds", "stores/test_postgres_zone.py", "stores.postgres.statements:_moment"
)
def _(original: Any) -> Any:
    return lambda milliseconds: edited(original(milliseconds), "::float8", "::bigint")


# ---------------------------------------------------------------- what goes alone


@breaks(2, "a PostgreSQL rename waits in a batch", RENAME, "stores.postgres.alone:Writes.add")
def _(original: Any) -> Any:
    async def add(self: Any, job: Any) -> Any:
        from sessions.stores.postgres.alone import ALONE

        if job.new is not None and job.sid not in self._alone:
            outcome = await self._batches.add(job)
            if outcome is not ALONE:
                return outcome
        return await original(self, job)

    return add


@breaks(2, "a PostgreSQL batch waits for the row of a rename", RENAME, "stores.postgres.alone:Writes.__init__")
def _(original: Any) -> Any:
    class Forgetful(set[str]):
        def __ior__(self, _ids: Any) -> Self:  # type: ignore[misc,override] # it takes nothing in
            return self

    def init(self: Any, *args: Any) -> None:
        original(self, *args)
        self._alone = Forgetful()

    return init


# ---------------------------------------------------------------- errors and limits


@breaks(2, "PostgreSQL waits in company for a row that is locked", LOCKED, "stores.postgres.errors:is_for_one")
def _(_original: Any) -> Any:
    return lambda _error: False


@breaks(3, "a taken id in PostgreSQL is an error", RENAME, "stores.postgres.errors:is_taken")
def _(_original: Any) -> Any:
    return lambda _error: False


@breaks(7, "PostgreSQL is waited for without end", "stores/test_postgres_faults.py", f"{CONNECTIONS}:asyncio")
def _(original: Any) -> Any:
    return members(original, timeout_at=lambda _when: asyncio.timeout_at(None))


@breaks(7, "PostgreSQL goes on with what was given up", RENAME, f"{CONNECTIONS}:Connections._leave")
def _(original: Any) -> Any:
    def leave(self: Any, pool: Any, connection: Any, error: Any) -> Any:
        if not hasattr(error, "sqlstate"):
            connection.terminate()  # nobody tells the server
        return original(self, pool, connection, error)

    return leave


@breaks(7, "PostgreSQL has its full time however late it begins", RENAME, f"{CONNECTIONS}:_AT_ONCE")
def _(_original: Any) -> Any:
    return 10**9


@breaks(7, "a deadlock in PostgreSQL is not tried again", RENAME, f"{CONNECTIONS}:_TRIES")
def _(_original: Any) -> Any:
    return 1


@breaks(7, "PostgreSQL writes on after a failure was told", GIVEN_UP, f"{CONNECTIONS}:asyncio")
def _(original: Any) -> Any:
    async def wait(*_: Any) -> None:
        pass

    return members(original, wait=wait)


@breaks(7, "PostgreSQL begins what comes too late", GIVEN_UP, f"{CONNECTIONS}:Connections._run")
def _(original: Any) -> Any:
    def run(self: Any, pool: Any, connection: Any, patience: Any, ends: float, *statement: Any) -> Any:
        later = asyncio.get_running_loop().time() + 1
        return original(self, pool, connection, patience, max(ends, later), *statement)

    return run


@breaks(7, "a PostgreSQL connection that has ended is used", GIVEN_UP, f"{CONNECTIONS}:_Connection.has_ended")
def _(_original: Any) -> Any:
    return lambda self: self.is_closed()


# ---------------------------------------------------------------- the start


@breaks(7, "a start in PostgreSQL tries nothing", TABLES, "stores.postgres.store:PostgresStore._rehearse")
def _(_original: Any) -> Any:
    async def rehearse(_self: Any) -> None:
        pass

    return rehearse


@breaks(7, "what a start in PostgreSQL tries stays", TABLES, f"{CONNECTIONS}:Connections._in_transaction")
def _(original: Any) -> Any:
    return lambda self, connection, settings, act, _end: original(self, connection, settings, act, "COMMIT")


@breaks(7, "a setup of PostgreSQL that can never work is an outage", TABLES, "stores.postgres.errors:_SETUP")
def _(original: Any) -> Any:
    return original - {"42"}
