"""Owns the proof that the tests hold the promises: `python -m tests.mutants` breaks each promise on purpose, many times.

A mutant is a copy of the project in which a few words of `sessions/` were replaced; the tests that are named beside it
have to fail there, and have to pass in a copy in which nothing was replaced. Who survives shows a promise that no test
holds. The numbers are those of docs/design.md ("What we promise"). With names as arguments only those are made. The
working tree is only read. This file is pytest's plugin in the copies, too: the two hooks at the end tell which tests
failed, and that it was the copy that they tested. It must not know how the tests work.
"""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parent.parent
NEEDED = (
    "sessions",
    "handlers",
    "tests",
    "docs",
    "server.py",
    "config.toml",
    "pyproject.toml",
    "README.md",
    "Makefile",
)
IGNORED = shutil.ignore_patterns(".*", "__pycache__", "node_modules", "*.db*")
AT_ONCE = 2
SECONDS = 180
"""How long the tests of one mutant may take; of the copy without a change, twice as long."""

REPORT = "MUTANT_REPORT"
"""The environment variable that names the file for the tests that fail."""

ALL_PASSED, SOME_FAILED, WRONG_COPY = 0, 1, 99
"""Exit statuses of pytest in a copy; the last is ours."""


class Edit(NamedTuple):
    """Words of a file of `sessions/` that stand there exactly once, and what replaces them."""

    file: str
    old: str
    new: str


class Mutant(NamedTuple):
    """One way to break a promise, and the tests (paths in `tests/`) that have to notice."""

    promise: int
    name: str
    tests: str
    edits: tuple[Edit, ...]


def breaks(promise: int, name: str, tests: str, file: str, old: str, new: str, *more: str) -> Mutant:
    """A mutant by its edits: three words each, a file, what stands there, and what replaces it."""
    words = (file, old, new, *more)
    return Mutant(promise, name, tests, tuple(Edit(*words[n : n + 3]) for n in range(0, len(words), 3)))


CONTRACT = "stores/test_contract.py"
MEMORY, SQL, SQLITE = "stores/memory.py", "stores/statements.py", "stores/sqlite.py"

MUTANTS = (
    # ------------------------------------------------------------ 1: commit before the first byte
    breaks(1, "finish does not wait for the commit", "trips/test_commit_first.py",
           "mixin.py", "await commit\n            vars(self)", "asyncio.ensure_future(commit)\n            vars(self)"),
    breaks(1, "the first flush does not wait for the commit", "trips/test_streams.py",
           "mixin.py", "return self._flush_behind(commit)", "self._session_task = asyncio.ensure_future(commit)"),
    breaks(1, "a failed commit is answered 200", "trips/test_failures.py",
           "mixin.py", "self._answer(error)", "super().finish()"),
    breaks(1, "a failed commit sends the cookie", "trips/test_failures.py",
           "mixin.py", "self._session, self._session_missing = None, why",
           "self._failed, self._session, self._session_missing = self._session, None, why",
           "mixin.py", "if self._session_is_down:",
           "if failed := vars(self).get('_failed'):\n"
           "            add_cookie(headers, failed, self._sessions, self.is_secure)\n"
           "        if self._session_is_down:"),
    breaks(1, "a stream whose last commit failed looks whole", "trips/test_streams.py",
           "mixin.py", "            self._cut()\n", ""),
    breaks(1, "a handshake is answered before its commit", "trips/test_sockets.py",
           "mixin.py", "await self._or_abandon(commit)\n                await accept(handler)",
           "asyncio.ensure_future(commit)\n                await accept(handler)"),
    breaks(1, "who cannot be loaded is anonymous", "trips/test_failures.py",
           "manager.py", "stored = await self._in_time(self.store.get(sid))",
           "try:\n            stored = await self._in_time(self.store.get(sid))\n"
           "        except StoreUnavailable:\n            return self.new(birth)"),
    # ------------------------------------------------------------ 2: parallel requests lose nothing
    breaks(2, "a save is a blind set", "trips/test_parallel.py",
           "manager.py", 'async def _update(self, session: Session, stored: StoredSession) -> None:\n'
           '        if self.options.conflict == "overwrite":',
           "async def _update(self, session: Session, stored: StoredSession) -> None:\n        if True:"),
    breaks(2, "an update does not compare", CONTRACT,
           SQL, "sess = iif(sess = job.old, job.new, sess)", "sess = job.new"),
    breaks(2, "a merge forgets what was deleted", "trips/test_parallel.py",
           "session.py", "if key not in deleted", "if key"),
    breaks(2, "a merge takes along what was only read", "trips/test_parallel.py",
           "session.py", "if loaded.get(key) != text}", "if key}"),
    breaks(2, "a merge overwrites the cookie's attributes", "trips/test_parallel.py",
           "session.py", "self._cookie.assigned", "dict(self._cookie._members)"),
    breaks(2, "a merge does not compute the expiry anew", "trips/test_parallel.py",
           "cookie.py", "self._assigned = assigned\n        self.touch()", "self._assigned = assigned"),
    # ------------------------------------------------------------ 3: ended is ended
    breaks(3, "a save that finds no session creates it", "trips/test_ended.py",
           "manager.py", "return session.end(End.GONE)\n                if newer is None:",
           "return await self._create(session, stored)\n                if newer is None:"),
    breaks(3, "an update inserts", CONTRACT,
           MEMORY, "return GONE\n", "self._rows[sid] = stored\n            return SAVED\n"),
    breaks(3, "a touch inserts", CONTRACT,
           MEMORY, "return Outcome.GONE\n",
           "self._rows[sid] = StoredSession(expected, expires_at)\n            return Outcome.SAVED\n"),
    breaks(3, "get finds an expired row", CONTRACT,
           SQL, "WHERE sid IN (SELECT value FROM json_each(:jobs)) AND expired > :now",
           "WHERE sid IN (SELECT value FROM json_each(:jobs))"),
    breaks(3, "an update revives an expired row", CONTRACT,
           SQL, "sessions.expired > :now\n    RETURNING sid, sess, expired\n", "true\n    RETURNING sid, sess, expired\n"),
    breaks(3, "a touch revives an expired row", CONTRACT,
           SQL, "sessions.expired > :now\n    RETURNING sid, sess\n", "true\n    RETURNING sid, sess\n"),
    breaks(3, "a late answer carries the cookie of a session that is gone", "trips/test_ended.py",
           "session.py", 'self._end = why\n        self._reply = "keep"', "self._end = why"),
    breaks(3, "a late answer clears the newer cookie", "trips/test_ended.py",
           "session.py", 'self._reply = "keep"\n', 'self._reply = "clear" if why is End.GONE else "keep"\n'),
    breaks(3, "rolling sends the cookie without a confirmed touch", "trips/test_ended.py",
           "manager.py", "if not self.options.rolling:", "if True:"),
    breaks(3, "a rolling stream sends the cookie before its touch", "trips/test_ended.py trips/test_streams.py",
           "session.py", "if waits and self._overwrites:", "if waits:"),
    breaks(3, "destroy leaves the cookie", "trips/test_cookies_out.py",
           "session.py", 'self._reply = "clear"', 'self._reply = "keep"'),
    breaks(3, "destroy clears a cookie of other attributes", "trips/test_cookies_out.py",
           "cookie.py", '{**self._members, "expires": 0}', '{"path": "/", "expires": 0}'),
    breaks(3, "regenerate leaves the old session alive", "trips/test_new_ids.py",
           "manager.py", "await self._in_time(self.store.destroy(session.id))\n        session.restart(keep=False)",
           "session.restart(keep=False)"),
    # ------------------------------------------------------------ 4: a visitor's id is never adopted
    breaks(4, "an unknown id is adopted", "trips/test_ids.py",
           "manager.py", "return self.new(birth, sid)\n",
           "return Session(self, self.options, self.clock, birth, sid, sid, birth()[1])\n"),
    breaks(4, "a forged cookie costs a store call", "trips/test_ids.py",
           "mixin.py", "if sid := manager.signer.unsign(value):",
           "if sid := manager.signer.unsign(value) or value[2:].rpartition('.')[0]:"),
    breaks(4, "the beginning of a signature will do", "test_signature.py",
           "signature.py", "hmac.compare_digest(_mac(key, message), given)", "_mac(key, message).startswith(given)"),
    breaks(4, "only the first secret verifies", "test_signature.py",
           "signature.py", "for key in self._keys:", "for key in self._keys[:1]:"),
    breaks(4, "a new session takes another visitor's id", "trips/test_ids.py",
           "manager.py", "if await self.store.create(session.id, stored):",
           "if await self.store.set(session.id, stored) is None:"),
    breaks(4, "regenerate keeps the id", "trips/test_new_ids.py",
           "session.py", "self._id, cookie = self._birth()", "_, cookie = self._birth()"),
    # ------------------------------------------------------------ 5: reads hardly cost a write
    breaks(5, "touchAfter is ignored", "trips/test_touch.py",
           "session.py", "self._lifetime(), self._options.touch_after", "self._lifetime(), None"),
    breaks(5, "every read is a touch", "trips/test_touch.py",
           "session.py", "return self._clock() + lifetime - base.expires_at >= after", "return True"),
    breaks(5, "a touch writes the text", CONTRACT,
           SQL, "SET expired = iif(sess = job.old, job.expired, sessions.expired)\n    FROM",
           "SET sess = job.old, expired = job.expired\n    FROM"),
    breaks(5, "a touch moves the expiry of a changed row", CONTRACT,
           SQL, "SET expired = iif(sess = job.old, job.expired, sessions.expired)\n    FROM",
           "SET expired = job.expired\n    FROM"),
    breaks(5, "looking at a row of Node's is a change", "trips/test_values.py",
           "session.py", "if text == self._canonical:", "if False:"),
    # ------------------------------------------------------------ 6: the sweeper cannot hurt
    breaks(6, "the sweeper stops at the first error", "test_sweeper.py",
           "sweeper.py", "                continue\n", "                return\n"),
    breaks(6, "the sweeper does not bound its batches", "test_sweeper.py",
           "sweeper.py", "store.sweep(self._batch)", "store.sweep(10**9)"),
    breaks(6, "a sweep knows no limit", "stores/test_contract_together.py",
           SQL, " LIMIT json_extract(:jobs, '$[0]')", ""),
    breaks(6, "the sweeper does not pause", "test_sweeper.py",
           "sweeper.py", "self._sleep(max(self._pause, time.monotonic() - started))", "asyncio.sleep(0)"),
    breaks(6, "everybody leads", "stores/test_sqlite_processes.py",
           SQLITE, "fcntl.LOCK_EX", "fcntl.LOCK_SH"),
    breaks(6, "a sweep has no index", "stores/test_sqlite.py",
           SQL, "CREATE INDEX IF NOT EXISTS sessions_expired ON sessions (expired);", ""),
    # ------------------------------------------------------------ 7: durable means durable
    breaks(7, "SQLite does not wait for the disk", "stores/test_sqlite.py",
           "stores/sqlitefile.py", "{settings.durability}", "OFF"),
    breaks(7, "an answer before its transaction's commit", "stores",
           SQLITE, 'await writer.execute_fetchall("COMMIT")', 'asyncio.ensure_future(writer.execute_fetchall("COMMIT"))'),
    breaks(7, "two jobs of one id in one transaction", "stores/test_contract_together.py",
           SQLITE, "Batcher(self._write, once=True)", "Batcher(self._write, once=False)"),
    breaks(7, "a write into a deleted file is acknowledged", "stores/test_sqlite_lost.py",
           SQLITE, "await self._check(file)  # or", "pass  # or"),
    breaks(7, "every write has a transaction of its own", "stores/test_sqlite.py",
           "stores/batching.py", "MAX_BATCH = 256", "MAX_BATCH = 1"),
    breaks(7, "closing drops the writes that wait", "stores/test_sqlite_processes.py",
           SQLITE, "await self._writes.close()", "pass"),
)  # fmt: skip


# ---------------------------------------------------------------- one copy


class Stale(Exception):
    """An edit that does not fit the sources any more."""


class Run(NamedTuple):
    """What pytest said in a copy."""

    status: int | None
    """None: it took too long."""
    failed: list[str]
    """The tests, in the order in which they failed."""
    output: str


def change(copy: Path, edit: Edit) -> None:
    """Replace the words in a copy. Raises Stale where they do not stand there once, or where Python cannot read it."""
    file = copy / "sessions" / edit.file
    if not file.is_file():
        raise Stale(f"sessions/{edit.file}: is not there")
    text = file.read_text("utf-8")
    if text.count(edit.old) != 1:
        raise Stale(f"sessions/{edit.file}: expected once, found {text.count(edit.old)} times: {edit.old!r}")
    changed = text.replace(edit.old, edit.new)
    try:
        compile(changed, file, "exec")
    except SyntaxError as error:
        raise Stale(f"sessions/{edit.file}: is no Python any more: {error}") from None
    file.unlink()  # it is a link to the file of the copy without a change
    file.write_text(changed, "utf-8")
    for cached in (file.parent / "__pycache__").glob(f"{file.stem}.*"):
        cached.unlink()


def run_in(copy: Path, tests: Iterable[str], *arguments: str, seconds: float = SECONDS) -> Run:
    """Run tests in a copy, so that it is the copy's `sessions` that they import."""
    report = copy / "failed"
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "tests.mutants"]
    try:
        done = subprocess.run(
            [*command, f"--basetemp={copy / 'tmp'}", *arguments, *(f"tests/{each}" for each in tests)],
            cwd=copy, env={**os.environ, "PYTHONPATH": str(copy), REPORT: str(report)}, timeout=seconds,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
        )  # fmt: skip
        status, output = done.returncode, done.stdout
    except subprocess.TimeoutExpired as error:
        status, output = None, (error.stdout or b"").decode(errors="replace")
    return Run(status, report.read_text("utf-8").splitlines() if report.exists() else [], output)


class Verdict(NamedTuple):
    """What became of a mutant."""

    is_caught: bool
    words: str


def trial(mutant: Mutant, original: Path, deselected: list[str]) -> Verdict:
    """Make a mutant of the copy without a change, and let its tests look at it."""
    with tempfile.TemporaryDirectory(dir=original.parent) as folder:
        copy = Path(folder) / "copy"
        shutil.copytree(original, copy, copy_function=os.link, ignore=shutil.ignore_patterns("tmp", "failed"))
        try:
            for edit in mutant.edits:
                change(copy, edit)
        except Stale as stale:
            return Verdict(is_caught=False, words=f"STALE: {stale}")
        run = run_in(copy, mutant.tests.split(), "-x", *(f"--deselect={each}" for each in deselected))
    match run.status:
        case 1 if run.failed:
            return Verdict(is_caught=True, words=run.failed[0])
        case 0:
            return Verdict(is_caught=False, words=f"SURVIVED {mutant.tests}")
        case None:
            return Verdict(is_caught=False, words=f"HUNG in {mutant.tests}")
        case _:
            return Verdict(is_caught=False, words=f"BROKEN: pytest ended with {run.status}\n{run.output[-2_000:]}")


# ---------------------------------------------------------------- all of them


def chosen(names: list[str]) -> list[Mutant]:
    """The mutants of these names; all, where none is given. Exits for a name that none has."""
    known = {mutant.name for mutant in MUTANTS}
    if unknown := set(names) - known:
        raise SystemExit(f"no such mutant: {', '.join(unknown)}; known are\n  " + "\n  ".join(sorted(known)))
    return [mutant for mutant in MUTANTS if not names or mutant.name in names]


def main(names: list[str]) -> int:
    """Try the mutants, and say of each what became of it. Returns 0 where every one was caught."""
    begun, mutants = time.monotonic(), chosen(names)
    with tempfile.TemporaryDirectory(prefix="mutants-") as folder:
        original = Path(folder).resolve() / "original"
        for name in NEEDED:
            if (ROOT / name).is_dir():
                shutil.copytree(ROOT / name, original / name, ignore=IGNORED)
            elif (ROOT / name).exists():
                shutil.copy2(ROOT / name, original / name)
        tests = sorted({test for mutant in mutants for test in mutant.tests.split()})
        whole = run_in(original, tests, seconds=2 * SECONDS)
        if whole.status not in (ALL_PASSED, SOME_FAILED):
            print(f"{whole.output}\nthe tests cannot be run without a change (pytest: {whole.status})")
            return 1
        for test in whole.failed:
            print(f"FAILS without a change, left out: {test}")
        print(f"{len(tests)} test files without a change: {time.monotonic() - begun:.0f} s", flush=True)
        survivors = 0
        with ThreadPoolExecutor(AT_ONCE) as pool:
            verdicts = pool.map(lambda mutant: trial(mutant, original, whole.failed), mutants)
            for mutant, verdict in zip(mutants, verdicts, strict=True):
                survivors += not verdict.is_caught
                print(f"{mutant.promise}  {mutant.name:<60} {verdict.words}", flush=True)
    print(f"{len(mutants)} mutants, {survivors} not caught, {time.monotonic() - begun:.0f} s")
    return 1 if survivors or whole.failed else 0


# ---------------------------------------------------------------- pytest's hooks, in a copy


def pytest_runtest_logreport(report: Any) -> None:
    """Note a test that fails, by whichever of its phases."""
    if report.failed:
        with Path(os.environ[REPORT]).open("a", encoding="utf-8") as file:
            file.write(f"{report.nodeid}\n")


def pytest_sessionfinish(session: Any) -> None:
    """Refuse a run in which another `sessions` than the copy's was imported."""
    ours = [module for name, module in sys.modules.items() if name.partition(".")[0] == "sessions"]
    if not ours or any(not Path(module.__file__ or "").is_relative_to(ROOT) for module in ours):
        session.exitstatus = WRONG_COPY


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
