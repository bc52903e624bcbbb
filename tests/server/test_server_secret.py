"""The secret of the reference server: refused where others reach a weak one, kept over a restart, and in no log."""

import logging
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from processes import Server, run

from serving.options import Config, read_config
from sessions import OptionsError, now_ms

Start = Callable[..., Server]

STRONG = "a-secret-that-nobody-guesses-and-no-log-shows"
WEAK = 'secret = "no cat walks"\n'
REACHABLE = {
    "every interface": '[server]\naddress = ""\n[session]\n',
    "every IPv4 interface": '[server]\naddress = "0.0.0.0"\n[session]\n',
    "another address": '[server]\naddress = "192.0.2.1"\n[session]\n',
    "a name": '[server]\naddress = "example.com"\n[session]\n',
    "behind a proxy": "[session]\nproxy = true\n",
    "behind a proxy, by xheaders": "[server]\nxheaders = true\n[session]\n",
}


def read(config: str) -> Config:
    """The configuration in a file of the working folder."""
    Path("config.toml").write_text(config)
    return read_config(Path("config.toml"))


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize("address", ["127.0.0.1", "::1", "127.8.8.8", "localhost"])
def test_a_weak_one_is_taken_on_loopback(caplog: pytest.LogCaptureFixture, address: str) -> None:
    """With a warning that says why it is weak."""
    config = read(f'[server]\naddress = "{address}"\n[session]\n{WEAK}')

    assert config.session.keys == (b"no cat walks",)
    ((_, level, message),) = caplog.record_tuples
    assert level == logging.WARNING
    assert "12 bytes" in message


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize("where", REACHABLE.values(), ids=REACHABLE)
def test_a_weak_one_is_refused_where_others_reach_it(where: str) -> None:
    """On any other address, and behind a proxy."""
    with pytest.raises(OptionsError, match=r"^config\.toml: \[session\] secret: .* 12 bytes"):
        read(f"{where}{WEAK}")


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize("where", REACHABLE.values(), ids=REACHABLE)
def test_the_one_that_the_server_makes_is_strong_enough_for_all(caplog: pytest.LogCaptureFixture, where: str) -> None:
    """Without a word."""
    read(where)

    assert caplog.record_tuples == []


async def test_sessions_survive_a_restart(start: Start) -> None:
    """With the secret that was kept, a new process knows its visitors."""
    first = start("", secret=None)
    browser = first.browser()
    await browser.fetch("/set-session")
    first.kill()

    browser.port = start("", secret=None).port
    response = await browser.fetch("/get-session")

    assert response.text == "Session data: exampleuser"


@pytest.mark.parametrize("source", ["environment", "made"])
def test_a_check_masks_it(tmp_path: Path, source: str) -> None:
    """Wherever it comes from."""
    (tmp_path / "sessions.db.secret").write_text(STRONG)

    result = run(tmp_path, "", "--check", secret=STRONG if source == "environment" else None)

    assert result.returncode == 0
    assert "secret = ********\n" in result.stdout
    assert STRONG not in result.stdout + result.stderr


async def test_no_log_shows_it(start: Start) -> None:
    """Nor an id, a cookie or what lies in a session: not at the start, in answers, errors or failures."""
    server = start(f'[session]\nsecret = "{STRONG}"\n', secret=None)
    browser = server.browser()
    (header,) = (await browser.fetch("/set-session")).set_cookies
    sid, cookie = browser.sid, header.partition("=")[2].partition(";")[0]
    assert sid is not None
    forged = {"Cookie": f"connect.sid=s%3A{sid}.forged"}
    json_body = {"Content-Type": "application/json"}
    for path, method, body, headers in (
        ("/", "GET", b"", {}),
        ("/nowhere", "GET", b"", {}),
        ("/get-session", "GET", b"", forged),
        ("/get-session", "GET", b'{"exampleuser"', json_body),
        ("/destroy", "POST", b"", {}),
        ("/get-session", "GET", b"", {"Cookie": f"connect.sid={cookie}"}),
    ):
        await browser.fetch(path, method=method, body=body, headers=headers)
    (server.folder / "sessions.db").unlink()
    failed = await browser.fetch("/get-session")

    server.kill()

    assert failed.status == 503
    assert re.search(r" 403 POST /destroy ", server.output)
    for hidden in (STRONG, sid, cookie, cookie.rpartition(".")[2], "exampleuser"):
        assert hidden not in server.output
    assert browser.jar.clock() <= now_ms()
