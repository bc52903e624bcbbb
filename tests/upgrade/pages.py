"""Owns the application of the upgrade tests, for the script that makes stores and for the tests that open them.

It knows the library's public names only, and those that stay.
"""

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

from client import Browser
from tornado.httpserver import HTTPServer
from tornado.netutil import bind_sockets
from tornado.web import Application, RequestHandler

from sessions import SessionManager, SessionMixin, SessionOptions, Store, now_ms

HOST = "www.example.org"
"""What visitors believe to visit, over TLS that a proxy ends."""

EXPIRES = "expires"


class Page(SessionMixin, RequestHandler):
    """Shows the session. A POST calls methods of it, then sets keys, then the cookie's maxAge."""

    async def get(self) -> None:
        """The id and the data."""
        self.write({"id": self.session.id, "data": dict(self.session)})

    async def post(self) -> None:
        """The same, after what the body asks for."""
        asked = json.loads(self.request.body)
        for method in asked.get("call", []):
            await getattr(self.session, method)()
        self.session.update(asked.get("set", {}))
        if "maxAge" in asked:
            self.session.cookie.max_age = asked["maxAge"]
        await self.get()


class Visitor(Browser):
    """A browser, which may come with the cookie of a session that was made before."""

    def __init__(self, port: int, entry: Mapping[str, Any] | None = None) -> None:
        super().__init__(port, now_ms, host=HOST, proxied=True)
        if entry is not None:
            domain = entry.get("attributes", {}).get("domain", "")
            self.jar.receive(f"connect.sid={entry['cookie']}; Path=/; Domain={domain}", HOST, "/", secure=True)

    async def look(self) -> dict[str, Any]:
        """What the page shows."""
        return await self._json()

    async def ask(self, **asked: Any) -> dict[str, Any]:
        """What the page shows after a POST."""
        return await self._json(method="POST", body=json.dumps(asked).encode())

    async def _json(self, **request: Any) -> dict[str, Any]:
        response = await self.fetch("/", **request)
        assert response.status == 200, response.text
        found: dict[str, Any] = response.json()
        return found


@asynccontextmanager
async def serving(store: Store, **options: Any) -> AsyncIterator[Any]:
    """The application on a free port while the block runs. What it gives makes visitors."""
    manager = SessionManager(store, SessionOptions(**options))
    server = HTTPServer(Application([("/", Page)], sessions=manager), xheaders=True)
    sockets = bind_sockets(0, "127.0.0.1")
    server.add_sockets(sockets)
    try:
        yield partial(Visitor, sockets[0].getsockname()[1])
    finally:
        server.stop()
        await server.close_all_connections()


def attributes(visitor: Visitor) -> dict[str, str | bool]:
    """Those of the visitor's cookie that tell no time, as Set-Cookie named them."""
    return {name: value for name, value in visitor.kept().attributes.items() if name != EXPIRES}
