"""Owns what a session remembers besides its data, in one request: its `__meta`, its absolute end, the name of its user.

What the members of `__meta` are is in meta.py, when a session ends in absolute_timeout.py, which
values of its cookie are good in renewal.py.
"""

from collections.abc import Collection
from typing import Any

from .absolute_timeout import AbsoluteTimeout
from .clock import Clock
from .data import SessionData
from .errors import CorruptSession
from .formats import json_text
from .formats.signing import fingerprint
from .meta import SessionMeta, check_own
from .options import SessionOptions
from .progress import Progress
from .renewal import NO_TAG, Renewal, Value, first, is_renewed, join, tags_of
from .stored_cookie import LAST_MOMENT
from .user_text import user_in
from .validation import is_number


class Remembered(Progress):
    """What one session remembers in one request."""

    id: str
    clock: Clock
    data: SessionData
    meta: SessionMeta
    """What our own features keep with the session."""
    noted_path: tuple[str, ...] | None = None
    """Where the user is, if `__meta` has to name the user for the store (`look_for_user`)."""
    renewal: Renewal | None = None
    """The rules of a cookie with several values; None: there is one."""
    keeps_value: bool = False
    """Whether the answer is a WebSocket's handshake: it brings no new value of the cookie."""
    _options: SessionOptions
    _timeout: AbsoluteTimeout | None = None

    @property
    def fingerprint(self) -> str:
        """Eight hexadecimal digits that stand for the id in a log."""
        return fingerprint(self.id)

    @property
    def values(self) -> dict[str, Any]:
        """The data, decoded. Raises CorruptSession."""
        try:
            return self.data.values
        except CorruptSession as error:
            raise CorruptSession(f"session {self.fingerprint}: {error}") from None

    @property
    def is_too_old(self) -> bool:
        """True if the session has come to the end that `absoluteTimeout` sets."""
        return self._timeout is not None and self._timeout.ends_at <= self.clock()

    def is_touch_due(self, expires_at: int) -> bool:
        """Return True if so much of the lifetime has passed that a use renews an expiry: `touchAfter`.

        The lifetime is the cookie's originalMaxAge; if that is no number, the `ttl` counts.
        """
        options, lives = self._options, self.cookie.lifetime
        if lives is None or not is_number(lives):
            lives = options.ttl
        after = options.touch_after
        if after is None:
            after = 0 if options.rolling else lives / 20
        renewed = self.clock() + lives
        if self._timeout is not None:
            return self._timeout.is_touch_due(renewed, expires_at, after)
        return bool(renewed - expires_at >= after)

    @property
    def absolute_end(self) -> int:
        """The moment from which on the session is gone however much it is used, in milliseconds since the epoch."""
        return LAST_MOMENT if self._timeout is None else self._timeout.ends_at

    def _new_timeout(self) -> AbsoluteTimeout:
        timeout = AbsoluteTimeout(self._options.absolute_timeout or 0, self.clock())
        self.cookie.cap(timeout.ends_at)
        return timeout

    def look_for_user(self, path: tuple[str, ...]) -> None:
        """Have `__meta` name the user, by whom the store finds the session: with each write, and now if it does not.

        A text that has the user's key nowhere is not decoded, nor is one that names the same user as `__meta`.
        """
        self.noted_path = path
        known, text = self.meta.get("user"), self.data.text
        key = json_text.dumps(path[-1])
        may_differ = key in text if known is None else f"{key}:{json_text.dumps(known)}" not in text
        if may_differ:
            self._note_user(user_in(text, path))

    def _note_user(self, user: str | None) -> None:
        if user != self.meta.get("user"):
            self.set_meta(user=user)

    def set_meta(self, **members: Any) -> None:
        """Set members of `__meta`, stored with the next write; None removes one.

        Raises CorruptSession if `__meta` is another application's.
        """
        self._check_own(self.data.text)
        self.meta.set(**members)

    # ---------------------------------------------------------------- the value of the cookie

    @property
    def cookie_value(self) -> str:
        """The value of the cookie that is to be signed: the id, and the tag of the present value."""
        tag = self.meta.get("tag")
        return join(self.id, tag) if tag else self.id

    def present(self, sent: Collection[str], waited: float) -> bool:
        """Return True if a value that the browser has sent is good, by its tag; the first use of one is noted.

        `waited`: the milliseconds since the request began.
        """
        row, options = self.meta.row, self._options
        if options.renew_after is None and sent == NO_TAG and not is_renewed(row):
            return True
        self.renewal = Renewal(sent, options.renew_after, options.grace_ms, waited)
        tags, now = tags_of(row), self.clock()
        if self.renewal.is_first_use(tags):
            self.set_meta(tagUsed=now)
        return self.renewal.standing(tags, now) != "over"

    def value_of(self, renewal: Renewal) -> Value:
        """Return what becomes of the cookie's value, by what is known of the row."""
        value = renewal.value(tags_of(self.meta.row), self.clock())
        return "present" if self.keeps_value and value in ("due", "soon") else value

    def take_new_value(self) -> None:
        """Let the cookie have a new value, which the next write stores."""
        if self.renewal is not None:
            self.set_meta(**self.renewal.following(tags_of(self.meta.row), self.clock()))

    def _begin_value(self) -> None:
        """Let the cookie's value be the id alone, of which the browser does not know yet."""
        after = self._options.renew_after
        if after is not None or is_renewed(self.meta.row):
            self.meta.set(**first(after, self.clock()))

    # ---------------------------------------------------------------- the end

    def set_end(self, moment: int | None) -> None:
        """Let the session end at a moment of its own, in milliseconds since the epoch; None: as the options say."""
        self.set_meta(endsAt=moment)
        self._end_at(moment)

    def _end_at(self, moment: int | None) -> None:
        timeout = self._timeout or AbsoluteTimeout(None, self.clock())
        self._timeout = timeout.until(LAST_MOMENT if moment is None else moment)
        self.cookie.cap(self._timeout.ends_at)

    def _is_meta_unrecorded(self) -> bool:
        return bool(self.meta.assigned) or (self._timeout is not None and not self._timeout.is_recorded)

    def _read_meta(self, text: str, data: str) -> None:
        self.meta.read(text)
        if self._timeout is None and "endsAt" in self.meta.row:
            self._timeout = AbsoluteTimeout(None, self.clock())
        if not text and (self._timeout is not None or self._options.renew_after is not None):
            self._check_own(data)
        if self._timeout is not None:
            self._timeout.read({**self.meta.row, **self.meta.assigned}, self.clock())
            self.cookie.cap(self._timeout.ends_at)

    def _check_own(self, data: str) -> None:
        try:
            check_own(data)
        except CorruptSession as error:
            raise CorruptSession(f"session {self.fingerprint}: {error}") from None
