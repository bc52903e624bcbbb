"""Owns what a deployment may say of its sessions: the options with their names and defaults.

`SessionOptions` and `CookieOptions` are frozen and checked when they are made (validation.py), so nothing behind them
checks again. A mapping in express-session's spelling (`saveUninitialized`, `maxAge`, ...) is read by
`SessionOptions.from_mapping`. This file must not know stores, sessions or HTTP: it hands a request through to the
deployment's own functions and looks at none.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from typing import Any, Literal, TypeAlias
from urllib.parse import quote

from .errors import OptionsError
from .key_options import EncryptionOptions, HashingOptions, table_of
from .renewal import split
from .validation import (
    ABSENT,
    AROUND_ID,
    BROWSER_MAX_AGE,
    COOKIE_BYTES,
    DAY,
    GRACE,
    NAME_BYTES,
    RENEWAL_GRACES,
    TAG_CHARACTERS,
    Absent,
    check_attribute,
    check_options,
    express_names,
    is_number,
    path_of,
    read_table,
    secrets_of,
    snake,
    wrong,
)

log: logging.Logger = logging.getLogger("sessions")

MaxAge: TypeAlias = float | Literal[False] | None
SameSite: TypeAlias = bool | Literal["strict", "lax", "none", "auto"] | None
Priority: TypeAlias = Literal["low", "medium", "high"] | None

_LIFETIME = ("expires", "maxAge", "originalMaxAge")


@dataclass(frozen=True, kw_only=True)
class CookieOptions:
    """The options of a new session's cookie. An `ABSENT` member is left out of the stored session, as in Express."""

    path: str | None = "/"
    """Only requests below this path have a session; the cookie's Path."""
    domain: str | None | Absent = ABSENT
    """The cookie's Domain. Not set: this host only."""
    expires: datetime | Literal[False] | None | Absent = ABSENT
    """A date, which becomes the lifetime that is left when the session is made. Not set: `max_age` counts, which is
    mostly what is wanted. Of the two the later line counts."""
    max_age: MaxAge | Absent = ABSENT
    """Milliseconds after the last use at which the session and its cookie end. Not set: the cookie ends with the
    browser, and `ttl` counts for the session."""
    original_max_age: MaxAge | Absent = ABSENT
    """Milliseconds; the lifetime from the first renewal on. Not set: `max_age`."""
    http_only: bool | None = True
    """Hide the cookie from the page's JavaScript."""
    secure: bool | Literal["auto"] | None | Absent = ABSENT
    """Send the cookie over TLS only. "auto": if the request that makes the session came over TLS."""
    same_site: SameSite | Absent = "lax"
    """Which requests from other sites carry the cookie: "lax", "strict" (`True` too), "none" (needs `secure`), or
    "auto": "none" over TLS, else "lax". `False`: the attribute is not sent."""
    partitioned: bool | None | Absent = ABSENT
    """A separate cookie for each site that embeds this one (CHIPS); needs `secure`."""
    priority: Priority | Absent = ABSENT
    """Chromium drops cookies of a low priority first: "low", "medium" or "high". Not set: the attribute is not
    sent."""

    def __post_init__(self) -> None:
        for name, attribute in express_names(CookieOptions).items():
            check_attribute(name, getattr(self, attribute))
        if self.expires is not ABSENT and self.max_age is not ABSENT:
            raise OptionsError("cookie.expires and cookie.maxAge: give one of the two")
        if self.path and not self.path.startswith("/"):
            log.warning("cookie.path %r does not begin with '/': no request will have a session", self.path)
        if is_number(self.max_age) and self.max_age > BROWSER_MAX_AGE:  # type: ignore[operator] # a number, just asked
            log.warning("cookie.maxAge is over 400 days: browsers will cap it there")

    @cached_property
    def members(self) -> dict[str, Any]:
        """The attributes under their stored names, without those of the lifetime and those that were never given."""
        names = express_names(CookieOptions).items()
        given = {name: getattr(self, attribute) for name, attribute in names if name not in _LIFETIME}
        return {name: value for name, value in given.items() if value is not ABSENT}

    @cached_property
    def made(self) -> dict[Any, Any]:
        """The texts that the cookie's codec has made of these options, one for each value that "auto" gets."""
        return {}

    @classmethod
    def from_mapping(cls, mapping: Mapping[str, Any]) -> "CookieOptions":
        """Read express-session's `cookie` object. Of `expires` and `maxAge` the later key counts, as there."""
        values = read_table(cls, mapping, "cookie.")
        if "expires" in values and "max_age" in values:
            del values["expires" if list(values).index("max_age") > list(values).index("expires") else "max_age"]
        lifetimes = [name for name in values if name in map(snake, _LIFETIME)]
        if lifetimes and lifetimes[-1] != "original_max_age":
            values.pop("original_max_age", None)  # Express's two setters overwrite it
        return cls(**values)


@dataclass(frozen=True, kw_only=True)
class SessionOptions:
    """The options of express-session 1.19 under their Python names, and our own options."""

    secret: str | bytes | list[str | bytes] | tuple[str | bytes, ...] = field(repr=False)
    """Signs the cookie; of a list the first signs and all verify. SESSION_SECRET in the environment comes before it;
    without both the server makes one and keeps it (docs/secrets.md)."""
    name: str = "connect.sid"
    """The cookie's name."""
    genid: Callable[[Any], str] | None = None
    """A function that makes a session id from the request; for Python only. Not set: 24 random bytes."""
    resave: bool = False
    """Write a session back after every request, changed or not."""
    rolling: bool = False
    """Send the cookie, with a new expiry, in every response."""
    save_uninitialized: bool = False
    """Store a new session even if nothing was put into it."""
    unset: Literal["keep", "destroy"] = "keep"
    """What `self.session = None` does to the stored session: "keep" or "destroy" it."""
    proxy: bool | None = None
    """Believe the header X-Forwarded-Proto (docs/how-to/behind-a-proxy.md): `True`, or never: `False`. Not set: as
    Tornado's `xheaders` says."""
    proxy_secure: bool = False
    """With `proxy`: a request from the proxy counts as secure unless it says `X-Forwarded-Proto: http`."""
    store: str = field(default="sqlite:sessions.db", repr=False)
    """The URL of the store (docs/scaling.md): `sqlite:PATH`, where a relative path starts at the working folder,
    `redis://host:6379/0`, `postgresql://user:password@host/database`, `mongodb://user:password@host/database`, or
    `memory:` for one process, lost when it ends."""
    secret_file: str | None = field(default=None, repr=False)
    """Where the server keeps the secret that it makes; `config.toml` only. Not set: beside the store's file, and so
    in its backups."""
    cookie: CookieOptions | Callable[[Any], CookieOptions] = field(default_factory=CookieOptions)
    """The cookie of new sessions, or a function of the request that returns it; a function is for Python only."""
    touch_after: float | None = None
    """Milliseconds of a session's lifetime that pass before a request that changes nothing renews it; 0: on every
    request, as Express does. Not set: a twentieth of the lifetime, 0 with `rolling`."""
    ttl: float = DAY
    """Milliseconds that a session without `max_age` is kept after its last use."""
    absolute_timeout: float | None = None
    """Milliseconds after its creation at which a session ends, however much it is used; `regenerate()` starts it
    again. Not set: a session in use lives on."""
    max_bytes: int = 1_048_576
    """Bytes that a session may take in the store; a change that needs more is a DataError. 0: no limit."""
    conflict: Literal["merge", "reject", "overwrite"] = "merge"
    """Parallel changes of one session (docs/merge.md): "merge" them by key; "reject": merge them, but of two
    changes of one key the second is a SessionConflict, 409; or "overwrite" as Express does."""
    save_on_error: bool = True
    """`False`: an answer of 500 or more stores nothing and renews nothing. What `save()`, `rotate()` and other
    verbs did by then stays."""
    clear_cookie: bool = True
    """`destroy()` also removes the browser's cookie."""
    cache_headers: bool = True
    """`Cache-Control: no-store` with the cookie, `Vary: Cookie` where a session was read."""
    grace: float | None = None
    """Milliseconds for which an id that a login replaced is a tombstone: a late request under it changes nothing.
    Not set: 30000, 0 with `conflict = "overwrite"`."""
    renew_after: float | None = None
    """Milliseconds after which the cookie gets a new value (docs/renewal.md); at least ten times `grace`, and not
    with a Node server. Not set: never."""
    reuse: Literal["log", "end"] = "log"
    """When a value of the cookie comes that a newer one has replaced, somebody uses a copy: "log" it, or "end" that
    session too."""
    user_key: str | Sequence[str] | None = None
    """The key of the data that names the user, such as "username" or "passport.user", a key in a key: whatever sets
    it is the login (docs/users.md). Not set: nobody is known."""
    max_per_user: int | None = None
    """How many sessions of a user may live; `sign_in()` beyond them does as `at_limit` says. Needs `user_key`. Not
    set: any number."""
    at_limit: Literal["evict", "refuse"] = "evict"
    """At `max_per_user`: "evict" ends the session that signed in first, "refuse" refuses the sign-in (not on Redis
    Cluster and MongoDB)."""
    devices: bool = False
    """Keep the browser's name and address of a sign-in with the session, for a list of devices. Needs
    `user_key`."""
    header: str | None = None
    """The name of a header, such as `X-Session`, in which a client without cookies sends its id, or `new`, and gets
    it (docs/header-ids.md). Not set: no header."""
    node_peer: bool = False
    """A Node server writes to this store: what needs the help of every row works harder, or is refused."""
    encryption: EncryptionOptions | None = None
    """The keys that seal what is in the store (docs/sealed.md), in a table of its own. Not set, and none in the
    environment: sessions are stored in the clear."""
    require_sealed: bool = False
    """Refuse a stored session, or a part of one, that is not sealed: nobody else writes to the store
    (docs/sealed.md)."""
    hashed_ids: bool = False
    """Keep sessions under a hash of their ids, so that a dump of the store opens nothing; no Node server can share
    it then (docs/sealed.md)."""
    hashing: HashingOptions | None = None
    """The keys of that hash, in a table of its own. Not set: those of the environment."""
    store_down: Literal["error", "none"] = "error"
    """While the store is away: "error" is 503 for visitors with a cookie, "none" is no session."""
    store_timeout: float = 5_000
    """Milliseconds that a load or a commit may take; then 503."""
    watch_interval: float = 5_000
    """Milliseconds in which each session with an open socket or event stream is asked for once, and ends with it
    (docs/sockets.md)."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "secret", secrets_of(self.secret))
        check_options(self)
        if self.proxy_secure and self.proxy is not True:
            raise OptionsError("proxySecure: needs proxy = true, or any client could claim to be the proxy")
        for name, value in (("maxPerUser", self.max_per_user), ("devices", self.devices)):
            if value and self.user_key is None:
                raise OptionsError(f"{name}: needs userKey, the key of the data that names the user")
        for name, kind in (("encryption", EncryptionOptions), ("hashing", HashingOptions)):
            if not isinstance(getattr(self, name), kind | None):
                raise wrong(name, f"a table [session.{name}]", getattr(self, name))
        if self.grace and self.conflict == "overwrite":
            raise OptionsError('grace: needs conflict = "merge" or "reject", as Express knows no tombstones')
        self._check_renewal()
        if isinstance(self.cookie, CookieOptions):
            self._check_together(self.cookie)
            self._check_touch_after(self.cookie)
        elif not callable(self.cookie):
            raise wrong("cookie", "a table of cookie options", self.cookie)

    def _check_together(self, cookie: CookieOptions) -> None:
        """What browsers refuse in combination (RFC 6265bis sections 4.1.3 and 5.7, CHIPS)."""
        if isinstance(cookie.same_site, str) and cookie.same_site.lower() == "none" and not cookie.secure:
            raise OptionsError('cookie.sameSite: "none" needs cookie.secure = true, browsers drop it otherwise')
        if cookie.partitioned and not cookie.secure:
            raise OptionsError("cookie.partitioned: needs cookie.secure = true, browsers drop it otherwise")
        prefix = self.name.lower()
        if prefix.startswith(("__secure-", "__host-", "__http-")) and cookie.secure is not True:
            raise OptionsError(f"name: {self.name!r} needs cookie.secure = true (its prefix promises it)")
        if prefix.startswith(("__http-", "__host-http-")) and cookie.http_only is not True:
            raise OptionsError(f"name: {self.name!r} needs cookie.httpOnly = true (its prefix promises it)")
        if prefix.startswith("__host-") and (cookie.domain or cookie.path != "/"):
            raise OptionsError(f'name: {self.name!r} needs cookie.path = "/" and no cookie.domain')

    def _check_renewal(self) -> None:
        """Refuse what would lock visitors out: values that are replaced too soon, or that a Node server cannot read."""
        if self.renew_after is None:
            if self.reuse == "end":
                raise OptionsError('reuse: "end" needs renewAfter, or no value of a cookie is ever replaced')
            return
        if not self.grace_ms:
            raise OptionsError(
                "renewAfter: needs grace above 0, in which requests under way may bring the value before"
            )
        if self.renew_after < RENEWAL_GRACES * self.grace_ms:
            raise OptionsError(
                f"renewAfter: expected at least {RENEWAL_GRACES} times grace, which is {self.grace_ms},"
                f" got {self.renew_after}"
            )
        if self.node_peer:
            raise OptionsError(
                "renewAfter: not with nodePeer, as a Node server takes the renewed cookie for that of another session"
            )
        if len(self.name) > NAME_BYTES - TAG_CHARACTERS:
            raise OptionsError(f"name: expected at most {NAME_BYTES - TAG_CHARACTERS} bytes with renewAfter")

    def _check_touch_after(self, cookie: CookieOptions) -> None:
        """Refuse a renewal that comes when the session has ended, so that a visitor who only reads is signed out."""
        lifetimes = {"cookie.maxAge": cookie.max_age, "cookie.originalMaxAge": cookie.original_max_age}
        given = {name: each for name, each in lifetimes.items() if is_number(each)} or {"ttl": self.ttl}
        for name, lifetime in given.items():
            if self.touch_after and self.touch_after >= lifetime:  # type: ignore[operator] # a number, just asked
                raise OptionsError(
                    f"touchAfter: expected less than {name}, which is {lifetime}, got {self.touch_after}"
                )

    def generated(self, request: Any) -> str:
        """An id by `genid`. Raises OptionsError, without the id, for what is none or what no browser would keep."""
        sid = self.genid(request) if self.genid is not None else None
        if not isinstance(sid, str) or not sid:
            raise OptionsError(f"genid: expected a string that is not empty, got {type(sid).__name__}")
        longest = COOKIE_BYTES - len(self.name) - AROUND_ID
        if "~" in sid and (self.renew_after is not None or split(sid)[1]):
            raise OptionsError("genid: expected an id without '~', behind which the tag of renewAfter is read")
        if self.renew_after is not None:
            longest -= TAG_CHARACTERS
        if len(quote(sid, safe="", errors="surrogatepass")) > longest:
            raise OptionsError(
                f"genid: the id takes more than {longest} bytes: browsers drop a cookie over {COOKIE_BYTES}"
            )
        return sid

    @cached_property
    def user_path(self) -> tuple[str, ...] | None:
        """The path of `user_key`, from the outermost key on; None where there is none."""
        return None if self.user_key is None else path_of(self.user_key)

    @property
    def grace_ms(self) -> float:
        """`grace` in milliseconds, also if it was not given."""
        if self.grace is not None:
            return self.grace
        return 0 if self.conflict == "overwrite" else GRACE

    @property
    def keys(self) -> tuple[bytes, ...]:
        """The secrets as bytes: the first signs, all verify."""
        return self.secret  # type: ignore[return-value] # made so by __post_init__

    @classmethod
    def from_mapping(cls, mapping: Mapping[str, Any]) -> "SessionOptions":
        """Read a mapping in express-session's spelling, as `config.toml` holds it.

        Raises OptionsError for an unknown key (with the nearest known one), a wrong type or a wrong value.
        """
        values = read_table(cls, mapping)
        if isinstance(values.get("cookie"), Mapping):
            values["cookie"] = CookieOptions.from_mapping(values["cookie"])
        for name, kind in (("encryption", EncryptionOptions), ("hashing", HashingOptions)):
            if name in values:
                values[name] = table_of(kind, name, values[name])
        if "secret" not in values:
            raise OptionsError("secret: is missing")
        return cls(**values)
