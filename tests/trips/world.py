"""Owns the stage of the trips: applications on free ports, with stores that a test can hold, break or silence.

The library is used as anybody would use it: pages are handlers with the mixin, visitors are browsers with a jar.
"""

import asyncio
import json
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from inspect import isawaitable
from typing import Any
from urllib.parse import quote

from client import TURNS, Browser, Response, Wire
from clock import DAY, HOUR, MovableClock
from tornado.httpserver import HTTPServer
from tornado.netutil import bind_sockets
from tornado.web import Application, RequestHandler

from sessions import CookieOptions, SessionManager, SessionMixin, SessionOptions, Store, StoredSession
from sessions.meta import is_closed

from .staged import Gate, StagedStore

SECRET = "the-secret-of-the-trips-which-no-log-may-show"
MARK = "a-value-which-no-log-may-show"
"""What the trips put into sessions."""

LIFETIME = HOUR
"""The maxAge that sessions have where a test does not say otherwise."""

PATIENCE = 60_000
"""Milliseconds that a call of the store may take where a test does not say otherwise: only a hang meets it."""

YEAR = 365 * DAY
"""A lifetime that a handler assigns."""

Act = Callable[[Any], object]


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


Pages = Act | Mapping[str, Act | type[RequestHandler] | tuple[type[Page], Act]]


def routes(pages: Pages) -> list[Any]:
    """Routes for an application: one page for every path, or a table of paths.

    A page is what it does, a handler, or a kind of `Page` and what it does.
    """
    table = pages if isinstance(pages, Mapping) else {"/.*": pages}
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

    def cut_off(self) -> None:
        """Let the deadline of every call of the store that is under way come now."""
        deadline = self.manager._in_time.__self__  # type: ignore[attr-defined] # the bound method of a Deadline
        for task in deadline._ends.keys() - deadline._late:
            deadline._late.add(task)
            task.cancel()

    async def plant(self, browser: Browser, text: str, *, lifetime: int = LIFETIME) -> str:
        """Put a row into the store as somebody else would have, and its cookie into a browser. Returns its id."""
        sid = f"planted-by-somebody-else-{len(self.store.sids)}"
        await self.store.inner.create(sid, StoredSession(text, self.clock() + lifetime))
        self.store.sids.add(sid)
        cookie = f"connect.sid={quote(self.manager.signer.sign(sid), safe='')}; Path=/"
        browser.jar.receive(cookie, browser.host, "/", secure=browser.secure)
        return sid

    async def rows(self) -> dict[str, dict[str, Any]]:
        """What the store holds: the decoded sessions by id, without their cookies; tombstones are left out."""
        return {sid: data(stored) async for sid, stored in self.store.all() if not is_closed(stored, self.clock())}

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
        observer: Any = (),
        **options: Any,
    ) -> Site:
        """Start an application; `options` are those of SessionOptions."""
        store = store or await self.store()
        given = {"secret": SECRET, "cookie": CookieOptions(max_age=LIFETIME), "store_timeout": PATIENCE, **options}
        manager = SessionManager(store, SessionOptions(**given), clock=self.clock, observer=observer)
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
            await site.manager.close()
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
    """The tasks that do not come to their end, given the time; pymongo's watch over its servers ends with its store."""
    others = {each for each in asyncio.all_tasks() if not each.get_name().startswith("pymongo_")}
    others -= {asyncio.current_task()}
    if not others:
        return set()
    _, left = await asyncio.wait(others, timeout=2)
    return left


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


def unset(handler: Any) -> None:
    """An end at the end of the request."""
    handler.session = None


async def logout(handler: Any) -> str:
    """An end at once."""
    await handler.session.destroy()
    return "bye"


def setting(**values: Any) -> Act:
    """A page that sets keys."""
    return lambda handler: handler.session.update(values)


def slow(gate: Gate, act: Act) -> Act:
    """A page that has loaded its session, and looked at it, before it waits at the gate and then acts."""

    async def page(handler: Any) -> Any:
        len(handler.session)
        await gate.wait()
        result = act(handler)
        return await result if isawaitable(result) else result

    return page


def flushing(gate: Gate, act: Act) -> Act:
    """A page that flushes the key "early" without waiting for its commit, and acts once the gate is open."""

    async def page(handler: Any) -> object:
        handler.session["early"] = 1
        handler.write("one,")
        handler.flush()
        await gate.wait()
        return act(handler)

    return page


# ---------------------------------------------------------------- what many trips do


async def turns() -> None:
    """Let the event loop go on until nothing more happens by itself."""
    for _ in range(TURNS):
        await asyncio.sleep(0)


async def overtaken(browser: Browser, gate: Gate, meanwhile: str = "/fast", *, path: str = "/slow") -> Response:
    """The answer of a slow request, which waits at the gate until another one is done."""
    call = await browser.start(path)
    await gate.reached()
    response = await browser.fetch(meanwhile)
    assert response.status == 200, response.text
    gate.open()
    return await call.response()


async def acted_meanwhile(site: Site, browser: Browser, gate: Gate) -> Response:
    """The answer of a page that flushes, and acts while the commit of its first bytes is under way."""
    commit = site.store.hold()
    call = await browser.start()
    await commit.reached()
    gate.open()
    await turns()
    commit.open()
    return await call.response()


def replay(browser: Browser) -> dict[str, str]:
    """Headers with the browser's cookie, for somebody else to send."""
    return {"Cookie": f"connect.sid={browser.kept().value}"}
