"""The operators' port in one process: what it answers, and the folder in which workers count."""

import contextlib
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from client import Browser, Wire
from clock import MovableClock
from tornado.web import Application

from serving.health import FOLDER, Health
from sessions import MemoryStore, SessionManager, SessionOptions
from sessions.testing import FailingStore

SECRET = "of-the-tests-and-as-long-as-the-server-demands"


class Operators:
    """A server's port for its operators, in this process."""

    def __init__(self, clock: MovableClock) -> None:
        self.store = FailingStore(MemoryStore(clock=clock))
        self.manager = SessionManager(self.store, SessionOptions(secret=SECRET), clock=clock)
        self.app = Application()
        self.health = Health(0, workers=1)
        self._clock = clock

    @contextlib.asynccontextmanager
    async def serving(self) -> AsyncIterator[int]:
        """Answer at the port that this gives."""
        with self.health:
            async with self.health.serving(self.manager, self.app):
                yield self.health.sockets[0].getsockname()[1]

    async def get(self, path: str) -> tuple[int, str]:
        """The status and the text of an answer."""
        async with self.serving() as port:
            response = await Browser(port, self._clock).fetch(path)
        return response.status, response.text


@pytest.mark.parametrize("path", ["/healthz", "/healthz/ready", "/healthz/live"])
async def test_a_server_is_alive_and_ready(clock: MovableClock, path: str) -> None:
    """The store answers, and nothing drains. Some balancers ask by HEAD."""
    operators = Operators(clock)

    async with operators.serving() as port:
        asked = [await Browser(port, clock).fetch(path, method=method) for method in ("GET", "HEAD")]

    assert [(each.status, each.text) for each in asked] == [(200, "ok\n"), (200, "")]


async def test_metrics_are_answered_whatever_is_accepted(clock: MovableClock) -> None:
    """A version that is none does not make an error, with its traceback in the log."""
    accepted = "application/openmetrics-text; version=none"

    async with Operators(clock).serving() as port:
        response = await Browser(port, clock).fetch("/metrics", headers={"Accept": accepted})

    assert response.status == 200
    assert response.header("Content-Type") == "text/plain; version=0.0.4; charset=utf-8"


async def test_a_large_body_is_not_read(clock: MovableClock) -> None:
    """No request of an operator has one."""
    async with Operators(clock).serving() as port:
        wire = await Wire.connect(port)
        wire.send(b"POST /metrics HTTP/1.1\r\nHost: here\r\nContent-Length: 90000000\r\n\r\n")
        response = await wire.response()
        await wire.close()

    assert response.status == 400


@pytest.mark.parametrize(
    ("path", "answer"), [("/healthz", (503, "the store is away\n")), ("/healthz/live", (200, "ok\n"))]
)
async def test_a_server_without_its_store_is_alive_and_not_ready(
    clock: MovableClock, path: str, answer: tuple[int, str]
) -> None:
    """To start it again would not bring the store back."""
    operators = Operators(clock)
    operators.store.fail("get")

    assert await operators.get(path) == answer


async def test_a_server_that_drains_is_not_ready(clock: MovableClock) -> None:
    """A proxy sends it nothing more."""
    operators = Operators(clock)
    operators.app.settings["draining"] = True

    assert await operators.get("/healthz/ready") == (503, "the server drains\n")


async def test_another_path_is_not_found(clock: MovableClock) -> None:
    """Nor is what everybody else is served."""
    status, _ = await Operators(clock).get("/get-session")

    assert status == 404


def test_without_a_port_nothing_listens_and_nothing_is_observed() -> None:
    """It costs nothing."""
    health = Health(None, workers=2)

    assert (health.sockets, health.observers()) == ([], ())


def test_it_listens_on_this_machine_only() -> None:
    """What it tells is for operators."""
    with Health(0, workers=1) as health:
        assert [each.getsockname()[0] for each in health.sockets] == ["127.0.0.1"]


def test_the_folder_of_the_counts_is_cleaned_at_the_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of what another run has counted, and of nothing else; a folder that was given stays."""
    monkeypatch.setenv(FOLDER, str(tmp_path))
    for name in ("counter_1.db", "gauge_livesum_1.db", "notes.txt"):
        (tmp_path / name).touch()

    with Health(0, workers=2):
        pass

    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_a_folder_with_a_store_in_it_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing in it is deleted."""
    monkeypatch.setenv(FOLDER, str(tmp_path))
    for name in ("counter_1.db", "sessions.db"):
        (tmp_path / name).touch()

    with pytest.raises(OSError, match=f"{FOLDER}: .* must be a folder for metrics alone, but it holds sessions.db"):
        Health(0, workers=2)

    assert len(list(tmp_path.iterdir())) == 2


def test_an_empty_name_of_a_folder_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It does not mean the folder in which the server was started, where its store is."""
    monkeypatch.setenv(FOLDER, "")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "counter_1.db").touch()

    with Health(0, workers=2):
        folder = Path(os.environ[FOLDER])

    assert folder.is_absolute()
    assert [path.name for path in tmp_path.iterdir()] == ["counter_1.db"]


def test_a_folder_of_its_own_is_removed_at_the_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only its user can read it."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    monkeypatch.setenv(FOLDER, "")  # so that what is set here is put back
    monkeypatch.delenv(FOLDER)

    with Health(0, workers=2):
        (made,) = tmp_path.iterdir()
        mode = made.stat().st_mode & 0o777

    assert (mode, list(tmp_path.iterdir())) == (0o700, [])
