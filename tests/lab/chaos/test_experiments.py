"""The experiments in their short forms: each promise under load, faults and sudden death, on this machine, now."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from .engines import ENGINES, RESTARTING, opened
from .faults import FAULTS, QUICK
from .flood import no_rows, swept
from .kill import kill_9
from .outage import outage
from .parallel import mutate, parallel
from .replaced import replaced
from .report import Report
from .store_killed import store_killed
from .term import sigterm
from .trace import power, why_not

pytestmark = pytest.mark.timeout(seconds=240)
"""They take a few seconds each; on a busy machine they may take their time."""


@pytest.fixture(scope="module", params=ENGINES)
def store(request: pytest.FixtureRequest) -> Iterator[str]:
    """The URL of each store that processes can share, in turn. Its server is started once; what a test leaves there stays."""
    with opened(request.param) as url:
        yield url


def ok(report: Report) -> None:
    """Fail with the whole report where it has a failure."""
    assert not report.failures, str(report)


async def test_promise_2_parallel_requests_of_two_processes_lose_nothing(tmp_path: Path, store: str) -> None:
    """Each acknowledged change of clients who share a session is there when its client looks next; they do meet in the store."""
    ok(await parallel(tmp_path, store, clients=12, changes=480, conflicts=10))


async def test_promise_2_parallel_increments_count(tmp_path: Path, store: str) -> None:
    """By `mutate`: as many as were asked for, and no two were given the same number."""
    ok(await mutate(tmp_path, store, clients=10, changes=300, conflicts=10))


@pytest.mark.parametrize("server", RESTARTING)
async def test_a_store_that_is_killed_has_what_was_acknowledged(tmp_path: Path, server: str) -> None:
    """Three times under writes of two processes; what is refused meanwhile is a 503."""
    with RESTARTING[server]() as store:
        ok(await store_killed(tmp_path, store, rounds=3))


async def test_promise_7_kill_9_of_all_processes_loses_nothing(tmp_path: Path) -> None:
    """Three times under write load; the file is sound each time."""
    ok(await kill_9(tmp_path, rounds=3))


@pytest.mark.skipif(why_not() is not None, reason=str(why_not()))
async def test_promise_7_the_sync_comes_before_the_answer(tmp_path: Path) -> None:
    """With durability "full", as the kernel saw it; with "normal" it does not."""
    ok(await power(tmp_path, writes=80))


async def test_sigterm_under_load_cuts_nobody_and_loses_nothing(tmp_path: Path) -> None:
    """Neither on kept connections nor on new ones."""
    ok(await sigterm(tmp_path, rounds=2, seconds=0.5))


@pytest.mark.parametrize("name", FAULTS)
async def test_a_fault_of_the_store_is_borne(tmp_path: Path, name: str) -> None:
    """Answers in time, 503 and no stranger, nothing acknowledged is lost, and the server recovers and holds nothing more."""
    fault = FAULTS[name]
    reason = fault.why_not()
    if reason is not None:
        pytest.skip(reason)

    ok(await outage(name, fault, tmp_path, QUICK))


@pytest.mark.parametrize("http", [False, True], ids=["store", "http"])
async def test_promise_7_a_file_that_is_replaced_has_what_was_acknowledged_since(tmp_path: Path, http: bool) -> None:
    """By its backup, in pairs, with three processes at work: nobody writes into files that nobody sees."""
    ok(await replaced(tmp_path, pairs=15, http=http))


async def test_a_flood_of_strangers_makes_no_rows(tmp_path: Path) -> None:
    """With saveUninitialized off, who sends no cookie leaves nothing behind."""
    ok(await no_rows(tmp_path, seconds=1))


async def test_the_sweeper_keeps_up_with_a_flood(tmp_path: Path) -> None:
    """With saveUninitialized on, rows are taken away as fast as they come."""
    ok(await swept(tmp_path, seconds=4))
