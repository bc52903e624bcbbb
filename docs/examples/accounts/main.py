"""The application: its pages, its settings, and the server. `python main.py` starts it."""

import asyncio
import json
import os
from pathlib import Path
from typing import Any

from aiosqlite import connect
from tornado.web import Application

import live
import oauth
import pages
from sessions import CookieOptions, SessionManager, SessionOptions, Sweeper, open_store
from user_table import TABLE, UserTable

HERE, UPLOADS, PROVIDER = Path(__file__).parent, Path("uploads"), Path("provider.json")
ROUTES = [
    ("/", pages.Home), ("/register", pages.Register), ("/login", pages.Login), ("/logout", pages.Logout),
    ("/password", pages.Password), ("/devices", pages.Devices), ("/chat", live.Chat), ("/members", live.Members),
    ("/upload", live.Upload), ("/file", live.Download),
]  # fmt: skip
OAUTH_ROUTES = [("/oauth", oauth.ToProvider), ("/oauth/return", oauth.FromProvider)]


def options(secret: str) -> SessionOptions:
    """Return the options of the sessions: they have a user, and a browser's name and address for the devices.

    The cookie of a visitor who has come over TLS is sent over TLS only.
    """
    secure = CookieOptions(secure="auto")
    return SessionOptions(secret=secret, user_key="user", devices=True, max_per_user=20, cookie=secure)


def make_app(manager: SessionManager, **settings: Any) -> Application:
    """Put the application together. Its own settings are `users`, `uploads` (a folder) and `provider` (or None)."""
    return Application(
        [*ROUTES, *(OAUTH_ROUTES if settings["provider"] else ())],
        sessions=manager,
        login_url="/login",
        xsrf_cookies=True,
        cross_origin_protection=True,  # Tornado looks at Sec-Fetch-Site and Origin, too
        websocket_max_message_size=4096,
        websocket_ping_interval=30,  # seconds: or who has left without a word stays in the chat
        template_path=HERE / "templates",
        static_path=HERE / "static",
        **settings,
    )


async def main(provider: dict[str, str] | None = None, port: int = 8888) -> None:
    """Serve until Ctrl-C."""
    store, db = open_store("sqlite:sessions.db"), connect("users.db", isolation_level=None)
    async with store, Sweeper(store), db:
        await db.execute(TABLE)
        manager = SessionManager(store, options(os.environ["SESSION_SECRET"]))
        app = make_app(manager, users=UserTable(db), uploads=UPLOADS, provider=provider)
        app.listen(port, "127.0.0.1", max_body_size=100_000)
        print(f"http://127.0.0.1:{port}/", flush=True)
        await asyncio.Event().wait()


if __name__ == "__main__":
    UPLOADS.mkdir(exist_ok=True)
    asyncio.run(main(json.loads(PROVIDER.read_text()) if PROVIDER.exists() else None))
