"""The log of the reference server: when, who, which request; as text and as JSON; nothing that a visitor has sent."""

import json
import re
import signal
import sqlite3
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from client import Browser
from processes import SECRET, Server, run

from sessions.formats.signing import Signer, fingerprint

Start = Callable[..., Server]

MEMORY = '[session]\nstore = "memory:"\n'
LINE = re.compile(
    r"(?P<time>\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}[+-]\d\d:\d\d) (?P<level>[A-Z]+) (?P<pid>\d+)"
    r" (?P<request>-|[0-9a-f]{16}) (?P<logger>[\w.]+): (?P<message>.*)"
)
FORGED = {"Cookie": "connect.sid=s%3Aforged.signature"}
UNKNOWN = "session_use_after_expire"


def ended(number: int) -> str:
    """A cookie that the server has signed, of a session that it does not know: each is an event."""
    return f"connect.sid={quote(Signer([SECRET.encode()]).sign(f'an-id-that-has-ended-{number}'), safe='')}"


async def written(server: Server) -> list[str]:
    """The whole log, behind the two lines that say where it listens. The server ends."""
    server.signal(signal.SIGTERM)
    assert await server.ended() == 0
    return server.output.splitlines()[2:]


async def lines(server: Server) -> list[dict[str, str]]:
    """The whole log in its parts: every line of it has the form. The server ends."""
    text = await written(server)
    found = [LINE.fullmatch(line) for line in text]
    assert None not in found, text
    return [line.groupdict() for line in found if line is not None]


async def test_a_line_says_when_who_and_how_bad(start: Start) -> None:
    """With milliseconds and the zone; the level by its name."""
    server = await start(MEMORY).serving()
    await server.browser().fetch("/nowhere")

    found, missing = await lines(server)

    assert (found["level"], missing["level"]) == ("INFO", "WARNING")
    assert found["pid"] == missing["pid"] == str(server.pid)
    assert found["logger"] == "tornado.access"
    assert re.fullmatch(r"404 GET /nowhere \(127\.0\.0\.1\) \d+\.\d\dms -", missing["message"])
    assert abs(datetime.now(UTC) - datetime.fromisoformat(found["time"])) < timedelta(minutes=1)


@pytest.mark.parametrize("workers", [1, 2])
async def test_the_lines_of_a_request_share_its_id(start: Start, workers: int) -> None:
    """An event is tied to the answer; two requests on one connection are two; each process has its own lines."""
    config = f"[server]\nworkers = {workers}\n"
    server = await start(config).serving()
    wire = await server.wire()
    for number in (1, 2, 3):
        cookie = ended(number)
        wire.send(f"GET /get-session?number={number} HTTP/1.1\r\nHost: h\r\nCookie: {cookie}\r\n\r\n".encode())
        await wire.response()

    pids = {server.pid} if workers == 1 else set(server.workers)
    found = [line for line in await lines(server) if "number=" in line["message"] or UNKNOWN in line["message"]]

    ids = [line["request"] for line in found]
    assert [line["message"].partition(":")[0] for line in found[::2]] == [UNKNOWN] * 3
    assert ids[::2] == ids[1::2]
    assert len(set(ids)) == 3
    assert {int(line["pid"]) for line in found} <= pids


async def test_requests_that_overlap_keep_their_ids(start: Start) -> None:
    """One that waits for its body is answered after another has come and gone."""
    server = await start(MEMORY).serving()
    slow = await server.ask()
    await server.browser().fetch("/get-session", headers=FORGED)
    slow.send(b'{"a": 1}')
    await slow.response()

    _, event, fast, last = await lines(server)

    assert event["message"].startswith("session_tampered: ")
    assert event["request"] == fast["request"] != last["request"]
    assert " /get-session " in fast["message"]
    assert " /set-session " in last["message"]


PATIENT = """
[server]
logLevel = "debug"
[session]
storeTimeout = 60000
[sqlite]
busyTimeout = 60000
"""


async def test_an_event_of_a_commit_has_the_id_of_its_request(start: Start) -> None:
    """Also if commits wait for the database, and are made together, after other requests have come and gone."""
    server = await start(PATIENT).serving()
    with closing(sqlite3.connect(server.folder / "sessions.db")) as other:
        other.execute("BEGIN IMMEDIATE")
        visitors = [server.browser() for _ in range(5)]
        calls = [await visitor.start(f"/set-session?visitor={number}") for number, visitor in enumerate(visitors)]
        await server.browser().fetch("/get-session?meanwhile")
        other.rollback()
    for call in calls:
        assert (await call.response()).status == 200

    found = await lines(server)

    created = [line for line in found if line["message"].startswith("session_created: ")]
    answers = {line["request"]: line["message"] for line in found if " /set-session?visitor=" in line["message"]}
    assert len(created) == len(answers) == 5
    for line in created:
        assert answers[line["request"]].endswith("ms " + line["message"].removeprefix("session_created: "))


async def test_an_answer_names_its_session_by_fingerprint(start: Start) -> None:
    """The one that it has stored, or has read; a visitor without one has none."""
    server = await start(MEMORY).serving()
    visitor = server.browser()
    for path in ("/set-session", "/get-session"):
        await visitor.fetch(path)
    await server.browser().fetch("/get-session", headers={"Cookie": ended(1)})
    mark = fingerprint(visitor.sid or "")

    found = [line["message"].rpartition(" ")[2] for line in await lines(server) if line["logger"] == "tornado.access"]

    assert found == ["-", mark, mark, "-"]


PROXIED = f"[server]\nxheaders = true\n{MEMORY}"


async def asked(server: Server, *headers: str) -> None:
    """Ask once on each of the header lines, over one connection."""
    wire = await server.wire()
    for header in headers:
        wire.send(f"GET /get-session HTTP/1.1\r\nHost: h\r\n{header}\r\n".encode("latin1"))
        assert (await wire.response()).status == 200


async def test_a_trusted_proxy_names_the_requests(start: Start) -> None:
    """In every line of them. A request that it has not named gets an id, as do those of the next on its connection."""
    server = await start(PROXIED).serving()
    cookie = f"Cookie: {ended(1)}\r\n"
    await asked(server, f"X-Request-Id: {'A.b_9-' * 21}ab\r\n{cookie}", "", "X-Request-ID: 7\r\n")

    text = (await written(server))[1:]

    ids = [line.split(" ")[3] for line in text]
    assert ids[0] == ids[1] == "A.b_9-" * 21 + "ab"
    assert re.fullmatch("[0-9a-f]{16}", ids[2])
    assert ids[3] == "7"


@pytest.mark.parametrize(
    "header",
    [
        "X-Request-Id: \r\n",
        f"X-Request-Id: {'a' * 129}\r\n",
        "X-Request-Id: hidden id\r\n",
        "X-Request-Id: hidden,\r\n",
        "X-Request-Id: hidden=1\r\n",
        "X-Request-Id: hidden\x1b[31m\r\n",
        "X-Request-Id: hidd\xe9n\r\n",
        "X-Request-Id: hidden-1\r\nX-Request-Id: hidden-2\r\n",
        "X-Request-Id: hidden\r\n forged\r\n",
    ],
)
async def test_a_name_that_is_none_is_not_quoted(start: Start, header: str) -> None:
    """A request gets an id of ours then: no header forges a line. Tornado refuses some of these heads by itself."""
    server = await start(PROXIED).serving()
    wire = await server.wire()
    wire.send(f"GET /get-session HTTP/1.1\r\nHost: h\r\n{header}\r\n".encode("latin1"))
    await wire.response()

    found = await lines(server)

    assert [line["request"] for line in found if not re.fullmatch("-|[0-9a-f]{16}", line["request"])] == []
    assert "hidd" not in server.output
    assert "forged" not in server.output
    assert "aaaa" not in server.output


async def test_nobody_else_names_requests(start: Start) -> None:
    """Without xheaders there is no proxy to trust."""
    server = await start(MEMORY).serving()
    await asked(server, "X-Request-Id: hidden\r\n")

    await lines(server)

    assert "hidden" not in server.output


async def test_json_has_the_parts_of_an_answer(start: Start) -> None:
    """One object a line, with the same words as the text."""
    server = await start(f'[server]\nlog = "json"\n{MEMORY}').serving()
    await server.browser().fetch("/get-session?a=1", headers=FORGED)
    visitor: Browser = server.browser()
    await visitor.fetch("/set-session")

    _, event, answer, signed_in = [json.loads(line) for line in await written(server)]

    assert event.keys() == {"time", "level", "pid", "request", "logger", "message"}
    assert event["message"].startswith("session_tampered: ")
    assert answer["request"] == event["request"]
    assert (answer["level"], answer["pid"], answer["logger"]) == ("INFO", server.pid, "tornado.access")
    assert (answer["status"], answer["method"], answer["uri"]) == (200, "GET", "/get-session?a=1")
    assert answer["ip"] == "127.0.0.1"
    assert answer["message"] == f"200 GET /get-session?a=1 (127.0.0.1) {answer['ms']:.2f}ms -"
    assert answer["session"] == "-"
    assert signed_in["session"] == fingerprint(visitor.sid or "")
    assert datetime.fromisoformat(answer["time"]).tzinfo is not None


async def test_json_keeps_a_traceback_in_its_line(start: Start) -> None:
    """As text it is indented below the line; here it is a member."""
    server = await start('[server]\nlog = "json"\n').serving()
    browser = server.browser()
    await browser.fetch("/set-session")
    from sessions import StoredSession, now_ms, open_store  # of this test alone

    async with open_store(f"sqlite:{server.folder / 'sessions.db'}") as store:
        found: Any = await store.get(browser.sid or "")
        await store.update(browser.sid or "", StoredSession("no JSON", now_ms() + 60_000), found)
    broken = await browser.fetch("/get-session")

    errors = [json.loads(line) for line in await written(server) if '"ERROR"' in line]

    assert broken.status == 500
    assert [each["logger"] for each in errors] == ["tornado.application", "tornado.access"]
    assert "CorruptSession" in errors[0]["exc_info"]


@pytest.mark.parametrize(
    ("level", "said"),
    [
        ("debug", {"DEBUG", "INFO", "WARNING"}),
        ("info", {"INFO", "WARNING"}),
        ("warning", {"WARNING"}),
        ("error", set()),
    ],
)
async def test_what_is_below_the_level_is_left_out(start: Start, level: str, said: set[str]) -> None:
    """Of the library, of Tornado, and of the server."""
    server = await start(f'[server]\nlogLevel = "{level}"\n{MEMORY}').serving()
    await server.browser().fetch("/set-session")
    await server.browser().fetch("/nowhere")

    assert {line["level"] for line in await lines(server)} == said


async def test_nothing_that_a_visitor_has_sent_is_quoted(start: Start) -> None:
    """Headers and forms that are refused, at any level; the address is all that the log has of a request."""
    server = await start(f'[server]\nlogLevel = "debug"\n{MEMORY}').serving()
    browser = server.browser()
    token = re.search(r'name="_xsrf" value="([^"]+)"', (await browser.fetch()).text)
    assert token is not None
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    for body in (
        f"_xsrf={token[1]}&key=k&value=hidden-form".encode() + b"\xff",
        f"_xsrf={token[1]}&key=hidden-key".encode() + b"\xff",
        f"_xsrf={token[1]}&key=hidden-key&value=1e400".encode(),
        b"_xsrf=2|hidden-token|x|y&key=k",
        b"_xsrf=2|hidden|token&key=k",
        f"_xsrf={token[1]}&".encode() + b"&".join(b"hidden-field=%d" % number for number in range(2_000)),
    ):
        await browser.fetch("/set", method="POST", body=body, headers=form)
    multipart = {"Content-Type": "multipart/form-data; boundary=hidden-boundary"}
    await browser.fetch("/set", method="POST", body=b"hidden-part", headers=multipart)
    await browser.fetch("/set", method="POST", body=b"hidden-gzip", headers={**form, "Content-Encoding": "hidden-code"})
    head = b"POST /set HTTP/1.1\r\nHost: a.example.test\r\n"
    for request in (
        head + b"Content-Length: hidden-length\r\n\r\n",
        head + b"Content-Length: 7, hidden-length\r\n\r\n",
        head + b"Transfer-Encoding: hidden-coding\r\n\r\n",
        head + b"Cookie: hidden-cookie=\x01\r\n\r\n",
        head + b"hidden header: 1\r\n\r\n",
        head + b"Host: hidden.host\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: hidden.host/x y@z\r\n\r\n",
        b"GET / hidden/1.1\r\nHost: h\r\n\r\n",
    ):
        wire = await server.wire()
        wire.send(request)
        await wire.response()

    log = "\n".join(await written(server))
    assert [line for line in log.splitlines() if "hidden" in line] == []
    assert log.count("Malformed HTTP message from 127.0.0.1: ") >= 7
    assert "Traceback" not in log


@pytest.mark.parametrize("form", ["text", "json"])
async def test_no_address_breaks_a_line(start: Start, form: str) -> None:
    """Tornado takes bytes that some readers see as a line's end, and terminals as the begin of a command."""
    server = await start(f'[server]\nlog = "{form}"\n{MEMORY}').serving()
    wire = await server.wire()
    wire.send(b"GET /nowhere\x85forged\x9b31m HTTP/1.1\r\nHost: h\r\n\r\n")
    await wire.response()

    text = await written(server)

    (line,) = [line for line in text if "nowhere" in line]
    assert "forged" in line
    assert line.isascii()


def test_json_without_its_package_is_refused(tmp_path: Path) -> None:
    """With what to install; --check says so too."""
    hidden = tmp_path / "pythonjsonlogger"
    hidden.mkdir()
    (hidden / "__init__.py").write_text("raise ImportError")

    result = run(tmp_path, '[server]\nlog = "json"\n', "--check", path=tmp_path)

    assert result.returncode == 2
    assert result.stderr == 'config.toml: [server] log: "json" needs a package: pip install python-json-logger\n'
