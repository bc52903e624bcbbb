"""Owns `session.cookie`, by which a handler reads and assigns the attributes and the lifetime of the session's cookie.

The names are those of express-session's `req.session.cookie` in snake_case. A wrong value raises OptionsError at the
line that assigns it.
"""

from datetime import datetime
from typing import Generic, TypeVar, overload

from .options import MaxAge, Priority, SameSite
from .stored_cookie import StoredCookie, as_date, is_moment

Value = TypeVar("Value")


class _Attribute(Generic[Value]):
    """A member of the cookie. None if the stored cookie has none."""

    def __init__(self, name: str) -> None:
        self._name = name

    @overload
    def __get__(self, cookie: None, owner: type) -> "_Attribute[Value]": ...
    @overload
    def __get__(self, cookie: "Cookie", owner: type) -> Value: ...
    def __get__(self, cookie: "Cookie | None", owner: type) -> "_Attribute[Value] | Value":
        return self if cookie is None else cookie._stored.member(self._name)  # noqa: SLF001 # of the same file

    def __set__(self, cookie: "Cookie", value: Value) -> None:
        cookie._stored.assign(self._name, value)  # noqa: SLF001 # of the same file


class Cookie:
    """The cookie of one session. `str(cookie)` gives the attributes as they stand in a Set-Cookie header."""

    __slots__ = ("_stored",)

    path: _Attribute[str | None] = _Attribute("path")
    domain: _Attribute[str | None] = _Attribute("domain")
    http_only: _Attribute[bool | None] = _Attribute("httpOnly")
    secure: _Attribute[bool | None] = _Attribute("secure")
    same_site: _Attribute[SameSite] = _Attribute("sameSite")
    partitioned: _Attribute[bool | None] = _Attribute("partitioned")
    priority: _Attribute[Priority] = _Attribute("priority")
    original_max_age: _Attribute[MaxAge] = _Attribute("originalMaxAge")

    def __init__(self, stored: StoredCookie) -> None:
        self._stored = stored

    @property
    def max_age(self) -> MaxAge:
        """Milliseconds left; None or False for a cookie that lives until the browser is closed."""
        expires = self._stored.member("expires")
        return expires - self._stored.clock() if is_moment(expires) else expires

    @max_age.setter
    def max_age(self, value: MaxAge) -> None:
        self._stored.assign("maxAge", value)

    @property
    def expires(self) -> datetime | None | bool:
        """When the cookie expires (UTC); None or False for one that lives until the browser is closed."""
        expires = self._stored.member("expires")
        return as_date(expires) if is_moment(expires) else expires

    @expires.setter
    def expires(self, value: datetime | None | bool) -> None:
        self._stored.assign("expires", value)

    def __str__(self) -> str:
        return self._stored.set_cookie("", "").removeprefix("=; ")

    def __repr__(self) -> str:
        return f"<Cookie {self._stored.text()}>"
