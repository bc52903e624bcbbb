"""A store from elsewhere that breaks the contract: an error that names the store and the verb, and others are served."""

import asyncio
import time
from typing import Any

import pytest

from sessions import MemoryStore, Outcome, StoredSession, StoreWrapper, Update, queues
from sessions.checked_store import BLOCKED, checked

from .conftest import memory_only
from .world import Site, World, show, visit

RECORD = StoredSession('{"cookie":{"path":"/"}}', 2**42)


async def rotate(handler: Any) -> None:
    """A new id."""
    await handler.session.rotate()


def touch(handler: Any) -> None:
    """A renewal that is asked for."""
    handler.session.touch()


def change(handler: Any) -> None:
    """A change."""
    handler.session["n"] = 1


async def leave(handler: Any) -> None:
    """A sign-out."""
    await handler.session.destroy()


PAGES = {"/visit": visit, "/get": show, "/update": change, "/touch": touch, "/rename": rotate, "/destroy": leave}
WRONG: dict[str, list[Any]] = {
    "get": ["text", 5, True, b"{}", StoredSession(5, 5), StoredSession("{}", "5")],  # type: ignore[arg-type] # wrong on purpose
    "create": ["text", True, Update(Outcome.SAVED, RECORD)],
    "update": [None, True, Outcome.SAVED, RECORD, Update("saved"), Update(Outcome.SAVED), Update(Outcome.CONFLICT),  # type: ignore[arg-type] # wrong on purpose
               Update(Outcome.TAKEN), Update(Outcome.SAVED, "text")],  # type: ignore[arg-type] # wrong on purpose
    "touch": [None, Outcome.SAVED, Update(Outcome.SAVED), Update(Outcome.TAKEN)],
    "rename": [None, Outcome.SAVED, Update(Outcome.SAVED)],
}  # fmt: skip
"""For each verb what it must not return."""


class Broken(StoreWrapper):
    """A store from elsewhere; its verbs do what a test says instead of what they should."""

    def __init__(self) -> None:
        super().__init__(MemoryStore())
        self.instead: dict[str, Any] = {}

    @property
    def name(self) -> str:
        return "elsewhere"

    def __getattribute__(self, verb: str) -> Any:
        instead = super().__getattribute__("__dict__").get("instead", {})
        return instead[verb] if verb in instead else super().__getattribute__(verb)


@pytest.fixture
def store() -> Broken:
    """A store that can be broken."""
    return Broken()


async def visited(world: World, store: Broken, **options: Any) -> tuple[Site, Any]:
    """A site on the store, and a browser that has a session there."""
    site = await world.serve(PAGES, store=store, **options)  # type: ignore[arg-type] # no stage is needed
    browser = site.browser()
    await browser.fetch("/visit")
    return site, browser


def returning(value: Any) -> Any:
    """A verb that returns this."""

    async def verb(*_: object) -> Any:
        return value

    return verb


def raising(error: Exception) -> Any:
    """A verb that raises this."""

    async def verb(*_: object) -> Any:
        raise error

    return verb


@memory_only
class TestServed:
    """Over HTTP."""

    @pytest.mark.parametrize("verb", WRONG)
    async def test_a_foreign_error_is_a_500_that_names_the_verb(
        self, world: World, store: Broken, logbook: Any, verb: str
    ) -> None:
        """And the error itself is its cause."""
        site, browser = await visited(world, store)
        store.instead[verb] = raising(KeyError("of its own"))

        response = await (site.browser() if verb == "create" else browser).fetch(
            "/visit" if verb == "create" else f"/{verb}"
        )

        assert (response.status, response.set_cookies) == (500, [])
        assert any(f"elsewhere: {verb}() raised KeyError" in line for line in logbook.lines())

    async def test_one_that_never_answers_is_a_503_that_names_the_verb(
        self, world: World, store: Broken, logbook: Any
    ) -> None:
        """At the deadline, and the next request is served."""
        _, browser = await visited(world, store, store_timeout=50)
        store.instead["get"] = lambda *_: asyncio.get_running_loop().create_future()

        response = await browser.fetch("/get")
        store.instead.clear()

        assert response.status == 503
        assert any("elsewhere: get() did not answer within 0.05 s" in line for line in logbook.lines())
        assert (await browser.fetch("/get")).status == 200

    @pytest.mark.parametrize("verb", ["update", "touch", "rename"])
    async def test_one_that_never_agrees_has_an_end_and_others_go_on(
        self, world: World, store: Broken, logbook: Any, monkeypatch: pytest.MonkeyPatch, verb: str
    ) -> None:
        """A bounded number of tries with pauses between them, and then an error that names the store."""
        monkeypatch.setattr(queues, "PAUSE", 0.002)
        tries = []
        site, browser = await visited(world, store, rolling=True)

        async def quarrel(*_: object) -> Update:
            tries.append(verb)
            return Update(Outcome.CONFLICT, StoredSession(RECORD.data, 2**42 + len(tries)))

        store.instead[verb] = quarrel
        call = await browser.start(f"/{verb}")
        served = await site.browser().fetch("/visit")
        response = await call.response()

        assert served.status == 200
        assert (response.status, response.set_cookies) == (500, [])
        assert len(tries) == queues.TRIES
        assert any("elsewhere: met a conflict 100 times; nothing was saved" in line for line in logbook.lines())

    async def test_one_that_blocks_the_loop_is_named(self, world: World, store: Broken, logbook: Any) -> None:
        """The answer comes, and the log says who kept everybody waiting."""
        _, browser = await visited(world, store)

        async def block(sid: str) -> StoredSession | None:
            time.sleep(BLOCKED + 0.1)  # noqa: ASYNC251 # that is the fault
            return await store.inner.get(sid)

        store.instead["get"] = block
        response = await browser.fetch("/get")

        assert response.status == 200
        assert any("elsewhere: get() blocked the event loop for" in line for line in logbook.lines())


@pytest.mark.parametrize(("verb", "result"), [(verb, each) for verb, results in WRONG.items() for each in results])
async def test_a_wrong_result_is_refused_by_name(store: Broken, verb: str, result: Any) -> None:
    """What was expected is said, and of what was returned only the type."""
    arguments: dict[str, tuple[Any, ...]] = {
        "get": ("a",), "create": ("a", RECORD), "update": ("a", RECORD, RECORD), "touch": ("a", 5, RECORD),
        "rename": ("a", "b", RECORD, RECORD),
    }  # fmt: skip
    store.instead[verb] = returning(result)

    with pytest.raises(Exception, match=rf"^elsewhere: {verb}\(\) has to return an? \w+.*, and returned \w+$"):
        await getattr(checked(store), verb)(*arguments[verb])


def test_our_own_stores_are_not_checked() -> None:
    """The contract suite does that, and a request does not pay for it."""
    store = MemoryStore()

    assert checked(store) is store
