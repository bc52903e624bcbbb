"""Owns the stage of the trips: gates, a store that can be held, broken or silenced, and applications on free ports.

The library is used as anybody would use it. A real store keeps the data; `StagedStore` stands in front of it, records
what was asked of it and does what a test has arranged.
"""

import asyncio
import json
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from inspect import isawaitable
from typing import Any, Self
from urllib.parse import quote

from client import TURNS, Browser, Cookie, Response, Wire
from clock import HOUR, MovableClock
from tornado.httpserver import HTTPServer
from tornado.netutil import bind_sockets
from tornado.web import Application, RequestHandler

from sessions import (
    CookieOptions,
    Outcome,
    SessionManager,
    SessionMixin,
    SessionOptions,
    Store,
    StoredSession,
    Update,
)

SECRET = "the-secret-of-the-trips-which-no-log-may-show"
MARK = "a-value-which-no-log-may-show"
"""What the trips put into sessions."""

LIFETIME = HOUR
"""The maxAge that sessions have where a test does not say otherwise."""

WRITES = ("create", "update", "set", "touch", "destroy")
VERBS = ("get", *WRITES)

Act = Callable[[Any], object]


class Gate:
    """A door that stays shut until it is opened, for good. The test can wait until somebody stands before it."""

    def __init__(self) -> None:
        self._reached = asyncio.Event()
        self._opened = asyncio.Event()

    async def wait(self) -> None:
        """Stand before the door."""
        self._reached.set()
        await self._opened.wait()

    async def reached(self) -> None:
        """Return once somebody stands before it."""
        async with asyncio.timeout(5):
            await self._reached.wait()

    def open(self) -> None:
        """Let all through, now and later."""
        self._opened.set()


class StagedStore:
    """A store that does what a test has arranged before, or instead of, what it is asked for."""

    def __init__(self, inner: Store) -> None:
        self.inner = inner
        self.calls: list[str] = []
        """The verbs that were asked for, in their order."""
        self.sids: set[str] = set()
        """Every id that was ever named to it."""
        self.is_down = False
        self._once: dict[str, list[Callable[[], Awaitable[object]]]] = {}
        self._always: dict[str, Callable[[], Awaitable[object]]] = {}

    # ---------------------------------------------------------------- what a test arranges

    def hold(self, *verbs: str) -> Gate:
        """Hold the next call of one of the verbs (any write, if none is named) at a gate, before it is done."""
        gate = Gate()
        for verb in verbs or WRITES:
            self._once.setdefault(verb, []).append(gate.wait)
        return gate

    def fail(self, error: Exception, *verbs: str) -> None:
        """Answer the verbs (any write, if none is named) with an error from now on."""

        async def refuse() -> None:
            raise error

        self._always.update(dict.fromkeys(verbs or WRITES, refuse))

    def silence(self, *verbs: str) -> None:
        """Never answer the verbs (any write, if none is named) from now on."""
        self._always.update(dict.fromkeys(verbs or WRITES, _never))

    def before(self, act: Callable[[], Awaitable[object]], *verbs: str) -> None:
        """Let something happen right before the verbs are done, from now on."""
        self._always.update(dict.fromkeys(verbs, act))

    def recover(self) -> None:
        """Be a good store again."""
        self._always.clear()
        self._once.clear()

    def forget(self) -> None:
        """Forget the calls so far."""
        self.calls.clear()

    @property
    def writes(self) -> list[str]:
        """The verbs that write, as they were asked for."""
        return [verb for verb in self.calls if verb in WRITES]

    # ---------------------------------------------------------------- the contract

    async def _do(self, verb: str, sid: str, *args: Any) -> Any:
        self.calls.append(verb)
        self.sids.add(sid)
        if self._once.get(verb):
            await self._once[verb].pop(0)()
        if verb in self._always:
            await self._always[verb]()
        return await getattr(self.inner, verb)(sid, *args)

    @property
    def ready(self) -> bool:
        return self.inner.ready and not self.is_down

    async def __aenter__(self) -> Self:
        await self.inner.__aenter__()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.inner.__aexit__(*exc_info)

    async def get(self, sid: str) -> StoredSession | None:
        found: StoredSession | None = await self._do("get", sid)
        return found

    async def create(self, sid: str, stored: StoredSession) -> bool:
        return bool(await self._do("create", sid, stored))

    async def update(self, sid: str, stored: StoredSession, expected: str) -> Update:
        update: Update = await self._do("update", sid, stored, expected)
        return update

    async def set(self, sid: str, stored: StoredSession) -> None:
        await self._do("set", sid, stored)

    async def touch(self, sid: str, expires_at: int, expected: str) -> Outcome:
        outcome: Outcome = await self._do("touch", sid, expires_at, expected)
        return outcome

    async def destroy(self, sid: str) -> None:
        await self._do("destroy", sid)

    async def length(self) -> int:
        return await self.inner.length()

    def all(self) -> AsyncIterator[tuple[str, StoredSession]]:
        return self.inner.all()

    async def clear(self) -> None:
        await self.inner.clear()


async def _never() -> None:
    await asyncio.get_running_loop().create_future()


class Page(SessionMixin, RequestHandler):
    """Does what a test says: a function of the handler, plain or async. A string that it returns is written."""

    def initialize(self, act: Act) -> None:  # without super(), as many do
        self.act = act

    async def get(self) -> None:
        """Any verb."""
        result = self.act(self)
        if isawaitable(result):
            result = await result
        if isinstance(result, str):
            self.write(result)

    post = put = delete = head = get


Pages = Act | dict[str, Act | type[RequestHandler] | tuple[type[Page], Act]]


def routes(pages: Pages) -> list[Any]:
    """Routes for an application: one page for every path, or a table of paths.

    A page is what it does, a handler, or a kind of `Page` and what it does.
    """
    table = pages if isinstance(pages, dict) else {"/.*": pages}
    return [(path, *_route(page)) for path, page in table.items()]


def _route(page: Act | type[RequestHandler] | tuple[type[Page], Act]) -> tuple[Any, ...]:
    if isinstance(page, type):
        return (page,)
    kind, act = page if isinstance(page, tuple) else (Page, page)
    return kind, {"act": act}


@dataclass
class Site:
    """An application that listens."""

    port: int
    store: StagedStore
    manager: SessionManager
    clock: MovableClock
    server: HTTPServer

    def browser(self, **kind: Any) -> Browser:
        """A new visitor."""
        return Browser(self.port, self.clock, **kind)

    async def wire(self) -> Wire:
        """A connection for raw bytes."""
        return await Wire.connect(self.port)

    async def raw(self, request: bytes) -> Response:
        """Send bytes as they are; the answer."""
        wire = await self.wire()
        wire.send(request)
        try:
            return await wire.response()
        finally:
            await wire.close()

    async def plant(self, browser: Browser, text: str, *, lifetime: int = LIFETIME) -> str:
        """Put a row into the store as somebody else would have, and its cookie into a browser. Returns its id."""
        sid = f"planted-by-somebody-else-{len(self.store.sids)}"
        await self.store.inner.create(sid, StoredSession(text, self.clock() + lifetime))
        self.store.sids.add(sid)
        cookie = f"connect.sid={quote(self.manager.signer.sign(sid), safe='')}; Path=/"
        browser.jar.receive(cookie, browser.host, "/", secure=browser.secure)
        return sid

    async def rows(self) -> dict[str, dict[str, Any]]:
        """What the store holds: the decoded sessions by id, without their cookies."""
        return {sid: data(stored) async for sid, stored in self.store.all()}

    async def row(self, sid: str | None) -> dict[str, Any] | None:
        """The data of one session; None where there is none."""
        return (await self.rows()).get(sid or "")

    async def stored(self, sid: str | None) -> StoredSession:
        """One session as the store has it."""
        found = await self.store.inner.get(sid or "")
        assert found is not None, "no such row"
        return found

    async def stored_cookie(self, sid: str | None) -> dict[str, Any]:
        """The cookie member of one session."""
        return dict(json.loads((await self.stored(sid)).data)["cookie"])


def data(stored: StoredSession) -> dict[str, Any]:
    """A stored session without its cookie."""
    return {key: value for key, value in json.loads(stored.data).items() if key != "cookie"}


@dataclass
class World:
    """Opens stores on one set of data, and applications on them; closes them all."""

    make_store: Callable[[], Store]
    clock: MovableClock
    sites: list[Site] = field(default_factory=list)
    stores: list[StagedStore] = field(default_factory=list)

    async def store(self) -> StagedStore:
        """One more store on the same data, as another process would open it."""
        store = await StagedStore(self.make_store()).__aenter__()
        self.stores.append(store)
        return store

    async def serve(
        self,
        pages: Pages,
        *,
        store: StagedStore | None = None,
        settings: dict[str, Any] | None = None,
        xheaders: bool = False,
        tls: ssl.SSLContext | None = None,
        **options: Any,
    ) -> Site:
        """Start an application; `options` are those of SessionOptions."""
        store = store or await self.store()
        given = {"secret": SECRET, "cookie": CookieOptions(max_age=LIFETIME), **options}
        manager = SessionManager(store, SessionOptions(**given), clock=self.clock)
        app = Application(routes(pages), **{"sessions": manager, **(settings or {})})
        server = HTTPServer(app, xheaders=xheaders, ssl_options=tls)
        sockets = bind_sockets(0, "127.0.0.1")
        server.add_sockets(sockets)
        site = Site(sockets[0].getsockname()[1], store, manager, self.clock, server)
        self.sites.append(site)
        return site

    async def close(self) -> None:
        """Stop everything. Fails where a task is left over: somebody waits for what will never come."""
        for site in self.sites:
            site.server.stop()
            await site.server.close_all_connections()
        left = await _unfinished()
        for task in left:
            task.cancel()
        for store in self.stores:
            await store.__aexit__(None, None, None)
        assert not left, f"still waiting: {left}"

    @property
    def sids(self) -> set[str]:
        """Every id that a store was asked about."""
        return set().union(*(store.sids for store in self.stores))


async def _unfinished() -> set["asyncio.Task[Any]"]:
    """The tasks that do not come to their end, given the time."""
    others = asyncio.all_tasks() - {asyncio.current_task()}
    if not others:
        return set()
    _, left = await asyncio.wait(others, timeout=2)
    return left


async def turns() -> None:
    """Let the event loop go on until nothing more happens by itself."""
    for _ in range(TURNS):
        await asyncio.sleep(0)


# ---------------------------------------------------------------- pages that many trips visit


def visit(handler: Any) -> str:
    """Put a value into the session: what makes a visitor one."""
    handler.session["mark"] = MARK
    return "visited"


def show(handler: Any) -> str:
    """The session's data as JSON."""
    return json.dumps(dict(handler.session))


def count(handler: Any) -> str:
    """A counter."""
    handler.session["n"] = handler.session.get("n", 0) + 1
    return str(handler.session["n"])


def attributes(cookie: Cookie | None) -> dict[str, str | bool]:
    """The attributes of a cookie without its date."""
    assert cookie is not None, "no cookie"
    return {name: value for name, value in cookie.attributes.items() if name != "expires"}
