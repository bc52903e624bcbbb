"""SQLite between processes: what was acknowledged survives `kill -9`, one process leads, and nothing is left behind."""

# ruff: noqa: ASYNC240 # files are what is tested, and nobody else is on the loop

import asyncio
import gc
import subprocess
import sys
import threading
import warnings
from contextlib import suppress
from pathlib import Path

import pytest
from clock import MovableClock

from sessions.errors import StoreUnavailable
from sessions.stores.sqlite import SQLiteStore

from .processes import ROOT, child, kill, line
from .support import NEW, OLD, listed, outcome, query, until


def test_what_was_acknowledged_survives_kill_9(database: Path) -> None:
    """Two writers under load are killed in the middle: every acknowledged session is there, and whole."""
    SQLiteStore(database).prepare()
    with child("write", database) as one, child("write", database) as two:
        acknowledged = [line(process) for _ in range(150) for process in (one, two)]
        acknowledged += kill(one)
        acknowledged += kill(two)

    assert len(acknowledged) >= 300
    assert query(database, "PRAGMA integrity_check") == [("ok",)]
    rows = dict(query(database, "SELECT sid, sess FROM sessions"))
    assert {sid: rows.get(sid) for sid in acknowledged} == dict.fromkeys(acknowledged, "updated")


async def test_the_survivor_of_a_kill_works_on(sqlite: SQLiteStore, database: Path) -> None:
    """A process that is killed among its writes leaves no lock and no half transaction to the others."""
    with child("write", database) as writer:
        first = await asyncio.to_thread(line, writer)
        await asyncio.gather(*(outcome(sqlite.create(f"ours-{n}", OLD)) for n in range(20)))
        kill(writer)

    assert await sqlite.create("after", OLD) == OLD
    found = await sqlite.get(first)
    assert found
    assert found.data == "updated"


class TestLeadership:
    """One process sweeps, among all that have the file."""

    async def test_the_next_one_leads_when_the_leader_was_killed(self, sqlite: SQLiteStore, database: Path) -> None:
        """The kernel frees what a dead process held."""
        with child("lead", database) as leader:
            assert line(leader) == "True"
            assert sqlite.lead() is False
            kill(leader)

        assert sqlite.lead() is True

    async def test_a_child_does_not_lead_beside_us(self, sqlite: SQLiteStore, database: Path) -> None:
        """Nor does it inherit our leadership, which ends when we close."""
        assert sqlite.lead() is True
        with child("lead", database) as other:
            assert line(other) == "False"

    async def test_it_ends_with_the_store(self, database: Path) -> None:
        """Who closes makes room; who opens again has to win again."""
        one, two = SQLiteStore(database), SQLiteStore(database)
        async with two:
            async with one:
                assert (one.lead(), two.lead()) == (True, False)
            assert two.lead() is True
            async with one:
                assert one.lead() is False


def descriptors() -> int:
    """How many files this process has open."""
    return len(list(Path("/dev/fd").iterdir()))


def drivers() -> set[threading.Thread]:
    """The threads of aiosqlite's connections."""
    return {thread for thread in threading.enumerate() if "_connection_worker" in thread.name}


class TestNothingIsLeft:
    """A store that was closed has given everything back."""

    async def test_no_task_no_thread_no_descriptor(self, database: Path, clock: MovableClock) -> None:
        """Also after errors, a reopening and cancelled calls."""
        tasks, open_files, threads = len(asyncio.all_tasks()), descriptors(), drivers()
        async with SQLiteStore(database, clock=clock) as store:
            store.lead()
            await asyncio.gather(*(store.create(f"id-{n}", OLD) for n in range(50)))
            async for _ in store.all():
                break
            await asyncio.gather(store.set("\ud800", OLD), store.get("\0"), return_exceptions=True)
            database.unlink()
            await outcome(store.get("a"))
            await store.create("a", OLD)
            cancelled = asyncio.ensure_future(store.set("b", NEW))
            await asyncio.sleep(0)
            cancelled.cancel()

        await until(lambda: drivers() <= threads)
        await until(lambda: descriptors() <= open_files)
        assert len(asyncio.all_tasks()) == tasks

    async def test_no_connection_is_forgotten(self, database: Path) -> None:
        """Each would warn when it is collected."""
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            store = SQLiteStore(database)
            for _ in range(2):
                async with store:
                    await store.length()
            del store
            gc.collect()

        assert [str(warning.message) for warning in caught] == []

    async def test_a_closed_store_refuses_calls(self, database: Path) -> None:
        """A request that comes too late opens nothing, and fails at once."""
        threads = drivers()
        async with SQLiteStore(database) as store:
            pass

        assert not store.ready
        for call in (store.get("a"), store.create("a", OLD), store.length(), listed(store), store.sweep(1)):
            with pytest.raises(StoreUnavailable, match="closed"):
                await call
        await until(lambda: drivers() <= threads)

    async def test_what_was_asked_for_before_is_done_before_it_closes(
        self, database: Path, clock: MovableClock
    ) -> None:
        """Closing waits for the batches, the one under way and the next."""
        async with SQLiteStore(database, clock=clock) as store:
            writes = [asyncio.ensure_future(store.create(f"id-{n}", OLD)) for n in range(300)]
            await asyncio.sleep(0)

        assert await asyncio.gather(*writes) == [OLD] * 300
        assert query(database, "SELECT count(*) FROM sessions") == [(300,)]

    async def test_it_can_be_opened_again(self, database: Path, clock: MovableClock) -> None:
        """With all that was in it."""
        store = SQLiteStore(database, clock=clock)
        async with store:
            await store.create("a", OLD)
        async with store:
            assert await store.get("a") == OLD
            assert store.ready

    @pytest.mark.parametrize("moment", [0, 1, 3, 8, 20, 50, 200, 800])
    async def test_a_call_cancelled_while_the_file_is_reopened_leaves_nothing(
        self, database: Path, clock: MovableClock, moment: int
    ) -> None:
        """However far it has come: the connections are closed, and the store works."""
        threads = drivers()
        async with SQLiteStore(database, clock=clock) as store:

            async def lose_and_reopen() -> None:
                with suppress(StoreUnavailable):
                    await store.length()
                await store.length()

            database.unlink()
            call = asyncio.ensure_future(lose_and_reopen())
            for _ in range(moment):
                await asyncio.sleep(0)
            call.cancel()
            await asyncio.wait([call])
            with suppress(StoreUnavailable):
                await store.length()
            assert await store.create("a", OLD) == OLD

        await until(lambda: drivers() <= threads)

    def test_the_interpreter_ends(self, database: Path) -> None:
        """No thread keeps a process alive that has closed its store, nor one that could not open it."""
        code = f"""
            import asyncio, contextlib
            from sessions.errors import StoreError
            from sessions.stores.sqlite import SQLiteStore
            async def main():
                async with SQLiteStore({str(database)!r}) as store:
                    await store.length()
                with contextlib.suppress(StoreError):
                    await store.get("late")
                open({str(database)!r}, "w").write("garbage" * 1_000)
                with contextlib.suppress(StoreError):
                    await store.__aenter__()
            asyncio.run(main())
        """
        run = subprocess.run(
            [sys.executable, "-c", "\n".join(line[12:] for line in code.splitlines())],
            cwd=ROOT, timeout=20, check=False, capture_output=True, text=True,
        )  # fmt: skip

        assert (run.returncode, run.stderr) == (0, "")


async def test_its_log_is_folded_into_the_file_at_the_end(sqlite: SQLiteStore, database: Path) -> None:
    """What lies there after the last process has closed is one file, to be copied as it is."""
    await sqlite.create("a", OLD)
    assert {each.name.removeprefix(database.name) for each in database.parent.iterdir()} == {
        "",
        "-wal",
        "-shm",
        ".lock",
    }
    await sqlite.__aexit__()

    assert list(database.parent.iterdir()) == [database]
    assert query(database, "SELECT sid FROM sessions") == [("a",)]
