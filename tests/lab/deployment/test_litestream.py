"""Litestream beside two workers that write: what it restores is whole, and holds what was answered."""

import re
import sqlite3
import subprocess
from contextlib import closing
from pathlib import Path

import pytest
from interop.processes import Process
from processes import SECRET, Server, until

from . import podman

pytestmark = pytest.mark.skipif(not podman.TOOLS.exists(), reason="no tools of deployment (make deployment)")

PAGE = (podman.ROOT / "docs" / "operations.md").read_text("utf-8")


def command(verb: str, folder: Path) -> list[str]:
    """A command of the page, with a folder of the test's in place of /srv/backup."""
    found = re.search(rf"^litestream {verb} .*$", PAGE, re.MULTILINE)
    assert found is not None
    name, *arguments = found[0].replace("/srv/backup", str(folder)).split()
    return [str(podman.TOOLS / name), *arguments]


async def test_what_litestream_restores_is_whole(tmp_path: Path) -> None:
    """It was started while the server wrote; the server answers all the time and complains of nothing."""
    place, backup = tmp_path / "server", tmp_path / "backup"
    place.mkdir()
    with Server(place, "[server]\nworkers = 2\n", secret=SECRET) as server:
        visitors = [server.browser() for _ in range(40)]
        statuses = [(await visitor.fetch("/set-session")).status for visitor in visitors[:20]]
        with Process(command("replicate", backup), cwd=place, env={}) as replica:
            await until(lambda: any(backup.rglob("*.ltx")))
            statuses += [(await visitor.fetch("/set-session")).status for visitor in visitors[20:]]
            await until(lambda: restored(tmp_path, backup) >= {visitor.sid for visitor in visitors})
            assert replica.stop() == 0, replica.output
        complaints = [line for line in server.output.splitlines() if " WARNING " in line or " ERROR " in line]

    assert set(statuses) == {200}
    assert complaints == []


def restored(folder: Path, backup: Path) -> set[str | None]:
    """The ids of the sessions in a new restore, which has to be whole."""
    path = folder / "restored.db"
    for left in folder.glob("restored.db*"):
        left.unlink()
    subprocess.run(command("restore", backup), cwd=folder, check=True, capture_output=True, timeout=podman.SECONDS)
    with closing(sqlite3.connect(path)) as database:
        assert database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        return {sid for (sid,) in database.execute("SELECT sid FROM sessions")}
