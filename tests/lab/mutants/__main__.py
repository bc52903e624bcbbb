"""Owns the proof that the tests hold the promises: `python -m tests.lab.mutants` breaks each promise on purpose, many times.

A mutant is a copy of the project in which a few words of `sessions/` were replaced. The tests that are named beside it
have to fail there, and have to pass in a copy in which nothing was replaced; a mutant that survives shows a promise that
no test holds. The numbers are those of the design ("What we promise"). Words after the command choose among the
mutants: `python -m tests.lab.mutants cookie merge`. The working tree is only read.

In the copies this file is pytest's plugin, too: its hooks, at the end, tell which tests failed, and make sure that it
was the copy that they tested. It must not know how the tests work.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parents[3]
NEEDED = ("sessions", "handlers", "tests", "server.py", "config.toml", "pyproject.toml", "README.md")
IGNORED = shutil.ignore_patterns(".*", "__pycache__", "node_modules", "*.db*")
AT_ONCE = 2
SECONDS = 180
"""How long the tests of one mutant may take; those of all in the copy without a change, twice as long."""

REPORT = "MUTANT_REPORT"
"""The environment variable that names the file in which the hooks note what fails."""

PASSED, FAILED, WRONG_COPY = 0, 1, 99
"""Exit statuses of pytest in a copy; the last is ours."""

GAP = "…"


class Edit(NamedTuple):
    """Words of a file of `sessions/`, and what replaces them.

    The words stand there exactly once. Of `anchor…words` the anchor does, and the words once in the block that it begins:
    in that function, or in that statement.
    """

    file: str
    old: str
    new: str


class Mutant(NamedTuple):
    """One way to break a promise, and the tests (paths in `tests/`) that have to notice."""

    promise: int
    name: str
    tests: str
    edits: tuple[Edit, ...]


def breaks(promise: int, name: str, tests: str, *words: str) -> Mutant:
    """A mutant by the words of its edits, three for each."""
    return Mutant(promise, name, tests, tuple(Edit(*words[n : n + 3]) for n in range(0, len(words), 3)))


MEMORY, SQL, SQLITE = "stores/memory.py", "stores/sqlite/statements.py", "stores/sqlite/store.py"
SQLITE_FILE, BESIDE, REPLACED = "stores/sqlite/file.py", "stores/sqlite/beside.py", "stores/test_sqlite_replaced.py"
TRANSACTION, RENAME = "stores/sqlite/transaction.py", "stores/test_sqlite_rename.py"
PG, PGSQL = "stores/postgres/store.py", "stores/postgres/statements.py"
PG_ALONE, PG_SERVER = "stores/postgres/alone.py", "stores/postgres/connections.py"
PG_LOCKED, PG_RENAME = "stores/test_postgres_locked.py", "stores/test_postgres_rename.py"
LUA = "stores/redis/scripts.py"
CONTRACT = "stores/test_contract.py"

MUTANTS = (
    # ------------------------------------------------------------ commit before the first byte
    breaks(1, "finish does not wait for the commit", "trips/test_commit_first.py",
           "web/mixin.py", "async def _finish_after(…await commit", "asyncio.ensure_future(commit)"),
    breaks(1, "the first flush does not wait for the commit", "trips/test_streams.py",
           "web/mixin.py", "return self._flush_behind(commit)", "self._session_task = asyncio.ensure_future(commit)"),
    breaks(1, "a handshake does not wait for the commit", "trips/test_sockets.py",
           "web/mixin.py", "async def accept_connection(…await self._or_abandon(commit)", "asyncio.ensure_future(commit)"),
    breaks(1, "a failed commit is answered 200", "trips/test_failures.py",
           "web/mixin.py", "async def _finish_after(…self._answer(error)", "super().finish()"),
    breaks(1, "a failed commit sends the cookie", "trips/test_failures.py",
           "web/mixin.py", "self._session, self._session_missing = None, why",
           "self._failed, self._session, self._session_missing = self._session, None, why",
           "web/mixin.py", "if self._session_is_down:",
           "if failed := vars(self).get('_failed'):\n"
           "            add_cookie(headers, failed, self._sessions, self.is_secure)\n"
           "        if self._session_is_down:"),
    breaks(1, "a stream whose last commit failed looks whole", "trips/test_streams.py",
           "web/mixin.py", "def send_error(…self._cut()", "pass"),
    breaks(1, "who cannot be loaded is anonymous", "trips/test_failures.py",
           "manager.py", "stored = await self._in_time(self.store.get(sid))",
           "try:\n            stored = await self._in_time(self.store.get(sid))\n"
           "        except StoreUnavailable:\n            return self.new(birth)"),
    # ------------------------------------------------------------ parallel requests lose nothing
    breaks(2, "a save is a blind set", "trips/test_parallel.py",
           "manager.py", 'def _write(…if self.options.conflict == "overwrite":', "if True:"),
    breaks(2, "an update does not compare", CONTRACT,
           SQL, "UPDATE = Verb(… AND sessions.sess = job.old", ""),
    breaks(2, "a rename does not compare", RENAME,
           SQL, "RENAME = Verb(… AND sessions.sess = job.old", ""),
    breaks(2, "a rename is begun before it has the lock", RENAME,
           TRANSACTION, "frozenset({RENAME, ", "frozenset({"),
    breaks(2, "a rename that nobody waits for is begun", RENAME,
           TRANSACTION, " if not job.future.done()", ""),
    breaks(2, "a new id that is taken fails the whole batch", RENAME,
           SQL, "RENAME = Verb(…UPDATE OR IGNORE", "UPDATE"),
    breaks(2, "a batch holds a new id twice", "stores/test_batching.py",
           "stores/batching.py", "def _take(… or job.new in ids", ""),
    breaks(2, "a merge forgets what was deleted", "trips/test_parallel.py",
           "merge.py", "if key not in deleted", "if key"),
    breaks(2, "a merge takes along what was only read", "trips/test_parallel.py",
           "merge.py", "if before.get(key) != text}", "if key}"),
    breaks(2, "a merge overwrites the cookie's attributes", "trips/test_parallel_cookie.py",
           "session.py", "def merged_with(…self._cookie.assigned", "dict(self._cookie._members)"),
    breaks(2, "a merge does not compute the expiry anew", "test_promises.py",
           "cookie.py", "def reassign(…self.touch()", "pass"),
    breaks(2, "mutate changes what was loaded", "trips/test_mutate.py",
           "manager.py", "async def _mutate(…session.merged_with(newer)", "pass"),
    # ------------------------------------------------------------ ended is ended
    breaks(3, "a save that finds no session creates it", "trips/test_ended.py",
           "manager.py", "async def _update(…return session.end(End.GONE)", "return await self._create(session, stored)"),
    breaks(3, "an update inserts", CONTRACT,
           MEMORY, "async def update(…return GONE", "self._rows[sid] = record\n            return Update(Outcome.SAVED, record)"),
    breaks(3, "a touch inserts", CONTRACT,
           MEMORY, "async def touch(…return GONE",
           "self._rows[sid] = StoredSession(expected.data, expires_at)\n            return Update(Outcome.SAVED, expected)"),
    breaks(3, "get finds an expired row", CONTRACT,
           SQL, "SELECT = … AND expired > ?1", ""),
    breaks(3, "an update revives an expired row", CONTRACT,
           SQL, "UPDATE = Verb(… AND sessions.expired > ?1", ""),
    breaks(3, "a touch revives an expired row", CONTRACT,
           SQL, "TOUCH = Verb(… AND sessions.expired > ?1", ""),
    breaks(3, "a rename revives an expired row", RENAME,
           SQL, "RENAME = Verb(… AND sessions.expired > ?1", ""),
    breaks(3, "a rename leaves no tombstone", RENAME,
           TRANSACTION, "if closed:", "if False:"),
    breaks(3, "a rename that was not done leaves a tombstone", RENAME,
           TRANSACTION, "for job in done if", "for job in renames if"),
    breaks(3, "a tombstone comes after what clears it", RENAME,
           TRANSACTION, "groups = {TOMBSTONE: closed, **groups}", "groups = {**groups, TOMBSTONE: closed}"),
    breaks(3, "a late answer carries the cookie of what is gone", "trips/test_ended.py",
           "session.py", 'def end(…self._reply = "keep"', "pass"),
    breaks(3, "a late answer clears the newer cookie", "trips/test_ended.py",
           "session.py", 'def end(…self._reply = "keep"', 'self._reply = "clear" if why is End.GONE else "keep"'),
    breaks(3, "a rolling cookie is sent though the touch met a change", "trips/test_ended.py",
           "manager.py", "async def _touch(…if not self.options.rolling:", "if True:"),
    breaks(3, "a rolling cookie is sent though the retried touch met the end", "test_promises.py",
           "manager.py", "async def _touch(…if newer is None:", "if newer is None:\n                return None\n"
           "            if newer is None:"),
    breaks(3, "a rolling stream sends the cookie before its touch", "test_promises.py",
           "session.py", 'if waits and self._options.conflict == "overwrite":', "if waits:"),
    breaks(3, "destroy leaves the cookie", "trips/test_cookies_out.py",
           "session.py", 'self._reply = "clear"', 'self._reply = "keep"'),
    breaks(3, "destroy clears a cookie of other attributes", "trips/test_cookies_out.py",
           "cookie.py", 'self._filled_in().set_cookie(name, "", 0)', '_Fixed({"path": "/"}).set_cookie(name, "", 0)'),
    breaks(3, "regenerate leaves the old session alive", "trips/test_new_ids.py",
           "manager.py", "async def regenerate(…await self._in_time(self.store.destroy(session.id))", "pass"),
    breaks(3, "a session is served past its absolute end", "trips/test_absolute_timeout.py",
           "manager.py", "async def load(…session.is_too_old", "False"),
    breaks(3, "a touch moves the expiry past the absolute end", "trips/test_absolute_timeout.py",
           "cookie.py", "def capped(…min(max(int(moment), 0), self._last)", "max(int(moment), 0)"),
    breaks(3, "rotate forgets when the session was created", "test_absolute_timeout.py",
           "session.py", "def restart(…self._id, cookie = (self._birth or self.check_open())()",
           "self._id, cookie = (self._birth or self.check_open())()\n        self._age = self._new_age()"),
    breaks(3, "a session of Node's never comes of age", "trips/test_absolute_timeout.py",
           "session.py", 'def change(…change = "update"', "pass"),
    # ------------------------------------------------------------ a visitor's id is never adopted
    breaks(4, "an unknown id is adopted", "trips/test_ids.py",
           "manager.py", "async def load(…if stored is None:\n            note(UNKNOWN, sid)\n            return self.new(birth, sid)",
           "if stored is None:\n            return Session(self, self.options, self.clock, birth, sid, sid, birth()[1])"),
    breaks(4, "a forged cookie costs a store call", "trips/test_ids.py",
           "web/mixin.py", "if sid := manager.signer.unsign(value):",
           "if sid := manager.signer.unsign(value) or value[2:].rpartition('.')[0]:"),
    breaks(4, "the beginning of a signature will do", "formats/test_signing.py",
           "formats/signing.py", "hmac.compare_digest(_mac(key, message), given)", "_mac(key, message).startswith(given)"),
    breaks(4, "only the first secret verifies", "formats/test_signing.py",
           "formats/signing.py", "for key in self._keys:", "for key in self._keys[:1]:"),
    breaks(4, "a new session shares another visitor's id", "trips/test_ids.py",
           "manager.py", "if await self.store.create(session.id, stored):",
           "if await self.store.create(session.id, stored) in (True, False):"),
    breaks(4, "create overwrites another visitor's session", CONTRACT,
           SQL, "CREATE = Verb(…WHERE (sessions.expired > ?1) IS NOT TRUE", ""),
    breaks(4, "regenerate keeps the id", "trips/test_new_ids.py",
           "session.py", "def restart(…self._id, cookie", "_, cookie"),
    # ------------------------------------------------------------ reads hardly cost a write
    breaks(5, "touchAfter is ignored", "trips/test_touch.py",
           "session.py", "def _touch_is_due(…self._options.touch_after", "None"),
    breaks(5, "every read is a touch", "trips/test_touch.py",
           "session.py", "def _touch_is_due(…>= after", ">= 0"),
    breaks(5, "a touch writes the text that was loaded", CONTRACT,
           MEMORY, "async def touch(…row._replace(expires_at=expires_at)", "StoredSession(expected.data, expires_at)"),
    breaks(2, "a touch vouches for a text that was not loaded", CONTRACT,
           MEMORY, "async def touch(…StoredSession(expected.data, expires_at)", "self._rows[sid]"),
    breaks(5, "a touch moves the expiry of a changed row", CONTRACT,
           SQL, "TOUCH = Verb(… AND CAST(sessions.expired AS INTEGER) = job.old", ""),
    breaks(5, "a touch compares another number than is read", "stores/test_sqlite.py",
           SQL, "TOUCH = Verb(…CAST(sessions.expired AS INTEGER)", "sessions.expired"),
    breaks(5, "looking at a row of Node's is a change", "trips/test_values.py",
           "session.py", "if text == self._canonical:", "if False:"),
    breaks(5, "near its absolute end every read touches a session", "trips/test_absolute_timeout.py",
           "absolute_timeout.py", "max(after, 1)", "after"),
    # ------------------------------------------------------------ the sweeper cannot hurt
    breaks(6, "the sweeper stops at the first error", "test_sweeper.py",
           "sweeper.py", "async def _run(…continue", "return"),
    breaks(6, "the sweeper does not bound its batches", "test_sweeper.py",
           "sweeper.py", "store.sweep(self._batch)", "store.sweep(10**9)"),
    breaks(6, "the sweeper does not pause", "test_sweeper.py",
           "sweeper.py", "max(self._pause, time.monotonic() - started)", "0"),
    breaks(6, "all processes sweep at the same time", "test_sweeper.py",
           "sweeper.py", "random.uniform(1 - self._jitter, 1 + self._jitter)", "1"),
    breaks(6, "everybody leads", "stores/test_sqlite_processes.py",
           SQLITE, "fcntl.LOCK_EX", "fcntl.LOCK_SH"),
    breaks(6, "a sweep knows no limit", CONTRACT,
           SQL, " LIMIT (SELECT most FROM job)", ""),
    breaks(6, "a sweep takes the living, too", CONTRACT,
           SQL, '"sweep": "expired <= ?1', '"sweep": "TRUE'),
    breaks(6, "a deletion takes its time", "stores/test_sqlite_steps.py",
           SQLITE, "max(rows // 2, _FEWEST)", "rows"),
    breaks(6, "a count holds up the reads", "stores/test_sqlite_steps.py",
           SQLITE, "file.counter.execute_fetchall", "file.reader.execute_fetchall"),
    breaks(6, "a sweep has no index", "stores/test_sqlite.py",
           SQL, "CREATE INDEX IF NOT EXISTS sessions_expired ON sessions (expired);", ""),
    breaks(2, "PostgreSQL saves over a change that it has waited for", PG_LOCKED,
           PGSQL, '"update": Write(… AND s.sess::text = job.expected', ""),
    breaks(2, "PostgreSQL waits in company for a row that is locked", PG_LOCKED,
           PG, "if not is_for_one(error):", "if True:"),
    breaks(2, "a PostgreSQL rename compares nothing", PG_RENAME,
           PGSQL, '"rename": Write(…AND s.sess::text = job.expected AND', "AND (job.expected IS NOT NULL) AND"),
    breaks(2, "a PostgreSQL rename waits in a batch", PG_RENAME,
           PG_ALONE, "if job.new is None and job.sid not in self._alone:", "if job.sid not in self._alone:"),
    breaks(2, "a PostgreSQL batch waits for the row of a rename", PG_RENAME,
           PG_ALONE, "self._alone |= ids", "pass"),
    breaks(2, "a PostgreSQL touch overtakes another", "stores/test_postgres.py",
           PGSQL, '"touch": Write(…{_END} = job.expected::bigint', "(job.expected IS NOT NULL)"),
    breaks(3, "PostgreSQL saves what has expired", CONTRACT,
           PGSQL, '"update": Write(… AND s.expire > {_moment("$5")}', " AND $5::bigint > 0"),
    breaks(3, "a PostgreSQL rename leaves no tombstone", PG_RENAME,
           PGSQL, "WHERE closed IS NOT NULL", "WHERE false"),
    breaks(3, "a taken id in PostgreSQL is an error", PG_RENAME,
           PG_SERVER, "return _code(error) == _UNIQUE", "return False"),
    breaks(6, "every PostgreSQL sweeper leads", PG_LOCKED,
           PGSQL, "(SELECT pg_try_advisory_xact_lock({_LOCKS}, to_regclass($3)::oid::int))", "to_regclass($3) IS NOT NULL"),
    breaks(6, "a PostgreSQL sweep waits for rows that somebody holds", PG_LOCKED,
           PGSQL, "FOR UPDATE SKIP LOCKED", "FOR UPDATE"),
    # ------------------------------------------------------------ durable means durable
    breaks(7, "a PostgreSQL time loses its milliseconds", CONTRACT,
           PGSQL, "::float8 / 1000", "::bigint / 1000"),
    breaks(7, "PostgreSQL is waited for without end", "stores/test_postgres_faults.py",
           PG_SERVER, "async with asyncio.timeout_at(ends + _GRACE):", "async with asyncio.timeout_at(None):"),
    breaks(7, "PostgreSQL goes on with what was given up", PG_RENAME,
           PG_SERVER, "connection.close(timeout=_GRACE)", "_quietly(connection.terminate() or _nothing(0), 0)"),
    breaks(7, "PostgreSQL has its full time however late it begins", PG_RENAME,
           PG_SERVER, " and left > self._settings.timeout - _AT_ONCE", ""),
    breaks(7, "a deadlock in PostgreSQL is not tried again", PG_RENAME,
           PG_SERVER, "_TRIES = 5", "_TRIES = 1"),
    breaks(7, "SQLite does not wait for the disk", "stores/test_sqlite.py",
           SQLITE_FILE, "synchronous = {self._settings.durability}", "synchronous = OFF"),
    breaks(7, "an answer does not wait for its transaction's commit", f"stores/test_sqlite_faults.py {CONTRACT}",
           TRANSACTION, 'await writer.execute_fetchall("COMMIT")', 'asyncio.ensure_future(writer.execute_fetchall("COMMIT"))'),
    breaks(7, "two jobs of one id in one transaction", f"{RENAME} {CONTRACT}",
           "stores/base.py", "Batcher(self._write, once=True)", "Batcher(self._write, once=False)"),
    breaks(7, "a write into a deleted file is acknowledged", "stores/test_sqlite_lost.py",
           SQLITE, "async def _write(…await self._check_file(file)", "pass"),
    breaks(7, "a log of another file is played in", REPLACED,
           SQLITE_FILE, "lock.drop_log_of_another(pin.identity)", "pass"),
    breaks(7, "what nobody has open is deleted", REPLACED,
           BESIDE, "and _is_held(self._names.wal)", ""),
    breaks(7, "nobody tells that the log is in use", REPLACED,
           BESIDE, "fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)", "pass"),
    breaks(7, "a connection reads whatever file it got", REPLACED,
           SQLITE_FILE, "pin.check()  # before the first statement: ", "# "),
    breaks(7, "the table is made in whatever file there is", REPLACED,
           SQLITE_FILE, "pin.check()  # before the first statement, ", "# "),
    breaks(7, "an opening that is given up leaves its log", REPLACED,
           SQLITE_FILE, "if not pin.is_in_place:", "if False:"),
    breaks(7, "a lost file leaves its log", f"{REPLACED} stores/test_sqlite_lost.py",
           SQLITE_FILE, "if has_moved:", "if False:"),
    breaks(7, "several open the file at once", REPLACED,
           BESIDE, "def _take(…fcntl.LOCK_EX", "fcntl.LOCK_SH"),
    breaks(7, "a lock that was deleted is one", REPLACED,
           BESIDE, "if identity(descriptor) == identity(self._names.lock):", "if True:"),
    breaks(7, "a log that was deleted is lost", REPLACED,
           SQLITE_FILE, 'await self._connections[-1].execute_fetchall("PRAGMA wal_checkpoint")', "pass"),
    breaks(7, "closing drops the writes that wait", "stores/test_sqlite_processes.py",
           SQLITE, "await self._writes.close()", "pass"),
    breaks(7, "a transaction holds any amount of text", "stores/test_batching.py",
           "stores/batching.py", "room < 0 or ", ""),
    breaks(7, "every write has a transaction of its own", "stores/test_sqlite.py",
           "stores/batching.py", "MAX_BATCH = 256", "MAX_BATCH = 1"),
    # ------------------------------------------------------------ the same in Redis
    breaks(1, "what Redis refuses is taken for done", "stores/test_redis_faults.py",
           LUA, "out[i] = {reply.err}", "out[i] = 1"),
    breaks(2, "an update in Redis compares nothing", CONTRACT,
           LUA, "elseif was and was ~= old then", "elseif was and was ~= was then"),
    breaks(3, "an update in Redis inserts", CONTRACT,
           LUA, "elseif was == false then", "elseif was == 0 then"),
    breaks(4, "a create in Redis overwrites", CONTRACT,
           LUA, "'NX', 'PX', life", "'PX', life"),
    breaks(5, "a touch in Redis writes the text", "stores/test_redis.py",
           LUA, "redis.pcall('PEXPIRE', key, life)", "redis.pcall('SET', key, old, 'PX', life)"),
)  # fmt: skip


# ---------------------------------------------------------------- one copy


class Stale(Exception):
    """An edit that does not fit the sources any more."""


class Run(NamedTuple):
    """What pytest said in a copy."""

    status: int | None
    """None: it took too long."""
    failed: list[str]
    """The tests that failed, in that order."""
    output: str


def changed(text: str, edit: Edit) -> str:
    """The text with the words replaced. Raises Stale where they do not stand where the edit says."""
    anchor, gap, words = edit.old.rpartition(GAP)
    start, end = 0, len(text)
    if gap:
        if text.count(anchor) != 1:
            raise Stale(f"sessions/{edit.file}: expected once, found {text.count(anchor)} times: {anchor!r}")
        start = text.index(anchor) + len(anchor)
        line = text[text.rfind("\n", 0, start) + 1 : start]
        indent = len(line) - len(line.lstrip())
        if after := re.compile(rf"^ {{0,{indent}}}[^\s)]", re.MULTILINE).search(text, start):
            end = after.start()
    if text.count(words, start, end) != 1:
        raise Stale(f"sessions/{edit.file}: expected once, found {text.count(words, start, end)} times: {edit.old!r}")
    found = text.index(words, start, end)
    return text[:found] + edit.new + text[found + len(words) :]


def change(copy: Path, edit: Edit) -> None:
    """Replace the words in a copy. Raises Stale."""
    file = copy / "sessions" / edit.file
    if not file.is_file():
        raise Stale(f"sessions/{edit.file}: is not there")
    text = changed(file.read_text("utf-8"), edit)
    try:
        compile(text, file, "exec")
    except SyntaxError as error:
        raise Stale(f"sessions/{edit.file}: is no Python any more: {error}") from None
    file.unlink()  # it is a link to the file of the copy without a change
    file.write_text(text, "utf-8")
    for cached in (file.parent / "__pycache__").glob(f"{file.stem}.*"):
        cached.unlink()


def run_in(copy: Path, tests: Iterable[str], *arguments: str, seconds: float = SECONDS) -> Run:
    """Run tests in a copy, so that it is the copy's `sessions` that they import."""
    report = copy / "failed"
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "tests.lab.mutants"]
    try:
        done = subprocess.run(
            [*command, f"--basetemp={copy / 'tmp'}", *arguments, *(f"tests/{each}" for each in tests)],
            cwd=copy, env={**os.environ, "PYTHONPATH": str(copy), REPORT: str(report)}, timeout=seconds,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
        )  # fmt: skip
        status, output = done.returncode, done.stdout
    except subprocess.TimeoutExpired:
        status, output = None, ""
    failed = report.read_text("utf-8").splitlines() if report.exists() else []
    return Run(status, list(dict.fromkeys(failed)), output)


class Verdict(NamedTuple):
    """What became of a mutant."""

    is_caught: bool
    words: str


def trial(mutant: Mutant, original: Path, left_out: list[str]) -> Verdict:
    """Make a mutant of the copy without a change, and let its tests look at it."""
    with tempfile.TemporaryDirectory(dir=original.parent) as folder:
        copy = Path(folder) / "copy"
        shutil.copytree(original, copy, copy_function=os.link, ignore=shutil.ignore_patterns("tmp", "failed"))
        try:
            for edit in mutant.edits:
                change(copy, edit)
        except Stale as stale:
            return Verdict(is_caught=False, words=f"STALE: {stale}")
        run = run_in(copy, mutant.tests.split(), "-x", *(f"--deselect={each}" for each in left_out))
    if run.status == FAILED and run.failed:
        return Verdict(is_caught=True, words=run.failed[0].removeprefix("tests/"))
    if run.status == PASSED:
        return Verdict(is_caught=False, words=f"SURVIVED {mutant.tests}")
    if run.status is None:
        return Verdict(is_caught=False, words=f"HUNG in {mutant.tests}")
    return Verdict(is_caught=False, words=f"BROKEN: pytest ended with {run.status}\n{run.output[-2_000:]}")


# ---------------------------------------------------------------- all of them


def chosen(words: list[str]) -> list[Mutant]:
    """The mutants whose names hold one of the words; without words, all."""
    return [mutant for mutant in MUTANTS if not words or any(word in mutant.name for word in words)]


def copied(folder: Path) -> Path:
    """A copy of what the tests need."""
    copy = folder.resolve() / "original"
    copy.mkdir()
    for name in NEEDED:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, copy / name, ignore=IGNORED)
        else:
            shutil.copy2(ROOT / name, copy / name)
    return copy


def main(words: list[str]) -> int:
    """Try the mutants, and say of each what became of it. Returns 0 where every one was caught."""
    begun = time.monotonic()
    mutants = chosen(words)
    tests = sorted({test for mutant in mutants for test in mutant.tests.split()})
    if not tests:
        print(f"no mutant's name holds any of {words}")
        return 1
    with tempfile.TemporaryDirectory(prefix="mutants-") as folder:
        original = copied(Path(folder))
        sound = run_in(original, tests, seconds=2 * SECONDS)
        if sound.status not in (PASSED, FAILED):
            print(f"{sound.output}\nthe tests cannot be run without a change; pytest ended with {sound.status}")
            return 1
        for test in sound.failed:
            print(f"fails without a change, left out: {test}")
        print(f"{len(tests)} files of tests without a change: {time.monotonic() - begun:.0f} s", flush=True)
        uncaught = 0
        with ThreadPoolExecutor(AT_ONCE) as pool:
            verdicts = pool.map(lambda mutant: trial(mutant, original, sound.failed), mutants)
            for mutant, verdict in zip(mutants, verdicts, strict=True):
                uncaught += not verdict.is_caught
                print(f"{mutant.promise}  {mutant.name:<64}{verdict.words}", flush=True)
    print(f"{len(mutants)} mutants, {uncaught} not caught, {time.monotonic() - begun:.0f} s")
    return 1 if uncaught or sound.failed else 0


# ---------------------------------------------------------------- pytest's hooks, in a copy


def pytest_runtest_logreport(report: Any) -> None:
    """Note a test that fails, in whichever of its phases."""
    if report.failed:
        with Path(os.environ[REPORT]).open("a", encoding="utf-8") as file:
            file.write(f"{report.nodeid}\n")


def pytest_sessionfinish(session: Any) -> None:
    """Refuse a run in which another `sessions` than the copy's was imported, the installed one say."""
    ours = [module for name, module in sys.modules.items() if name.partition(".")[0] == "sessions"]
    if not ours or any(not Path(module.__file__ or "").is_relative_to(ROOT) for module in ours):
        session.exitstatus = WRONG_COPY


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
