"""Several worker processes: they share the port and the file, and live and end with their parent."""

import asyncio
import os
import re
import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from client import Response
from processes import BODY, SECONDS, Server, is_running, run, until

Start = Callable[..., Server]

TWO = "[server]\nworkers = 2\n"


async def both(server: Server) -> list[int]:
    """The two workers, when they are there and one has answered."""
    await server.serving()
    await until(lambda: len(server.workers) == 2)
    return server.workers


async def test_each_worker_answers_and_sees_the_others_sessions(start: Start) -> None:
    """With one of them halted all requests go to the other, which knows what the first has stored; the port is said once."""
    server = start(TWO)
    one, other = await both(server)
    browser = server.browser()

    os.kill(other, signal.SIGSTOP)
    first = await browser.fetch("/set-session")
    os.kill(other, signal.SIGCONT)
    os.kill(one, signal.SIGSTOP)
    second = await browser.fetch("/get-session")
    os.kill(one, signal.SIGCONT)

    assert first.text == "Session data set successfully"
    assert second.text == "Session data: exampleuser"
    assert server.output.count("Server listening on port") == 1


async def test_sigterm_to_the_parent_ends_all(start: Start) -> None:
    """The idle worker ends, the other finishes its request in flight, and the parent's status is 0."""
    server = start(TWO)
    workers = await both(server)
    wire = await server.ask()

    server.signal(signal.SIGTERM)
    await until(lambda: len(server.workers) == 1)
    wire.send(BODY)
    response = await wire.response()

    assert response.text == "Session data set successfully"
    assert await server.ended() == 0
    assert [pid for pid in workers if is_running(pid)] == []
    assert "Traceback" not in server.output
    assert "restarting" not in server.output


async def test_no_new_connection_is_taken_while_they_drain(start: Start) -> None:
    """It is refused, as by a single process, and does not wait for an answer that never comes."""
    server = start("[server]\nworkers = 2\ndrain = 1000\n")
    await both(server)
    await server.ask()

    server.signal(signal.SIGTERM)
    await until(server.refuses)

    assert len(server.workers) > 0


async def test_a_signal_to_the_whole_group_ends_all(start: Start) -> None:
    """As Ctrl-C in a terminal sends it, and supervisors that know every process."""
    server = start(TWO)
    workers = await both(server)

    for pid in (*workers, server.pid):
        os.kill(pid, signal.SIGINT)

    assert await server.ended() == 0
    assert [pid for pid in workers if is_running(pid)] == []
    assert "Traceback" not in server.output


async def test_workers_do_not_outlive_a_killed_parent(start: Start) -> None:
    """After `kill -9` too: they finish what they have begun, and end."""
    server = start(TWO)
    workers = await both(server)
    wire = await server.ask()

    server.signal(signal.SIGKILL)
    await until(server.refuses)
    wire.send(BODY)
    response = await wire.response()

    assert response.text == "Session data set successfully"
    await until(lambda: not any(is_running(pid) for pid in workers))


async def test_a_worker_that_crashed_is_started_again(start: Start) -> None:
    """The other serves on, the new one serves too, and both end with their parent."""
    server = start(TWO)
    crashed, survivor = await both(server)

    os.kill(crashed, signal.SIGKILL)
    await until(lambda: len(set(server.workers) - {crashed}) == 2)  # one look: between two of them it may end

    (new,) = set(server.workers) - {survivor}
    os.kill(survivor, signal.SIGSTOP)
    await server.serving()
    os.kill(survivor, signal.SIGCONT)
    server.signal(signal.SIGTERM)
    assert await server.ended() == 0
    assert not is_running(new)
    assert not is_running(survivor)


def test_a_memory_store_cannot_be_shared(tmp_path: Path) -> None:
    """Each worker would have sessions of its own: it is refused at the start."""
    result = run(tmp_path, f'{TWO}[session]\nstore = "memory:"\n', "--port", 0)

    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr.startswith("config.toml: [server] workers: memory:")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGUSR1], ids=lambda each: each.name)
async def test_a_worker_that_was_ended_alone_is_replaced(start: Start, number: int) -> None:
    """Whether it drained, or died; the parent says how."""
    server = start(TWO)
    ended, other = await both(server)

    os.kill(ended, number)
    await until(lambda: len(set(server.workers) - {ended}) == 2)

    assert other in server.workers
    assert (
        f"worker {ended} has ended ({'by SIGUSR1' if number == signal.SIGUSR1 else 'with status 0'})" in server.output
    )
    assert (await server.browser().fetch("/set-session")).status == 200


async def test_workers_that_are_killed_again_and_again_come_back(start: Start) -> None:
    """With growing pauses; when it is over all are there. The long form is among the experiments."""
    server = start("[server]\nworkers = 3\n")
    await server.serving()
    end = time.monotonic() + 2
    while time.monotonic() < end:
        for pid in server.workers[:1]:
            os.kill(pid, signal.SIGKILL)
        await asyncio.sleep(0.1)
    await until(lambda: len(server.workers) == 3)

    assert (await server.browser().fetch("/set-session")).status == 200
    pauses = [float(each) for each in re.findall(r"the others start in ([\d.]+) s", server.output)]
    assert pauses == sorted(pauses)
    assert pauses[:2] == [0.1, 0.2]
    assert len(pauses) <= 5
    server.signal(signal.SIGTERM)
    assert await server.ended() == 0


async def test_a_worker_starts_without_its_store(start: Start, tmp_path: Path) -> None:
    """It answers 503, as its sibling does, until the store is back; no worker ends for it."""
    (tmp_path / "place").mkdir()
    server = start(f'{TWO}[session]\nstore = "sqlite:place/sessions.db"\n')
    killed, sibling = await both(server)
    browser = server.browser()
    await browser.fetch("/set-session")
    shutil.rmtree(tmp_path / "place")
    os.kill(killed, signal.SIGKILL)
    await until(lambda: len(set(server.workers) - {killed}) == 2)
    (new,) = set(server.workers) - {sibling}
    os.kill(sibling, signal.SIGSTOP)

    away = [await visitor.fetch("/set-session") for visitor in (browser, server.browser())]
    (tmp_path / "place").mkdir()
    os.kill(sibling, signal.SIGCONT)
    back = [await eventually(server, "/set-session") for _ in range(4)]

    assert [(each.status, each.header("Retry-After")) for each in away] == [(503, "1")] * 2
    assert [each.status for each in back] == [200] * 4
    assert set(server.workers) == {sibling, new}
    assert "Traceback" not in server.output
    server.signal(signal.SIGTERM)
    assert await server.ended() == 0


async def eventually(server: Server, path: str) -> Response:
    """The answer when it is none of a store that is away."""
    async with asyncio.timeout(SECONDS):
        while True:
            response = await server.browser().fetch(path)
            if response.status != 503:
                return response
            await asyncio.sleep(0.05)


async def test_a_second_signal_ends_all_at_once(start: Start) -> None:
    """The first lets the workers answer what they have begun."""
    server = start("[server]\nworkers = 2\ndrain = 60000\n")
    workers = await both(server)
    await server.ask()
    server.signal(signal.SIGTERM)
    await until(server.refuses)

    server.signal(signal.SIGTERM)

    assert await server.ended() == 0
    assert [pid for pid in workers if is_running(pid)] == []
