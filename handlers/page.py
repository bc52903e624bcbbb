"""Owns the page that shows a visitor their own session and the user's other ones, and the forms on it."""

import json
from typing import Any

from sessions import DataError, SessionInfo

from .base import BaseHandler, ClientError, read_json
from .docs import DOCS

SHOWN = 20
"""Other sessions that the page shows: everybody who opens /set-session is one user."""

READ_ON = {"tutorial.md": "the tutorial", "users.md": "the sessions of a user", "security.md": "security"}
"""The documents that the page names, and what it calls them."""


class Page(BaseHandler):
    """The session as the server sees it."""

    async def get(self) -> None:
        """Show the data, the cookie's attributes, and the time that is left. The id itself is never shown."""
        self.set_header("Cache-Control", "no-store")
        session, options = self.session, self.settings["sessions"].options
        cookie = session.cookie
        left = cookie.max_age
        others = await self._others()
        self.render(
            "page.html",
            data={key: json.dumps(value, ensure_ascii=False) for key, value in session.items()},
            header=f"Set-Cookie: {options.name}=…; {cookie}",
            withheld=bool(cookie.secure) and not self.is_secure(),
            is_new=session.is_new,
            name=session.fingerprint,
            left=_duration(left) if isinstance(left, int) and left is not False else None,
            kept=_duration(options.ttl),
            others=[(info, self._last_use(info)) for info in others[:SHOWN]],
            more=len(others) - SHOWN,
            docs=[(file, title) for file, title in READ_ON.items() if file in DOCS],
        )

    async def _others(self) -> list[SessionInfo]:
        if self.current_user is None:
            return []
        infos: list[SessionInfo] = await self.settings["sessions"].sessions_of(self.current_user, self.session)
        return [info for info in infos if not info.is_current]

    def _last_use(self, info: SessionInfo) -> str | None:
        """Return how long ago it was at most: a session that is used is written from time to time."""
        return None if info.seen is None else _duration(self.settings["sessions"].clock() - info.seen)


class _Form(BaseHandler):
    """A form of the page: does its work and shows the page again, by a GET that can be reloaded."""

    async def post(self) -> None:
        """Do it."""
        await self.act()
        self.redirect("/", status=303)

    async def act(self) -> None:
        """What the form does."""
        raise NotImplementedError

    def named(self, field: str) -> str:
        """What a field of the form names, as it was sent: a blank is part of it."""
        try:
            return self.request.body_arguments[field][-1].decode()
        except (KeyError, UnicodeDecodeError):
            raise ClientError(400, f"the form names no {field}") from None


class SetKey(_Form):
    """Sets a key to a JSON value; what is no JSON is taken as text."""

    async def act(self) -> None:
        """Set it, and store it: what cannot be stored is the visitor's to correct, and leaves the session as it was."""
        key = self.named("key").strip()
        if not key:
            raise ClientError(400, "the form names no key")
        value, session = _value(self.get_body_argument("value", "")), self.session
        before = {key: session[key]} if key in session else {}
        try:
            session[key] = value
            await session.save()
        except DataError as error:
            session.pop(key, None)
            session.update(before)
            raise ClientError(400, str(error)) from None


class DeleteKey(_Form):
    """Deletes a key."""

    async def act(self) -> None:
        """Delete it, if it is there."""
        self.session.pop(self.named("key"), None)


class End(_Form):
    """Ends another session of the user."""

    async def act(self) -> None:
        """End it, if there is such a one. It is named by its handle: its id is a secret of the browser that has it."""
        handle = self.named("handle")
        if self.current_user is not None:
            await self.settings["sessions"].revoke(self.current_user, handle)


class EndOthers(_Form):
    """Ends all other sessions of the user."""

    async def act(self) -> None:
        """End them, and keep this one."""
        if self.current_user is not None:
            await self.settings["sessions"].revoke_all(self.current_user, keep=self.session)


class Regenerate(_Form):
    """Starts a new session under a new id, as every login should."""

    async def act(self) -> None:
        """Start its lifetime again, if there is one."""
        if not self.session.is_new:
            await self.session.regenerate()


class Destroy(_Form):
    """Ends the session, as a logout does."""

    async def act(self) -> None:
        """End it."""
        await self.session.destroy()


def _value(text: str) -> Any:
    try:
        return read_json(text)
    except (ValueError, RecursionError):
        return text


def _duration(milliseconds: float) -> str:
    """Milliseconds as a person says them."""
    seconds = max(0, round(milliseconds / 1000))
    for size, unit in ((86_400, "day"), (3_600, "hour"), (60, "minute")):
        if seconds >= 2 * size:
            return f"{seconds // size} {unit}s"
    return f"{seconds} second{'' if seconds == 1 else 's'}"
