"""Our reading of a stored text against JSON.parse and express-session's `createSession`, and our writing of it."""

import json
from collections.abc import Callable
from typing import Any

from clock import START, MovableClock
from hypothesis import given
from hypothesis import strategies as st
from properties.made import CoreSession, loaded_from

from sessions import CorruptSession, StoredSession
from sessions.formats.json_text import META, dumps
from sessions.stored_cookie import iso

from .conftest import Node

MOMENT = START + 60_000
COOKIE: dict[str, list[Any]] = {
    "originalMaxAge": [60_000, 1, None, False],
    "expires": [iso(MOMENT), None, False, 0],
    "httpOnly": [True, False],
    "path": ["/", "/app", "/a}b"],
    "secure": [True, False],
    "sameSite": ["lax", True],
    "domain": ["example.com"],
    "other": [1],
}
"""The members of a stored cookie, and values that they have."""

ATTRIBUTES = [name for name in COOKIE if name not in ("expires", "other")]
BLANKS = st.sampled_from(["", "", "", " ", "\n\t"])
NUMBERS = st.sampled_from(
    ["0", "-0", "1", "1.0", "1e3", "1E+2", "0.1", "-5", "9007199254740991", "123456789012345680000"]
)
TEXTS = st.text('aé😀"\\/\x7f\u2028', max_size=4) | st.sampled_from(["cookie", '"cookie":{}', '{"cookie":{', "},"])
KEYS = st.sampled_from(["a", "b", "é", "", "cookies", "user", "id", "touch", "toString", "__proto__", "0", "10"])


def escaped(text: str) -> str:
    """The spelling of a text with every character escaped."""
    return '"' + "".join(f"\\u{unit:04x}" for unit in memoryview(text.encode("utf-16-le")).cast("H")) + '"'


SPELLED: st.SearchStrategy[Callable[[str], str]] = st.sampled_from(
    [json.dumps, lambda text: json.dumps(text, ensure_ascii=False), escaped]
)


@st.composite
def strings(draw: st.DrawFn, texts: st.SearchStrategy[str]) -> str:
    """A string in one of its spellings."""
    return str(draw(SPELLED)(draw(texts)))


@st.composite
def objects(draw: st.DrawFn, members: st.SearchStrategy[list[tuple[str, str]]]) -> str:
    """An object of members, `(key, value)` as they are spelled, with blanks between."""
    pairs = (f"{key}{draw(BLANKS)}:{draw(BLANKS)}{value}" for key, value in draw(members))
    return "{" + f"{draw(BLANKS)},{draw(BLANKS)}".join(pairs) + draw(BLANKS) + "}"


VALUES = st.recursive(
    NUMBERS | strings(TEXTS) | st.sampled_from(["true", "false", "null"]),
    lambda inner: (
        st.lists(inner, max_size=3).map(lambda each: f"[{','.join(each)}]")
        | objects(st.lists(st.tuples(strings(KEYS | st.just("cookie")), inner), max_size=3))
    ),
    max_leaves=6,
)
COOKIES = objects(
    st.fixed_dictionaries({}, optional={name: st.sampled_from(each) for name, each in COOKIE.items()}).map(
        lambda each: [(json.dumps(name), json.dumps(value)) for name, value in each.items()]
    )
)
MEMBERS = st.tuples(strings(KEYS), VALUES) | st.tuples(strings(st.just("cookie")), COOKIES | st.just("null"))
ROWS = objects(st.lists(MEMBERS, max_size=5)) | st.tuples(COOKIES, st.lists(MEMBERS, max_size=4)).map(
    lambda row: f'{{"cookie":{row[0]}' + "".join(f",{key}:{value}" for key, value in row[1]) + "}"
)
"""Texts of sessions: the cookie first, as it is stored, or anywhere, once, more often or not at all.

It is an object or null. Of anything else Node takes what is false for a cookie of defaults; here it is a corrupt session.
"""


def read(text: str) -> CoreSession | None:
    """The session that we make of a text; None where it is none."""
    try:
        session = loaded_from(MovableClock(), StoredSession(text, MOMENT))
        dict(session)
    except CorruptSession:
        return None
    return session


def plain(value: Any) -> Any:
    """A value in which a number is what it is to JavaScript, and the order of keys does not count."""
    if isinstance(value, dict):
        return {key: plain(each) for key, each in sorted(value.items())}
    if isinstance(value, list):
        return [plain(each) for each in value]
    return ("number", float(value)) if type(value) in (int, float) else value


@given(text=ROWS)
def test_a_row_is_read_as_express_session_reads_it(node: Node, text: str) -> None:
    """The same keys and values, the same attributes, or no session at all; of two members of a name the last counts."""
    try:
        theirs = node.ask("row", text=text)
    except ValueError:
        theirs = None

    ours = read(text)

    if theirs is None or ours is None:
        assert ours is theirs, text
        return
    cookie = ours.state.cookie
    assert plain(dict(ours)) == plain(theirs["data"])
    assert {name: cookie.member(name) for name in ATTRIBUTES} == {
        name: theirs["cookie"].get(name) for name in ATTRIBUTES
    }
    assert ("Expires=" in cookie.set_cookie("sid", "x"), cookie.has_expiry) == (theirs["hasDate"], theirs["hasExpiry"])


@given(text=VALUES)
def test_a_value_is_written_as_json_stringify_writes_it(node: Node, text: str) -> None:
    """What Node has written we write to the character, but for a number that Python has as a float."""
    written = node.ask("stringify", text=text)

    assert plain(json.loads(dumps(json.loads(written)))) == plain(json.loads(written))
    if "." not in text and "e" not in text.lower() and META not in text:
        assert dumps(json.loads(written)) == written
