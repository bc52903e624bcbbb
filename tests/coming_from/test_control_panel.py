"""docs/coming-from/control-panel.md: a password is changed while another browser has a terminal open."""

from pathlib import Path
from typing import Any

from tornado.httpclient import HTTPRequest
from tornado.websocket import websocket_connect
from trips.talks import Talk, until

from sessions.testing import Browser

from .blocks import manager, module, visitor

PID = "echo $$\n"
"""Asks the shell for its process."""

HANDSHAKE = {
    "Upgrade": "websocket",
    "Connection": "Upgrade",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
}
"""Its headers; the key is that of RFC 6455."""


async def terminal(browser: Browser) -> Talk:
    """A terminal that has answered."""
    cookies = "; ".join(f"{each.name}={each.value}" for each in browser.jar.all())
    url = f"ws://127.0.0.1:{browser.port}/terminal"
    opened = Talk(await websocket_connect(HTTPRequest(url, headers={"Cookie": cookies})))
    assert await opened.say("echo $((6 * 7))\n") == "42\n"
    return opened


async def two(app: Any) -> tuple[Browser, Browser]:
    """Two browsers that are signed in, the first of which serves the application."""
    first = visitor(app)
    second = Browser(first.port, manager=first.manager)
    for browser in (first, second):
        assert (await browser.fetch("/login", form={"password": "toor"})).code == 200
    return first, second


async def test_before_a_new_password_ends_nothing() -> None:
    """The other browser and its terminal go on."""
    mine, other = await two(module("panel_before.py").make_app())
    async with mine:
        socket = await terminal(other)

        changed = await mine.fetch("/password", form={"new": "1852"})

        assert (changed.code, await socket.say("echo still here\n")) == (200, "still here\n")
        assert (await other.fetch("/password", form={"new": "1815"})).code == 200
        await socket.close()


async def test_after_it_ends_the_others_and_their_terminals() -> None:
    """And the shell. The browser in which it was changed stays, with its terminal."""
    panel = module("panel_after.py")
    mine, other = await two(panel.make_app(manager(panel.OPTIONS)))
    async with mine:
        kept, socket = await terminal(mine), await terminal(other)
        shell = Path(f"/proc/{str(await socket.say(PID)).strip()}")

        changed = await mine.fetch("/password", form={"new": "1852"})

        assert (changed.code, await socket.end()) == (200, (4401, "session ended"))
        await until(lambda: not shell.exists())
        assert await kept.say("echo still here\n") == "still here\n"
        assert (await other.fetch("/password", form={"new": "1815"})).code == 403
        await kept.close()


async def test_an_old_login_changes_no_password() -> None:
    """It is asked for the password again."""
    panel = module("panel_after.py")
    sessions = manager(panel.OPTIONS)
    mine, _ = await two(panel.make_app(sessions))
    async with mine:
        sessions.clock.advance(11 * 60_000)  # type: ignore[attr-defined] # the clock of the tests

        answer = await mine.fetch("/password", form={"new": "1852"})

    assert (answer.code, panel.PASSWORDS) == (401, {"root": "toor"})


async def test_a_stranger_gets_no_terminal() -> None:
    """The handshake is refused."""
    panel = module("panel_after.py")
    async with visitor(panel.make_app(manager(panel.OPTIONS))) as stranger:
        handshake = await stranger.fetch("/terminal", headers=HANDSHAKE)

    assert handshake.code == 403
