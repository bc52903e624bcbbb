"""Every vector recorded from express-session 1.19 and its packages, held against our codecs.

cookie-signature 1.0 and uid-safe against `sessions/formats/signing.py`, cookie 0.7 against `sessions/stored_cookie.py`,
what Node's stores hold against `sessions/state.py`. A vector that only JavaScript can meet names what this
library does instead.
"""

import gzip
import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from properties.made import CoreSession

from sessions import (
    ABSENT,
    CookieOptions,
    CorruptSession,
    DataError,
    MemoryStore,
    OptionsError,
    SessionManager,
    SessionOptions,
    StoredSession,
)
from sessions.formats.cookie_header import decoded, values
from sessions.formats.signing import PREFIX, Signer, new_id
from sessions.state import SessionState
from sessions.stored_cookie import StoredCookie, set_cookie

Json = dict[str, Any]

with gzip.open(Path(__file__).parent / "transcripts" / "vectors.json.gz", "rt", encoding="utf-8") as _file:
    VECTORS: Json = json.load(_file)

DAY = 86_400_000
NAME = "connect.sid"


def each(kind: str, name: Callable[[Json], object]) -> pytest.MarkDecorator:
    """Parametrise over the vectors of a kind; each is named by its number and by what is particular to it."""
    vectors = VECTORS[kind]
    ids = [f"{number}-{str(name(one))[:60]!a}" for number, one in enumerate(vectors)]
    return pytest.mark.parametrize("vector", vectors, ids=ids)


def key(secret: str | Json) -> bytes:
    """A secret as bytes."""
    return bytes.fromhex(secret["$hex"]) if isinstance(secret, dict) else secret.encode()


def moment(value: Any) -> int | None:
    """The `{"$date": iso}` of a vector as milliseconds, in which our codec takes it; None where there is no date."""
    return int(datetime.fromisoformat(value["$date"]).timestamp() * 1000) if isinstance(value, dict) else None


def cookie_options(given: Json) -> CookieOptions:
    """The options of a vector, in express-session's spelling and with its default for SameSite."""
    options = {"sameSite": ABSENT, **given}
    if isinstance(options.get("expires"), dict):
        when = options["expires"]["$date"]
        options["expires"] = when if when == "invalid" else datetime.fromisoformat(when)
    return CookieOptions.from_mapping(options)


class World:
    """A manager at a moment that can be moved, over a memory store."""

    def __init__(self, now: int) -> None:
        self.now = now
        self.options = SessionOptions(secret="keyboard cat")
        self.store = MemoryStore(clock=self.clock)
        self.manager = SessionManager(self.store, self.options, clock=self.clock)

    def clock(self) -> int:
        """Milliseconds since the epoch."""
        return self.now

    def new(self, options: CookieOptions) -> CoreSession:
        """A new session."""

        def generate() -> tuple[str, StoredCookie]:
            return "apple", StoredCookie.new(options, self.clock, is_secure=lambda: False)

        return CoreSession(SessionState.new(self.options, self.clock, generate), self.options)

    def loaded(self, stored: StoredSession) -> CoreSession:
        """A stored session, expired or not."""
        return CoreSession(SessionState.loaded(self.options, self.clock, self.other, "apple", stored), self.options)

    async def load(self, stored: StoredSession) -> CoreSession:
        """The session that is stored under "apple"; a new one called "other" where there is none."""
        await self.store.set("apple", stored)
        return CoreSession(await self.manager.load(["apple"], self.other), self.options)

    def other(self) -> tuple[str, StoredCookie]:
        """Another session's id and cookie."""
        return "other", StoredCookie.new(CookieOptions(), self.clock, is_secure=lambda: False)


# ---------------------------------------------------------------- signatures


@each("sign", lambda vector: vector["value"])
def test_an_id_is_signed_as_cookie_signature_signs_it(vector: Json) -> None:
    assert Signer([key(vector["secret"])]).sign(vector["value"]) == PREFIX + vector["signed"]


@each("unsign", lambda vector: vector["signed"])
def test_a_signature_is_verified_as_cookie_signature_does(vector: Json) -> None:
    signed = Signer([key(vector["secret"])]).unsign(PREFIX + vector["signed"])

    assert signed == (None if vector["value"] is False else vector["value"])


def test_new_ids_look_like_those_of_uid_safe() -> None:
    uid = VECTORS["uid"]
    ids = {new_id() for _ in range(2000)}

    assert len(ids) == 2000
    assert {len(one) for one in ids} == set(uid["length"])
    assert set("".join(ids)) == set(uid["alphabet"])


# ---------------------------------------------------------------- Set-Cookie

REFUSED: dict[str, Callable[[Json], object]] = {
    "argument name is invalid": lambda vector: SessionOptions(secret="x", name=vector["name"]),
    "URI malformed": lambda vector: set_cookie(vector["name"], vector["value"], {}),
    "option expires is invalid": lambda vector: CookieOptions.from_mapping(vector["options"]),
    "option maxAge is invalid": lambda vector: CookieOptions.from_mapping(
        {"maxAge": float("nan") if isinstance(vector["options"]["maxAge"], dict) else vector["options"]["maxAge"]}
    ),
    "option path is invalid": lambda vector: set_cookie(vector["name"], vector["value"], vector["options"]),
    "option domain is invalid": lambda vector: set_cookie(vector["name"], vector["value"], vector["options"]),
    "option sameSite is invalid": lambda vector: set_cookie(vector["name"], vector["value"], vector["options"]),
    "option priority is invalid": lambda vector: set_cookie(vector["name"], vector["value"], vector["options"]),
}
"""By the error of npm's cookie: where this library refuses the same."""

MAX_DATE = 8_640_000_000_000_000
"""The last moment of a JavaScript Date, in the year 275760. Its HTTP date has six digits for the year, which
no HTTP date can have (RFC 9110, section 5.6.7): such a lifetime is refused at start instead of being sent."""


@each("serialize", lambda vector: vector["options"] or [vector["name"], vector["value"]])
def test_set_cookie_is_written_as_npm_cookie_writes_it(vector: Json) -> None:
    if "error" in vector:
        with pytest.raises((OptionsError, UnicodeError)):
            REFUSED[vector["error"]](vector)
        return
    members = dict(vector["options"] or {})
    if members.get("expires") == {"$date": MAX_DATE}:
        with pytest.raises(OptionsError, match=r"cookie\.maxAge"):
            CookieOptions(max_age=MAX_DATE)
        return
    max_age = members.pop("maxAge", None)
    members["expires"] = moment(members.get("expires"))
    expected = vector["result"]
    if max_age is not None:  # express-session never sends Max-Age, so there is nothing to write it with
        expected = expected.replace(f"; Max-Age={int(float(max_age))}", "")

    assert set_cookie(vector["name"], vector["value"], members) == expected


@each("session_set_cookie", lambda vector: vector["cookie"])
def test_a_session_sends_the_cookie_that_express_session_sends(vector: Json) -> None:
    world = World(vector["now_ms"])
    cookie = world.new(cookie_options(vector["cookie"])).state.cookie

    header = cookie.set_cookie(NAME, Signer([key(vector["secret"])]).sign(vector["sid"]))

    assert header == vector["header"]


# ---------------------------------------------------------------- Cookie


@each("parse", lambda vector: vector["header"])
def test_a_cookie_header_is_read_as_npm_cookie_reads_it(vector: Json) -> None:
    # The empty name is left out: an option `name` cannot be empty.
    expected = {name: value for name, value in vector["cookies"] if name}
    names = {*expected, "a", "b", "c", "d", "foo", "bar", "x"}

    found = {name: next(map(decoded, values([vector["header"]], name)), None) for name in names}

    assert {name: value for name, value in found.items() if value is not None} == expected


def test_a_cookie_that_javascript_loses_is_read() -> None:
    """Assigning `__proto__` makes no key in a JavaScript object: npm's cookie has no such cookie, we have."""
    assert list(values(["__proto__=x; a=b"], "__proto__")) == ["x"]


# ---------------------------------------------------------------- what is stored

NOT_JSON: dict[str, Json] = {
    "NaN and infinities become null": {"list": [float("nan")]},
    "undefined and functions are dropped from objects, null in lists": {"f": len},
    "dates are ISO strings with milliseconds": {"d": datetime.now(UTC)},
    "toJSON is honoured": {"x": object()},
    "buffers": {"b": b"hi"},
}
"""By the note of a vector: what JSON.stringify turns into something else without a word, and we refuse by name."""

REFUSED_OPTIONS = {
    "expires invalid": "cookie.expires",
    "unknown cookie keys are dropped": "cookie.foo",
}
"""By the note of a vector: options that Express takes and ignores, and what our error names."""

NUMBERS = {"numbers", "integer-like keys come first, ascending"}
"""Compared as values: JavaScript spells some floats in another way and puts integer-like keys first."""


def halves(text: str) -> tuple[str, Json]:
    """The cookie of a stored text, byte for byte in our spelling, and its data."""
    session = json.loads(text)
    cookie = session.pop("cookie")
    return json.dumps(cookie), session


def data_of(vector: Json) -> Json:
    """The data of a vector; the one stand-in that JSON can hold is replaced."""
    return {name: -0.0 if value == {"$negzero": 1} else value for name, value in vector["data"].items()}


@each("stored", lambda vector: vector["note"])
async def test_a_session_is_stored_as_node_stores_it(vector: Json) -> None:
    note = vector["note"]
    if note in REFUSED_OPTIONS:
        with pytest.raises(OptionsError, match=REFUSED_OPTIONS[note]):
            cookie_options(vector["cookie"])
        return
    world = World(vector["now_ms"])
    session = world.new(cookie_options(vector["cookie"]))
    if note in NOT_JSON:
        session.update(NOT_JSON[note])
        with pytest.raises(DataError, match=rf"session\['{next(iter(NOT_JSON[note]))}'\]"):
            session.to_store()
        return
    session.update(data_of(vector))
    session.touch()  # as the end of a request does

    texts = [session.to_store().data]
    world.now = vector["later_ms"]
    loaded = world.loaded(StoredSession(vector["json"], session.state.expires_at()))
    left = {"originalMaxAge": loaded.cookie.original_max_age, "maxAge": loaded.cookie.max_age}
    texts.append(loaded.to_store().data)
    loaded.touch()
    texts.append(loaded.to_store().data)

    expected = [vector["json"], vector["loaded_json"], vector["touched_json"]]
    if note in NUMBERS:
        assert list(map(halves, texts)) == list(map(halves, expected))
    else:
        assert texts == expected
    assert left == vector["loaded"]


# ---------------------------------------------------------------- what others have stored

OTHERWISE: dict[str, tuple[str, str]] = {
    "expires as number (epoch ms): kept as is until touched": ("1925467230123", '"2031-01-06T12:00:30.123Z"'),
    "extra cookie keys are dropped": ('"expires":"x"', '"expires":null'),
}
"""By the note of a vector: what Node writes back and what we do. A number becomes a date at once, as it does
in Node at the next touch; and no key of the stored JSON reaches a field behind it."""


def expiry(text: str, now: int) -> int:
    """When the row of a Node store expires that holds this text."""
    try:
        expires = json.loads(text)["cookie"]["expires"]
        if isinstance(expires, str):
            date = datetime.fromisoformat(expires)  # the recorder's local time was UTC
            expires = int((date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp() * 1000)
    except (ValueError, KeyError, TypeError):
        expires = None
    return now + DAY if expires is None else int(expires)


@each("read", lambda vector: vector["note"])
async def test_a_session_that_others_have_stored_is_read_as_node_reads_it(vector: Json) -> None:
    world = World(vector["now_ms"])
    stored = StoredSession(vector["text"], expiry(vector["text"], world.now))
    if vector.get("error"):
        with pytest.raises(CorruptSession):
            await world.load(stored)
        return
    session = await world.load(stored)
    assert (session.id == "apple") is vector["found"]
    if not vector["found"]:
        return

    loaded = json.dumps(session.state.cookie.to_json())
    session.touch()
    touched = json.dumps(session.state.cookie.to_json())

    node, ours = OTHERWISE.get(vector["note"], ("", ""))
    assert (loaded, dict(session)) == halves(vector["loaded_json"].replace(node, ours))
    assert (touched, dict(session)) == halves(vector["touched_json"])
