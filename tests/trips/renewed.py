"""Owns the sites and visitors of the trips in which the cookie gets new values."""

import json
from typing import Any

from client import Browser
from clock import DAY, MINUTE, SECOND

from sessions import CookieOptions
from sessions.renewal import split
from sessions.testing.jar import Jar

from .world import MARK, Site, count, logout, show, visit

GRACE, AFTER = 30 * SECOND, 10 * MINUTE
OVER = 2 * GRACE
"""After which a replaced value is over, also for a request that the machine has kept waiting for a moment."""
LONG = CookieOptions(max_age=30 * DAY)

PAGES = {"/visit": visit, "/show": show, "/count": count, "/logout": logout}


async def renewing(serve: Any, pages: Any = None, **options: Any) -> tuple[Site, Browser]:
    """A site with `renewAfter`, and a visitor with a session."""
    given = {"renew_after": AFTER, "grace": GRACE, "cookie": LONG, **options}
    site: Site = await serve({**PAGES, **(pages or {})}, **given)
    browser = site.browser()
    await browser.fetch("/visit")
    return site, browser


async def use_new_value(site: Site, browser: Browser) -> None:
    """Let a browser get a new value when it is due, and bring it."""
    site.clock.forward(AFTER)
    await browser.fetch("/show")
    await browser.fetch("/show")


def tag(browser: Browser) -> str:
    """The tag of a browser's cookie; "" for none."""
    return split(browser.sid or "")[1]


def sid(browser: Browser) -> str:
    """The id in a browser's cookie."""
    return split(browser.sid or "")[0]


def copied(site: Site, browser: Browser) -> Browser:
    """A browser with a copy of the cookies as they are now: a thief's, or a restored profile."""
    other = site.browser()
    other.jar = Jar(site.clock, dict(browser.jar._cookies))
    return other


async def meta(site: Site, browser: Browser) -> dict[str, Any]:
    """What the row says of the cookie's values, with moments as seconds before now."""
    found = json.loads((await site.stored(sid(browser))).data).get("__meta", {})
    return {
        name: (site.clock() - each) // 1000 if name in ("tagUsed", "renewedAt") else each
        for name, each in found.items()
        if name in ("tag", "tagBefore", "tagUsed", "renewedAt")
    }


def is_shown(response: Any) -> bool:
    """Whether a page has shown the data of the session."""
    return bool(response.status == 200 and response.json().get("mark") == MARK)
