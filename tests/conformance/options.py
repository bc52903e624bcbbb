"""Owns the options of the generic test application: ours, made of what a scenario says in express-session's spelling.

Where a scenario says nothing, Express's defaults hold. What JavaScript makes of a value is translated here, and what we
say when we refuse one.
"""

import itertools
import re
from collections.abc import Callable
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

from tornado.httputil import HTTPServerRequest

from sessions import ABSENT, CookieOptions, OptionsError, SessionError, SessionOptions

from .world import TTL, Json, World, to_datetime

AS_EXPRESS = {
    "conflict": "overwrite",
    "clearCookie": False,
    "touchAfter": 0,
    "cacheHeaders": False,
    "storeDown": "none",
}
"""The options of ours that give Express's behaviour back."""

PATIENCE = 60_000
"""Milliseconds that a call of the store may take, while many scenarios are played at once: only a hang meets it."""

ATTRIBUTES = {
    "secure": "secure",
    "httpOnly": "http_only",
    "domain": "domain",
    "path": "path",
    "sameSite": "same_site",
    "partitioned": "partitioned",
    "priority": "priority",
    "originalMaxAge": "original_max_age",
}

EXPRESS_WORDS = (
    # An empty list of secrets: we say what we got.
    (r"secret: expected at least one, got an empty list", "secret option array must contain one or more strings"),
    # Neither of the two words: we name the value.
    (r'unset: expected "keep" or "destroy", got .*', 'unset option must be "destroy" or "keep"'),
    # No number: we name the value, and a Date is a datetime, which is assigned to `expires` here.
    (r"cookie\.maxAge: expected a number of milliseconds, got .*", "maxAge must be a number or Date"),
)
"""Our refusals that are Express's too, and its text for each: a scenario compares that there is one, and its words."""


def in_express_words(error: SessionError) -> str:
    """The error's text: Express's own where it refuses the same."""
    text = str(error)
    return next((words for ours, words in EXPRESS_WORDS if re.fullmatch(ours, text, re.DOTALL)), text)


def session_options(given: Json, world: World, ours: list[str]) -> SessionOptions:
    """The options of one app. Raises OptionsError where the library refuses them."""
    options: Json = {name: value for name, value in AS_EXPRESS.items() if name not in ours}
    options |= {"resave": True, "saveUninitialized": True, "ttl": TTL, "storeTimeout": PATIENCE}
    for name in ("resave", "rolling", "saveUninitialized"):
        if name in given:
            options[name] = bool(given[name])  # Express asks for truthiness
    if isinstance(given.get("proxy"), bool):
        options["proxy"] = given["proxy"]  # anything else is neither true nor false to Express: like absent
    if given.get("name") or given.get("key"):
        options["name"] = given.get("name") or given["key"]
    if "unset" in given:
        options["unset"] = given["unset"]
    if "secret" in given:
        options["secret"] = secret_of(given["secret"])
    if "genid" in given:
        options["genid"] = id_maker(given["genid"])
    cookie = given.get("cookie") or {}
    if "fn" in cookie:
        return SessionOptions.from_mapping({**options, "cookie": cookie_maker(cookie["fn"], world)})
    made = cookie_options(cookie, world)
    try:
        return SessionOptions.from_mapping({**options, "cookie": made})
    except OptionsError:
        # Options that make a cookie which browsers drop (SameSite=None without Secure, ..) are refused at start. What
        # Express does with them is compared all the same: a function of the request cannot be asked at start.
        return SessionOptions.from_mapping({**options, "cookie": lambda request: made})


def secret_of(given: Any) -> Any:
    """A secret, or a list of them; what JSON cannot hold is written {"hex": ..}."""
    if isinstance(given, list):
        return [secret_of(one) for one in given]
    return bytes.fromhex(given["hex"]) if isinstance(given, dict) else given


def cookie_options(given: Json, world: World) -> CookieOptions:
    """Cookie options in express-session's spelling. Its default is to have no SameSite at all.

    We refuse a key that is no option; JavaScript reads those it knows, so only these are handed on.
    """
    known = {name: value for name, value in given.items() if name in {*ATTRIBUTES, "maxAge", "expires"}}
    given = {"sameSite": ABSENT, **known}
    expires = given.get("expires")
    if isinstance(expires, dict):
        given["expires"] = to_datetime(world.now() + expires["in_ms"])
    elif isinstance(expires, str) and expires != "invalid":
        given["expires"] = datetime.fromisoformat(expires)
    return CookieOptions.from_mapping(given)


def cookie_maker(rule: Json, world: World) -> Callable[[HTTPServerRequest], CookieOptions]:
    """`cookie` as a function of the request."""

    def make(request: HTTPServerRequest) -> CookieOptions:
        path = urlsplit(request.uri or "/").path
        if rule.get("path_is_url"):
            return cookie_options({**rule["cookie"], "path": request.uri}, world)
        for one in rule.get("by_path", []):
            if path.startswith(one["prefix"]):
                return cookie_options(one["cookie"], world)
        return cookie_options(rule["default"], world)

    return make


def id_maker(rule: Any) -> Any:
    """`genid` as a function of the request; a value that is no rule is passed on as it is."""
    match rule:
        case {"fixed": sid}:
            return lambda request: sid
        case {"seq": prefix}:
            counter = itertools.count(1)
            return lambda request: f"{prefix}{next(counter)}"
        case {"url": True}:
            return lambda request: request.uri
    return rule
