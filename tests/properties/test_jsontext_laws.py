"""The laws of the JSON text: what goes in comes out, and the two halves of a row are the row."""

import json
import math
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from sessions import CorruptSession, DataError
from sessions.formats.json_text import RESERVED, check, dumps, join, loads, read, split, split_slowly

TEXT = st.text(st.characters())  # lone surrogates too
KEYS = st.text(st.characters(), max_size=8)
EXACT = st.integers(-(2**53), 2**53)
SCALARS = st.none() | st.booleans() | EXACT | st.floats(allow_nan=False, allow_infinity=False) | TEXT
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=4), max_leaves=12
)
DATA = st.dictionaries(KEYS.filter(lambda key: key not in RESERVED), VALUES, max_size=5)
COOKIES = st.dictionaries(KEYS, VALUES, max_size=4)
BLANKS = st.text(" \t\r\n", max_size=3)


def halves(text: str) -> tuple[str, str]:
    """The two halves of a stored text, as the session reads them: guessed first, then known."""
    cookie, data = split(text)
    try:
        loads(cookie)
    except CorruptSession:
        return split_slowly(text)
    return cookie, data


@given(value=VALUES)
def test_any_json_value_comes_back_as_it_went(value: Any) -> None:
    """Types too: 1 is not 1.0, and neither is true."""
    check("value", value)

    assert repr(loads(dumps(value))) == repr(value)


@given(value=VALUES)
def test_the_text_is_what_the_standard_library_would_read(value: Any) -> None:
    """And it can be sent: no lone surrogate is left in it."""
    text = dumps(value)

    assert json.loads(text) == value
    assert text.encode().decode() == text


@given(cookie=COOKIES, data=DATA)
def test_split_and_join_are_inverse(cookie: dict[str, Any], data: dict[str, Any]) -> None:
    """To the byte, and the text of the data is the data's."""
    text = join(dumps(cookie), dumps(data))

    members, rest = halves(text)

    assert (loads(members), rest, read(rest)) == (cookie, dumps(data), data)
    assert join(members, rest) == text


@given(cookie=COOKIES, data=DATA, blanks=st.lists(BLANKS, min_size=4, max_size=4), at=st.integers(min_value=0))
def test_a_foreign_spelling_is_read_as_the_same(
    cookie: dict[str, Any], data: dict[str, Any], blanks: list[str], at: int
) -> None:
    """Blanks, escapes, and the cookie at any place among the keys."""
    members = list(data.items())
    members.insert(at % (len(members) + 1), ("cookie", cookie))
    text = blanks[0] + json.dumps(dict(members), separators=(f"{blanks[1]},{blanks[2]}", f":{blanks[3]}"))

    found, rest = halves(text)

    assert loads(found) == cookie
    assert read(rest) == data
    assert list(read(rest)) == list(data)


@given(text=st.text('{}[]",:cookie\\ 0.e-\ud800', max_size=40) | st.builds('{{"cookie":{}{}'.format, VALUES, TEXT))
def test_no_text_raises_anything_but_corrupt_session(text: str) -> None:
    """Whatever a row holds: its two halves, or the one error that says so."""
    try:
        cookie, data = halves(text)
    except CorruptSession:
        return

    assert all(half.startswith("{") and half.endswith("}") for half in (cookie, data))


@given(cookie=COOKIES, data=DATA, cut=st.integers(min_value=1))
def test_a_row_that_was_cut_off_is_corrupt(cookie: dict[str, Any], data: dict[str, Any], cut: int) -> None:
    """At any place: at the load already, or when somebody looks at the data."""
    text = join(dumps(cookie), dumps(data))
    torn = text[: -(cut % len(text) or 1)]

    try:
        members, rest = halves(torn)
        loads(members)
        read(rest)
    except CorruptSession:
        return
    raise AssertionError(f"{torn!r} was read as a session")


@given(value=st.integers() | st.floats())
def test_every_number_that_is_taken_is_one_that_node_reads(value: float) -> None:
    """A JavaScript number is a double: as one it has the value that was put in."""
    try:
        check("n", value)
    except DataError:
        return

    assert math.isfinite(value)
    assert float(value) == value
