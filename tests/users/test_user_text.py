"""Who a user is, and where a stored session has it."""

import json

import pytest

from sessions.errors import CorruptSession
from sessions.user_text import outline, signed_in_at, surplus, user_in, user_in_meta, user_text

DEEP = "[" * 2_500 + '"]}\\"{["' + "]" * 2_500


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("ada", "ada"),
        (1, "1"),
        ("1", "1"),
        (-5, "-5"),
        (2**63 - 1, "9223372036854775807"),
        (2**63, None),
        (True, None),
        (1.0, None),
        (None, None),
        ("", None),
        (" ", " "),
        ("x" * 200, "x" * 200),
        ("x" * 201, None),
        ("a\0", None),
        ("a\x7f", None),
        ("a\x85", None),
        ("\ud83d", None),
        (["ada"], None),
        ({"id": 1}, None),
        (b"ada", None),
    ],
)
def test_a_user_is_a_short_text_or_an_integer(value: object, text: str | None) -> None:
    """Whatever else is found is nobody."""
    assert user_text(value) == text


@pytest.mark.parametrize(
    ("text", "path", "user"),
    [
        ('{"user":"ada"}', ("user",), "ada"),
        ('{"cookie":{},"passport":{"user":7}}', ("passport", "user"), "7"),
        ('{"\\u0075ser":"ada"}', ("user",), "ada"),
        ('{"user":"a","user":"b"}', ("user",), "b"),
        ('{"x":{"user":"ada"}}', ("user",), None),
        ('{"user":{"user":"ada"}}', ("user",), None),
        ('["user"]', ("user",), None),
        ('{"user":"ada"', ("user",), None),
        ("", ("user",), None),
        (f'{{"x":{DEEP},"user":"ada"}}', ("user",), "ada"),
        (f'{{"x":{DEEP},"y":{{"user":"ada"}}}}', ("y", "user"), "ada"),
        (f'{{"user":{DEEP}}}', ("user",), None),
    ],
)
def test_a_user_is_found_at_its_path_alone(text: str, path: tuple[str, ...], user: str | None) -> None:
    """As JSON.parse would find it, in a text that is nested more deeply than Python decodes as well."""
    assert user_in(text, path) == user


def test_an_outline_leaves_out_what_lies_deep() -> None:
    """What is not nested too deeply is whole."""
    assert outline('{"a":[[[[1]]]]}') == {"a": [[[[1]]]]}
    deep = "[" * 500_000 + "]" * 500_000  # which no version of Python decodes
    assert outline(f'{{"a":{deep},"__meta":{{"user":"ada"}}}}') == {"a": [[None]], "__meta": {"user": "ada"}}
    with pytest.raises(CorruptSession):
        outline("[]")


@pytest.mark.parametrize(
    ("meta", "user"),
    [
        ({"user": "ada"}, "ada"),
        ({"xsrf": 'a{b}"c\\', "user": 'a"{\\'}, 'a"{\\'),
        ({"xsrf": "x"}, None),
        ({"user": {"a": 1}}, None),
        ([1], None),
    ],
)
@pytest.mark.parametrize("cookie", [{"path": "/"}, {"path": "/{}"}])
def test_the_user_of_meta_is_read_without_the_data(meta: object, user: str | None, cookie: dict[str, str]) -> None:
    """Wherever the member is, and whatever is in it."""
    first = json.dumps({"cookie": cookie, "__meta": meta, "user": "eve"}, separators=(",", ":"))
    last = json.dumps({"cookie": cookie, "user": "eve", "__meta": meta})

    assert [user_in_meta(first), user_in_meta(last), user_in_meta('{"user":"eve"}')] == [user, user, None]


def test_the_surplus_signed_in_first() -> None:
    """A session that does not say when it signed in is the oldest; the new one is none of them."""
    rows = [(f"{n}", f'{{"__meta":{{"signedInAt":{n}}}}}') for n in (3, 1, 2)] + [("?", "{}"), ("new", "{}")]

    assert surplus(rows, "new", 3) == ["?", "1"]
    assert surplus(rows, "new", 9) == []
    assert [signed_in_at(text) for text in ("{", '{"__meta":{"signedInAt":true}}')] == [0, 0]
