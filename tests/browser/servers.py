"""Owns the servers between a browser and the library in these tests, on loopback.

They are the reference server, as `make run` starts it, and a real nginx in front of it. Knows nothing of browsers.
"""

import os
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from interop.processes import Process, free_port, wait_until

ROOT = Path(__file__).parents[2]
SITE = ROOT / "docs" / "deployment" / "nginx.conf"
HOST = "127.0.0.1"
SECRET = "of-the-tests-and-as-long-as-the-server-demands-it"

NGINX = """
daemon off;
worker_processes 1;
pid nginx.pid;
error_log stderr;
events {{}}
http {{
    access_log off;
    client_body_temp_path body;
    proxy_temp_path proxy;
    fastcgi_temp_path unused;
    uwsgi_temp_path unused;
    scgi_temp_path unused;
    {sites}
}}
"""
"""What Debian's /etc/nginx/nginx.conf is to the site, for a user without rights."""


@contextmanager
def reference_server(folder: Path, config: str) -> Iterator[tuple[int, Process]]:
    """The reference server with that config.toml; gives its port. `{db}` in it is a new file."""
    file = folder / "config.toml"
    file.write_text(config.format(db=folder / "sessions.db"))
    command = [sys.executable, ROOT / "server.py", "--config", file, "--port", "0"]
    with Process(command, cwd=folder, env={"PATH": os.environ["PATH"], "SESSION_SECRET": SECRET}) as process:
        yield int(process.find(r"Server listening on port (\d+)")[1]), process
    assert "Traceback" not in process.output, process.output


@contextmanager
def nginx(folder: Path, *sites: str, main: str = "") -> Iterator[Process]:
    """A real nginx with those sites; `main` are lines outside of `http`."""
    conf = folder / "nginx.conf"
    conf.write_text(main + NGINX.format(sites="\n".join(sites)))
    command = ["nginx", "-e", "stderr", "-p", folder, "-c", conf]
    with Process(command, cwd=folder, env={"PATH": os.environ["PATH"]}) as process:
        for port in re.findall(rf"listen {re.escape(HOST)}:(\d+)", conf.read_text()):
            wait_until(lambda port=int(port): answers(port, process), 10)  # type: ignore[misc] # a bound default
        yield process


def certificate(folder: Path) -> tuple[Path, Path]:
    """A self-signed certificate for loopback, and its key."""
    pem, key = folder / "tls.pem", folder / "tls.key"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
         "-days", "2", "-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1,DNS:localhost",
         "-keyout", key, "-out", pem],
        check=True, capture_output=True,
    )  # fmt: skip
    return pem, key


def site(*, upstream: int | Path, http: int, https: int, pem: Path, key: Path) -> str:
    """docs/deployment/nginx.conf with the test's ports and paths in place of the deployment's, and nothing else.

    `upstream` is a port, or the Unix socket that the file has in a comment.
    """
    conf = re.sub(r"^.*\[::\].*\n", "", SITE.read_text(), flags=re.MULTILINE)  # not every machine has IPv6
    place, used = "server 127.0.0.1:3000;", f"server {HOST}:{upstream};"
    if isinstance(upstream, Path):
        place, used = "# server unix:/run/sessions/http.sock;", f"server unix:{upstream};"
        conf = conf.replace("    server 127.0.0.1:3000;\n", "")
    for old, new in (
        (place, used),
        ("listen 80;", f"listen {HOST}:{http};"),
        ("listen 443 ssl http2;", f"listen {HOST}:{https} ssl http2;"),
        ("/etc/letsencrypt/live/example.com/fullchain.pem", str(pem)),
        ("/etc/letsencrypt/live/example.com/privkey.pem", str(key)),
        ("server_name example.com;", "server_name localhost;"),
    ):
        assert old in conf, old
        conf = conf.replace(old, new)
    return conf


def free_ports(number: int) -> list[int]:
    """Return ports on which nothing listens, all different: nginx cannot be asked for one."""
    found: dict[int, None] = {}
    while len(found) < number:
        found[free_port()] = None
    return list(found)


def answers(port: int, process: Process) -> bool:
    """True once something listens on a port; the process has to be alive."""
    process.check()
    with socket.socket() as probe:
        return probe.connect_ex((HOST, port)) == 0
