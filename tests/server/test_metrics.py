"""The operators' port of the server as processes: sums over workers that come and go, readiness, and its options."""

import os
import re
import signal
import socket
from collections.abc import Callable
from pathlib import Path

from client import Browser
from processes import BODY, Server, run, until
from stores.redis_server import RedisServer

from sessions import now_ms

Start = Callable[..., Server]

TWO = "[server]\nworkers = 2\nmetricsPort = 0\n"
ONE = "[server]\nmetricsPort = 0\n"


def operators(server: Server) -> Browser:
    """A visitor of the operators' port."""
    return Browser(int(server.find(r"metrics and health: http://127\.0\.0\.1:(\d+)/")[1]), now_ms)


async def value(server: Server, sample: str) -> float:
    """A sample of /metrics, as it is written there; a new connection each time, which any worker accepts."""
    response = await operators(server).fetch("/metrics")
    assert response.status == 200
    found = re.search(rf"^{re.escape(sample)} (\S+)$", response.text, re.MULTILINE)
    assert found, f"no {sample} in\n{response.text}"
    return float(found[1])


async def visit(server: Server, number: int) -> None:
    """Let so many new visitors come, one after the other."""
    for _ in range(number):
        assert (await server.browser().fetch("/set-session")).status == 200


async def test_the_sums_are_right_after_a_worker_was_killed(start: Start) -> None:
    """What it has counted stays, whichever worker answers, and so does what the one in its place counts."""
    server = await start(TWO).serving()
    await until(lambda: len(server.workers) == 2)
    one, other = server.workers
    os.kill(other, signal.SIGSTOP)  # so that the one that is killed has counted
    await visit(server, 3)
    os.kill(other, signal.SIGCONT)
    os.kill(one, signal.SIGKILL)
    await until(lambda: len(server.workers) == 2 and one not in server.workers)
    os.kill(other, signal.SIGSTOP)  # and so that the new one counts
    await visit(server, 4)
    os.kill(other, signal.SIGCONT)

    created = 'sessions_events_total{event="session_created"}'
    sums = [await value(server, created) for _ in range(6)]
    commits = await value(server, 'sessions_commits_total{change="create"}')
    calls = await value(server, 'sessions_store_seconds_count{outcome="saved",verb="create"}')

    assert sums == [7] * 6
    assert (commits, calls) == (7, 7)
    assert await value(server, "sessions_store_ready") == 1


async def test_a_dead_worker_leaves_its_counts_and_no_gauge(start: Start, tmp_path: Path) -> None:
    """The folder of the counts shows it, and is gone when the server has ended."""
    server = await start(TWO).serving()
    await until(lambda: len(server.workers) == 2)
    for _ in range(20):  # both have answered
        await value(server, "sessions_store_ready")
    one, _ = server.workers
    folder = folder_of(one)

    os.kill(one, signal.SIGKILL)
    await until(lambda: one not in server.workers and len(server.workers) == 2)

    left = sorted(path.name for path in folder.glob(f"*_{one}.db"))
    server.signal(signal.SIGTERM)
    assert await server.ended() == 0
    assert [name for name in left if name.startswith("gauge")] == []
    assert f"counter_{one}.db" in left
    assert not folder.exists()


def folder_of(pid: int) -> Path:
    """Where a worker counts: the files that it has mapped say it."""
    maps = Path(f"/proc/{pid}/maps").read_text()
    found = re.search(r"(/\S+)/counter_\d+\.db$", maps, re.MULTILINE)
    assert found
    return Path(found[1])


async def test_a_single_process_answers_with_its_own_metrics_too(start: Start) -> None:
    """Of Python and of the process: several processes have none together."""
    server = await start(ONE).serving()

    assert await value(server, 'sessions_events_total{event="session_created"}') == 0
    assert await value(server, "process_resident_memory_bytes") > 0


async def test_the_visitors_port_answers_no_operator(start: Start) -> None:
    """Whatever the proxy lets through."""
    server = await start(ONE).serving()

    answers = [(await server.browser().fetch(path)).status for path in ("/metrics", "/healthz", "/healthz/live")]

    assert answers == [404, 404, 404]


async def test_ready_follows_the_store(start: Start) -> None:
    """503 while it is away; live goes on."""
    with RedisServer() as redis:
        server = await start(f'{ONE}[session]\nstore = "{redis.url}"\n').serving()
        ready = await operators(server).fetch("/healthz/ready")
        redis.kill()
        away = await operators(server).fetch("/healthz")
        gauge = await value(server, "sessions_store_ready")
        live = await operators(server).fetch("/healthz/live")

    assert [response.status for response in (ready, away, live)] == [200, 503, 200]
    assert gauge == 0


async def test_a_server_that_drains_says_so(start: Start) -> None:
    """Until its last answer has left."""
    server = await start(ONE).serving()
    visitor = operators(server)
    wire = await server.ask()
    server.signal(signal.SIGTERM)
    await until(server.refuses)

    ready = await visitor.fetch("/healthz/ready")
    live = await visitor.fetch("/healthz/live")
    wire.send(BODY)
    answer = await wire.response()

    assert (ready.status, ready.text, live.status) == (503, "the server drains\n", 200)
    assert answer.status == 200
    assert await server.ended() == 0


def test_a_port_that_is_taken_is_named(tmp_path: Path) -> None:
    """With the option; the server does not start without it."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]

        done = run(tmp_path, f"[server]\nmetricsPort = {port}\n", "--port", 0)

    assert (done.returncode, done.stderr) == (
        1,
        f"cannot start: metricsPort: port {port} on 127.0.0.1: Address already in use\n",
    )


def test_a_missing_package_is_a_wrong_option(tmp_path: Path) -> None:
    """With what to install."""
    hidden = tmp_path / "hidden"
    hidden.mkdir()
    (hidden / "sitecustomize.py").write_text("import sys; sys.modules['prometheus_client'] = None")

    done = run(tmp_path, ONE, "--check", path=hidden)

    assert done.returncode == 2
    assert "[server] metricsPort: needs a package: pip install prometheus-client" in done.stderr
