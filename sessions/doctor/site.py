"""Owns what is said of a site's answer: whether a browser keeps the session's cookie, and whether others get it.

Functions of an answer's status and headers. No finding shows a cookie's value.
"""

import re
from collections.abc import Iterator, Mapping
from typing import NamedTuple
from urllib.parse import SplitResult, unquote

from ..findings import Finding, fault, note, warning
from ..options import CookieOptions, SessionOptions
from ..validation import COOKIE_BYTES

_TAG = re.compile(r"~[A-Za-z0-9_-]{8}$")
"""What `renewAfter` puts behind an id."""

_FIRST_FAILURE = 500
_REDIRECTS = range(300, 400)


class Answer(NamedTuple):
    """What a site has answered."""

    status: int
    headers: tuple[tuple[str, str], ...]
    """As they came, those of one name one after another."""

    def __repr__(self) -> str:
        return f"<Answer {self.status}>"  # without the cookies

    def all(self, name: str) -> list[str]:
        """Return the values of a header."""
        return [value for each, value in self.headers if each.lower() == name]

    def one(self, name: str) -> str:
        """Return the values of a header, in lower case and with commas between."""
        return ", ".join(self.all(name)).lower()


class SetCookie(NamedTuple):
    """A Set-Cookie header."""

    name: str
    value: str
    attributes: Mapping[str, str]
    """By their names in lower case."""

    def __repr__(self) -> str:
        return f"<SetCookie {self.name}>"  # without the value, which is an id

    @classmethod
    def of(cls, text: str) -> "SetCookie":
        """Read a header, as browsers do (RFC 6265bis, 5.6)."""
        pair, *rest = text.split(";")
        name, _, value = pair.partition("=")
        given = (each.partition("=") for each in rest)
        return cls(name.strip(), value.strip(), {key.strip().lower(): word.strip() for key, _, word in given})

    @property
    def sid(self) -> str:
        """The id in a value that express-session or we have signed."""
        return _TAG.sub("", unquote(self.value).removeprefix("s:").rpartition(".")[0])


def session_cookies(answer: Answer, name: str | None) -> list[SetCookie]:
    """Return the Set-Cookies of a session that delete none; `name` None: those with a value that is signed as ours."""
    cookies = map(SetCookie.of, answer.all("set-cookie"))
    return [
        each
        for each in cookies
        if (each.name == name if name is not None else unquote(each.value).startswith("s:")) and each.value
    ]


def first_visit(answer: Answer, url: SplitResult, options: SessionOptions | None) -> Iterator[Finding]:
    """Yield what is wrong with the answer to a visitor without a cookie; `options` None: they are not known."""
    place = url.geturl()
    if answer.status >= _FIRST_FAILURE:
        yield fault("site.error", f"{place}: answers with {answer.status}", "see the server's log")
    cookies = session_cookies(answer, None if options is None else options.name)
    if not cookies:
        yield from withheld(answer, url, options)
        return
    if len({each.name for each in cookies}) < len(cookies):
        problem = f"{place}: the answer sets the cookie {cookies[0].name} {len(cookies)} times, and browsers keep one"
        yield fault("cookie.duplicated", problem, "see that neither the application nor the proxy sets it once more")
    yield from refused_by_browsers(cookies[0], url)
    yield from attributes(cookies[0], url)
    yield from cached(answer, place)


def second_visit(first: Answer, second: Answer, url: SplitResult, name: str | None) -> Iterator[Finding]:
    """Yield a finding if a site gives another session to a visitor who has brought the first one's cookie."""
    before, after = session_cookies(first, name), session_cookies(second, name)
    if before and after and after[0].sid != before[0].sid:
        problem = f"{url.geturl()}: the cookie that it has just set is not accepted: each request begins a new session"
        advice = "see that all servers have one secret and one store, and that the proxy passes Cookie on"
        yield fault("cookie.not-accepted", problem, advice)


def withheld(answer: Answer, url: SplitResult, options: SessionOptions | None) -> Iterator[Finding]:
    """Yield why there is no cookie."""
    place, cookie = url.geturl(), None if options is None else options.cookie
    is_secure = isinstance(cookie, CookieOptions) and cookie.secure is True
    if answer.status in _REDIRECTS:
        problem = f"{place}: leads elsewhere, and sets no session cookie"
        yield note("site.redirect", problem, "give the address behind it")
    elif is_secure and url.scheme == "http":
        problem = f"{place}: sets no cookie, since cookie.secure = true and this is plain HTTP"
        yield fault("cookie.withheld", problem, "give the address with https://, and let no visitor come without TLS")
    elif is_secure and options is not None and options.save_uninitialized:
        problem = f"{place}: sets no cookie, since the server does not know that TLS was used"
        yield fault("cookie.withheld", problem, "proxy = true, and a proxy that sends X-Forwarded-Proto: https")
    elif options is not None and options.save_uninitialized:
        problem = f"{place}: sets no cookie {options.name}, though each visitor should get a session"
        yield fault("cookie.withheld", problem, "see cookie.path, the server's log, and a proxy that drops Set-Cookie")
    else:
        problem = f"{place}: begins no session, so its cookie was not seen"
        yield note("cookie.unseen", problem, "give the address of a page that begins one")


def refused_by_browsers(cookie: SetCookie, url: SplitResult) -> Iterator[Finding]:
    """Yield findings about a cookie that browsers drop (RFC 6265bis, 5.7), or do not send back to this address."""
    place, given, name = url.geturl(), cookie.attributes, cookie.name
    host, domain = (url.hostname or "").lower(), given.get("domain", "").lstrip(".").lower()
    is_secure, prefix = "secure" in given, name.lower()
    if domain and not fits(host, domain):
        problem = f"{place}: sets the cookie {name} for the Domain {domain}, to which {host} does not belong"
        yield fault("cookie.domain", f"{problem}: browsers drop it", "no cookie.domain, or a parent of the host")
    if is_secure and url.scheme == "http" and host != "localhost":
        problem = f"{place}: sets the cookie {name} with Secure over plain HTTP: browsers drop it"
        yield fault("cookie.secure-on-http", problem, "let visitors come over TLS")
    if prefix.startswith("__host-") and (not is_secure or domain or given.get("path") != "/"):
        problem = f"{place}: the name {name} promises Secure, Path=/ and no Domain: browsers drop the cookie"
        yield fault("cookie.prefix", problem, "let no proxy change the cookie's attributes")
    elif prefix.startswith("__secure-") and not is_secure:
        problem = f"{place}: the name {name} promises Secure: browsers drop the cookie"
        yield fault("cookie.prefix", problem, "let no proxy change the cookie's attributes")
    if given.get("samesite", "").lower() == "none" and not is_secure:
        problem = f"{place}: sets the cookie {name} with SameSite=None and without Secure: browsers drop it"
        yield fault("cookie.same-site-none", problem, 'cookie.secure = true, or cookie.sameSite = "lax"')
    if len(name) + len(cookie.value) > COOKIE_BYTES:
        problem = f"{place}: the cookie {name} has over {COOKIE_BYTES} bytes: browsers drop it"
        yield fault("cookie.too-large", problem, "shorter ids (genid)")
    path = given.get("path", "/")
    if path.startswith("/") and not _is_below(url.path or "/", path):
        problem = f"{place}: sets the cookie {name} for the Path {path}, so browsers do not send it back here"
        yield warning("cookie.path", problem, 'cookie.path = "/", or the path that the proxy shows')


def attributes(cookie: SetCookie, url: SplitResult) -> Iterator[Finding]:
    """Yield findings about attributes that are missing."""
    place, name = url.geturl(), cookie.name
    if url.scheme == "https" and "secure" not in cookie.attributes:
        problem = f"{place}: sets the cookie {name} without Secure, so it may leave over plain HTTP (ASVS 3.3.1)"
        yield warning("cookie.secure", problem, "cookie.secure = true")
    if "httponly" not in cookie.attributes:
        problem = f"{place}: sets the cookie {name} without HttpOnly: a script of the page reads it (ASVS 3.3.4)"
        yield warning("cookie.http-only", problem, "cookie.httpOnly = true")
    if "samesite" not in cookie.attributes:
        problem = f"{place}: sets the cookie {name} without SameSite (ASVS 3.3.2)"
        yield warning("cookie.same-site", problem, 'cookie.sameSite = "lax"')
    could = "secure" in cookie.attributes and cookie.attributes.get("path") == "/" and "domain" not in cookie.attributes
    if could and not name.lower().startswith(("__host-", "__host-http-")):
        problem = f"{place}: a sibling domain can set a cookie named {name} before this one"
        yield warning("options.prefix", problem, f"it cannot set one named __Host-{name}")


def cached(answer: Answer, place: str) -> Iterator[Finding]:
    """Yield findings about an answer with a session's cookie that caches keep, or that came from one."""
    control = answer.one("cache-control")
    words = {each.strip().partition("=")[0] for each in control.split(",")} - {""}
    advice = "cacheHeaders = true, and a proxy that leaves Cache-Control as it is"
    if "no-store" not in words and "private" not in words:
        if {"public", "s-maxage", "max-age"} & words or answer.all("expires"):
            problem = f"{place}: a cache may keep the answer with the session's cookie ({control or 'Expires'})"
            yield fault("cookie.cacheable", f"{problem}, and give it to others", advice)
        elif "no-cache" not in words:
            problem = f"{place}: the answer with the session's cookie has no Cache-Control (ASVS 14.3.2)"
            yield warning("cookie.cache-control", problem, advice)
    age, verdict = answer.one("age"), answer.one("x-cache") + answer.one("cf-cache-status")
    if (age.isdigit() and int(age) > 0) or re.search(r"\bhit\b", verdict):
        problem = f"{place}: the session's cookie came out of a cache, so others get it too"
        yield fault("cookie.cached", problem, "empty the cache, and let it keep no answer with Set-Cookie")


def fits(host: str, domain: str) -> bool:
    """Return True if a host may set cookies for a domain: it is the domain, or a name below one of several labels."""
    if host == domain:
        return True
    is_name = not host.rpartition(".")[2].isdigit() and ":" not in host
    return is_name and "." in domain and host.endswith(f".{domain}")


def _is_below(path: str, of: str) -> bool:
    return path == of or (path.startswith(of) and (of.endswith("/") or path[len(of)] == "/"))
