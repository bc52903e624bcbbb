"""The load: sessions made beforehand through the server itself, and wrk that sends their cookies in turn."""

import base64
import hashlib
import hmac
import http.client
import json
import os
import re
import selectors
import shutil
import socket
import subprocess
import tempfile
import time
from dataclasses import dataclass
from itertools import cycle
from math import inf
from time import monotonic
from typing import Self, cast
from urllib.parse import quote

from bench.process import LOAD_CORE, BenchError, Others, Running, pinned

PATHS = {"R": "/read", "W": "/write", "N": "/new"}
SESSIONS = 512  # so many live at once: twice the connections, so that two requests of one session seldom meet


@dataclass(frozen=True)
class Visit:
    status: int
    body: str
    cookie: str | None  # name=value, when one was set


def visit(connection: http.client.HTTPConnection, path: str, cookie: str | None = None) -> Visit:
    connection.request("GET", path, headers={"Cookie": cookie} if cookie else {})
    response = connection.getresponse()
    body = response.read().decode()
    header = response.getheader("Set-Cookie")
    return Visit(response.status, body, header.partition(";")[0] if header else None)


def make_sessions(running: Running, count: int = SESSIONS) -> list[str]:
    """Cookies of `count` new sessions, after a check that the server keeps sessions at all."""
    connection = http.client.HTTPConnection("127.0.0.1", running.port, timeout=600)
    cookies = []
    for _ in range(count):
        new = visit(connection, PATHS["N"])
        if new.status != 200 or not new.cookie:
            raise BenchError(f"{running.name}: no session for a new visitor: {new}\n{running.log()}")
        cookies.append(new.cookie)
    seen, jar = [], cookies[0]
    for step in "RWWR":
        answer = visit(connection, PATHS[step], jar)
        seen.append(answer.body)
        jar = answer.cookie or jar
    if seen != ["1", "2", "3", "3"] or visit(connection, PATHS["R"], cookies[1]).body != "1":
        raise BenchError(f"{running.name} does not keep sessions: it counted {seen}\n{running.log()}")
    connection.close()
    return cookies


def signed_cookie(sid: str, secret: str) -> str:
    """The cookie of a session that was written to the file by other means: connect.sid=s:<id>.<HMAC-SHA-256>."""
    mac = base64.b64encode(hmac.digest(secret.encode(), sid.encode(), hashlib.sha256)).rstrip(b"=").decode()
    return "connect.sid=" + quote(f"s:{sid}.{mac}", safe="")


@dataclass(frozen=True)
class Result:
    """What one run of wrk gave, and what the server paid for it."""

    requests: int
    seconds: float
    p50_ms: float
    p99_ms: float
    max_ms: float
    errors: int
    bad_status: int
    cpu_us: float  # of the server, for each request
    engine_us: float  # of its Redis or PostgreSQL, for each request
    wrk_us: float  # of the load generator, for each request
    others: float  # cores that other processes and other machines had meanwhile
    stolen: float  # of them, those of other machines

    @property
    def rate(self) -> float:
        return self.requests / self.seconds


def has_wrk() -> None:
    """Raise BenchError where it is missing."""
    if not shutil.which("wrk"):
        raise BenchError("wrk is missing: apt-get install -y wrk (Debian, Ubuntu), or see github.com/wg/wrk")


def measure(
    running: Running,
    workload: str,
    connections: int,
    seconds: float,
    cookies: list[str],
    cores: str = LOAD_CORE,
) -> Result:
    """One run of wrk. A visitor of N has no cookie; where there are no sessions (`cookies` empty) nobody has one."""
    script = str(__file__).removesuffix(".py") + ".lua"
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as file:
        file.writelines(f"{cookie}\n" for cookie in (() if workload == "N" else cookies))
        file.flush()
        url = f"http://127.0.0.1:{running.port}{PATHS[workload]}"
        flags = ("-t1", f"-c{connections}", f"-d{max(1, round(seconds))}s", "--timeout", "10s", "-s", script)
        command = pinned(cores, ("wrk", *flags, url, "--", file.name))
        measured = [running, *([running.engine] if running.engine else [])]
        others, mine = Others(*measured), os.times()
        before = [each.cpu_seconds() for each in measured]
        done = subprocess.run(command, capture_output=True, text=True, timeout=seconds + 60, check=False)
        after = [each.cpu_seconds() for each in measured]
        now, (taken, stolen) = os.times(), others.cores()
        wrk = now.children_user + now.children_system - mine.children_user - mine.children_system
        settle(running)
    line = next((line for line in done.stdout.splitlines() if line.startswith("RESULT ")), None)
    if line is None:
        raise BenchError(f"wrk failed against {running.name}:\n{done.stdout}{done.stderr}")
    seen = json.loads(line.removeprefix("RESULT "))
    if not seen["requests"]:
        raise BenchError(f"{running.name} answered nothing in {seconds} s\n{running.log()}")
    cpu = [round((b - a) / seen["requests"] * 1e6, 2) for a, b in zip(before, after, strict=True)]
    wrk_us = round(wrk / seen["requests"] * 1e6, 2)
    return Result(
        **seen, wrk_us=wrk_us, cpu_us=cpu[0], engine_us=cpu[1] if running.engine else 0, others=taken, stolen=stolen
    )


def settle(running: Running) -> None:
    """Wait until a server has worked off what wrk had asked for when it left: the next one is not to pay for it."""
    for _ in range(150):
        before = running.cpu_seconds()
        time.sleep(0.02)
        if running.cpu_seconds() - before < 0.002:
            return


class ClosedLoop:
    """So many requests exactly, one outstanding on each connection: what wrk, which counts seconds, cannot do.

    The connections stay open between runs, so that opening them is not measured.
    """

    def __init__(self, running: Running, connections: int) -> None:
        self._running = running
        self._clients = [socket.create_connection(("127.0.0.1", running.port), 600) for _ in range(connections)]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for client in self._clients:
            client.close()

    def run(self, workload: str, requests: int, cookies: list[str], seconds: float = inf) -> None:
        """Send so many requests, fewer where `seconds` go by before; return when all are answered."""
        headers = [f"Cookie: {cookie}\r\n" for cookie in cookies] if cookies and workload != "N" else [""]
        path = PATHS[workload]
        lines = cycle([f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n{h}\r\n".encode() for h in headers])
        end = monotonic() + seconds
        sent = answered = 0
        answers = dict.fromkeys(self._clients, b"")

        def send(client: socket.socket) -> None:
            nonlocal sent
            if sent < requests and monotonic() < end:
                sent += 1
                client.sendall(next(lines))

        with selectors.DefaultSelector() as selector:
            for client in self._clients:
                selector.register(client, selectors.EVENT_READ)
                send(client)
            while answered < sent:
                ready = selector.select(600)
                if not ready:
                    raise BenchError(f"{self._running.name} stopped answering\n{self._running.log()}")
                for key, _ in ready:
                    client = cast("socket.socket", key.fileobj)
                    chunk = client.recv(65536)
                    answers[client] += chunk
                    if not chunk or not answers[client].startswith(b"HTTP/1.1 200"[: len(answers[client])]):
                        answer = answers[client][:200]
                        raise BenchError(f"{self._running.name} answered {answer!r}\n{self._running.log()}")
                    if complete(answers[client]):
                        answers[client] = b""
                        answered += 1
                        send(client)


def complete(answer: bytes) -> bool:
    head, gap, body = answer.partition(b"\r\n\r\n")
    if not gap:
        return False
    length = re.search(rb"^content-length: *(\d+)", head, re.IGNORECASE | re.MULTILINE)
    return len(body) >= int(length[1]) if length else body.endswith(b"0\r\n\r\n")  # else it comes in chunks
