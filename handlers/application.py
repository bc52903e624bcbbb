"""Owns the application of the reference server: its routes, its sessions, XSRF protection for its forms."""

from pathlib import Path

from sessions import CookieOptions, SessionManager

from . import NotFound, routes
from .log import LoggingApplication

TEMPLATES = Path(__file__).parent / "templates"


def is_secure(cookie: object) -> bool:
    """Return True if the option `cookie` says that the cookie is sent over TLS only."""
    return isinstance(cookie, CookieOptions) and cookie.secure is True


def make_app(manager: SessionManager) -> LoggingApplication:
    """Return the application."""
    secure = is_secure(manager.options.cookie)
    return LoggingApplication(
        routes,
        sessions=manager,
        default_handler_class=NotFound,
        template_path=str(TEMPLATES),
        xsrf_cookies=True,
        cross_origin_protection=True,  # Sec-Fetch-Site and Origin, from Tornado 6.6 on
        xsrf_cookie_name="__Host-xsrf" if secure else "_xsrf",
        # Tornado keeps the token of a user for 30 days; the session knows it, and the next page brings it again
        xsrf_cookie_kwargs={"httponly": True, "samesite": "Lax", "secure": secure, "expires_days": None},
    )
