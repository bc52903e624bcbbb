"""docs/coming-from/control-panel.md: a password is changed while another browser has a terminal open."""

import asyncio
from pathlib import Path
from typing import Any

from tornado.httpclient import HTTPRequest
from tornado.websocket import WebSocketClientConnection, websocket_connect
from trips.talks import until

from sessions.testing import Browser

from .blocks import manager, module, visitor

SECONDS = 20

HANDSHAKE = {
    "Upgrade": "websocket",
    "Connection": "Upgrade",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
}
"""Its headers; the key is that of RFC 6455."""


async def terminal(browser: Browser) -> WebSocketClientConnection:
    """A terminal that has answered."""
    cookies = "; ".join(f"{each.name}={each.value}" for each in browser.jar.all())
    url = f"ws://127.0.0.1:{browser.port}/terminal"
    socket = await websocket_connect(HTTPRequest(url, headers={"Cookie": cookies}))
    await socket.write_message("echo $((6 * 7))\n")
    assert await heard(socket) == "42\n"
    return socket


async def heard(socket: WebSocketClientConnection) -> Any:
    """What comes next; None: the socket was closed."""
    return await asyncio.wait_for(socket.read_message(), SECONDS)


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

        await socket.write_message("echo still here\n")
        assert (changed.code, await heard(socket)) == (200, "still here\n")
        assert (await other.fetch("/password", form={"new": "1815"})).code == 200
        socket.close()
        assert await heard(socket) is None


async def test_after_it_ends_the_others_and_their_terminals() -> None:
    """And the shell. The browser in which it was changed stays, with its terminal."""
    panel = module("panel_after.py")
    mine, other = await two(panel.make_app(manager(panel.OPTIONS)))
    async with mine:
        kept, socket = await terminal(mine), await terminal(other)
        await socket.write_message("echo $$\n")
        shell = Path(f"/proc/{(await heard(socket)).strip()}")

        changed = await mine.fetch("/password", form={"new": "1852"})

        assert (changed.code, await heard(socket), socket.close_code) == (200, None, 4401)
        await until(lambda: not shell.exists())
        await kept.write_message("echo still here\n")
        assert await heard(kept) == "still here\n"
        assert (await other.fetch("/password", form={"new": "1815"})).code == 403
        kept.close()
        assert await heard(kept) is None


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
