"""Owns the mutants of the SQLite store."""

import asyncio
import os
from typing import Any

from .mutant import members, table, words

MUTANTS, breaks = table()

CONTRACT, RENAME = "stores/test_contract.py", "stores/test_sqlite_rename.py"
BATCH = "stores/test_sqlite.py"
SQL = "stores.sqlite.statements"

SWEEP = f"{SQL}:DELETIONS.sweep by rowid._text"

SAME, LIVES = " AND sessions.sess = job.old", " AND sessions.expired > ?1"

breaks(2, "an update does not compare", BATCH, f"{SQL}:UPDATE._text")(words(SAME, ""))
breaks(2, "an update alone does not compare", CONTRACT, f"{SQL}:UPDATE._alone")(words(" AND sess = ?5", ""))
breaks(2, "a rename does not compare", RENAME, f"{SQL}:RENAME._text")(words(SAME, ""))
breaks(2, "a new id that is taken fails the whole batch", RENAME, f"{SQL}:RENAME._text")(words(" OR IGNORE", ""))
breaks(3, "get finds an expired row", BATCH, f"{SQL}:SELECT._text")(words(" WHERE expired > ?1", ""))
breaks(3, "get alone finds an expired row", CONTRACT, f"{SQL}:SELECT._alone")(words(" AND expired > ?1", ""))
breaks(3, "an update revives an expired row", BATCH, f"{SQL}:UPDATE._text")(words(LIVES, ""))
breaks(3, "an update alone revives an expired row", CONTRACT, f"{SQL}:UPDATE._alone")(words(" AND expired > ?1", ""))
breaks(3, "a touch revives an expired row", CONTRACT, f"{SQL}:TOUCH._text")(words(LIVES, ""))
breaks(3, "a rename revives an expired row", RENAME, f"{SQL}:RENAME._text")(words(LIVES, ""))
breaks(4, "create overwrites another visitor's session", BATCH, f"{SQL}:CREATE._text")(
    words("WHERE (sessions.expired > ?1) IS NOT TRUE", "")
)
breaks(4, "create alone overwrites another visitor's session", CONTRACT, f"{SQL}:CREATE._alone")(
    words("WHERE (sessions.expired > ?1) IS NOT TRUE", "")
)
breaks(5, "a touch moves the expiry of a changed row", CONTRACT, f"{SQL}:TOUCH._text")(
    words(" AND CAST(sessions.expired AS INTEGER) = job.old", "")
)
breaks(5, "a touch compares another number than is read", "stores/test_sqlite.py", f"{SQL}:TOUCH._text")(
    words("CAST(sessions.expired AS INTEGER)", "sessions.expired")
)
breaks(6, "a sweep knows no limit", CONTRACT, SWEEP)(words(" LIMIT (SELECT most FROM job)", ""))
breaks(6, "a sweep takes the living, too", CONTRACT, SWEEP)(words("expired <= ?1", "TRUE"))
breaks(6, "a sweep has no index", "stores/test_sqlite.py", f"{SQL}:SCHEMA")(
    words("CREATE INDEX IF NOT EXISTS sessions_expired ON sessions (expired);", "")
)


@breaks(6, "everybody leads", "stores/test_sqlite_processes.py", "stores.sqlite.store:fcntl")
def _(original: Any) -> Any:
    return members(original, LOCK_EX=original.LOCK_SH)


@breaks(7, "SQLite does not wait for the disk", "stores/test_sqlite.py", "stores.sqlite.file:OpenFile.__init__")
def _(original: Any) -> Any:
    return lambda self, settings, *rest: original(self, settings._replace(durability="OFF"), *rest)


@breaks(7, "a write into a deleted file is acknowledged", "stores/test_sqlite_lost.py",
        "stores.sqlite.store:SQLiteStore._write")  # fmt: skip
def _(original: Any) -> Any:
    async def write(self: Any, jobs: Any) -> None:
        file = await self._opened()

        async def opened() -> Any:
            return file

        async def unchecked(_file: Any) -> None:
            pass

        self._opened, self._check_file = opened, unchecked
        try:
            await original(self, jobs)
        finally:
            del self._opened, self._check_file

    return write


# ---------------------------------------------------------------- a transaction

TRANSACTION = "stores.sqlite.transaction"


@breaks(2, "a rename is begun before it has the lock", RENAME, f"{TRANSACTION}:perform")
def _(original: Any) -> Any:
    async def perform(writer: Any, jobs: Any, clock: Any) -> Any:
        from sessions.stores.sqlite import transaction

        groups = transaction._by_verb(jobs)
        if len(groups) == 1:
            return await transaction._steps(writer, groups, clock())
        return await original(writer, jobs, clock)

    return perform


@breaks(2, "a rename that nobody waits for is begun", RENAME, f"{TRANSACTION}:perform")
def _(original: Any) -> Any:
    async def perform(writer: Any, jobs: Any, clock: Any) -> Any:
        from sessions.stores.sqlite import statements, transaction

        groups = transaction._by_verb(jobs)
        if statements.RENAME not in groups:
            return await original(writer, jobs, clock)
        await writer.execute_fetchall("BEGIN IMMEDIATE")
        steps = await transaction._steps(writer, groups, clock())
        await writer.execute_fetchall("COMMIT")
        return steps

    return perform


@breaks(3, "a rename that was not done leaves a tombstone", RENAME, f"{TRANSACTION}:_steps")
def _(original: Any) -> Any:
    async def steps(writer: Any, groups: Any, now: int) -> Any:
        from sessions.stores.sqlite import statements, transaction

        renames = groups.get(statements.RENAME, [])
        done = await original(writer, groups, now)
        if renames:
            _, missed = statements.RENAME.split(renames, done[0].rows)
            closed = [job for job in missed if job.tombstone is not None]
            if closed:
                await transaction._step(writer, statements.TOMBSTONE, closed, now)
        return done

    return steps


@breaks(3, "a tombstone comes after what clears it", RENAME, f"{TRANSACTION}:_steps")
def _(original: Any) -> Any:
    async def steps(writer: Any, groups: Any, now: int) -> Any:
        from sessions.stores.sqlite import statements, transaction

        renames = groups.get(statements.RENAME, [])
        tombstones = {job: job.tombstone for job in renames}
        for job in renames:
            job.tombstone = None
        performed = await original(writer, groups, now)
        for job in renames:
            job.tombstone = tombstones[job]
        if renames:
            done, _ = statements.RENAME.split(renames, performed[0].rows)
            closed = [job for job in done if job.tombstone is not None]
            if closed:
                await transaction._step(writer, statements.TOMBSTONE, closed, now)
        return performed

    return steps


@breaks(7, "an answer does not wait for its transaction's commit", f"stores/test_sqlite_faults.py {CONTRACT}",
        f"{TRANSACTION}:perform")  # fmt: skip
def _(original: Any) -> Any:
    class Hasty:
        def __init__(self, writer: Any) -> None:
            self._writer = writer

        def __getattr__(self, name: str) -> Any:
            return getattr(self._writer, name)

        async def execute_fetchall(self, sql: str, *parameters: Any) -> Any:
            execute = self._writer.execute_fetchall(sql, *parameters)
            if sql == "COMMIT":
                self.committing = asyncio.ensure_future(execute)
                return []
            return await execute

    return lambda writer, jobs, clock: original(Hasty(writer), jobs, clock)


# ---------------------------------------------------------------- the file is replaced

FILE, BESIDE, REPLACED = "stores.sqlite.file", "stores.sqlite.beside", "stores/test_sqlite_replaced.py"

breaks(7, "a log of another file is played in", REPLACED, f"{BESIDE}:Lock.drop_log_of_another")(
    lambda _: lambda _self, _main: None
)
breaks(7, "a log that nobody has open is deleted", REPLACED, f"{BESIDE}:_is_held")(lambda _: lambda _wal: True)
breaks(7, "nobody says that the log is in use", REPLACED, f"{BESIDE}:fcntl")(
    lambda original: members(original, LOCK_SH=original.LOCK_UN)
)
breaks(7, "several open the file at once", REPLACED, f"{BESIDE}:fcntl")(
    lambda original: members(original, LOCK_EX=original.LOCK_SH)
)
breaks(7, "a connection reads whatever file it got", REPLACED, f"{BESIDE}:Pin.check")(lambda _: lambda _self: None)
breaks(7, "a file that is lost leaves its log", REPLACED, f"{FILE}:drop_log")(lambda _: lambda _names, _trio: None)


@breaks(7, "a log that was deleted is lost", REPLACED, f"{FILE}:OpenFile._leave")
def _(original: Any) -> Any:
    async def leave(self: Any, patience: float | None = None) -> None:
        log, self._log = self._log, None
        await original(self, patience)
        if log is not None:
            os.close(log)

    return leave


# ---------------------------------------------------------------- nobody waits

STEPS = "stores/test_sqlite_steps.py"

breaks(6, "a deletion takes its time", STEPS, "stores.sqlite.store:_FEWEST")(lambda _: 10**6)


@breaks(6, "a count holds up the reads", STEPS, "stores.sqlite.store:SQLiteStore._query")
def _(_: Any) -> Any:
    async def query(self: Any, sql: str, *parameters: Any) -> Any:
        file = await self._opened()
        return list(await file.reader.execute_fetchall(sql, parameters))

    return query
