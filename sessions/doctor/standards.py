"""Owns what is said of options beside `sessions.config.unusual`: what OWASP's and NIST's standards ask, and more.

Numbers are requirements of OWASP ASVS 5.0.0; NIST is SP 800-63B-4. They are asked of a server that other machines
reach: one of this machine alone is somebody's at work.
"""

from collections.abc import Iterator

from ..findings import Finding, note, warning
from ..options import CookieOptions, SessionOptions
from ..validation import DAY, is_number
from .subject import Subject

_LONGEST = 30 * DAY
"""NIST's longest time without a new login, at its lowest level (AAL1)."""


def of_options(subject: Subject) -> Iterator[Finding]:
    """Yield what the options of a file are lacking."""
    options = subject.options
    yield from timeouts(options, subject.store_options)
    if subject.is_exposed:
        yield from proxy(subject)
        yield from memory(options)
        yield from lifetimes(options)
        yield from privacy(options)
        if isinstance(options.cookie, CookieOptions):
            yield from cookie(options.cookie, options.name)


def timeouts(options: SessionOptions, store: object) -> Iterator[Finding]:
    """Yield a finding if a store's own limit never has its turn."""
    timeout = store.get("timeout") if isinstance(store, dict) else None
    if timeout is not None and is_number(timeout) and timeout >= options.store_timeout:
        problem = (
            f"storeTimeout = {options.store_timeout} ends each request before the store's timeout = {timeout} does"
        )
        yield warning("options.timeouts", problem, "a store's timeout below storeTimeout")


def proxy(subject: Subject) -> Iterator[Finding]:
    """Yield a finding if a client can claim to be the proxy (ASVS 4.1.3)."""
    if subject.listens_to_all and (subject.options.proxy or subject.server.get("xheaders")):
        problem = "the server believes X-Forwarded-Proto, and listens on every interface, so any client can send it"
        yield warning(
            "options.open-proxy", f"{problem} (ASVS 4.1.3)", "[server] address: the one that the proxy reaches"
        )


def memory(options: SessionOptions) -> Iterator[Finding]:
    """Yield a finding if a restart ends every session."""
    if options.store == "memory:":
        yield warning("options.memory", "memory: a restart signs everybody out", "a store on disk, or a database")


def lifetimes(options: SessionOptions) -> Iterator[Finding]:
    """Yield findings about sessions that live too long."""
    if options.absolute_timeout is None:
        problem = "absoluteTimeout is not set: a session in use never ends (ASVS 7.3.2)"
        yield note("standard.absolute-timeout", problem, "absoluteTimeout = 2592000000, 30 days, or less")
    elif options.absolute_timeout > _LONGEST:
        problem = "absoluteTimeout is over 30 days, after which NIST AAL1 asks for a new login"
        yield note("standard.absolute-timeout", problem, "absoluteTimeout = 2592000000 or less")
    if idle_lifetime(options) > _LONGEST:
        problem = "a session that nobody uses lives for over 30 days (ASVS 7.3.1, NIST AAL1)"
        yield warning("standard.idle-timeout", problem, "a shorter cookie.maxAge, or ttl")


def privacy(options: SessionOptions) -> Iterator[Finding]:
    """Yield findings about users and visitors."""
    if options.save_uninitialized:
        problem = "saveUninitialized = true: each visitor gets a session without asking (ASVS 7.6.2)"
        yield note("standard.uninitialized", problem, "saveUninitialized = false")
    if options.user_key is None:
        problem = "userKey is not set: nobody can list or end the sessions of a user (ASVS 7.4.2, 7.4.5, 7.5.2)"
        yield note("standard.users", problem, "userKey, the key of the data that names the user")
    if not options.cache_headers:
        problem = "cacheHeaders = false: a cache may keep an answer with a session's cookie (ASVS 14.3.2)"
        yield warning("standard.cache-headers", problem, "cacheHeaders = true")
    if not options.clear_cookie:
        problem = "clearCookie = false: a sign-out leaves the cookie in the browser (ASVS 14.3.1)"
        yield note("standard.clear-cookie", problem, "clearCookie = true")


def cookie(cookie: CookieOptions, name: str) -> Iterator[Finding]:
    """Yield findings about the cookie's attributes."""
    if cookie.secure is not True:
        problem = "cookie.secure is not true: the cookie may leave over plain HTTP (ASVS 3.3.1)"
        yield warning("cookie.secure", problem, "cookie.secure = true, behind TLS")
    if cookie.http_only is not True:
        problem = "cookie.httpOnly is not true: a script of the page reads the cookie (ASVS 3.3.4)"
        yield warning("cookie.http-only", problem, "cookie.httpOnly = true")
    if not cookie.same_site:
        problem = "cookie.sameSite is not set: browsers differ in whether other sites may send the cookie (ASVS 3.3.2)"
        yield warning("cookie.same-site", problem, 'cookie.sameSite = "lax"')
    if cookie.domain:
        problem = (
            f"cookie.domain = {cookie.domain!r}: every host below gets the cookie, and can replace it (ASVS 3.3.3)"
        )
        yield note("standard.domain", problem, "no cookie.domain, unless these hosts share their sessions")
    if name == "connect.sid":
        problem = "the cookie's name connect.sid says what the server is made of (OWASP Session Management)"
        yield note("standard.name", problem, 'name = "__Host-sid", unless a Node server reads the cookie')


def idle_lifetime(options: SessionOptions) -> float:
    """Return after how many milliseconds without use a session ends."""
    given = options.cookie.max_age if isinstance(options.cookie, CookieOptions) else None
    return float(given) if given is not None and is_number(given) else options.ttl  # type: ignore[arg-type] # a number, just asked
