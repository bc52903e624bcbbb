"""Owns the page that shows a visitor their own session, and the forms on it."""

import json
from typing import Any

from sessions import DataError

from .base import BaseHandler, ClientError, read_json


class Page(BaseHandler):
    """The session as the server sees it."""

    async def get(self) -> None:
        """Show the data, the cookie's attributes, and the time that is left. The id itself is never shown."""
        self.set_header("Cache-Control", "no-store")
        session, options = self.session, self.settings["sessions"].options
        cookie = session.cookie
        left = cookie.max_age
        self.render(
            "page.html",
            data={key: json.dumps(value, ensure_ascii=False) for key, value in session.items()},
            header=f"Set-Cookie: {options.name}=…; {cookie}",
            withheld=bool(cookie.secure) and not self.is_secure(),
            is_new=session.is_new,
            name=session.fingerprint,
            left=_duration(left) if isinstance(left, int) and left is not False else None,
            kept=_duration(options.ttl),
        )


class _Form(BaseHandler):
    """A form of the page: does its work and shows the page again, by a GET that can be reloaded."""

    async def post(self) -> None:
        """Do it."""
        await self.act()
        self.redirect("/", status=303)

    async def act(self) -> None:
        """What the form does."""
        raise NotImplementedError

    def key(self) -> str:
        """The key that the form names, as it was sent: a blank is part of it."""
        try:
            return self.request.body_arguments["key"][-1].decode()
        except (KeyError, UnicodeDecodeError):
            raise ClientError(400, "the form names no key") from None


class SetKey(_Form):
    """Sets a key to a JSON value; what is no JSON is taken as text."""

    async def act(self) -> None:
        """Set it, and store it: what cannot be stored is the visitor's to correct, and leaves the session as it was."""
        key = self.key().strip()
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
        self.session.pop(self.key(), None)


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
