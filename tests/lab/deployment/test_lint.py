"""The files of docs/deployment, each before its tool, without running them."""

import re
import shutil
import sys
from pathlib import Path

import pytest

from . import podman

DEPLOYMENT = podman.ROOT / "docs" / "deployment"
COMPOSE = DEPLOYMENT / "compose"

needs_tools = pytest.mark.skipif(not podman.TOOLS.exists(), reason="no tools of deployment (make deployment)")
needs_systemd = pytest.mark.skipif(
    shutil.which("systemd-analyze") is None,
    reason="no systemd-analyze on this machine (Debian: apt-get install -y systemd)",
)


def tool(name: str, *arguments: object) -> None:
    """Run one of the tools. Raises AssertionError with what it prints if it complains."""
    podman.done([str(podman.TOOLS / name), *map(str, arguments)])


@needs_tools
def test_the_dockerfile() -> None:
    """hadolint, with ShellCheck for what is run."""
    tool("hadolint", DEPLOYMENT / "Dockerfile")


@needs_tools
def test_the_compose_file() -> None:
    """The schema of the Compose specification."""
    tool("check-jsonschema", "--builtin-schema", "vendor.compose-spec", COMPOSE / "compose.yaml")


@needs_tools
@pytest.mark.parametrize("folder", [DEPLOYMENT, COMPOSE], ids=lambda folder: folder.name)
def test_nginx(folder: Path) -> None:
    """gixy; but Host is passed as the visitor typed it, since a form's Origin is compared with it."""
    tool("gixy", "--skips", "host_spoofing", folder / "nginx.conf")


@needs_systemd
def test_the_unit(tmp_path: Path) -> None:
    """Systemd verifies it, with a Python of this machine; its exposure is 1.5 of 10 at most, as systemd counts."""
    unit = DEPLOYMENT / "sessions.service"
    there = tmp_path / unit.name
    text = unit.read_text()
    assert "ExecStart=/opt/sessions/.venv/bin/python " in text
    there.write_text(text.replace("/opt/sessions/.venv/bin/python", sys.executable))

    verified = podman.ask(["systemd-analyze", "verify", "--man=no", str(there)])
    podman.done(["systemd-analyze", "security", "--offline=true", "--threshold=15", str(unit)])

    assert (verified.returncode, verified.stdout, verified.stderr) == (0, b"", b"")


def test_both_nginx_files_say_the_same() -> None:
    """But for the server's name, the certificate's place, IPv6 and what a newer nginx calls HTTP/2."""
    text = re.sub(r"^.*\[::\].*\n|^.*(?:address =|# server) .*\n", "", read(DEPLOYMENT), flags=re.MULTILINE)
    for old, new in (
        ("127.0.0.1:3000", "sessions:3000"),
        ("/etc/letsencrypt/live/example.com/", "/etc/nginx/tls/"),
        (
            'listen 443 ssl http2; # from nginx 1.25.1: "listen 443 ssl;" and "http2 on;"',
            "listen 443 ssl;\n    http2 on;",
        ),
    ):
        assert old in text
        text = text.replace(old, new)

    assert read(COMPOSE) == text


def read(folder: Path) -> str:
    """The file, from its first directive on."""
    text = (folder / "nginx.conf").read_text()
    return text[text.index("\nupstream") :]
