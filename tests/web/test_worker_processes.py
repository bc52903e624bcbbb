"""The parent of workers that serve nothing: how it starts, replaces and ends them, over and over."""

import os
import re
import signal
import sys
from pathlib import Path

import pytest
from interop.processes import Process, wait_until

ROOT = Path(__file__).parents[2]
SECONDS = 60.0

PROGRAM = """
import logging, os, signal, sys, time
from sessions.web import workers

logging.basicConfig(format="%(message)s", stream=sys.stdout)
workers.FIRST_PAUSE, workers.LONGEST_PAUSE, workers.QUIET = map(float, sys.argv[1].split())
work = sys.argv[2]
fork, refused = os.fork, [work == "no fork"] * 3

def fork_or_not():
    if refused and refused.pop():
        raise OSError(11, "Resource temporarily unavailable")
    return fork()

os.fork = fork_or_not
reloads = []

def reload():
    reloads.append(len(reloads))
    print("reload", flush=True)
    return len(reloads) > 1

pipe = workers.fork_workers(int(sys.argv[3]), reload=reload, stop=lambda: print("stop", flush=True))
if pipe is None:
    print("end", flush=True)
    sys.exit(0)
print("worker", os.getpid(), flush=True)
if work == "fails":
    os._exit(3)  # at once: with what Python does at its end a hundred take long on a busy machine
if work == "ends":
    time.sleep(0.05)
    os._exit(0)
if work == "hears":
    signal.signal(signal.SIGHUP, lambda *_: print("heard", flush=True))
    signal.pthread_sigmask(signal.SIG_UNBLOCK, workers.SIGNALS)
os.read(pipe, 1)
print("drained", flush=True)
if work == "stays":
    time.sleep(60)
"""


def parent(pauses: str, work: str, number: int = 2) -> Process:
    """A parent of workers: its pauses (first, longest, quiet), and what the workers do."""
    command = [sys.executable, "-W", "error", "-c", PROGRAM, pauses, work, number]
    return Process(command, cwd=ROOT, env={"PYTHONPATH": str(ROOT)})


def started(process: Process) -> list[int]:
    """The workers that have started so far."""
    return [int(each) for each in re.findall(r"^worker (\d+)$", process.output, re.MULTILINE)]


def pauses(process: Process) -> list[float]:
    """The pauses that were begun so far."""
    return [float(each) for each in re.findall(r"the others start in ([\d.]+) s", process.output)]


@pytest.mark.parametrize(("work", "how"), [("fails", "with status 3"), ("ends", "with status 0")])
def test_a_parent_never_gives_up(work: str, how: str) -> None:
    """Tornado's ends at the hundredth; whether a worker fails or ends well, another takes its place."""
    with parent("0.001 0.002 10", work, 8) as process:
        wait_until(lambda: process.output.count(f"({how})") > 110, SECONDS)

        assert process.stop() == 0

    assert process.output.endswith("end\n")


def test_the_pauses_double_up_to_the_longest() -> None:
    """However many end meanwhile, all start when one pause is over."""
    with parent("0.1 0.8 10", "fails") as process:
        wait_until(lambda: len(pauses(process)) == 6, SECONDS)

        assert process.stop() == 0

    assert pauses(process)[:6] == [0.1, 0.2, 0.4, 0.8, 0.8, 0.8]
    assert len(started(process)) in {10, 12}  # what ends while others start is in the next pause


def test_the_pauses_start_over_when_all_was_quiet() -> None:
    """A worker that lived for a while is no sign of trouble."""
    with parent("0.1 0.8 0.02", "ends") as process:
        wait_until(lambda: len(pauses(process)) == 5, SECONDS)

        assert process.stop() == 0

    assert pauses(process)[:5] == [0.1] * 5


def test_a_system_that_has_no_room_for_a_process_is_tried_again() -> None:
    """A fork that fails is an error in the log, and ends nothing."""
    with parent("0.01 0.1 10", "no fork") as process:
        wait_until(lambda: len(started(process)) == 2, SECONDS)

        assert process.stop() == 0

    assert process.output.count("no worker can be started: Resource temporarily unavailable") == 3
    assert process.output.count("drained") == 2


def test_the_second_signal_ends_all_at_once() -> None:
    """The first lets them answer what they have begun, and that may take its time."""
    with parent("0.1 5 10", "stays") as process:
        wait_until(lambda: len(started(process)) == 2, SECONDS)
        os.kill(process.pid, signal.SIGTERM)
        wait_until(lambda: process.output.count("drained") == 2, SECONDS)

        os.kill(process.pid, signal.SIGINT)

        wait_until(lambda: process.output.endswith("end\n"), SECONDS)
        assert process.stop() == 0
    assert process.output.splitlines().count("stop") == 1
    assert "has ended" not in process.output
    assert process.output.endswith("end\n")


def test_a_reload_that_was_refused_is_not_passed_on() -> None:
    """The first is refused by this program, the second reaches each worker once."""
    with parent("0.1 5 10", "hears") as process:
        wait_until(lambda: len(started(process)) == 2, SECONDS)
        os.kill(process.pid, signal.SIGHUP)
        wait_until(lambda: process.output.count("reload") == 1, SECONDS)
        os.kill(process.pid, signal.SIGHUP)
        wait_until(lambda: process.output.count("heard") == 2, SECONDS)

        assert process.stop() == 0

    assert process.output.count("heard") == 2
    assert process.output.count("reload") == 2


def test_signals_wait_until_a_worker_minds_them() -> None:
    """One that has not set anything up yet is not ended by a reload."""
    with parent("0.1 5 10", "waits") as process:
        wait_until(lambda: len(started(process)) == 2, SECONDS)
        for _ in range(3):
            os.kill(process.pid, signal.SIGHUP)
            wait_until(lambda: process.output.count("reload") > 0, SECONDS)

        assert process.stop() == 0

    assert len(started(process)) == 2
    assert process.output.count("drained") == 2
