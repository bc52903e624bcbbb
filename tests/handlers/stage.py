"""Owns the stage of the handlers' tests: the application as server.py makes it, a visitor of its page, the page as it is read.

The configuration is read from a file, as in the server; only the store is in memory, and on the clock of the test.
"""

import json
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from html.parser import HTMLParser
from typing import Any
from urllib.parse import urlencode

from client import Browser, Response
from clock import MovableClock

from sessions import MemoryStore, StoredSession
from sessions.web.draining import DrainingServer

FORM = {"Content-Type": "application/x-www-form-urlencoded"}
SECRET = "the-secret-of-the-stage-which-is-long-enough"

CONFIG = '[session]\ncookie.maxAge = 7200000\nuserKey = "user"\n'
FORMS = ["/set", "/delete", "/end", "/end-others", "/regenerate", "/destroy"]
"""The actions of the page's forms."""


@dataclass
class Form:
    """A form of a page, with what a browser sends of it untouched."""

    action: str
    method: str
    fields: dict[str, str] = field(default_factory=dict)


class Document(HTMLParser):
    """A page as a browser without scripts reads it."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: Counter[str] = Counter()
        self.attributes: list[tuple[str, str]] = []
        self.forms: list[Form] = []
        self.links: list[str] = []
        self.buttons: dict[str, str] = {}
        """The text on each button, and its class."""
        self.tables: dict[str, list[str]] = {}
        """The cells of each table, by its id."""
        self.text = ""
        """What is seen, the style left out."""
        self._within: list[str] = []
        self._class = ""
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note it."""
        given = {name: value or "" for name, value in attrs}
        self.tags[tag] += 1
        self.attributes += given.items()
        self._within.append(tag)
        if tag == "a":
            self.links.append(given["href"])
        elif tag == "button":
            self._class = given.get("class", "")
        elif tag == "form":
            self.forms.append(Form(given["action"], given["method"]))
        elif tag == "input" and self.forms:
            self.forms[-1].fields[given["name"]] = given.get("value", "")
        elif tag == "table":
            self.tables[given["id"]] = []
        elif tag == "td":
            self._cells.append("")
        if tag in {"meta", "link", "input", "br"}:
            self._within.pop()

    def handle_endtag(self, tag: str) -> None:
        """Note it."""
        while self._within and self._within.pop() != tag:
            pass

    def handle_data(self, data: str) -> None:
        """Note what is seen."""
        if "style" not in self._within:
            self.text += data
        if self._within[-1:] == ["button"]:
            self.buttons[data] = self._class
        if "td" in self._within:
            self._cells[-1] += data

    @property
    def data(self) -> dict[str, str]:
        """The session's table: keys and values as they are read."""
        return self._pairs("data")

    @property
    def others(self) -> dict[str, str]:
        """The user's other sessions: the log's name of each, and what the page says of it."""
        return self._pairs("others")

    @property
    def _cells(self) -> list[str]:
        return list(self.tables.values())[-1]

    def _pairs(self, table: str) -> dict[str, str]:
        cells = self.tables.get(table, [])
        return dict(zip(cells[::3], cells[1::3], strict=True))

    def form(self, action: str, **fields: str) -> Form:
        """The form of an action that holds these fields."""
        (found,) = [each for each in self.forms if each.action == action and fields.items() <= each.fields.items()]
        return found


class Visitor(Browser):
    """One who opens the page and sends its forms."""

    async def page(self) -> Document:
        """Open the page."""
        return Document((await self.fetch("/")).text)

    async def submit(self, action: str, *, of: str | None = None, **typed: str) -> Response:
        """Open the page, fill in a form and send it. `of` is the key that the form belongs to, if each key has a form."""
        form = (await self.page()).form(action, **({} if of is None else {"key": of}))
        return await self.post(form.action, form.fields | typed)

    async def set(self, **data: str) -> None:
        """Set keys by the form."""
        for key, value in data.items():
            response = await self.submit("/set", key=key, value=value)
            assert response.status == 303, response.text

    async def post(self, path: str, fields: Mapping[str, str], **headers: str) -> Response:
        """Send a form as it is given."""
        return await self.fetch(path, method="POST", body=urlencode(fields).encode(), headers=FORM | headers)


@dataclass
class Site:
    """The application at work."""

    port: int
    store: MemoryStore
    clock: MovableClock
    server: DrainingServer
    app: Any

    def visitor(self, **kind: Any) -> Visitor:
        """A new visitor."""
        return Visitor(self.port, self.clock, **kind)


Serve = Callable[..., Awaitable[Site]]
"""The fixture that serves the application of a configuration."""


async def known(serve: Serve, config: str = CONFIG, **data: str) -> tuple[Site, Visitor]:
    """A site and a visitor who has a session with these keys."""
    site = await serve(config)
    visitor = site.visitor()
    await visitor.set(**(data or {"user": "ada"}))
    return site, visitor


async def plant(site: Site, visitor: Visitor, **data: Any) -> None:
    """Put into the visitor's session what another program might have put there."""
    assert visitor.sid is not None
    stored = await site.store.get(visitor.sid)
    assert stored is not None
    text = json.dumps(json.loads(stored.data) | data)
    await site.store.set(visitor.sid, StoredSession(text, stored.expires_at))
