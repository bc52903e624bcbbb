"""A Redis server that is killed, paused or cut off, seen from a browser: 503 by policy, recovery by itself, nothing done twice."""

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from client import Browser, Response
from clock import MovableClock
from stores.redis_server import RedisServer

from sessions.stores.redis import RedisStore, one_server

from .talks import ENDED, Chat, talk, until
from .world import MARK, Site, count, logout, show, visit

SECONDS = 60


@pytest.fixture
def server() -> Iterator[RedisServer]:
    """A server of the test's own. Acknowledged writes survive if it is killed."""
    with RedisServer(appendonly="yes", appendfsync="always") as server:
        yield server


@pytest.fixture
def make_store(server: RedisServer, clock: MovableClock) -> Callable[[], RedisStore]:
    """Stores on it: these trips are made on Redis alone. The sessions' lives are real here, and long enough."""
    return lambda: RedisStore(server.url, timeout=500, clock=clock)


def mutated(handler: Any) -> Any:
    """A counter that is one step."""
    return handler.session.mutate(_count)


def _count(session: Any) -> str:
    session["n"] = session.get("n", 0) + 1
    return str(session["n"])


PAGES = {"/visit": visit, "/show": show, "/count": count, "/mutate": mutated, "/plain": lambda _: "plain"}


async def answered(browser: Browser, path: str) -> Response:
    """The first answer that is no error of the store, as a visitor who tries again gets it."""
    async with asyncio.timeout(SECONDS):
        while (response := await browser.fetch(path)).status in (500, 503):  # noqa: ASYNC110 # a server sets no event
            await asyncio.sleep(0.05)
    return response


away = pytest.mark.parametrize(
    ("harm", "heal"),
    [(RedisServer.kill, RedisServer.start), (RedisServer.pause, RedisServer.go_on)],
    ids=["killed", "paused"],
)


@away
async def test_a_socket_outlives_a_server_that_is_away(
    serve: Any, server: RedisServer, harm: Callable[[RedisServer], None], heal: Callable[[RedisServer], None]
) -> None:
    """That ends nothing; a sign-out at another process, once it is back, ends the socket as ever."""
    site, other = [await serve({**PAGES, "/logout": logout, "/chat": Chat}, watch_interval=50) for _ in range(2)]
    browser = site.browser()
    await browser.fetch("/visit")
    open_socket = await talk(other, browser)
    harm(server)
    try:
        await until(lambda: not other.manager.is_ready)  # the watch has asked
        answer = await open_socket.say()
    finally:
        heal(server)
    await answered(browser, "/show")
    await answered(browser, "/logout")

    assert answer == "heard"
    assert await open_socket.end() == ENDED


@away
async def test_promise_1_a_server_that_is_away_is_a_503_and_passes(
    serve: Any, server: RedisServer, harm: Callable[[RedisServer], None], heal: Callable[[RedisServer], None]
) -> None:
    """For who has a session: a read, a change, a new session; who needs none is served. Afterwards all is as it was."""
    site: Site = await serve(PAGES)
    browser, stranger = site.browser(), site.browser()
    await browser.fetch("/visit")
    cookie = browser.cookie()
    harm(server)
    try:
        answers = [await browser.fetch(path) for path in ("/show", "/count")]
        new = await stranger.fetch("/visit")
        plain = await stranger.fetch("/plain")
    finally:
        heal(server)
    later = await answered(browser, "/show")

    for response in (*answers, new):
        assert (response.status, response.header("Retry-After"), response.set_cookies) == (503, "1", [])
    assert plain.status == 200
    assert browser.cookie() == cookie
    assert (later.status, later.json()) == (200, {"mark": MARK})
    assert (await answered(browser, "/count")).text == "1"


async def test_under_expresss_policy_a_store_that_is_down_means_no_session(serve: Any, server: RedisServer) -> None:
    """`storeDown = "none"`: as soon as the store knows that it is down, pages are served without a session; then with it again."""

    def tell(handler: Any) -> str:
        return handler.session["mark"] if handler.has_session else "no session"

    site: Site = await serve({"/visit": visit, "/tell": tell}, store_down="none")
    browser = site.browser()
    await browser.fetch("/visit")
    server.kill()
    text = ""
    async with asyncio.timeout(SECONDS):
        while text != "no session":
            response = await browser.fetch("/tell")
            text = response.text if response.status == 200 else ""
            assert response.status == 503 or text == "no session"
    server.start()
    async with asyncio.timeout(SECONDS):
        while text != MARK:
            text = (await browser.fetch("/tell")).text
            await asyncio.sleep(0.05)

    assert site.store.ready


async def test_nothing_is_done_twice_while_connections_are_cut(serve: Any, server: RedisServer) -> None:
    """Of a counter: every 200 has counted once, and an error at most once; no two visitors got the same number."""
    site: Site = await serve(PAGES)
    browser = site.browser()
    await browser.fetch("/visit")
    numbers: list[int] = []
    failed = 0

    async def visits(number: int) -> None:
        nonlocal failed
        for _ in range(number):
            response = await browser.fetch("/mutate")
            if response.status == 200:
                numbers.append(int(response.text))
            else:
                assert response.status in (500, 503)  # raised in the handler it is as any error there
                failed += 1

    async def cuts() -> None:
        for _ in range(8):
            await asyncio.sleep(0.02)
            server.hang_up()

    await asyncio.gather(*(visits(10) for _ in range(8)), cuts())
    last = int((await answered(browser, "/mutate")).text)

    assert len(set(numbers)) == len(numbers)
    assert len(numbers) < last <= len(numbers) + failed + 1


async def test_a_store_that_is_known_to_be_down_costs_no_waiting(
    serve: Any, server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After one call has waited for a paused server, the others fail at once, until it is time to try again."""
    monkeypatch.setattr(one_server, "RETRY_SECONDS", 3_600.0)
    site: Site = await serve(PAGES)
    browser = site.browser()
    await browser.fetch("/visit")
    server.pause()
    try:
        await browser.fetch("/show")
        assert not site.store.ready
        site.store.forget()
        response = await browser.fetch("/show")

        assert response.status == 503
        assert site.store.calls == []
    finally:
        server.go_on()
