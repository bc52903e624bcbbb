"""The unit docs/deployment/sessions.service under a real systemd, installed by the commands of the page beside it.

systemd is the first process of a container that may do everything; nginx is in front of the server's Unix socket.
"""

import re
import subprocess
from collections.abc import Iterator

import pytest
from interop.processes import wait_until

from . import podman

pytestmark = podman.REQUIRED

DEPLOYMENT = podman.ROOT / "docs" / "deployment"
PACKAGES = ("systemd", "dbus", "python3", "python3-venv", "procps", "nginx-light", "openssl", "curl")

BOOT = "umount --recursive /sys/fs/cgroup; mount -t cgroup2 none /sys/fs/cgroup && exec /lib/systemd/systemd"
"""This systemd wants the second version of cgroups, which a machine may have beside the first."""

MACHINE = ("--privileged", "--tmpfs", "/run", "--tmpfs", "/tmp", "--env", "container=podman")

SITE = r"""
mkdir -p /etc/letsencrypt/live/example.com && cd /etc/letsencrypt/live/example.com
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=example.com \
  -keyout privkey.pem -out fullchain.pem 2>/dev/null
sed -e 's/^    server 127/    # server 127/' -e 's/# server unix:/server unix:/' /opt/sessions/docs/deployment/nginx.conf \
  > /etc/nginx/sites-enabled/default
nginx -t -q && systemctl restart nginx
"""
"""What the page says in words: a certificate, and the server's socket."""

ASK = "curl --silent --show-error --fail --insecure --retry 20 --retry-all-errors --max-time 60 --cookie-jar /tmp/jar --cookie /tmp/jar --resolve example.com:443:127.0.0.1 https://example.com"

DRAINED = r"""
import socket, subprocess, sys
asked = socket.socket(socket.AF_UNIX)
asked.settimeout(60)
asked.connect("/run/sessions/http.sock")
asked.sendall(b"GET /set-session HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: 8\r\n"
              b"Expect: 100-continue\r\n\r\n")
assert b" 100 " in asked.recv(1000)
subprocess.run(["systemctl", "stop", "--no-block", "sessions"], check=True)
while True:
    probe = socket.socket(socket.AF_UNIX)
    try:
        probe.connect("/run/sessions/http.sock")
    except OSError:
        break
asked.sendall(b'{"a": 1}')
answer = b""
while piece := asked.recv(1000):
    answer += piece
    if b"successfully" in answer: break
print(answer.decode())
"""
"""A request in flight while the service is stopped."""


@pytest.fixture(scope="module")
def machine() -> Iterator[podman.Container]:
    """A Debian with the project in /opt/sessions, on which the commands of the page have been run."""
    tag = podman.built("localhost/systemd", "FROM debian:trixie-slim", podman.installing(*PACKAGES))
    wheels = f"{podman.KEPT / 'wheels'}:/wheels:ro"
    with podman.container(tag, *MACHINE, "--volume", wheels, command=("sh", "-c", BOOT)) as container:
        wait_until(lambda: is_up(container), 60)
        podman.run(
            "exec",
            "--interactive",
            container.name,
            "sh",
            "-c",
            "mkdir /opt/sessions && tar -x -C /opt/sessions",
            stdin=project(),
        )
        container("bash", "-euc", page("sh")[0])
        container("bash", "-euc", SITE)
        yield container


def is_up(container: podman.Container) -> bool:
    """Whether systemd has started what it starts."""
    asked = ["podman", *podman.options(), "exec", container.name, "systemctl", "is-system-running"]
    return podman.ask(asked).stdout.strip() in (b"running", b"degraded")  # degraded: a container has no kernel modules


def project() -> bytes:
    """The files of the project, as they are now."""
    names = subprocess.run(["git", "ls-files", "-z"], cwd=podman.ROOT, stdout=subprocess.PIPE, check=True).stdout
    return subprocess.run(
        ["tar", "--null", "--files-from", "-", "--ignore-failed-read", "-c"],
        cwd=podman.ROOT,
        input=names,
        stdout=subprocess.PIPE,
        check=True,
    ).stdout


def page(language: str) -> list[str]:
    """The blocks of the page in a language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", (DEPLOYMENT / "README.md").read_text(), re.MULTILINE | re.DOTALL)


def ask(machine: podman.Container, path: str) -> str:
    """What nginx answers a visitor, who has a jar of cookies."""
    return machine("bash", "-c", ASK + path)


def shown(machine: podman.Container, *names: str) -> dict[str, str]:
    """Properties of the unit."""
    lines = machine("systemctl", "show", "sessions", *(f"--property={name}" for name in names)).splitlines()
    return dict(line.split("=", 1) for line in lines)


def until_active(machine: podman.Container) -> int:
    """Return the process id of the server once systemd has started it."""
    wait_until(lambda: shown(machine, "ActiveState")["ActiveState"] == "active", 60)
    return int(shown(machine, "MainPID")["MainPID"])


def test_the_unit_has_no_mistake_and_little_exposure(machine: podman.Container) -> None:
    """1.5 of 10 at most, as systemd counts."""
    complaints = machine("bash", "-c", "systemd-analyze verify /etc/systemd/system/sessions.service 2>&1")
    machine("systemd-analyze", "security", "--threshold=15", "sessions.service")

    assert complaints == ""


def test_a_visitor_of_nginx_has_a_session(machine: podman.Container) -> None:
    """Over TLS and the server's socket; the cookie is one that only this host can set."""
    until_active(machine)
    ask(machine, "/set-session")
    kept = ask(machine, "/get-session")
    jar = machine("cat", "/tmp/jar")
    log = machine("journalctl", "--unit=sessions", "--no-pager", "--output=cat")

    assert kept == "Session data: exampleuser"
    assert "__Host-sid" in jar
    assert [line for line in log.splitlines() if " WARNING " in line or " ERROR " in line] == []


def test_the_service_can_write_its_own_folders_only(machine: podman.Container) -> None:
    """It has a user of its own, no capability, and a filter of system calls; others cannot read what it keeps."""
    pid = until_active(machine)
    status = machine("cat", f"/proc/{pid}/status")
    modes = machine("stat", "--format", "%a %U", "/var/lib/sessions", "/etc/sessions/secret", "/run/sessions/http.sock")
    namespace = ("nsenter", "--mount", f"--target={pid}")
    denied = machine.fails(*namespace, "touch", "/opt/sessions/file", "/etc/sessions/file", "/home/file")

    assert re.findall(r"^(?:CapEff|CapBnd|NoNewPrivs|Seccomp):\t(\w+)", status, re.MULTILINE) == [
        "0" * 16,
        "0" * 16,
        "1",
        "2",
    ]
    assert modes.splitlines() == ["700 sessions", "600 sessions", "660 sessions"]
    assert denied.count("Read-only file system") == 3


def test_a_reload_reads_the_secrets_again(machine: podman.Container) -> None:
    """The visitor stays signed in, and the server is the same process."""
    pid = until_active(machine)
    ask(machine, "/set-session")
    machine("bash", "-c", 'sed -i "1i a-new-secret-of-more-than-32-bytes-for-tests" /etc/sessions/secret')

    machine("systemctl", "reload", "sessions")
    wait_until(lambda: "secrets were read again" in machine("journalctl", "--unit=sessions", "--no-pager"), 60)

    assert ask(machine, "/get-session") == "Session data: exampleuser"
    assert until_active(machine) == pid


def test_a_server_that_dies_is_started_again(machine: podman.Container) -> None:
    """Its sessions are in the store."""
    ask(machine, "/set-session")
    pid = until_active(machine)

    machine("kill", "-KILL", pid)
    wait_until(lambda: shown(machine, "NRestarts")["NRestarts"] != "0" and until_active(machine) != pid, 60)

    assert ask(machine, "/get-session") == "Session data: exampleuser"


def test_a_stop_lets_a_request_in_flight_end(machine: podman.Container) -> None:
    """No new connection is taken meanwhile; the unit has ended well."""
    until_active(machine)
    answer = machine("python3", "-c", DRAINED)
    wait_until(lambda: shown(machine, "ActiveState")["ActiveState"] == "inactive", 60)
    ended = shown(machine, "Result", "ExecMainStatus")
    machine("systemctl", "start", "sessions")

    assert "200 OK" in answer
    assert ended == {"Result": "success", "ExecMainStatus": "0"}


def test_a_wrong_configuration_is_not_tried_again(machine: podman.Container) -> None:
    """The log says what is wrong."""
    until_active(machine)
    machine("bash", "-c", "cp -p /etc/sessions/config.toml /tmp/kept && echo nonsense > /etc/sessions/config.toml")

    machine("systemctl", "restart", "sessions")
    wait_until(lambda: shown(machine, "ActiveState")["ActiveState"] == "failed", 60)
    ended = shown(machine, "ExecMainStatus", "NRestarts")
    machine("bash", "-c", "cp -p /tmp/kept /etc/sessions/config.toml && systemctl restart sessions")

    assert ended == {"ExecMainStatus": "2", "NRestarts": "0"}
    assert "/etc/sessions/config.toml" in machine("journalctl", "--unit=sessions", "--no-pager", "--output=cat")
