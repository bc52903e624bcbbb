"""The Tornado half of the example: every page that is not under /node/.

Its session settings are those of session.json, which express_server.js reads as well; the secret and the file come to
both from the environment.
"""

import asyncio
import json
import os
import signal
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import tornado.escape
import tornado.httpserver
import tornado.netutil
import tornado.web

from sessions import SessionManager, SessionMixin, SessionOptions, open_store

HERE = Path(__file__).parent


class Base(SessionMixin, tornado.web.RequestHandler):
    """What every handler here has: the session, and no ear for forms of other sites."""

    async def prepare(self) -> None:
        """Refuse a POST from another site, as the Express half does: SameSite=Lax keeps only the cookie off it."""
        await super().prepare()
        origin = self.request.headers.get("Origin")
        if self.request.method == "POST" and origin and urlsplit(origin).netloc != self.request.host:
            raise tornado.web.HTTPError(403, "from another site")


class Home(Base):
    """The page."""

    def get(self) -> None:
        """Show the session."""
        self.write(page(self.session.get("user"), self.session.get("basket", 0)))


class SignIn(Base):
    """The form of a visitor nobody knows yet."""

    async def post(self) -> None:
        """Sign in. There is no password: it is an example of sessions."""
        await self.session.rotate()  # a new id for a new degree of trust; the basket comes along
        self.session["user"] = self.get_body_argument("user", "")[:40] or "somebody"
        self.redirect("/", status=303)  # leaves when the session is saved, by itself


class Basket(Base):
    """The button of a visitor who is signed in."""

    async def post(self) -> None:
        """Put one more into the basket; `mutate`, because several requests may count at once."""
        if "user" in self.session:
            await self.session.mutate(one_more)
        self.redirect("/", status=303)


class SignOut(Base):
    """The other button."""

    async def post(self) -> None:
        """Sign out, here and at Express."""
        await self.session.destroy()
        self.redirect("/", status=303)


def one_more(data: dict[str, Any]) -> None:
    """One more in the basket."""
    data["basket"] = data.get("basket", 0) + 1


def page(user: str | None, basket: int) -> str:
    """The one page there is."""
    text = tornado.escape.xhtml_escape
    who = f'Signed in as <b id="user">{text(user)}</b>' if user else "Nobody is signed in"
    forms = (
        '<form method="post" action="/basket"><button>Put one into the basket</button></form>'
        '<form method="post" action="/sign-out"><button>Sign out</button></form>'
        if user
        else '<form method="post" action="/sign-in"><input name="user" value="ada" aria-label="name">'
        "<button>Sign in</button></form>"
    )
    return f"""<!doctype html><html lang="en"><meta charset="utf-8"><title>Tornado</title>
<h1>Tornado</h1><p>{who}. In the basket: <b id="basket">{basket}</b>.</p>{forms}
<p><a href="/node/">The same session at Express</a></p></html>"""


async def main() -> None:
    """Serve until SIGTERM or Ctrl-C."""
    secret = os.environ.get("SESSION_SECRET")
    if not secret:
        raise SystemExit("SESSION_SECRET is not set: both servers need the same one")
    settings = json.loads((HERE / "session.json").read_text())
    options = SessionOptions.from_mapping({**settings, "secret": secret})
    path = os.environ.get("SESSION_DB", str(HERE / "sessions.db"))

    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with open_store(f"sqlite:{path}") as store:
        app = tornado.web.Application(
            [("/", Home), ("/sign-in", SignIn), ("/basket", Basket), ("/sign-out", SignOut)],
            sessions=SessionManager(store, options),
        )
        server = tornado.httpserver.HTTPServer(app)
        sockets = tornado.netutil.bind_sockets(int(os.environ.get("PORT", "3002")), "127.0.0.1")
        server.add_sockets(sockets)
        print(f"Tornado listening on port {sockets[0].getsockname()[1]}", flush=True)
        await stop.wait()
        server.stop()
        await server.close_all_connections()


if __name__ == "__main__":
    asyncio.run(main())
