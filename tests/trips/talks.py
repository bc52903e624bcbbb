"""Owns the WebSockets of the trips that end with their session: handlers, their clients, and the pages beside them."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from client import SECONDS, Browser
from clock import HOUR
from tornado.httpclient import HTTPRequest
from tornado.websocket import WebSocketClientConnection, WebSocketHandler, websocket_connect

from sessions import NoSession, SessionError, SessionMixin

from .members import sign_out, signing_in
from .world import Act, Site, logout, replay, unset, visit

ENDED = (4401, "session ended")
CHANGED = (4402, "session changed, connect again")

SOON = 20
"""A `watchInterval` in milliseconds: soon enough for a test."""

NEVER = HOUR
"""One that no test lives to see: what ends a socket then is this process."""


class Chat(SessionMixin, WebSocketHandler):
    """A socket that does and answers what `act` says for each message, and notes what happens to it."""

    heard: list[str | bytes]
    ends: list[str]

    def initialize(self, act: Act = lambda _: "heard", heard: Any = None, ends: Any = None) -> None:
        self.act, self.heard, self.ends = act, [] if heard is None else heard, [] if ends is None else ends

    async def on_message(self, message: str | bytes) -> None:
        self.heard.append(message)
        try:
            result = self.act(self)
            answer = await result if isinstance(result, Awaitable) else result
        except SessionError as error:
            answer = f"{type(error).__name__}: {error}"
        await self.write_message(str(answer))

    def on_session_end(self) -> None:
        try:
            _ = self.session
        except NoSession as error:
            self.ends.append(f"{error}; {self.current_user}")

    def on_close(self) -> None:
        self.ends.append("closed")


class Careless(Chat):
    """Outlives its session."""

    end_with_session = False


class Alive(Chat):
    """Keeps its session while it is used."""

    keep_alive = True


@dataclass
class Talk:
    """A client's end of a socket."""

    client: WebSocketClientConnection

    async def say(self, text: str = "hello") -> str | bytes | None:
        """Send a message. Returns the answer; None if the socket is closed instead."""
        await self.client.write_message(text)
        return await self.hear()

    async def hear(self) -> str | bytes | None:
        """Return the next message, or None."""
        heard = await asyncio.wait_for(self.client.read_message(), SECONDS)
        if heard is None:
            self.client.close()  # or the client complains that nobody has
        return heard

    async def end(self) -> tuple[int | None, str | None]:
        """Wait for the end. Returns the close code and the reason."""
        assert await self.hear() is None
        return self.client.close_code, self.client.close_reason

    async def close(self) -> None:
        """Leave."""
        self.client.close()
        await self.hear()


async def connect(site: Site, headers: dict[str, str], path: str = "/chat") -> Talk:
    """Open a socket. Its handler may not be up yet."""
    return Talk(await websocket_connect(HTTPRequest(f"ws://127.0.0.1:{site.port}{path}", headers=headers)))


async def talk(site: Site, browser: Browser, path: str = "/chat") -> Talk:
    """Open a socket with a browser's cookie, and have an answer: so its handler is up."""
    open_socket = await connect(site, replay(browser), path)
    assert await open_socket.say("first") is not None
    return open_socket


async def regenerate(handler: Any) -> None:
    await handler.session.regenerate()


async def rotate(handler: Any) -> None:
    await handler.session.rotate()


async def confirm(handler: Any) -> None:
    await handler.confirm()


async def revoke_all(handler: Any) -> None:
    await handler.settings["sessions"].revoke_all("ada")


async def revoke(handler: Any) -> None:
    manager = handler.settings["sessions"]
    for info in await manager.sessions_of("ada"):
        await manager.revoke("ada", info.handle)


async def revoke_others(handler: Any) -> None:
    await handler.settings["sessions"].revoke_all("ada", keep=handler.session)


async def saved(handler: Any) -> str:
    handler.session["said"] = handler.session.get("said", 0) + 1
    await handler.session.save()
    return "saved"


PAGES: dict[str, Any] = {
    "/visit": visit, "/logout": logout, "/unset": unset, "/regenerate": regenerate, "/rotate": rotate,
    "/sign-in": signing_in("ada"), "/sign-out": sign_out, "/confirm": confirm, "/revoke": revoke, "/revoke-all": revoke_all,
    "/revoke-others": revoke_others, "/chat": Chat, "/saving": (Chat, saved), "/careless": Careless,
    "/alive": Alive,
}  # fmt: skip

VERBS: list[tuple[str, tuple[int, str]]] = [
    ("/logout", ENDED), ("/unset", ENDED), ("/sign-out", ENDED), ("/revoke", ENDED), ("/revoke-all", ENDED),
    ("/regenerate", CHANGED), ("/rotate", CHANGED), ("/sign-in", CHANGED),
]  # fmt: skip


async def site_of(serve: Any, pages: dict[str, Any] | None = None, **options: Any) -> Site:
    """A site with sockets that are watched."""
    given = {"user_key": "user", "unset": "destroy", "watch_interval": SOON, **options}
    site: Site = await serve({**PAGES, **(pages or {})}, **given)
    return site


async def signed_in(site: Site) -> Browser:
    """A visitor who is ada."""
    browser = site.browser()
    await browser.fetch("/sign-in")
    return browser


async def opened(
    serve: Any, path: str = "/chat", pages: dict[str, Any] | None = None, **options: Any
) -> tuple[Site, Browser, Talk]:
    """A site, a visitor who is ada, and a socket of hers."""
    site = await site_of(serve, pages, **options)
    browser = await signed_in(site)
    return site, browser, await talk(site, browser, path)


async def neighbour(serve: Any, world: Any, pages: dict[str, Any] | None = None, **options: Any) -> Site:
    """Another process on the same data: its manager hears nothing of the first one."""
    return await site_of(serve, pages, store=await world.store(), **options)


async def until(condition: Callable[[], bool]) -> None:
    """Wait for what no event tells."""
    async with asyncio.timeout(SECONDS):
        while not condition():  # noqa: ASYNC110 # of several managers, which have no event for it
            await asyncio.sleep(0.001)


async def asked(site: Site, times: int = 1) -> None:
    """Wait until the watch has asked for its sessions."""
    for _ in range(times):
        site.store.forget()
        await until(lambda: "get" in site.store.calls)
        await site.store.idle()
