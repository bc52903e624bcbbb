"""WebSockets end with their session: at once in the process that ends it, soon in every other one."""

import asyncio
import gc
import os
import weakref
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import tornado
from client import SECONDS, Browser, Wire
from clock import HOUR, MINUTE, SECOND
from tornado.httpclient import HTTPRequest
from tornado.websocket import WebSocketClientConnection, WebSocketHandler, websocket_connect

from sessions import NoSession, SessionError, SessionMixin, Store, StoreUnavailable
from sessions.watch import watch_of

from .conftest import memory_only
from .staged import Gate, StagedStore
from .test_sockets import UPGRADE
from .world import LIFETIME, Act, Site, logout, replay, unset, visit

ENDED = (4401, "session ended")
CHANGED = (4402, "session changed, connect again")

SOON = 20
"""A `watchInterval` in milliseconds: soon enough for a test."""

CONNECTS = int(os.environ.get("CONNECTS", "200"))
"""Sockets that come and go; the long form of that test is `CONNECTS=10000`."""

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


async def talk(site: Site, browser: Browser, path: str = "/chat") -> Talk:
    """Open a socket with a browser's cookie, and have an answer: so its handler is up."""
    request = HTTPRequest(f"ws://127.0.0.1:{site.port}{path}", headers=replay(browser))
    opened = Talk(await websocket_connect(request))
    assert await opened.say("first") is not None
    return opened


async def regenerate(handler: Any) -> None:
    await handler.session.regenerate()


async def rotate(handler: Any) -> None:
    await handler.session.rotate()


async def sign_in(handler: Any) -> None:
    await handler.sign_in("ada")


async def sign_out(handler: Any) -> None:
    await handler.sign_out()


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
    "/sign-in": sign_in, "/sign-out": sign_out, "/confirm": confirm, "/revoke": revoke, "/revoke-all": revoke_all,
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


async def neighbour(serve: Any, world: Any, pages: dict[str, Any] | None = None, **options: Any) -> Site:
    """Another process on the same data: its manager hears nothing of the first one."""
    return await site_of(serve, pages, store=await world.store(), **options)


# ---------------------------------------------------------------- in this process


@pytest.mark.parametrize(("path", "end"), VERBS)
@memory_only
async def test_a_verb_ends_the_sockets_of_its_process(serve: Any, path: str, end: tuple[int, str]) -> None:
    """All of them, and nobody has asked the store."""
    site = await site_of(serve, watch_interval=NEVER)
    browser = await signed_in(site)
    talks = [await talk(site, browser), await talk(site, browser)]

    await browser.fetch(path)

    assert [await each.end() for each in talks] == [end, end]


@pytest.mark.parametrize(
    ("path", "verb", "end"),
    [("/logout", "destroy", ENDED), ("/logout", "update", ENDED), ("/rotate", "rename", CHANGED),
     ("/sign-in", "rename", CHANGED), ("/regenerate", "update", CHANGED)],
)  # fmt: skip
@memory_only
async def test_a_socket_ends_when_the_verb_is_called(serve: Any, path: str, verb: str, end: tuple[int, str]) -> None:
    """Before the store has answered: it fails closed."""
    site = await site_of(serve, watch_interval=NEVER)
    browser = await signed_in(site)
    open_socket = await talk(site, browser)
    gate = site.store.hold(verb)

    call = await browser.start(path)
    await gate.reached()
    seen = await open_socket.end()
    gate.open()
    await call.response()

    assert seen == end


class HeldUsers:
    """The users of a store, held at a gate before any session ends."""

    def __init__(self, inner: Any, gate: Gate) -> None:
        self.inner, self.gate = inner, gate

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    async def end(self, *given: Any) -> Any:
        """Wait, then end them."""
        await self.gate.wait()
        return await self.inner.end(*given)


class HeldStore(StagedStore):
    """A store that ends no session of a user before its gate opens."""

    def __init__(self, inner: Store) -> None:
        super().__init__(inner)
        self.gate = Gate()

    @property
    def users(self) -> Any:
        """The power, held."""
        return HeldUsers(super().users, self.gate)


@pytest.mark.parametrize("path", ["/revoke", "/revoke-all"])
@memory_only
async def test_a_revocation_ends_a_socket_when_it_is_called(serve: Any, world: Any, path: str) -> None:
    """Before the store has answered."""
    store = HeldStore(world.make_store())
    site = await site_of(serve, store=store, watch_interval=NEVER)
    browser = await signed_in(site)
    open_socket = await talk(site, browser)

    call = await browser.start(path)
    seen = await open_socket.end()
    is_stored = await site.row(browser.sid) is not None
    store.gate.open()
    await call.response()

    assert (seen, is_stored) == (ENDED, True)


@memory_only
async def test_others_keep_their_sockets(serve: Any) -> None:
    """Another user's, another browser's of nobody, and the one that is to be kept."""
    site = await site_of(serve, watch_interval=NEVER)
    kept, gone, stranger = await signed_in(site), await signed_in(site), site.browser()
    await stranger.fetch("/visit")
    mine, other, foreign = await talk(site, kept), await talk(site, gone), await talk(site, stranger)

    await kept.fetch("/revoke-others")

    assert await other.end() == ENDED
    assert [await mine.say(), await foreign.say()] == ["heard", "heard"]
    for each in (mine, foreign):
        await each.close()


@memory_only
async def test_a_newer_sign_in_ends_the_socket_of_the_session_that_makes_room(serve: Any) -> None:
    """`maxPerUser`: the session that signed in first ends."""
    site = await site_of(serve, watch_interval=NEVER, max_per_user=1)
    open_socket = await talk(site, await signed_in(site))

    await signed_in(site)

    assert await open_socket.end() == ENDED


@memory_only
async def test_a_socket_that_ends_its_own_session_is_closed(serve: Any) -> None:
    """No answer comes behind it."""
    site = await site_of(serve, {"/mine": (Chat, lambda handler: handler.session.destroy())}, watch_interval=NEVER)
    browser = await signed_in(site)
    opened = Talk(await websocket_connect(HTTPRequest(f"ws://127.0.0.1:{site.port}/mine", headers=replay(browser))))

    await opened.client.write_message("bye")

    assert await opened.end() == ENDED


@memory_only
async def test_an_answer_behind_the_end_is_a_line_in_the_log(serve: Any, logbook: Any) -> None:
    """A handler cannot know that the session ends while it works; that is no traceback."""
    site = await site_of(serve, {"/mine": (Chat, logout)}, watch_interval=NEVER)
    browser = await signed_in(site)
    opened = Talk(await websocket_connect(HTTPRequest(f"ws://127.0.0.1:{site.port}/mine", headers=replay(browser))))

    await opened.client.write_message("bye")
    await opened.end()
    await _until(lambda: any("an answer came after the session's end" in line for line in logbook.lines("sessions")))

    said = logbook.lines("tornado.application")
    if tornado.version_info < (6, 6):  # it logs the exception of an async on_message in its loop too
        assert all(line.startswith("Exception in callback") for line in said)
    else:
        assert said == []


# ---------------------------------------------------------------- what its handler sees


@memory_only
async def test_the_handler_learns_that_the_session_has_ended(serve: Any) -> None:
    """`on_session_end` comes first; `self.session` raises NoSession there, and nobody is signed in."""
    ends: list[str] = []
    site = await site_of(
        serve, {"/noting": type("Noting", (Chat,), {"initialize": lambda h: Chat.initialize(h, ends=ends)})}
    )
    browser = await signed_in(site)
    open_socket = await talk(site, browser, "/noting")

    await browser.fetch("/logout")
    await open_socket.end()
    await asyncio.wait_for(_until(lambda: len(ends) == 2), SECONDS)

    assert ends == ["no session: it was destroyed or has expired since it was loaded; None", "closed"]


@memory_only
async def test_a_client_that_does_not_answer_the_close_frame_is_not_heard(serve: Any) -> None:
    """Tornado alone would deliver its messages for five seconds more."""
    heard: list[str | bytes] = []

    class Deaf(Chat):
        def on_ping(self, data: bytes) -> None:
            heard.append(data)

    site = await site_of(
        serve,
        {"/deaf": type("Noting", (Deaf,), {"initialize": lambda h: Chat.initialize(h, heard=heard)})},
        watch_interval=NEVER,
    )
    browser = await signed_in(site)
    wire = await Wire.connect(site.port)
    headers = {**UPGRADE, **replay(browser), "Host": "h"}
    wire.send(
        b"GET /deaf HTTP/1.1\r\n"
        + "".join(f"{name}: {value}\r\n" for name, value in headers.items()).encode()
        + b"\r\n"
    )
    await wire.until(lambda: b"\r\n\r\n" in wire.received)
    text, ping = b"\x81\x82\0\0\0\0hi", b"\x89\x82\0\0\0\0hi"
    wire.send(text)
    await wire.until(lambda: b"\x81\x05heard" in wire.received)

    await browser.fetch("/logout")
    await wire.until(lambda: b"session ended" in wire.received)
    wire.send((text + ping) * 50 + b"\x88\x80\0\0\0\0")
    await wire.until(lambda: wire.ended)  # the close frame was the last, so all before it was read
    await wire.close()

    assert heard == ["hi"]


@memory_only
async def test_a_failing_on_session_end_is_logged_and_stops_nobody(serve: Any, logbook: Any) -> None:
    """The other sockets of the session are closed too."""

    class Failing(Chat):
        def on_session_end(self) -> None:
            raise RuntimeError("of the application")

    site = await site_of(serve, {"/failing": Failing}, watch_interval=NEVER)
    browser = await signed_in(site)
    talks = [await talk(site, browser, "/failing"), await talk(site, browser)]

    await browser.fetch("/logout")

    assert [await each.end() for each in talks] == [ENDED, ENDED]
    assert any("Failing.on_session_end()" in line for line in logbook.lines("sessions"))


@memory_only
async def test_a_handler_may_outlive_its_session(serve: Any) -> None:
    """`end_with_session = False`: nobody watches."""
    site = await site_of(serve)
    browser = await signed_in(site)
    open_socket = await talk(site, browser, "/careless")

    await browser.fetch("/logout")
    answer = await open_socket.say()
    await open_socket.close()

    assert answer == "heard"


@memory_only
async def test_a_session_that_is_loaded_late_is_watched_from_then_on(serve: Any) -> None:
    """`session_on_demand`, and the first message loads it."""

    class Late(Chat):
        session_on_demand = True

        async def on_message(self, message: str | bytes) -> None:
            await self.load_session()
            await super().on_message(message)

    site = await site_of(serve, {"/late": Late}, watch_interval=NEVER)
    browser = await signed_in(site)
    open_socket = await talk(site, browser, "/late")

    await browser.fetch("/logout")

    assert await open_socket.end() == ENDED


@memory_only
async def test_a_client_with_the_id_of_before_is_to_connect_again(serve: Any) -> None:
    """It was quicker than the new cookie; what it finds under its id leads to another one."""
    site = await site_of(serve)
    browser = await signed_in(site)
    before = replay(browser)
    await browser.fetch("/rotate")

    opened = Talk(await websocket_connect(HTTPRequest(f"ws://127.0.0.1:{site.port}/chat", headers=before)))

    assert await opened.end() == CHANGED


@memory_only
async def test_a_visitor_without_a_session_is_not_watched(serve: Any) -> None:
    """There is nothing that could end."""
    site = await site_of(serve)
    site.store.forget()

    opened = Talk(await websocket_connect(f"ws://127.0.0.1:{site.port}/chat"))
    answer = await opened.say()
    is_asking = watch_of(site.manager).is_asking
    await opened.close()

    assert (answer, is_asking, site.store.calls) == ("heard", False, [])


# ---------------------------------------------------------------- in another process


@pytest.mark.parametrize(("path", "end"), VERBS)
async def test_a_verb_ends_the_sockets_of_other_processes(serve: Any, world: Any, path: str, end: Any) -> None:
    """Which learn it from the store."""
    site = await site_of(serve)
    other = await neighbour(serve, world)
    browser = await signed_in(site)
    open_socket = await talk(other, browser)

    await browser.fetch(path)

    assert await open_socket.end() == end


async def test_a_row_that_is_deleted_by_hand_ends_its_sockets(serve: Any) -> None:
    """Nobody has called a verb."""
    site = await site_of(serve)
    browser = await signed_in(site)
    open_socket = await talk(site, browser)

    await site.store.inner.destroy(browser.sid or "")

    assert await open_socket.end() == ENDED


@pytest.mark.parametrize("kind", ["memory", "sqlite", "redis", "postgres"], indirect=True)
async def test_a_session_that_expires_ends_its_sockets(serve: Any) -> None:
    """By the clock of the store."""
    site = await site_of(serve, user_key=None)
    browser = site.browser()
    await browser.fetch("/visit")
    open_socket = await talk(site, browser)

    site.clock.forward(LIFETIME + SECOND)

    assert await open_socket.end() == ENDED


@memory_only
async def test_the_absolute_end_of_a_session_ends_its_sockets(serve: Any) -> None:
    """However much it is used."""
    site = await site_of(serve, absolute_timeout=LIFETIME - MINUTE)
    browser = await signed_in(site)
    row = await site.stored(browser.sid)
    open_socket = await talk(site, browser)
    await site.store.inner.touch(browser.sid or "", site.clock() + 10 * LIFETIME, row)  # as a Node server does

    site.clock.forward(LIFETIME - MINUTE)

    assert await open_socket.end() == ENDED


@pytest.mark.parametrize("grace", [0, None])
@memory_only
async def test_a_tombstone_elsewhere_says_that_the_session_goes_on(serve: Any, world: Any, grace: int | None) -> None:
    """Without one (`grace = 0`) the session is only gone."""
    site = await site_of(serve, grace=grace)
    other = await neighbour(serve, world, grace=grace)
    browser = await signed_in(site)
    open_socket = await talk(other, browser)

    await browser.fetch("/rotate")

    assert await open_socket.end() == (CHANGED if grace is None else ENDED)


@memory_only
async def test_a_session_that_ended_during_the_handshake_ends_the_socket(serve: Any, world: Any) -> None:
    """The store is asked at once, since the session was loaded some time ago."""
    site = await site_of(serve)
    browser = await signed_in(site)

    class Slow(Chat):
        async def prepare(self) -> None:
            await super().prepare()
            await site.store.inner.destroy(browser.sid or "")

    other = await site_of(serve, {"/slow": Slow}, store=await world.store(), watch_interval=NEVER)
    opened = Talk(await websocket_connect(HTTPRequest(f"ws://127.0.0.1:{other.port}/slow", headers=replay(browser))))

    assert await opened.end() == ENDED


# ---------------------------------------------------------------- what keeps a socket


async def test_a_confirmation_keeps_sockets_everywhere(serve: Any, world: Any) -> None:
    """They go on with the session under its new id, and what they save is stored there."""
    site = await site_of(serve)
    other = await neighbour(serve, world)
    browser = await signed_in(site)
    talks = [await talk(site, browser, "/saving"), await talk(other, browser, "/saving")]
    before = browser.sid

    await browser.fetch("/confirm")
    await _until(lambda: all(before not in watch_of(each.manager).keys for each in (site, other)))
    answers = [await each.say() for each in talks]

    assert before != browser.sid
    assert answers == ["saved", "saved"]
    assert (await site.row(browser.sid) or {})["said"] == 3
    await browser.fetch("/logout")
    assert [await each.end() for each in talks] == [ENDED, ENDED]


@memory_only
async def test_a_confirmation_without_a_tombstone_keeps_the_sockets_of_its_process(serve: Any) -> None:
    """With `grace = 0`, where others see a missing row."""
    site = await site_of(serve, grace=0)
    browser = await signed_in(site)
    open_socket = await talk(site, browser)

    await browser.fetch("/confirm")
    answer = await open_socket.say()
    await browser.fetch("/logout")

    assert answer == "heard"
    assert await open_socket.end() == ENDED


async def test_a_renewal_and_a_change_keep_sockets(serve: Any) -> None:
    """Longer than one lifetime."""
    site = await site_of(serve, touch_after=0)
    browser = await signed_in(site)
    open_socket = await talk(site, browser)

    for _ in range(3):
        site.clock.forward(LIFETIME - MINUTE)
        await browser.fetch("/visit")
        await _asked(site)
    answer = await open_socket.say()
    await open_socket.close()

    assert answer == "heard"


@memory_only
async def test_a_store_that_is_away_ends_nothing(serve: Any) -> None:
    """What has ended meanwhile ends when it is back."""
    site = await site_of(serve)
    browser = await signed_in(site)
    open_socket = await talk(site, browser)
    await _asked(site)

    site.store.fail(StoreUnavailable("away"), "get")
    await site.store.inner.destroy(browser.sid or "")
    await _asked(site, 3)
    answer = await open_socket.say()
    site.store.recover()

    assert answer == "heard"
    assert await open_socket.end() == ENDED


@memory_only
async def test_a_known_end_of_life_needs_no_store(serve: Any) -> None:
    """It is away, and the expiry that was seen last has passed."""
    site = await site_of(serve)
    browser = await signed_in(site)
    open_socket = await talk(site, browser)
    await _asked(site)

    site.store.fail(StoreUnavailable("away"), "get")
    site.clock.forward(LIFETIME + SECOND)

    assert await open_socket.end() == ENDED


@memory_only
async def test_a_row_that_cannot_be_read_ends_nothing(serve: Any) -> None:
    """Each request says what is wrong with it."""
    site = await site_of(serve)
    browser = await signed_in(site)
    open_socket = await talk(site, browser)
    row = await site.stored(browser.sid)

    await site.store.inner.update(browser.sid or "", row._replace(data="no JSON", version=None), row)
    await _asked(site, 2)
    answer = await open_socket.say()
    await open_socket.close()

    assert answer == "heard"


# ---------------------------------------------------------------- a socket in use


@memory_only
async def test_messages_keep_a_session_alive(serve: Any) -> None:
    """Longer than one lifetime, with `keep_alive`."""
    site = await site_of(serve)
    browser = await signed_in(site)
    sid = browser.sid
    open_socket = await talk(site, browser, "/alive")

    answers = []
    for _ in range(3):
        site.clock.forward(LIFETIME - MINUTE)
        answers.append(await open_socket.say())
        await site.store.idle()
    await open_socket.close()

    assert answers == ["heard"] * 3
    assert (await site.stored(sid)).expires_at == site.clock() + LIFETIME


@memory_only
async def test_messages_move_the_expiry_once_per_touch_after(serve: Any) -> None:
    """Ten messages in a minute are one touch, and so is a minute in which a page has done it."""
    site = await site_of(serve, touch_after=MINUTE, watch_interval=NEVER)
    browser = await signed_in(site)
    open_socket = await talk(site, browser, "/alive")
    site.store.forget()

    await open_socket.say()
    early = list(site.store.writes)
    site.clock.forward(MINUTE)
    for _ in range(10):
        await open_socket.say()
    await site.store.idle()
    await open_socket.close()

    assert (early, site.store.writes) == ([], ["touch"])


@memory_only
async def test_a_touch_is_made_on_the_row_of_now(serve: Any) -> None:
    """Pages have changed it; what they stored stays, and the expiry moves."""
    site = await site_of(serve, watch_interval=NEVER)
    browser = await signed_in(site)
    sid = browser.sid
    open_socket = await talk(site, browser, "/alive")
    await browser.fetch("/visit")

    site.clock.forward(LIFETIME - MINUTE)
    await open_socket.say()
    await site.store.idle()
    await open_socket.close()

    assert set(await site.row(sid) or {}) == {"user", "mark", "__meta"}
    assert (await site.stored(sid)).expires_at == site.clock() + LIFETIME


@memory_only
async def test_messages_alone_do_not_keep_a_session(serve: Any) -> None:
    """Without `keep_alive` a socket lets its session expire."""
    site = await site_of(serve)
    browser = await signed_in(site)
    open_socket = await talk(site, browser)

    site.clock.forward(LIFETIME - MINUTE)
    await open_socket.say()
    site.clock.forward(2 * MINUTE)

    assert await open_socket.end() == ENDED


@memory_only
async def test_a_message_that_finds_its_session_gone_ends_the_socket(serve: Any) -> None:
    """Before the watch has asked."""
    site = await site_of(serve, watch_interval=NEVER)
    browser = await signed_in(site)
    open_socket = await talk(site, browser, "/alive")
    await site.store.inner.destroy(browser.sid or "")

    site.clock.forward(LIFETIME // 2)
    await open_socket.client.write_message("hello")

    while await open_socket.hear() is not None:
        pass

    assert (open_socket.client.close_code, open_socket.client.close_reason) == ENDED


@memory_only
async def test_a_touch_that_fails_disturbs_nobody(serve: Any, logbook: Any) -> None:
    """It is said once, and the next message tries again."""
    site = await site_of(serve, watch_interval=NEVER)
    browser = await signed_in(site)
    sid = browser.sid
    open_socket = await talk(site, browser, "/alive")
    site.clock.forward(LIFETIME - MINUTE)

    site.store.fail(StoreUnavailable("away"), "touch")
    answers = [await open_socket.say(), await open_socket.say()]
    site.store.recover()
    answers.append(await open_socket.say())
    await site.store.idle()
    await open_socket.close()

    assert answers == ["heard"] * 3
    assert sum("keep_alive: away" in line for line in logbook.lines("sessions")) == 1
    assert (await site.stored(sid)).expires_at == site.clock() + LIFETIME


# ---------------------------------------------------------------- what is left


@memory_only
async def test_connects_and_closes_leave_nothing_behind(serve: Any) -> None:
    """No task, no id, no handler."""
    handlers: weakref.WeakSet[Any] = weakref.WeakSet()

    class Counted(Alive):
        def open(self) -> None:
            handlers.add(self)

    site = await site_of(serve, {"/counted": Counted})
    browser = await signed_in(site)
    descriptors = _descriptors()

    for _ in range(CONNECTS // 10):
        talks = [await talk(site, browser, "/counted") for _ in range(10)]
        for each in talks:
            await each.close()
    await _until(lambda: not watch_of(site.manager).is_asking)
    del talks, each
    gc.collect()

    assert (len(watch_of(site.manager)), len(handlers)) == (0, 0)
    assert _descriptors() <= descriptors
    assert not [task for task in asyncio.all_tasks() if "watch" in repr(task.get_coro())]


@memory_only
async def test_without_a_socket_the_store_is_not_asked(serve: Any) -> None:
    """The task ends with the last one."""
    site = await site_of(serve)
    browser = await signed_in(site)
    open_socket = await talk(site, browser)
    await _asked(site)

    await open_socket.close()
    await _until(lambda: not watch_of(site.manager).is_asking)
    site.store.forget()
    await asyncio.sleep(3 * SOON / 1000)  # an interval is real time

    assert site.store.calls == []


def _descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


async def _until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(SECONDS):
        while not condition():  # noqa: ASYNC110 # of several managers, which have no event for it
            await asyncio.sleep(0.001)


async def _asked(site: Site, times: int = 1) -> None:
    """Wait until the watch has asked for its sessions."""
    for _ in range(times):
        site.store.forget()
        await _until(lambda: "get" in site.store.calls)
        await site.store.idle()
