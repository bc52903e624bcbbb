"""The contract of sessions/store.py, continued: ids and texts are opaque, whatever characters they are made of.

Every store of the table in conftest.py, none of them by name.
"""

import asyncio
from typing import Any

import pytest

from sessions.errors import StoreError
from sessions.store import Outcome, StoredSession, Update

from .support import LATER, NEW, OLD, OTHER, listed, outcome

ODD_IDS = [
    "", " ", "a ", " a", "a.b", "it's", 'say "hi"', "back\\slash", "%", "_", "*", "?", "../../etc/passwd", "null", "0",
    "00", "1e3", "a", "A", "\u00e9", "e\u0301", "\u2603", "\U0001f600", "\u2028", "tab\there", "line\nend", '["a"]', '{"a":1}',
    "'); DROP TABLE sessions; --", "x" * 10_000, "x" * 10_001,
]  # fmt: skip
"""Ids that a `genid` may return: near each other, special to some language, or large."""

ODD_TEXTS = {
    "NUL, escaped": '{"a":"\\u0000"}',
    "lone surrogate, escaped": '{"a":"\\ud800"}',
    "backslashes": '{"a":"\\\\u0000\\\\","b":"\\""}',
    "beyond ASCII": '{"é☃":"\U0001f600\u2028\x7f"}',
    "a megabyte": '{"a":"' + "aé☃\U0001f600\\n" * 100_000 + '"}',
    "a language's": """{"a":"'; -- %s ? $1 :now $$"}""",
    "spaces, and a name twice": ' {"a": 1,\n"a":2 } ',
    "an empty string": '""',
    "a number": "1.0",
}


@pytest.mark.parametrize("text", ODD_TEXTS.values(), ids=ODD_TEXTS)
async def test_a_text_comes_back_to_the_character(store: Any, text: str) -> None:
    """Written by any verb, compared by any verb, read as it was."""
    await store.create("a", OLD)
    assert (await store.update("a", StoredSession(text, LATER), OLD.data)).outcome is Outcome.SAVED
    assert (await store.get("a")).data == text
    assert await store.touch("a", LATER + 1, text) is Outcome.SAVED
    assert await store.update("a", NEW, "else") == Update(Outcome.CONFLICT, StoredSession(text, LATER + 1))
    await store.set("a", StoredSession(text, LATER))
    assert await listed(store) == {"a": StoredSession(text, LATER)}


async def test_every_id_is_its_own(store: Any) -> None:
    """No id is taken for another one, however near."""
    rows = {sid: StoredSession(f'"{n}"', LATER) for n, sid in enumerate(ODD_IDS)}
    assert all(await asyncio.gather(*(store.create(sid, stored) for sid, stored in rows.items())))

    assert await listed(store) == rows
    assert await asyncio.gather(*map(store.get, rows)) == list(rows.values())
    for sid in ODD_IDS:
        await store.destroy(sid)
        del rows[sid]
        assert await store.length() == len(rows), sid


@pytest.mark.parametrize("odd", ["a\0b", "\0", "a\ud800"], ids=["NUL", "NUL alone", "lone surrogate"])
async def test_an_id_that_cannot_be_stored_is_refused_and_hits_nobody(store: Any, odd: str) -> None:
    """What some databases cannot hold works, or is refused; it never means another session."""
    for other in ("a", "", "a\ufffd"):
        await store.create(other, OLD)
    for call in (store.set(odd, NEW), store.update(odd, OTHER, OLD.data), store.touch(odd, LATER, OLD.data)):
        await outcome(call)
    await outcome(store.destroy(odd))

    assert await outcome(store.get(odd)) in (None, StoreError)
    assert await listed(store) == {"a": OLD, "": OLD, "a\ufffd": OLD}


@pytest.mark.parametrize(
    "text", ["before\0after", "", "'; -- %s ? $1 :now", '{"a":'], ids=["NUL", "empty", "words", "half"]
)
async def test_a_text_that_is_no_json_is_kept_or_refused(store: Any, text: str) -> None:
    """A raw NUL, which no JSON text has, or what a column of JSON does not take; it is never cut short or changed."""
    stored = StoredSession(text, LATER)
    expected = {None: stored, StoreError: None}[await outcome(store.set("a", stored))]

    assert await store.get("a") == expected


async def test_one_that_is_refused_fails_alone(store: Any) -> None:
    """Of calls that arrive together the others have the outcome they would have had."""
    calls = (
        store.create("first", OLD), store.create("second", OLD), store.destroy("a\ud800"),
        store.update("third", NEW, OLD.data), store.set("b\ud800", OLD), store.touch("c", LATER, "\ud800"), store.update("d", NEW, "\ud800"),
        store.create("fourth", OLD),
    )  # fmt: skip
    await store.create("third", OLD)
    first, second, _, third, *_, fourth = await asyncio.gather(*map(outcome, calls))

    assert (first, second, third, fourth) == (True, True, Update(Outcome.SAVED), True)


async def test_an_expiry_may_be_as_far_as_javascripts_last_date(store: Any) -> None:
    """Milliseconds are whole to the last one, also of a moment that no calendar knows."""
    last = 8_640_000_000_000_000
    await store.create("a", OLD._replace(expires_at=last - 1))
    assert await store.touch("a", last, OLD.data) is Outcome.SAVED

    assert await store.get("a") == OLD._replace(expires_at=last)
