"""Visitors of a site with its sessions in PostgreSQL, while the server is killed, frozen or locked up."""

import asyncio
import json
from collections.abc import Callable
from typing import Any

import asyncpg
import pytest
from client import Browser
from clock import DAY, START, MovableClock
from stores.postgres_server import Server, fragile
from stores.postgres_time import timed
from tornado.web import HTTPError

from sessions import Store, StoreUnavailable, Sweeper, open_store

from .talks import ENDED, Chat, talk, until
from .world import LIFETIME, MARK, Site, World, count, logout, replay, show, visit

SECONDS = 60.0
"""Until something must have happened, far above what it takes."""


@pytest.fixture
def server() -> Server:
    """A server that a trip may treat badly, with no table."""
    fragile().sql("DROP TABLE IF EXISTS session")
    return fragile()


@pytest.fixture
def make_store(server: Server, clock: MovableClock) -> Callable[[], Store]:
    """Makes stores that share their data, in place of what other trips use."""
    return lambda: open_store(timed(server, server.tcp_url, clock), timeout=2_000)


async def add_one(handler: Any) -> str:
    """A counter that loses nothing. What a verb raises in a handler is the handler's to answer."""
    try:
        return str(await handler.session.mutate(lambda data: data.update(n=data.get("n", 0) + 1)))
    except StoreUnavailable as error:
        raise HTTPError(503) from error


def why(handler: Any) -> str:
    """True if the request has a session."""
    return str(handler.has_session)


PAGES = {"/visit": visit, "/count": count, "/add": add_one, "/show": show, "/why": why, "/hello": lambda _: "hello"}


async def back(browser: Browser, path: str = "/show") -> None:
    """Return once the visitor is served again."""
    async with asyncio.timeout(SECONDS):
        while (await browser.fetch(path)).status != 200:  # noqa: ASYNC110 # nobody tells when it is back
            await asyncio.sleep(0.05)


async def reached(counts: dict[Browser, int], total: int) -> None:
    """Return once so many visits were counted."""
    async with asyncio.timeout(SECONDS):
        while sum(counts.values()) < total:  # noqa: ASYNC110 # visitors set no event
            await asyncio.sleep(0.01)


class TestKilled:
    """Every process of the server is gone at once, and started again a moment later."""

    async def test_503_until_it_is_back(self, serve: Any, server: Server) -> None:
        """With Retry-After for whoever has a session, no cookie lost; others are served all the time."""
        site: Site = await serve(PAGES)
        browser, stranger = site.browser(), site.browser()
        await browser.fetch("/visit")
        sid = browser.sid
        server.kill()
        try:
            answers = [await browser.fetch(path) for path in ("/show", "/count", "/add")]
            hello = await stranger.fetch("/hello")
            new = await stranger.fetch("/visit")
        finally:
            server.start()

        assert {(each.status, each.header("Retry-After")) for each in answers} == {(503, "1")}
        assert [each.set_cookies for each in answers] == [[]] * 3
        assert hello.status == 200
        assert (new.status, new.set_cookies) == (503, [])
        await back(browser)
        assert browser.sid == sid
        assert (await browser.fetch("/add")).status == 200

    async def test_a_socket_outlives_it(self, serve: Any, server: Server) -> None:
        """That ends nothing; a sign-out at another process, once it is back, ends the socket as ever."""
        site, other = [await serve({**PAGES, "/logout": logout, "/chat": Chat}, watch_interval=50) for _ in range(2)]
        browser = site.browser()
        await browser.fetch("/visit")
        open_socket = await talk(other, browser)
        server.kill()
        try:
            await until(lambda: not other.manager.is_ready)  # the watch has asked
            answer = await open_socket.say()
        finally:
            server.start()
        await back(browser)
        await browser.fetch("/logout")

        assert answer == "heard"
        assert await open_socket.end() == ENDED

    async def test_with_store_down_none_pages_go_on_without_sessions(self, serve: Any, server: Server) -> None:
        """As Express does while its store is disconnected, and sessions are back when the server is."""
        site: Site = await serve(PAGES, store_down="none")
        browser = site.browser()
        await browser.fetch("/visit")
        server.kill()
        try:
            await back(browser, "/why")  # a failed call tells that it is down
            answers = [await browser.fetch("/why") for _ in range(3)]
        finally:
            server.start()

        assert "False" in [answer.text for answer in answers if answer.status == 200]
        async with asyncio.timeout(SECONDS):
            while (await browser.fetch("/why")).text != "True":  # noqa: ASYNC110 # likewise
                await asyncio.sleep(0.05)
        assert (await browser.fetch("/show")).json() == {"mark": MARK}

    async def test_under_load_nothing_is_lost_or_done_twice(self, serve: Any, server: Server) -> None:
        """Visitors at two sites count on and on: what was acknowledged is there, and no more than was asked for."""
        sites: list[Site] = [await serve(PAGES) for _ in range(2)]
        browsers = [site.browser() for site in sites for _ in range(6)]
        for browser in browsers:
            await browser.fetch("/visit")
        sure, unsure = dict.fromkeys(browsers, 0), dict.fromkeys(browsers, 0)
        done = asyncio.Event()

        async def go_on(browser: Browser) -> None:
            while not done.is_set():
                status = (await browser.fetch("/add")).status
                assert status in (200, 503)
                (sure if status == 200 else unsure)[browser] += 1
                await asyncio.sleep(0.01)

        visitors = [asyncio.ensure_future(go_on(browser)) for browser in browsers]
        await reached(sure, 30)
        await asyncio.to_thread(server.kill)
        await reached(unsure, 20)
        server.start()  # in this thread: the kernel ends it with the thread that has started it
        await reached(sure, sum(sure.values()) + 50)
        done.set()
        await asyncio.gather(*visitors)

        for browser in browsers:
            n = json.loads((await browser.fetch("/show")).text).get("n", 0)
            assert sure[browser] <= n <= sure[browser] + unsure[browser]


class TestFrozen:
    """Every process of the server is stopped."""

    async def test_503_in_time_and_then_as_before(self, serve: Any, server: Server) -> None:
        """At the next calls at once, since the store knows; afterwards the counter is what was acknowledged, or asked for."""
        site: Site = await serve(PAGES)
        browser = site.browser()
        for _ in range(3):
            await browser.fetch("/add")
        server.pause()
        try:
            async with asyncio.timeout(SECONDS):
                answers = [await browser.fetch("/add"), await browser.fetch("/add")]
        finally:
            server.resume()

        assert {(each.status, each.header("Retry-After")) for each in answers} == {(503, "1")}
        await back(browser)
        n = (await browser.fetch("/show")).json()["n"]
        assert 3 <= n <= 5
        await browser.fetch("/add")
        assert (await browser.fetch("/show")).json()["n"] == n + 1


class TestClocks:
    """The clocks of hosts differ: the database's clock says what has expired."""

    async def test_a_host_with_a_clock_ahead_signs_nobody_out(
        self, serve: Any, make_store: Callable[[], Store]
    ) -> None:
        """It reads a session of another host, changes it and sweeps: everybody stays signed in, at both."""
        here: Site = await serve(PAGES)
        browser, idle = here.browser(), here.browser()
        await browser.fetch("/visit")
        await idle.fetch("/visit")
        world = World(make_store, MovableClock(START + 2 * DAY))
        try:
            there = await world.serve(PAGES)
            answers = [await there.browser().fetch(path, headers=replay(browser)) for path in ("/show", "/count")]
            swept = await Sweeper(there.store).sweep()
            after = [(await each.fetch("/show")).json() for each in (browser, idle)]
        finally:
            await world.close()

        assert answers[0].json() == {"mark": MARK}
        assert (answers[1].text, swept) == ("1", 0)
        assert after == [{"mark": MARK, "n": 1}, {"mark": MARK}]

    async def test_a_session_ends_by_the_database_s_clock(
        self, serve: Any, make_store: Callable[[], Store], clock: MovableClock
    ) -> None:
        """A host with a clock that does not move reads no session that has ended, brings none back, and sweeps them."""
        here: Site = await serve(PAGES)
        browser = here.browser()
        await browser.fetch("/visit")
        world = World(make_store, MovableClock(START))
        try:
            there = await world.serve(PAGES)
            cookie = replay(browser)
            clock.forward(LIFETIME)
            answer = await there.browser().fetch("/show", headers=cookie)
            swept = await Sweeper(there.store).sweep()
        finally:
            await world.close()

        assert answer.json() == {}
        assert swept == 1


class TestLocked:
    """Somebody's transaction holds a visitor's row, for longer than a request may take."""

    async def test_it_is_that_visitors_trouble_alone(self, serve: Any, server: Server) -> None:
        """503 for a change, pages that only read are served, and so are all others; what failed is not done later."""
        site: Site = await serve(PAGES)
        browser, other = site.browser(), site.browser()
        await browser.fetch("/add")
        await other.fetch("/add")
        connection = await asyncpg.connect(server.url)
        try:
            async with connection.transaction():
                await connection.execute("UPDATE session SET expire = expire WHERE sid = $1", browser.sid)
                change = asyncio.ensure_future(browser.fetch("/count"))
                for _ in range(5):
                    assert (await other.fetch("/add")).status == 200
                assert (await browser.fetch("/show")).json() == {"n": 1}
                answer = await change
        finally:
            await connection.close()

        assert (answer.status, answer.header("Retry-After")) == (503, "1")
        assert (await other.fetch("/show")).json() == {"n": 6}
        assert (await browser.fetch("/show")).json() == {"n": 1}
        assert (await browser.fetch("/add")).status == 200
        assert (await browser.fetch("/show")).json() == {"n": 2}
