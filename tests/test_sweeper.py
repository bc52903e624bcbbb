"""The sweeper: when it sweeps and how much, that nothing stops it but its end, and what it tells."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any

import pytest
from clock import MINUTE, MovableClock

from sessions import MemoryStore, OptionsError, StoredSession, StoreUnavailable, Sweeper
from sessions.observe import Sweep
from sessions.sweeper import LEAP_SECONDS, MISTRUST_SECONDS

pytestmark = pytest.mark.usefixtures("io_loop")


class Sleep:
    """A sleep that lasts until the test wakes it, and notes how long it was asked for."""

    def __init__(self) -> None:
        self.asked: list[float] = []
        self._begun: asyncio.Queue[float] = asyncio.Queue()
        self._woken = asyncio.Semaphore(0)

    async def __call__(self, seconds: float) -> None:
        self.asked.append(seconds)
        self._begun.put_nowait(seconds)
        await self._woken.acquire()

    async def begun(self) -> float:
        """Wait until somebody sleeps. Returns the seconds that were asked for."""
        async with asyncio.timeout(5):
            return await self._begun.get()

    async def over(self) -> float:
        """End the sleep that has begun, and wait for the next. Returns the seconds of that one."""
        self._woken.release()
        return await self.begun()


class Swept(MemoryStore):
    """A store with a number of expired sessions, and errors that the test puts in the sweeper's way."""

    def __init__(self, expired: int = 0, *, leads: bool = True) -> None:
        super().__init__()
        self.expired = expired
        self.leads = leads
        self.errors: list[Exception] = []
        self.limits: list[int] = []
        self.on_sweep: Callable[[], Any] = lambda: None

    def lead(self) -> bool:
        return self.leads

    async def sweep(self, limit: int) -> int:
        self.limits.append(limit)
        self.on_sweep()
        if self.errors:
            raise self.errors.pop(0)
        deleted = min(limit, self.expired)
        self.expired -= deleted
        return deleted

    async def backlog(self, limit: int) -> int:
        return min(limit, self.expired)


@pytest.fixture
def sleep() -> Sleep:
    return Sleep()


@pytest.fixture(autouse=True)
def _all_log_lines(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "sessions")


@asynccontextmanager
async def running(store: Any, sleep: Sleep, **options: Any) -> AsyncIterator[Sweeper]:
    """A sweeper that has begun its first sleep."""
    async with Sweeper(store, sleep=sleep, **options) as sweeper:
        await sleep.begun()
        yield sweeper


async def at_once(_: float) -> None:
    """A sleep that is over as soon as it begins."""
    await asyncio.sleep(0)


class TestWork:
    """What a sweep does."""

    async def test_every_interval_it_deletes_what_has_expired(self, clock: MovableClock, sleep: Sleep) -> None:
        """The expired go, the living stay, by itself."""
        store = MemoryStore(clock=clock)
        await store.create("old", StoredSession("x", clock() + 1))
        await store.create("young", StoredSession("x", clock() + MINUTE))
        async with running(store, sleep) as sweeper:
            await sleep.over()
            assert sweeper.deleted == 0
            clock.forward(1)
            assert await sweeper.backlog() == 1
            await sleep.over()
            assert (sweeper.deleted, await sweeper.backlog()) == (1, 0)

        assert [sid async for sid, _ in store.all()] == ["young"]

    async def test_batches_are_bounded(self) -> None:
        """Never more than `batch` in one step, however many wait, until none are left."""
        store = Swept(1_050)
        sweeper = Sweeper(store, batch=200, sleep=at_once)

        assert await sweeper.sweep() == 1_050
        assert store.limits == [200] * 6
        assert sweeper.deleted == 1_050

    async def test_it_pauses_between_batches(self, sleep: Sleep) -> None:
        """At least `pause`, so that requests come in between; not after the last."""
        store = Swept(25)
        sweep = asyncio.ensure_future(Sweeper(store, batch=10, pause=40, sleep=sleep).sweep())
        pauses = [await sleep.begun(), await sleep.over()]
        assert store.expired == 5
        sleep._woken.release()

        assert await sweep == 25
        assert pauses == sleep.asked == [0.04, 0.04]

    async def test_it_pauses_as_long_as_the_batch_took(self, sleep: Sleep, monkeypatch: pytest.MonkeyPatch) -> None:
        """A slow store is left alone for as long as it was kept busy."""
        now = [0.0]
        monkeypatch.setattr("sessions.sweeper.time", SimpleNamespace(monotonic=lambda: now[0], time=lambda: 0.0))
        store = Swept(10)
        store.on_sweep = lambda: now.__setitem__(0, now[0] + 1.5)
        sweep = asyncio.ensure_future(Sweeper(store, batch=10, pause=40, sleep=sleep).sweep())

        assert await sleep.begun() == 1.5
        sweep.cancel()

    async def test_a_sweep_of_nothing_is_one_look(self, sleep: Sleep) -> None:
        """Without expired sessions nothing is deleted, and nothing is said."""
        store = Swept(0)
        async with running(store, sleep):
            await sleep.over()

        assert store.limits == []

    async def test_who_does_not_lead_does_not_sweep(self, sleep: Sleep) -> None:
        """One process sweeps for all; the others look again at every interval, and one of them follows."""
        store = Swept(5, leads=False)
        async with running(store, sleep) as sweeper:
            await sleep.over()
            assert (store.limits, await sweeper.sweep(), store.expired) == ([], 0, 5)
            store.leads = True
            await sleep.over()
            assert (store.expired, sweeper.deleted) == (0, 5)

    async def test_a_store_that_needs_no_sweeping_is_left_alone(self, sleep: Sleep) -> None:
        """No task, no error: some databases drop what has expired by themselves."""
        tasks = len(asyncio.all_tasks())
        async with Sweeper(object(), sleep=sleep) as sweeper:  # type: ignore[arg-type] # nothing is asked of it
            assert len(asyncio.all_tasks()) == tasks
            assert (await sweeper.sweep(), await sweeper.backlog()) == (0, 0)

        assert sleep.asked == []


class TestTime:
    """When it sweeps."""

    async def test_intervals_are_spread_within_the_jitter(self, sleep: Sleep) -> None:
        """Processes that start together do not sweep together."""
        async with running(Swept(), sleep, interval=10_000, jitter=0.2):
            for _ in range(300):
                await sleep.over()

        assert all(8 <= seconds <= 12 for seconds in sleep.asked)
        assert min(sleep.asked) < 8.8
        assert max(sleep.asked) > 11.2

    async def test_without_jitter_every_interval_is_the_same(self, sleep: Sleep) -> None:
        """0 is a value, too."""
        async with running(Swept(), sleep, interval=10_000, jitter=0):
            await sleep.over()

        assert sleep.asked == [10.0, 10.0]

    async def test_the_defaults_are_a_minute_and_a_tenth(self, sleep: Sleep) -> None:
        """Sweeping is cheap enough for that."""
        async with running(Swept(), sleep):
            await sleep.over()

        assert all(54 <= seconds <= 66 for seconds in sleep.asked)

    async def test_it_stops_at_once_while_it_sleeps(self, sleep: Sleep) -> None:
        """Shutting down does not wait for the interval."""
        tasks = len(asyncio.all_tasks())
        async with running(Swept(), sleep):
            pass

        assert len(asyncio.all_tasks()) == tasks

    async def test_it_stops_at_once_while_the_store_hangs(self, sleep: Sleep) -> None:
        """Nor for a store that does not answer."""
        reached = asyncio.Event()

        class Hanging(Swept):
            """Never comes to an end."""

            async def sweep(self, limit: int) -> int:
                reached.set()
                await asyncio.Event().wait()
                return limit

        async with running(Hanging(5), sleep) as sweeper:
            sleep._woken.release()
            await reached.wait()

        assert (sweeper.errors, sweeper.deleted) == (0, 0)

    async def test_it_can_be_started_again(self, clock: MovableClock, sleep: Sleep) -> None:
        """With its counts."""
        store = Swept(3)
        async with running(store, sleep) as sweeper:
            await sleep.over()
        store.expired = 4
        async with sweeper:
            await sleep.begun()
            await sleep.over()

        assert sweeper.deleted == 7


class TestErrors:
    """What goes wrong is counted and said, and the sweeper goes on."""

    async def test_after_an_error_in_each_of_three_sweeps_the_fourth_deletes(
        self, sleep: Sleep, caplog: pytest.LogCaptureFixture
    ) -> None:
        """Whatever kind of error it was."""
        store = Swept(5)
        store.errors = [StoreUnavailable("database is locked"), OSError("no space left"), ZeroDivisionError()]
        async with running(store, sleep) as sweeper:
            for failed in (1, 2, 3):
                await sleep.over()
                assert (sweeper.errors, sweeper.deleted, store.expired) == (failed, 0, 5)
            await sleep.over()
            assert (sweeper.errors, sweeper.deleted, store.expired) == (3, 5, 0)

        assert [(record.levelname, record.getMessage()) for record in caplog.records][:2] == [
            ("WARNING", "sweep failed (1 so far): database is locked"),
            ("WARNING", "sweep failed (2 so far): no space left"),
        ]

    @pytest.mark.parametrize("verb", ["lead", "backlog"])
    async def test_an_error_before_the_sweep_is_one_too(
        self, sleep: Sleep, verb: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The lock, and the count, can fail as well."""

        def fail(*_: object) -> Any:
            raise StoreUnavailable("gone")

        store = Swept(5)
        async with running(store, sleep) as sweeper:
            with monkeypatch.context() as patch:
                patch.setattr(store, verb, fail)
                await sleep.over()
            assert (sweeper.errors, store.expired) == (1, 5)
            await sleep.over()
            assert (sweeper.errors, store.expired) == (1, 0)

    async def test_an_error_among_the_batches_keeps_the_count(self, sleep: Sleep) -> None:
        """What was deleted before it was deleted; the rest goes the next time."""
        store = Swept(25)
        store.on_sweep = lambda: store.errors.append(OSError("now")) if len(store.limits) == 2 else None
        async with running(store, sleep, batch=10, interval=60_000, pause=0):
            while store.expired:
                await sleep.over()

        assert store.limits == [10, 10, 10, 10]

    async def test_an_error_is_the_callers_who_sweeps_by_hand(self) -> None:
        """A sweep that was asked for raises what the store raises."""
        store = Swept(5)
        store.errors = [StoreUnavailable("gone")]

        with pytest.raises(StoreUnavailable, match="gone"):
            await Sweeper(store, sleep=at_once).sweep()


class TestReport:
    """What it tells."""

    @pytest.mark.parametrize(
        ("expired", "line"),
        [
            (3, "swept 3 expired sessions; the backlog was 3"),
            (12_345, "swept 12345 expired sessions; the backlog was at least 10000"),
        ],
    )
    async def test_a_sweep_is_a_line_with_its_backlog(
        self, sleep: Sleep, caplog: pytest.LogCaptureFixture, expired: int, line: str
    ) -> None:
        """How many there were when it began, and how many are gone."""
        async with running(Swept(expired), sleep, batch=5_000):
            while not caplog.records:
                await sleep.over()

        assert caplog.messages == [line]

    async def test_nothing_to_do_is_nothing_to_say(self, sleep: Sleep, caplog: pytest.LogCaptureFixture) -> None:
        """An idle night fills no log."""
        async with running(Swept(), sleep):
            for _ in range(5):
                await sleep.over()

        assert caplog.records == []

    async def test_the_backlog_can_be_asked_for(self) -> None:
        """By who does not lead as well, and never counted further than it is worth."""
        assert await Sweeper(Swept(7, leads=False)).backlog() == 7
        assert await Sweeper(Swept(1_000_000)).backlog() == 10_000


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("interval", [0, -1, "60000", None, True, float("nan"), float("inf")]),
        ("batch", [0, -1, 1.5, "200", None, True, float("nan")]),
        ("pause", [-1, "10", None, False, float("nan")]),
        ("jitter", [-0.1, 1, "0.1", None, True, float("nan")]),
    ],
)
def test_a_wrong_option_is_refused_by_name(name: str, values: list[Any]) -> None:
    """When the sweeper is made, with what was expected and what was got."""
    for value in values:
        with pytest.raises(OptionsError, match=f"^{name}: expected .*, got {value!r}"):
            Sweeper(MemoryStore(), **{name: value})


def test_the_smallest_options_will_do() -> None:
    """The bounds themselves are allowed."""
    Sweeper(MemoryStore(), interval=1, batch=1, pause=0, jitter=0)
    Sweeper(MemoryStore(), interval=0.1 + 1, jitter=0.999)


class TestLeap:
    """A wall clock that leaps against the monotonic one: a machine that wakes, a wrong time server."""

    @pytest.fixture
    def times(self, monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
        """Both clocks, to be moved."""
        now = SimpleNamespace(wall=1_000_000.0, monotonic=0.0)
        clocks = SimpleNamespace(time=lambda: now.wall, monotonic=lambda: now.monotonic)
        monkeypatch.setattr("sessions.sweeper.time", clocks)
        return now

    @pytest.mark.parametrize("leap", [2 * 86_400, -2 * 86_400, 61])
    async def test_a_leap_sweeps_nobody(
        self, sleep: Sleep, times: SimpleNamespace, caplog: pytest.LogCaptureFixture, leap: float
    ) -> None:
        """Every session would seem to have expired; the log says so, once."""
        store = Swept(5)
        async with running(store, sleep):
            times.wall += leap
            await sleep.over()
            await sleep.over()

        assert store.expired == 5
        assert len([line for line in caplog.messages if line.startswith("the wall clock has leapt")]) == 1

    async def test_a_clock_that_is_back_is_trusted(self, sleep: Sleep, times: SimpleNamespace) -> None:
        """The next sweep sweeps."""
        store = Swept(5)
        async with running(store, sleep):
            times.wall += 86_400
            await sleep.over()
            times.wall -= 86_400
            await sleep.over()

        assert store.expired == 0

    async def test_a_clock_that_stays_is_trusted_at_last(self, sleep: Sleep, times: SimpleNamespace) -> None:
        """It was wrong before, and is right now."""
        store = Swept(5)
        async with running(store, sleep):
            times.wall += 86_400
            await sleep.over()
            times.wall, times.monotonic = times.wall + MISTRUST_SECONDS, times.monotonic + MISTRUST_SECONDS
            await sleep.over()

        assert store.expired == 0

    async def test_what_a_time_server_corrects_is_no_leap(self, sleep: Sleep, times: SimpleNamespace) -> None:
        """Some seconds, forward or back."""
        store = Swept(5)
        async with running(store, sleep):
            times.wall += LEAP_SECONDS - 1
            await sleep.over()

        assert store.expired == 0


class TestObserver:
    """What it reports to an observer."""

    async def test_each_sweep_of_this_process_is_reported(self, sleep: Sleep) -> None:
        """What waited, what was deleted; also if that is nothing."""
        events: list[Sweep] = []
        store = Swept(250)
        async with running(store, sleep, batch=300, observer=events.append):
            await sleep.over()
            await sleep.over()

        assert [(each.backlog, each.deleted, each.failed) for each in events] == [(250, 250, False), (0, 0, False)]
        assert all(each.seconds >= 0 for each in events)

    async def test_a_sweep_that_failed_is_reported(self, sleep: Sleep) -> None:
        """With what waited, so that a backlog that grows is seen."""
        events: list[Sweep] = []
        store = Swept(5)
        store.errors.append(StoreUnavailable("away"))
        async with running(store, sleep, observer=events.append):
            await sleep.over()

        assert [(each.backlog, each.deleted, each.failed) for each in events] == [(5, 0, True)]

    async def test_who_does_not_lead_reports_nothing(self, sleep: Sleep) -> None:
        """Its backlog of 0 would hide that of the process that sweeps."""
        events: list[Sweep] = []
        async with running(Swept(5, leads=False), sleep, observer=[events.append]):
            await sleep.over()

        assert events == []
