"""WebSockets end with their session, in the process that ends it at once; and what their handlers see of it."""

from typing import Any

import pytest
import tornado
from client import Wire

from sessions import Store
from sessions.watch import watch_of

from .staged import Gate, StagedStore
from .talks import (
    CHANGED,
    ENDED,
    NEVER,
    VERBS,
    Chat,
    connect,
    opened,
    signed_in,
    site_of,
    talk,
    until,
)
from .test_sockets import UPGRADE
from .world import logout, replay


@pytest.mark.parametrize(("path", "end"), VERBS)
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
async def test_a_socket_ends_when_the_verb_is_called(serve: Any, path: str, verb: str, end: tuple[int, str]) -> None:
    """Before the store has answered: it fails closed."""
    site, browser, open_socket = await opened(serve, watch_interval=NEVER)
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
async def test_a_revocation_ends_a_socket_when_it_is_called(serve: Any, world: Any, path: str) -> None:
    """Before the store has answered."""
    store = HeldStore(world.make_store())
    site, browser, open_socket = await opened(serve, store=store, watch_interval=NEVER)

    call = await browser.start(path)
    seen = await open_socket.end()
    is_stored = await site.row(browser.sid) is not None
    store.gate.open()
    await call.response()

    assert (seen, is_stored) == (ENDED, True)


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


async def test_a_newer_sign_in_ends_the_socket_of_the_session_that_makes_room(serve: Any) -> None:
    """`maxPerUser`: the session that signed in first ends."""
    site = await site_of(serve, watch_interval=NEVER, max_per_user=1)
    open_socket = await talk(site, await signed_in(site))

    await signed_in(site)

    assert await open_socket.end() == ENDED


async def test_a_socket_that_ends_its_own_session_is_closed(serve: Any) -> None:
    """No answer comes behind it."""
    site = await site_of(serve, {"/mine": (Chat, lambda handler: handler.session.destroy())}, watch_interval=NEVER)
    browser = await signed_in(site)
    open_socket = await connect(site, replay(browser), "/mine")

    await open_socket.client.write_message("bye")

    assert await open_socket.end() == ENDED


async def test_an_answer_behind_the_end_is_a_line_in_the_log(serve: Any, logbook: Any) -> None:
    """A handler cannot know that the session ends while it works; that is no traceback."""
    site = await site_of(serve, {"/mine": (Chat, logout)}, watch_interval=NEVER)
    browser = await signed_in(site)
    open_socket = await connect(site, replay(browser), "/mine")

    await open_socket.client.write_message("bye")
    await open_socket.end()
    await until(lambda: any("an answer came after the session's end" in line for line in logbook.lines("sessions")))

    said = logbook.lines("tornado.application")
    if tornado.version_info < (6, 6):  # it logs the exception of an async on_message in its loop too
        assert all(line.startswith("Exception in callback") for line in said)
    else:
        assert said == []


# ---------------------------------------------------------------- what its handler sees


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
    await until(lambda: len(ends) == 2)

    assert ends == ["no session: it was destroyed or has expired since it was loaded; None", "closed"]


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


async def test_a_handler_may_outlive_its_session(serve: Any) -> None:
    """`end_with_session = False`: nobody watches."""
    _, browser, open_socket = await opened(serve, "/careless")

    await browser.fetch("/logout")
    answer = await open_socket.say()
    await open_socket.close()

    assert answer == "heard"


async def test_a_session_that_is_loaded_late_is_watched_from_then_on(serve: Any) -> None:
    """`session_on_demand`, and the first message loads it."""

    class Late(Chat):
        session_on_demand = True

        async def on_message(self, message: str | bytes) -> None:
            await self.load_session()
            await super().on_message(message)

    _, browser, open_socket = await opened(serve, "/late", {"/late": Late}, watch_interval=NEVER)

    await browser.fetch("/logout")

    assert await open_socket.end() == ENDED


async def test_a_client_with_the_id_of_before_is_to_connect_again(serve: Any) -> None:
    """It was quicker than the new cookie; what it finds under its id leads to another one."""
    site = await site_of(serve)
    browser = await signed_in(site)
    before = replay(browser)
    await browser.fetch("/rotate")

    open_socket = await connect(site, before)

    assert await open_socket.end() == CHANGED


async def test_a_visitor_without_a_session_is_not_watched(serve: Any) -> None:
    """There is nothing that could end."""
    site = await site_of(serve)
    site.store.forget()

    open_socket = await connect(site, {})
    answer = await open_socket.say()
    is_asking = watch_of(site.manager).is_asking
    await open_socket.close()

    assert (answer, is_asking, site.store.calls) == ("heard", False, [])
