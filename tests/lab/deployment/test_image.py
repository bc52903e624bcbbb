"""The image of docs/deployment/Dockerfile, in a container as compose.yaml has it: who it runs as, what it holds, how it ends."""

import json
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from client import Browser, Wire
from interop.processes import free_port, wait_until
from processes import ASKING, BODY

from sessions import now_ms

from . import podman

pytestmark = pytest.mark.skipif(podman.missing() is not None, reason=str(podman.missing()))

HARDENED = (
    "--read-only", "--read-only-tmpfs=false", "--tmpfs", "/tmp", "--cap-drop", "ALL", "--security-opt", "no-new-privileges",
)  # fmt: skip
SECRET = "of-the-tests-and-as-long-as-the-server-demands"


@contextmanager
def serving(folder: Path) -> Iterator[tuple[podman.Container, int]]:
    """A container of the image on SQLite, healthy, and the server's port."""
    port, metrics = free_port(), free_port()
    config = folder / "config.toml"
    config.write_text(
        f'[server]\nport = {port}\nmetricsPort = {metrics}\nlog = "json"\nworkers = 2\n[session]\nstore = "sqlite:/var/lib/sessions/sessions.db"\n'
    )
    secret = folder / "session_secret"
    secret.write_text(SECRET)
    for path in (config, secret):
        path.chmod(0o644)
    given = (
        *HARDENED, "--network", "host", "--volume", f"{config}:/etc/sessions/config.toml:ro",
        "--volume", f"{secret}:/run/secrets/session_secret:ro", "--env", "SESSION_SECRET_FILE=/run/secrets/session_secret",
    )  # fmt: skip
    with podman.container(podman.image(), *given) as container:
        yield container, port
