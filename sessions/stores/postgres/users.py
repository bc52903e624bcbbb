r"""Owns how PostgreSQL finds a user: an index of an expression over the text, which it keeps for Node's writes too.

`#>>` de-escapes a whole document and fails at `\u0000` or half an emoji, which `json` holds as text: in the index, a
row with such an escape would make Node's INSERT fail. So the expression replaces those escapes first, and what it finds
by that is compared in Python. A value of `jsonb` has no such escape; a column `text` may hold what is no JSON, so it
gets no index. The index finds rows; the row decides.
"""

# ruff: noqa: S608, SLF001 # what is put into a statement is a path of keys, as a literal; a part of PostgresStore

import asyncio
import hashlib
import json
import logging
import re
from collections.abc import Callable, Collection
from typing import Any, ClassVar

from ...errors import OptionsError, StoreError
from ...store import TAKEN, Limit, Outcome, SignedIn, StoredSession
from ...user_text import LONGEST, surplus, user_in
from ..batching import Job
from ..users import end_each
from .connections import UPKEEP
from .errors import DRIVER, is_taken
from .table import Table, literal, quoted

log: logging.Logger = logging.getLogger("sessions")

_MOST_INDEXED = 50_000
"""Rows of a table that gets an index of its users by itself: half a second, in which nobody writes."""

_ESCAPE = r"\\u(0000|[dD][89a-fA-F][0-9a-fA-F]{2})"
_REPLACED = r"\u003f"  # a question mark

_LOCKS = 0x73657375
"""The first half of our advisory locks of users ("sesu"); the second is a hash of the table and the user."""

_NAME = 63
"""Bytes of an identifier."""

_PROGRESS = "SELECT blocks_done, blocks_total FROM pg_stat_progress_create_index WHERE pid = $1::int"
"""Asks how far a process is that makes an index."""
_LOOK_SECONDS = 0.5
"""How often that is asked."""


class UserStatements:
    """The statements for a path of keys in a table; `sess` is the type of its column, `row` what `select` returns."""

    def __init__(self, table: Table, sess: str, path: tuple[str, ...], row: str) -> None:
        name, text = table.name, "s.sess::text"
        place = f"ARRAY[{', '.join(map(literal, path))}]"
        escape = literal(_ESCAPE)
        document = "s.sess" if sess == "jsonb" else "s.sess::json"
        has_escape = "false" if sess == "jsonb" else f"{text} ~ {escape}"
        readable = (
            document
            if sess == "jsonb"
            else f"(CASE WHEN {has_escape} THEN regexp_replace({text}, {escape}, {literal(_REPLACED)}, 'g')::json"
            f" ELSE {document} END)"
        )
        user = f"left({readable} #>> {place}, {LONGEST})"
        may_be = f"{user} = ANY($1::text[])"
        if sess == "text":
            may_be = f"(SELECT bool_or(strpos({text}, part) > 0) FROM unnest($1::text[]) AS part)"
        index = f"IDX_{table.table}_user_{'.'.join(path)}"
        if len(index.encode()) > _NAME or any("." in key for key in path):
            index = f"IDX_{hashlib.sha256(repr((table.table, path)).encode()).hexdigest()[:32]}_user"
        expression = user.replace("s.sess", "sess")
        make = f"""
            BEGIN
                PERFORM pg_advisory_xact_lock({_LOCKS}, to_regclass({literal(name)})::oid::int);
                CREATE INDEX IF NOT EXISTS {quoted(index)} ON {name} (({expression})) WHERE {expression} IS NOT NULL;
            END
        """
        self.index: str = index
        """The name of the index."""
        self.make: str | None = None if sess == "text" else f"DO {literal(make)}"
        """Makes the index; None where there can be none."""
        self.drop: str = f"DROP INDEX IF EXISTS {table.beside(index)}"
        self.lock_index: str = f"SELECT pg_try_advisory_lock({_LOCKS}, to_regclass({literal(name)})::oid::int)"
        """Takes the lock under which the index is made; a server that makes it waits for it too."""
        self.make_beside: str = f"""
            CREATE INDEX CONCURRENTLY IF NOT EXISTS {quoted(index)} ON {name} (({expression}))
            WHERE {expression} IS NOT NULL
        """
        """Makes the index while others write, in no transaction."""
        self.drop_beside: str = f"DROP INDEX CONCURRENTLY IF EXISTS {table.beside(index)}"
        self.is_valid: str = f"""
            SELECT i.indisvalid FROM pg_index AS i JOIN pg_class AS c ON c.oid = i.indexrelid
            WHERE i.indrelid = to_regclass({literal(name)}) AND c.relname = $1
        """
        self.few: str = f"SELECT count(*) < {_MOST_INDEXED} FROM (SELECT 1 FROM {name} LIMIT {_MOST_INDEXED}) AS rows"
        self.found: str = f"SELECT {row} FROM {name} AS s WHERE {may_be} AND s.expire > now()"
        self.odd: str | None = {
            "json": f"{self.found} AND {has_escape}",
            "jsonb": None,
            "text": self.found,
        }[sess]
        """Finds the rows for which only Python can tell the user; None if there is none."""

        # One plain statement. It waits for a row that is moved meanwhile, and takes it under its new id: a sub-select
        # with FOR UPDATE would miss it.
        self.delete: str | None = None
        if sess != "text":
            self.delete = f"""
                DELETE FROM {name} AS s WHERE {may_be} AND s.sid IS DISTINCT FROM $3::text
                AND CASE WHEN {has_escape} THEN false
                ELSE {document} #>> {place} = $2::text AND ({document} #> {place})::text ~ '^("|-?[0-9]+$)' END
                RETURNING s.sid, s.expire > now()
            """
        self.end: str = f"DELETE FROM {name} WHERE sid = ANY($1::text[]) RETURNING sid"
        self.lock: str = f"SELECT pg_advisory_xact_lock({_LOCKS}, hashtext({literal(name)} || $1::text))"
        self._finds = {"json": _as_indexed, "jsonb": lambda user: [user], "text": _as_written}[sess]

    def parts(self, user: str) -> list[str]:
        """Return what the user is found by."""
        return list(dict.fromkeys(self._finds(user)))


def _as_indexed(user: str) -> list[str]:
    """Return the forms that a user has in the index, as it may be written: with escapes or without."""
    forms = (re.sub(_ESCAPE, lambda _: _REPLACED, json.dumps(user, ensure_ascii=ascii_)) for ascii_ in (False, True))
    return [user, *(json.loads(form)[:LONGEST] for form in forms)]


def _as_written(user: str) -> list[str]:
    return [json.dumps(user, ensure_ascii=ascii_)[1:-1] for ascii_ in (False, True)]


class PostgresUsers:
    """The power `users` of a PostgreSQL table."""

    by_meta: ClassVar[bool] = False
    refuses: ClassVar[bool] = True

    def __init__(self, store: Any) -> None:
        self._store = store  # PostgresStore, which imports this file
        self._path: tuple[str, ...] = ()
        self._sql: UserStatements | None = None  # once the table was looked at
        self._patience: int | None = None  # milliseconds; None: as for any statement
        self._is_told = False

    def index(self, path: tuple[str, ...], *, node_peer: bool = False) -> None:  # noqa: ARG002 # PostgreSQL sees its writes
        """Say under which keys of the data the user is."""
        if path != self._path:
            self._path, self._sql = path, None

    async def rows(self, user: str) -> list[tuple[str, StoredSession]]:
        """Return the living sessions that may be a user's."""
        sql = await self._look()
        rows = await self._ask(sql.found, sql.parts(user))
        return [(sid, StoredSession(*record)) for sid, *record in rows]

    async def end(self, user: str, keys: Collection[str] | None = None, keep: str | None = None) -> list[str]:
        """Delete sessions of a user, by one statement. Returns the ids of those that lived."""
        if keys is not None:
            return await end_each(self._store, [key for key in keys if key != keep], user, self._path)
        sql = await self._look()
        ended: list[str] = []
        if sql.delete is not None:
            rows = await self._ask(sql.delete, sql.parts(user), user, keep)
            ended += [sid for sid, lived in rows if lived]
        while sql.odd is not None:
            rows = await self._ask(sql.odd, sql.parts(user))
            odd = [sid for sid, text, *_ in rows if sid != keep and user_in(text, self._path) == user]
            if not odd:
                break
            ended += await end_each(self._store, odd, user, self._path)
        return ended

    async def sign_in(
        self,
        limit: Limit,
        new: str,
        record: StoredSession,
        old: str | None = None,
        expected: StoredSession | None = None,
        tombstone: StoredSession | None = None,
    ) -> SignedIn:
        """Create a session of a user, or rename one, within a limit, in one transaction.

        A lock of the user, in a statement of its own before, lets no other sign-in count what this one changes.
        """
        job = Job.to_create_or_rename(new, record, old, expected, tombstone)
        self._store._check(job.sid, record, expected, tombstone)
        self._store._check(new)
        sql = await self._look()

        async def act(connection: Any) -> SignedIn:
            await connection.fetch(sql.lock, limit.user)
            if limit.refuses:
                others = [sid for sid, _ in await self._living(connection, sql, limit.user) if sid != old]
                if len(others) >= limit.most:
                    return SignedIn(None, [])
            update = await self._store._performed(connection, job)
            ended: list[str] = []
            while update.outcome is Outcome.SAVED:
                beyond = surplus(await self._living(connection, sql, limit.user), new, limit.most)
                if not beyond:
                    break
                rows = await connection.fetch(sql.end, beyond)  # one that is moved meanwhile is found once more
                ended += [row[0] for row in rows]
            return SignedIn(update, ended)

        with self._store.driver_errors():
            try:
                signed_in: SignedIn = await self._store._connections.transact(act, patience=self._patience)
            except DRIVER as error:
                if not is_taken(error):
                    raise
                return SignedIn(TAKEN, [])
        return signed_in

    async def make_index(self, *, rebuild: bool, progress: Callable[[int, int], None]) -> bool:
        """Make the index while others write, without a limit of time. Returns False if it is there already.

        One process makes it. What a try has left that failed is dropped first. Raises OptionsError where there can be
        none, and where PgBouncer is in between: it gives one connection's lock to another.
        """
        store = self._store
        sql = self._statements()
        if sql.make is None:
            raise OptionsError(f"{store.name}: the column sess is text, of which PostgreSQL makes no index")
        with store.driver_errors():
            async with store._connections.apart() as connection:
                if not await connection.fetchval(sql.lock_index):
                    raise StoreError(f"{store.name}: another process makes the index")
                found = await connection.fetchval(sql.is_valid, sql.index)
                if found and not rebuild:
                    return False
                if found is not None:
                    await connection.execute(sql.drop_beside)
                making = asyncio.create_task(connection.execute(sql.make_beside))
                try:
                    while not (await asyncio.wait({making}, timeout=_LOOK_SECONDS))[0]:
                        for done, total in await store._query(_PROGRESS, connection.get_server_pid()):
                            progress(done, total)
                    await making
                finally:
                    making.cancel()
        self._sql = None
        return True

    async def _living(self, connection: Any, sql: UserStatements, user: str) -> list[tuple[str, str]]:
        """Return the ids and the texts of a user's sessions, as a transaction sees them."""
        rows = await connection.fetch(sql.found, sql.parts(user))
        return [(row[0], row[1]) for row in rows if user_in(row[1], self._path) == user]

    async def _ask(self, sql: str, *arguments: Any) -> list[Any]:
        self._store.check_open()
        connections = self._store._connections
        with self._store.driver_errors():
            rows: list[Any] = await connections.fetch(connections.waiting, sql, *arguments, patience=self._patience)
        return rows

    async def look(self) -> None:
        """Look for the index, if anybody asks for users, and make it if it is missing and the table has few rows."""
        if self._path:
            await self._look()

    async def _look(self) -> UserStatements:
        self._store.check_open()
        if self._sql is None:
            sql = self._statements()
            has_index, why = await self._made(sql)
            self._patience = None if has_index else UPKEEP
            self._sql = sql
            if not has_index and not self._is_told:
                self._is_told = True
                log.warning("%s: has no index of the users (%s); to find one reads all", self._store.name, why)
        return self._sql

    def _statements(self) -> UserStatements:
        store = self._store
        store.check_open()
        return UserStatements(store._table, store._column, self._path, store._sql.row)

    async def _made(self, sql: UserStatements) -> tuple[bool, str]:
        """Return whether there is an index, and why there is none."""
        query = self._store._query
        if sql.make is None:
            return False, "the column sess is text"
        try:
            found = await query(sql.is_valid, sql.index)
            if not found or not found[0][0]:
                ((is_small,),) = await query(sql.few)
                if not is_small or not self._store.makes:
                    return (
                        False,
                        f"`sessions index` makes it; a server does while the table has under {_MOST_INDEXED} rows",
                    )
                if found:
                    await query(sql.drop)  # what a CREATE INDEX CONCURRENTLY has left that failed
                await query(sql.make)
        except StoreError as error:
            return False, str(error)
        return True, ""
