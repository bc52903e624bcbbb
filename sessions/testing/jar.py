"""Owns a cookie jar that honours what a browser honours (RFC 6265bis). Its clock is passed in, so a test can move it.

This file must not know the library, nor how a request is sent.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime


@dataclass(frozen=True)
class Cookie:
    """A cookie as a browser keeps it."""

    name: str
    value: str
    domain: str
    path: str
    host_only: bool
    expires: int | None
    """Milliseconds since the epoch; None: until the browser is closed."""
    attributes: Mapping[str, str | bool]
    """The attributes as Set-Cookie has them, names in lower case; an attribute without a value is True."""

    @property
    def secure(self) -> bool:
        """Whether it is sent over TLS only."""
        return bool(self.attributes.get("secure"))

    @property
    def key(self) -> tuple[str, str, str, bool]:
        """What makes it another cookie: a Partitioned one lies in a jar of its own."""
        return self.name, self.domain, self.path, bool(self.attributes.get("partitioned"))


@dataclass
class Jar:
    """Cookies by RFC 6265bis, sections 5.7 and 5.8, as far as one site needs them; SameSite is kept only."""

    clock: Callable[[], int]
    _cookies: dict[tuple[str, str, str, bool], Cookie] = field(default_factory=dict)

    def receive(self, header: str, host: str, path: str, *, secure: bool) -> None:
        """Take a Set-Cookie header in, or refuse it, or delete by it."""
        pair, *parts = header.split(";")
        name, _, value = pair.partition("=")
        attributes: dict[str, str | bool] = {}
        for part in parts:
            key, equals, word = part.strip().partition("=")
            attributes[key.lower()] = word if equals else True
        domain = str(attributes.get("domain") or "").lstrip(".").lower()
        where = str(attributes.get("path") or "")
        cookie = Cookie(
            name.strip(),
            value.strip(),
            domain or host,
            where if where.startswith("/") else path.rpartition("/")[0] or "/",
            not domain,
            self._expiry(attributes),
            attributes,
        )
        if not _is_acceptable(cookie, host, secure=secure):
            return
        self._cookies.pop(cookie.key, None)
        if cookie.expires is None or cookie.expires > self.clock():
            self._cookies[cookie.key] = cookie

    def _expiry(self, attributes: Mapping[str, str | bool]) -> int | None:
        if "max-age" in attributes:
            return self.clock() + int(attributes["max-age"]) * 1000
        if "expires" in attributes:
            return int(parsedate_to_datetime(str(attributes["expires"])).timestamp()) * 1000
        return None

    def cookies(self, host: str, path: str, *, secure: bool) -> list[Cookie]:
        """Those that a request carries: not expired, in scope, longer paths first."""
        now = self.clock()
        found = [
            cookie
            for cookie in self._cookies.values()
            if (cookie.expires is None or cookie.expires > now)
            and (host == cookie.domain if cookie.host_only else _is_within(host, cookie.domain))
            and _is_below(path, cookie.path)
            and (secure or not cookie.secure)
        ]
        return sorted(found, key=lambda cookie: -len(cookie.path))

    def all(self) -> list[Cookie]:
        """Those that have not expired."""
        return [cookie for cookie in self._cookies.values() if cookie.expires is None or cookie.expires > self.clock()]


def _is_acceptable(cookie: Cookie, host: str, *, secure: bool) -> bool:
    name = cookie.name.lower()
    if not cookie.host_only and not _is_within(host, cookie.domain):
        return False
    if cookie.secure and not secure:
        return False
    if name.startswith(("__secure-", "__host-")) and not cookie.secure:
        return False
    if name.startswith("__host-") and not (cookie.host_only and cookie.attributes.get("path") == "/"):
        return False
    return cookie.secure or not cookie.attributes.get("partitioned")


def _is_within(host: str, domain: str) -> bool:
    return host == domain or (host.endswith(f".{domain}") and not host.replace(".", "").isdigit())


def _is_below(path: str, scope: str) -> bool:
    return path == scope or path.startswith(scope if scope.endswith("/") else f"{scope}/")
