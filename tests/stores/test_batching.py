"""Group commit by itself: what shares a batch, in which order, and what becomes of a job that fails or is given up."""

import asyncio
from contextvars import ContextVar
from typing import Any

import pytest

from sessions.errors import StoreUnavailable
from sessions.store import StoredSession
from sessions.stores.batching import MAX_BATCH, MAX_CHARACTERS, Batcher, Job

HALF = StoredSession("x" * (MAX_CHARACTERS // 2), 1)


class Worker:
    """Does batches when the test lets it, and notes them."""

    def __init__(self) -> None:
        self.batches: list[list[Job]] = []
        self.gate = asyncio.Semaphore(0)

    async def __call__(self, jobs: list[Job]) -> None:
        self.batches.append(jobs)
        await self.gate.acquire()
        for job in jobs:
            job.resolve(f"{job.verb} {job.sid}")

    def allow(self, batches: int = 1_000) -> None:
        """Let it finish so many."""
        for _ in range(batches):
            self.gate.release()

    def seen(self) -> list[list[str]]:
        """The batches so far, as verb and key."""
        return [[f"{job.verb} {job.sid}" for job in batch] for batch in self.batches]


@pytest.fixture
def worker() -> Worker:
    return Worker()


@pytest.fixture
def batcher(worker: Worker) -> Batcher:
    """Each key once in a batch, as for writes."""
    return Batcher(worker, once=True)


async def turn() -> None:
    """Let everything that can run do so."""
    for _ in range(5):
        await asyncio.sleep(0)


class TestSharing:
    """What becomes a batch."""

    async def test_a_batch_belongs_to_no_request(self) -> None:
        """What it logs has no request's id, as it has the jobs of several."""
        request: ContextVar[str] = ContextVar("request", default="-")
        seen: list[str] = []

        async def perform(jobs: list[Job]) -> None:
            seen.append(request.get())
            for job in jobs:
                job.resolve(None)

        request.set("a request")

        await Batcher(perform, once=True).add(Job("set", "a"))

        assert seen == ["-"]

    async def test_an_idle_one_starts_at_once(self, batcher: Batcher, worker: Worker) -> None:
        """There is no timer: one job alone is a batch."""
        job = batcher.add(Job("set", "a"))
        await turn()
        assert worker.seen() == [["set a"]]

        worker.allow()
        assert await job == "set a"

    async def test_a_busy_one_shares_the_next_batch(self, batcher: Batcher, worker: Worker) -> None:
        """What is asked for while a batch is under way goes together."""
        first = batcher.add(Job("set", "a"))
        await turn()
        rest = [batcher.add(Job("set", key)) for key in "bcd"]
        await turn()
        assert worker.seen() == [["set a"]]

        worker.allow()
        assert await asyncio.gather(first, *rest) == ["set a", "set b", "set c", "set d"]
        assert worker.seen() == [["set a"], ["set b", "set c", "set d"]]

    async def test_those_that_come_in_one_turn_share_a_batch(self, batcher: Batcher, worker: Worker) -> None:
        """Also the first ones."""
        worker.allow()
        await asyncio.gather(*(batcher.add(Job("set", key)) for key in "abc"))

        assert worker.seen() == [["set a", "set b", "set c"]]

    async def test_a_key_is_once_in_a_batch_and_its_jobs_keep_their_order(
        self, batcher: Batcher, worker: Worker
    ) -> None:
        """One row a key: its jobs are done in the order in which they came, the others do not wait for them."""
        worker.allow()
        calls = [("create", "a"), ("update", "a"), ("set", "b"), ("destroy", "a"), ("touch", "b"), ("set", "c")]
        await asyncio.gather(*(batcher.add(Job(verb, key)) for verb, key in calls))

        assert worker.seen() == [["create a", "set b", "set c"], ["update a", "touch b"], ["destroy a"]]

    async def test_a_job_for_a_waiting_key_never_overtakes(self, batcher: Batcher, worker: Worker) -> None:
        """One that comes later, when there is room, still comes after those that waited."""
        batcher.add(Job("1", "a"))
        await turn()
        jobs = [batcher.add(Job("2", "a")), batcher.add(Job("3", "a"))]
        worker.allow(1)
        await turn()
        jobs.append(batcher.add(Job("4", "a")))
        worker.allow()
        await asyncio.gather(*jobs)

        assert worker.seen() == [["1 a"], ["2 a"], ["3 a"], ["4 a"]]

    async def test_reads_may_repeat_a_key(self, worker: Worker) -> None:
        """Without `once` one batch takes them all."""
        batcher = Batcher(worker, once=False)
        worker.allow()
        outcomes = await asyncio.gather(*(batcher.add(Job("get", "a")) for _ in range(3)))

        assert outcomes == ["get a"] * 3
        assert worker.seen() == [["get a"] * 3]

    async def test_a_batch_is_bounded(self, batcher: Batcher, worker: Worker) -> None:
        """So that one transaction stays short; nothing is lost or reordered on the way."""
        keys = [str(n) for n in range(2 * MAX_BATCH + 10)]
        worker.allow()
        outcomes = await asyncio.gather(*(batcher.add(Job("set", key)) for key in keys))

        assert outcomes == [f"set {key}" for key in keys]
        assert [len(batch) for batch in worker.batches] == [MAX_BATCH, MAX_BATCH, 10]

    async def test_the_order_of_a_key_is_kept_across_full_batches(self, batcher: Batcher, worker: Worker) -> None:
        """A job that found no room keeps the later ones of its key behind it."""
        worker.allow()
        early = [batcher.add(Job("set", str(n))) for n in range(MAX_BATCH)]
        late = [batcher.add(Job(verb, "late")) for verb in ("1", "2")]
        await asyncio.gather(*early, *late)

        assert [batch[0].verb for batch in worker.batches[1:]] == ["1", "2"]

    async def test_a_rename_counts_under_both_of_its_ids(self, batcher: Batcher, worker: Worker) -> None:
        """Two renames of one id, a chain and a job of the new id would come out wrong in one transaction."""
        worker.allow()
        jobs = [Job("rename", "a", new="b"), Job("rename", "a", new="c"), Job("rename", "b", new="d"), Job("set", "e"),
                Job("destroy", "d"), Job("rename", "f", new="e")]  # fmt: skip
        await asyncio.gather(*map(batcher.add, jobs))

        assert worker.seen() == [["rename a", "set e"], ["rename a", "rename b", "rename f"], ["destroy d"]]

    @pytest.mark.parametrize("field", ["record", "expected", "tombstone"])
    async def test_a_batch_is_bounded_by_its_text(self, batcher: Batcher, worker: Worker, field: str) -> None:
        """Each text that a job carries counts: a transaction of many megabytes would hold its lock for too long."""
        text: dict[str, Any] = {field: HALF}
        worker.allow()
        await asyncio.gather(*(batcher.add(Job("set", key, **text)) for key in "abcde"))

        assert worker.seen() == [["set a", "set b"], ["set c", "set d"], ["set e"]]

    async def test_a_small_job_overtakes_those_that_do_not_fit(self, batcher: Batcher, worker: Worker) -> None:
        """Each batch has one large job, the oldest, and all small ones; of one key none overtakes."""
        large = StoredSession("x" * MAX_CHARACTERS, 1)
        worker.allow()
        waiting = [batcher.add(Job("set", key, large)) for key in "abcd"]
        await asyncio.gather(*waiting, *(batcher.add(Job("set", key)) for key in ("e", "b", "f")))

        assert worker.seen() == [["set a", "set e", "set f"], ["set b"], ["set c", "set b"], ["set d"]]

    async def test_a_job_larger_than_a_batch_is_not_refused(self, batcher: Batcher, worker: Worker) -> None:
        """It goes when it is the oldest."""
        large = StoredSession("x" * (MAX_CHARACTERS + 1), 1)
        worker.allow()
        await asyncio.gather(
            batcher.add(Job("set", "a")), batcher.add(Job("set", "large", large)), batcher.add(Job("set", "b"))
        )

        assert worker.seen() == [["set a", "set b"], ["set large"]]

    async def test_a_job_for_a_later_batch_takes_no_room(self, batcher: Batcher, worker: Worker) -> None:
        """Only what is in the batch counts."""
        worker.allow()
        await asyncio.gather(*(batcher.add(Job("set", key, HALF)) for key in "aaab"))

        assert worker.seen() == [["set a", "set b"], ["set a"], ["set a"]]

    async def test_it_starts_again_after_a_rest(self, batcher: Batcher, worker: Worker) -> None:
        """Idle again, it answers at once again."""
        worker.allow()
        for key in "abc":
            assert await batcher.add(Job("set", key)) == f"set {key}"

        assert worker.seen() == [["set a"], ["set b"], ["set c"]]


class TestCancelled:
    """A caller that goes only stops waiting."""

    async def test_a_job_not_begun_is_left_out(self, batcher: Batcher, worker: Worker) -> None:
        """Nobody wants it any more."""
        first = batcher.add(Job("set", "a"))
        await turn()
        given_up, wanted = batcher.add(Job("set", "b")), batcher.add(Job("set", "c"))
        given_up.cancel()
        worker.allow()
        await asyncio.gather(first, wanted)

        assert worker.seen() == [["set a"], ["set c"]]

    async def test_one_that_is_left_out_frees_its_key(self, batcher: Batcher, worker: Worker) -> None:
        """The next job of the key takes its place in the batch."""
        given_up, wanted = batcher.add(Job("1", "a")), batcher.add(Job("2", "a"))
        given_up.cancel()
        worker.allow()
        await wanted

        assert worker.seen() == [["2 a"]]

    async def test_nothing_is_done_for_nobody(self, batcher: Batcher, worker: Worker) -> None:
        """A batch is left out if all its jobs were given up."""
        jobs = [batcher.add(Job("set", key)) for key in "ab"]
        for job in jobs:
            job.cancel()
        worker.allow()
        await turn()
        assert worker.seen() == []

        assert await batcher.add(Job("set", "c")) == "set c"

    async def test_a_job_under_way_is_finished(self, batcher: Batcher, worker: Worker) -> None:
        """Its neighbours have their outcome, and the worker is not disturbed."""
        given_up, wanted = batcher.add(Job("set", "a")), batcher.add(Job("set", "b"))
        await turn()
        given_up.cancel()
        worker.allow()

        assert await wanted == "set b"
        assert worker.seen() == [["set a", "set b"]]


class TestFailure:
    """What a worker raises or leaves undone."""

    async def test_an_error_fails_the_batch_and_not_the_next(self) -> None:
        """Everybody in it gets the error; those who come later are served."""
        errors: list[Any] = [OSError("the disk")]

        async def work(jobs: list[Job]) -> None:
            await asyncio.sleep(0)
            if errors:
                raise errors.pop()
            for job in jobs:
                job.resolve("done")

        batcher = Batcher(work, once=True)
        outcomes = await asyncio.gather(*(batcher.add(Job("set", key)) for key in "aab"), return_exceptions=True)

        assert [str(each) for each in outcomes] == ["the disk", "done", "the disk"]

    async def test_an_error_spares_what_was_resolved_before(self) -> None:
        """A job that had its outcome before the error keeps it."""

        async def work(jobs: list[Job]) -> None:
            jobs[0].resolve("done")
            raise OSError("the disk")

        batcher = Batcher(work, once=True)
        first, second = await asyncio.gather(*(batcher.add(Job("set", key)) for key in "ab"), return_exceptions=True)

        assert first == "done"
        assert isinstance(second, OSError)

    async def test_a_job_that_is_forgotten_is_an_error(self) -> None:
        """Nobody waits for ever because a worker gave no outcome."""

        async def work(jobs: list[Job]) -> None:
            jobs[0].resolve("done")

        batcher = Batcher(work, once=True)
        first, second = await asyncio.gather(*(batcher.add(Job("set", key)) for key in "ab"), return_exceptions=True)

        assert first == "done"
        assert isinstance(second, StoreUnavailable)

    async def test_one_job_can_fail_alone(self) -> None:
        """A worker hands out errors as it hands out outcomes."""

        async def work(jobs: list[Job]) -> None:
            jobs[0].fail(ValueError("this row"))
            jobs[1].resolve("done")

        batcher = Batcher(work, once=True)
        outcomes = await asyncio.gather(*(batcher.add(Job("set", key)) for key in "ab"), return_exceptions=True)

        assert [str(each) for each in outcomes] == ["this row", "done"]


class TestClose:
    """The end."""

    async def test_waits_for_what_is_under_way_and_what_waits(self, batcher: Batcher, worker: Worker) -> None:
        """All that was asked for is done before it returns."""
        jobs = [batcher.add(Job("set", key)) for key in "aab"]
        closing = asyncio.ensure_future(batcher.close())
        await turn()
        assert not closing.done()

        worker.allow()
        await closing
        assert [job.done() for job in jobs] == [True] * 3

    async def test_of_an_idle_one_returns_at_once(self, batcher: Batcher, worker: Worker) -> None:
        """Before the first job, and after the last."""
        await batcher.close()
        worker.allow()
        await batcher.add(Job("set", "a"))
        await batcher.close()

        assert worker.seen() == [["set a"]]

    async def test_leaves_no_task(self, batcher: Batcher, worker: Worker) -> None:
        """The one that worked has ended."""
        before = len(asyncio.all_tasks())
        worker.allow()
        await asyncio.gather(*(batcher.add(Job("set", str(n))) for n in range(10)))
        await batcher.close()

        assert len(asyncio.all_tasks()) == before
