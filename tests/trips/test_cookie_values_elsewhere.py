"""`renewAfter` in streams, on sockets, in verbs, and switched off."""

from typing import Any

import pytest
from clock import DAY, SECOND
from tornado.web import RequestHandler

from sessions import OptionsError, SessionMixin, SessionOptions

from .conftest import memory_only
from .renewed import AFTER, GRACE, LONG, OVER, PAGES, copied, is_shown, meta, renewing, sid, tag, use_new_value
from .staged import Gate
from .talks import ENDED, NEVER, Chat, saved, talk
from .world import Site, World

# ---------------------------------------------------------------- streams, sockets, verbs


async def test_a_stream_renews_with_its_first_bytes(serve: Any) -> None:
    """Before they leave; its end, after the head, renews nothing."""

    async def stream(handler: Any) -> None:
        handler.write("one,")
        await handler.flush()
        handler.session["late"] = 1
        handler.write("two")

    site, browser = await renewing(serve, {"/stream": stream})
    site.clock.forward(AFTER)

    response = await browser.fetch("/stream")

    assert (response.text, response.whole) == ("one,two", True)
    assert tag(browser) == (await meta(site, browser))["tag"]
    assert (await site.row(sid(browser)) or {})["late"] == 1


async def test_after_the_head_nothing_is_renewed(serve: Any) -> None:
    """A value that becomes due while a stream runs waits for the next request."""
    gate = Gate()

    async def stream(handler: Any) -> None:
        handler.write("one,")
        await handler.flush()
        await gate.wait()
        handler.session["late"] = 1

    site, browser = await renewing(serve, {"/stream": stream})
    call = await browser.start("/stream")
    await gate.reached()
    site.clock.forward(AFTER)
    gate.open()
    await call.response()

    assert "tag" not in await meta(site, browser)
    await browser.fetch("/show")
    assert tag(browser)


async def test_a_save_within_the_request_renews_nothing(serve: Any) -> None:
    """The end of the request does, when the cookie leaves."""
    seen = []

    async def save(handler: Any) -> None:
        handler.session["n"] = 1
        await handler.session.save()
        seen.append(await meta(site, browser))

    site, browser = await renewing(serve, {"/save": save})
    site.clock.forward(AFTER)

    await browser.fetch("/save")

    assert seen == [{"renewedAt": AFTER // SECOND}]
    assert tag(browser)


@memory_only
async def test_a_socket_renews_nothing_and_goes_on(serve: Any) -> None:
    """Neither its handshake nor its messages: no cookie can leave there, and a renewal elsewhere keeps the socket."""
    chat = type("Saving", (Chat,), {"initialize": lambda self: Chat.initialize(self, saved)})
    site, browser = await renewing(serve, {"/chat": chat}, watch_interval=NEVER)
    site.clock.forward(AFTER)

    open_socket = await talk(site, browser)
    untouched = await meta(site, browser)
    await browser.fetch("/show")
    await browser.fetch("/show")
    site.clock.forward(GRACE)
    answer = await open_socket.say()
    await open_socket.close()

    assert "Set-Cookie" not in (open_socket.client.headers or {})
    assert (untouched, answer) == ({"renewedAt": AFTER // SECOND}, "saved")
    assert (await meta(site, browser))["tag"] == tag(browser)
    assert (await site.row(sid(browser)) or {})["said"] == 2


@memory_only
async def test_with_end_the_sockets_of_the_session_end(serve: Any) -> None:
    """With it, at once."""
    site, browser = await renewing(serve, {"/chat": Chat}, watch_interval=NEVER, reuse="end")
    copy = copied(site, browser)
    await use_new_value(site, browser)
    open_socket = await talk(site, browser)
    site.clock.forward(OVER)

    await copy.fetch("/show")

    assert await open_socket.end() == ENDED


async def test_an_answer_that_is_not_saved_renews_nothing(serve: Any) -> None:
    """`saveOnError = false`, and a 500."""

    def fail(handler: Any) -> None:
        handler.set_status(500)

    site, browser = await renewing(serve, {"/fail": fail}, save_on_error=False)
    site.clock.forward(AFTER)

    response = await browser.fetch("/fail")

    assert response.set_cookies == []
    assert await meta(site, browser) == {"renewedAt": AFTER // SECOND}


async def test_reload_and_mutate_keep_what_another_request_has_renewed(serve: Any) -> None:
    """What they read says which value is the present one."""
    gate = Gate()

    async def both(handler: Any) -> None:
        len(handler.session)
        await gate.wait()
        await handler.session.reload()
        await handler.session.mutate(lambda values: values.update(m=1))

    site, browser = await renewing(serve, {"/both": both})
    slow_one = copied(site, browser)
    site.clock.forward(AFTER)
    call = await slow_one.start("/both")
    await gate.reached()
    await browser.fetch("/count")

    gate.open()
    response = await call.response()

    assert response.status == 200
    assert slow_one.sid == browser.sid
    assert (await meta(site, browser))["tag"] == tag(browser)


# ---------------------------------------------------------------- off, and the options


async def test_switched_off_the_tag_is_judged_and_the_next_cookie_has_none(serve: Any, world: World) -> None:
    """No visitor is signed out by it, and no copy becomes good again."""
    site, browser = await renewing(serve)
    copy = copied(site, browser)
    await use_new_value(site, browser)
    site.clock.forward(OVER)
    off: Site = await serve(PAGES, store=await world.store(), grace=GRACE, cookie=LONG)
    browser.port = copy.port = off.port

    refused = await copy.fetch("/show")
    kept = await browser.fetch("/show")
    after = tag(browser)
    await browser.fetch("/show")

    assert refused.json() == {}
    assert (is_shown(kept), after) == (True, "")
    assert "tag" not in await meta(off, browser)
    assert is_shown(await browser.fetch("/show"))


@pytest.mark.parametrize("is_on_demand", [False, True])
async def test_a_slow_upload_counts_from_its_head_on(serve: Any, is_on_demand: bool) -> None:
    """Tornado prepares a request when its body has come; meanwhile another tab renews, and `grace` passes."""

    class Upload(SessionMixin, RequestHandler):
        session_on_demand = is_on_demand

        async def post(self) -> None:
            await self.load_session()
            self.session["uploaded"] = True

    site, browser = await renewing(serve, {"/upload": Upload}, renew_after=10, grace=1)
    head = f"POST /upload HTTP/1.1\r\nHost: x\r\nCookie: connect.sid={browser.kept().value}\r\nConnection: close\r\n"
    wire = await site.wire()
    wire.send(f"{head}Content-Length: 2\r\n\r\n1".encode())
    site.clock.forward(10)
    await browser.fetch("/show")
    await browser.fetch("/show")
    site.clock.forward(1)

    wire.send(b"2")
    response = await wire.response()
    await wire.close()

    assert (response.status, response.set_cookies) == (200, [])
    assert (await site.row(sid(browser)) or {})["uploaded"]


async def test_off_it_writes_and_sends_nothing(serve: Any) -> None:
    """A session has no `__meta` for it."""
    site: Site = await serve(PAGES, cookie=LONG)
    browser = site.browser()
    await browser.fetch("/visit")
    site.clock.forward(DAY // 2)
    site.store.forget()

    response = await browser.fetch("/show")

    assert site.store.calls == ["get"]
    assert response.set_cookies == []
    assert "__meta" not in (await site.stored(browser.sid)).data


@pytest.mark.parametrize("after", [None, AFTER])
async def test_an_id_of_genid_that_looks_like_a_tagged_one_is_refused(serve: Any, after: int | None) -> None:
    """Without `renewAfter` too: it would be read as id and tag, and its visitor be a new one at each request."""
    site: Site = await serve(PAGES, genid=lambda _: "mine~AAAAAAAA", renew_after=after)

    response = await site.browser().fetch("/visit")

    assert response.status == 500
    assert await site.rows() == {}


def test_the_longest_name_leaves_room_for_a_tag() -> None:
    """A cookie that a browser drops is a visitor who is new at each request."""
    name = "n" * (4096 - 134 - 32)

    assert SessionOptions(secret="s" * 32, name=name).name == name
    with pytest.raises(OptionsError, match="name: expected at most"):
        SessionOptions(secret="s" * 32, name=name, renew_after=AFTER)
