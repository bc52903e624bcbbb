"""The JSON text of a session: spelled as Node spells it, split without decoding, refused by place."""

import traceback
from collections import OrderedDict, UserDict
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from enum import Enum, IntEnum, StrEnum
from types import MappingProxyType
from typing import Any
from uuid import UUID

import orjson
import pytest

from sessions import CorruptSession, DataError
from sessions.formats.json_text import RESERVED, check, dumps, join, loads, read, split, split_slowly

HIDDEN = "4111-1111-1111-1111"
EXACT = 2**53


class Shade(StrEnum):
    """A string that json knows."""

    DARK = "dark"


class Suit(Enum):
    """An enum with members that are neither strings nor numbers."""

    HEARTS = "hearts"


@dataclass
class Card:
    """A thing that orjson would write."""

    number: str


class Level(IntEnum):
    """An integer that json knows."""

    HIGH = 3


def nested(depth: int) -> list[Any]:
    """A list in a list in a list ..."""
    value: list[Any] = []
    for _ in range(depth):
        value = [value]
    return value


def holding_itself() -> dict[str, Any]:
    """A value without an end."""
    value: dict[str, Any] = {"name": HIDDEN}
    value["list"] = [value]
    return value


def encode(data: Any) -> None:
    """What a session does to changed data: encode it, then look for what the encoder let through."""
    dumps(data)
    for key, value in data.items():
        check(key, value)


def halves(text: str) -> tuple[Any, str]:
    """A stored text as its cookie, decoded, and the text of its data: as the session reads them."""
    cookie, data = split(text)
    try:
        return loads(cookie), data
    except CorruptSession:
        cookie, data = split_slowly(text)
        return loads(cookie), data


class TestDumps:
    """Values become the text that `JSON.stringify` makes of them."""

    @pytest.mark.parametrize(
        ("value", "text"),
        [
            ({}, "{}"),
            ({"a": 1, "b": [True, False, None]}, '{"a":1,"b":[true,false,null]}'),
            ({"b": 1, "a": 2}, '{"b":1,"a":2}'),
            ({"a": {"b": {"c": []}}}, '{"a":{"b":{"c":[]}}}'),
            (("a", "b"), '["a","b"]'),
            (OrderedDict(a=Shade.DARK, b=Level.HIGH), '{"a":"dark","b":3}'),
            ("é😀\u2028\u2029\x7f", '"é😀\u2028\u2029\x7f"'),
            ('"\\/\b\f\n\r\t\x00\x1f', '"\\"\\\\/\\b\\f\\n\\r\\t\\u0000\\u001f"'),
            ("\ud800", '"\\ud800"'),
            ("a\udc00é\ud83d", '"a\\udc00é\\ud83d"'),
            ({"\udfff": 1}, '{"\\udfff":1}'),
            (0.5, "0.5"),
            (-5, "-5"),
            (EXACT, "9007199254740992"),
        ],
    )
    def test_a_value_is_spelled_as_in_node(self, value: Any, text: str) -> None:
        """No blanks, characters as they are, but lone surrogates escaped (ES2019); keys in their order."""
        assert dumps(value) == text

    def test_the_order_of_integer_like_keys_is_kept(self) -> None:
        """JavaScript enumerates them first, in ascending order: a row of Node's comes so, and goes so."""
        row = '{"2":3,"10":2,"b":1,"01":4,"-1":5}'

        assert dumps(loads(row)) == row


class TestRefused:
    """What JSON cannot hold, or Node could not read back, is refused by place; the value is never shown."""

    @pytest.mark.parametrize(
        ("value", "message"),
        [
            (float("nan"), "nan has no JSON form"),
            (float("inf"), "inf has no JSON form"),
            (float("-inf"), "-inf has no JSON form"),
            (HIDDEN.encode(), "a bytes has no JSON form"),
            ({HIDDEN}, "a set has no JSON form"),
            (datetime(2031, 1, 6, tzinfo=UTC), "a datetime has no JSON form"),
            (Decimal("4111.1111"), "a Decimal has no JSON form"),
            (complex(4111, 1), "a complex has no JSON form"),
            (date(2031, 1, 6), "a date has no JSON form"),
            (UUID(int=4111), "a UUID has no JSON form"),
            (Suit.HEARTS, "a Suit has no JSON form"),
            (Card(HIDDEN), "a Card has no JSON form"),
            (orjson.Fragment(b"1"), "a Fragment has no JSON form"),
            (object(), "a object has no JSON form"),
            (print, "a builtin_function_or_method has no JSON form"),
            (MappingProxyType({"card": HIDDEN}), "a mappingproxy has no JSON form"),
            (UserDict(card=HIDDEN), "a UserDict has no JSON form"),
            (range(4111), "a range has no JSON form"),
            ({5: HIDDEN}, "the key 5 is not a string"),
            ({None: HIDDEN}, "the key None is not a string"),
            ({True: HIDDEN}, "the key True is not a string"),
            ({("a",): HIDDEN}, "the key ('a',) is not a string"),
            (EXACT + 1, "the integer is beyond what a JavaScript number holds exactly"),
            (-EXACT - 1, "the integer is beyond what a JavaScript number holds exactly"),
            (10**5000, "the integer is beyond what a JavaScript number holds exactly"),
            (nested(100_000), "is nested more than 500 levels deep, or holds itself"),
            (holding_itself(), "is nested more than 500 levels deep, or holds itself"),
        ],
        ids=lambda value: type(value).__name__ if not isinstance(value, str) else None,
    )
    @pytest.mark.parametrize(
        ("wrap", "place"),
        [
            (lambda value: {"user": value}, "session['user']"),
            (lambda value: {"ok": 1, "users": [{}, {"card": value}]}, "session['users'][1]['card']"),
            (lambda value: {"é": (0, value)}, "session['é'][1]"),
        ],
        ids=["top", "nested", "tuple"],
    )
    def test_the_message_names_the_place_and_hides_the_value(
        self, value: Any, message: str, wrap: Callable[[Any], Any], place: str
    ) -> None:
        """Whichever of the two finds it: the encoder first, the check behind it."""
        data = wrap(value)

        with pytest.raises(DataError) as refusal:
            encode(data)

        if "nested" in message:  # no place in it has an end, so the key is named
            place = place.partition("]")[0] + "]"
        assert str(refusal.value) == f"{place}: {message}"

    def test_the_cause_does_not_show_the_value_either(self) -> None:
        """The errors of json quote what they choke on; a traceback must not."""
        with pytest.raises(DataError) as refusal:
            dumps({"user": {HIDDEN.encode()}})

        assert HIDDEN not in "".join(traceback.format_exception(refusal.value))

    def test_a_reserved_name_is_refused_at_the_top_and_nowhere_else(self) -> None:
        """A second `cookie` in the row would break it for Node; deeper down the name is anybody's."""
        check("a", {"cookie": HIDDEN, "id": 1})

        with pytest.raises(DataError, match=r"^session\['cookie'\]: the name is taken"):
            check("cookie", HIDDEN)

    @pytest.mark.parametrize("wrap", [lambda value: [value], lambda value: {"a": value}], ids=["lists", "dicts"])
    def test_500_levels_are_taken_and_no_more(self, wrap: Callable[[Any], Any]) -> None:
        """On every Python, whatever the depth that its own json can do."""
        value: Any = 1
        for _ in range(500):
            value = wrap(value)
        encode({"a": value})

        with pytest.raises(DataError, match=r"^session\['a'\]: is nested more than 500 levels deep"):
            encode({"a": wrap(value)})

    def test_a_number_as_a_key_is_refused_although_json_has_a_spelling_for_it(self) -> None:
        """`{1: ...}` would come back as `{"1": ...}`: another key."""
        with pytest.raises(DataError, match=r"^session\['a'\]: the key 1 is not a string$"):
            check("a", {1: HIDDEN})


class TestIntegers:
    """An integer is taken where Node reads it and writes the same digits."""

    @pytest.mark.parametrize(
        "number",
        [
            0, -1, EXACT - 1, EXACT, -EXACT, EXACT + 2, -EXACT - 2, 9007199254740996, 12345678901234567000,
            100000000000000000000, 123456789012345680000, 999999999999999900000, 9223372036854776000,
            18446744073709552000, -999999999999999900000,
        ],
    )  # fmt: skip
    def test_what_node_writes_with_the_same_digits_is_taken(self, number: int) -> None:
        """Recorded from `JSON.stringify(JSON.parse(digits))` in Node 20: the digits came back."""
        check("n", number)

        assert dumps({"n": number}) == f'{{"n":{number}}}'

    @pytest.mark.parametrize(
        "number",
        [
            EXACT + 1, -EXACT - 1, EXACT + 3, 12345678901234567890, 999999999999999934464, 2**63 - 1, 2**63, 2**64,
            10**21, -(10**21), 10**22, 2**1024, 10**400,
        ],
    )  # fmt: skip
    def test_what_node_writes_with_other_digits_is_refused(self, number: int) -> None:
        """There the digits came back changed, or as 1e+21."""
        with pytest.raises(DataError, match=r"^session\['n'\]: the integer is beyond"):
            check("n", number)


class TestLoads:
    """The way back."""

    @pytest.mark.parametrize(
        "text",
        [
            "", " ", "{", '{"a":1', '{"a":1}}', "{'a':1}", '{"a":NaN}', '{"a":Infinity}', '{"a":-Infinity}',
            '{"a":1e999}',
            '{"a":"4111', '{"a":"\n"}', "undefined", "[" * 100_000, "[" * 100_000 + "]" * 100_000,
            "1" * 5000, "\ufeff{}",
        ],
        ids=range(17),
    )  # fmt: skip
    def test_what_is_no_json_is_a_corrupt_session(self, text: str) -> None:
        """The message says so, and nothing of what the row holds."""
        with pytest.raises(CorruptSession) as refusal:
            loads(text)

        assert str(refusal.value) == "the stored session is not JSON"
        assert refusal.value.__suppress_context__

    def test_escaped_surrogates_are_read(self) -> None:
        """A pair becomes its character, a half stays one."""
        assert loads('"\\ud83d\\ude00 \\ud800"') == "😀 \ud800"

    def test_what_is_nested_deeper_than_we_write_is_read(self) -> None:
        """Node knows no limit."""
        value = loads("[" * 900 + "]" * 900)

        assert dumps(value) == "[" * 900 + "]" * 900


class TestSplit:
    """A stored text is the text of its cookie and that of its data, untouched."""

    @pytest.mark.parametrize(
        ("text", "cookie", "data"),
        [
            ('{"cookie":{}}', {}, "{}"),
            ('{"cookie":{"path":"/"}}', {"path": "/"}, "{}"),
            ('{"cookie":{},"a":1}', {}, '{"a":1}'),
            ('{"cookie":{},"a":1.0,"b":"\\u00e9"}', {}, '{"a":1.0,"b":"\\u00e9"}'),
            ('{"cookie":{"path":"},\\"a\\":"},"b":{"cookie":5}}', {"path": '},"a":'}, '{"b":{"cookie":5}}'),
            ('{"cookie":{"path":"/x},","domain":"a"},"b":1}', {"path": "/x},", "domain": "a"}, '{"b":1}'),
            ('{"cookie":{"x":{"a":1},"path":"/"},"b":1}', {"x": {"a": 1}, "path": "/"}, '{"b":1}'),
            ('{"cookie":{},"a": not decoded}', {}, '{"a": not decoded}'),
        ],
    )
    def test_a_text_of_node_is_cut_in_two(self, text: str, cookie: dict[str, Any], data: str) -> None:
        """What JSON.stringify wrote is not decoded behind the cookie."""
        assert halves(text) == (cookie, data)

    @pytest.mark.parametrize(
        "text",
        [
            '{"cookie":{"path":"/x"},"a":1,"cookie":{"path":"/"},"b":2}',
            '{"cookie":{"path":"/x"},"a":1,"b":2,"cookie" : {"path":"/"}}',
            '{"cookie":{"path":"/x"},"cookie":{"path":"/y"},"a":1,"b":2,"cookie":{"path":"/"}}',
            '{"cookie":{"path":"/x"},"a":1,"b":2,"co\\u006fkie":{"path":"/"}}',
            '{"a":1,"cookie":{"path":"/x"},"b":2,"cookie":{"path":"/"}}',
        ],
    )
    def test_of_two_cookies_the_last_counts(self, text: str) -> None:
        """As in JSON.parse, wherever they stand."""
        cookie, data = halves(text)

        assert cookie == {"path": "/"}
        assert loads(data) == {"a": 1, "b": 2}

    @pytest.mark.parametrize(
        "data",
        [
            '{"a":{"cookie":{"path":"/x"}}}',
            '{"a":"cookie","b": 1.0}',
            '{"a":"\\"cookie\\":{}"}',
            '{"a":[{"cookie":1},{"\\u0063ookie":2}], "b":1}',
        ],
    )
    def test_a_cookie_further_down_is_data(self, data: str) -> None:
        """And the text stays as it is, to the character."""
        assert halves(join('{"path":"/"}', data)) == ({"path": "/"}, data)

    @pytest.mark.parametrize("last", ["null", "5", '"x"', "[]"])
    def test_a_last_cookie_that_is_no_object_is_a_corrupt_session(self, last: str) -> None:
        """Whatever the first one is."""
        with pytest.raises(CorruptSession):
            halves(f'{{"cookie":{{"path":"/"}},"a":1,"cookie":{last}}}')

    @pytest.mark.parametrize(
        "text",
        [
            '{"a":1,"cookie":{"path":"/"},"b":2}',
            ' {"cookie":{"path":"/"},"a":1,"b":2}\n',
            '{ "cookie" : {"path":"/"} , "a" : 1 , "b" : 2 }',
            '{"cookie":{"path":"/"} ,"a":1,"b":2}',
            '{"cookie":{"path":"/"}, "a":1,"b":2}',
            '{"cookie": {"path":"/"},"a":1,"b":2}',
            '{"\\u0063ookie":{"path":"\\/"},"a":1,"b":2}',
        ],
    )
    def test_a_text_of_anybody_else_is_read_too(self, text: str) -> None:
        """Another order, blanks, escapes: the data then comes in our spelling."""
        cookie, data = halves(text)

        assert cookie == {"path": "/"}
        assert loads(data) == {"a": 1, "b": 2}

    @pytest.mark.parametrize(
        "text",
        [
            "", "{}", "[]", "null", '"cookie"', '{"cookie":null}', '{"cookie":5}', '{"cookie":[]}', '{"cookie":"{}"}',
            '{"a":1}', '{"cookie":{}', '{"cookie":{"path":"/"', '{"cookie":{}}}', '{"cookie":{},}', '{"cookie":{}, }',
            '{"cookie":{}x}', '{"cookie":{"originalMaxAge":NaN}}', '{"cookie":{"a":' + "[" * 100_000 + "}",
            ' {"cookie":{},"a":1e999}', '{"a":{},"cookie":{"path":1e999}}',
        ],
        ids=range(20),
    )  # fmt: skip
    def test_a_text_without_a_cookie_object_is_a_corrupt_session(self, text: str) -> None:
        """Cut off, empty, of another kind: an error, never a fresh session in its place."""
        with pytest.raises(CorruptSession):
            halves(text)

    @pytest.mark.parametrize("text", ['{"cookie":{"path":"/"}}', '{"cookie":{"path":"/"},"a":[1],"b":"}"}'])
    def test_join_puts_the_halves_together_again(self, text: str) -> None:
        """The inverse of split, to the byte."""
        cookie, data = split(text)

        assert join(cookie, data) == text


class TestRead:
    """The data of a row, decoded, as express-session would hand it to a handler."""

    def test_nested_data_is_read_whole(self) -> None:
        """Only top-level names are Node's."""
        assert read('{"a":{"cookie":1,"id":[2]},"b":null}') == {"a": {"cookie": 1, "id": [2]}, "b": None}

    @pytest.mark.parametrize("key", sorted(RESERVED - {"__meta", "__sealed"}))
    def test_a_key_that_node_would_drop_is_dropped(self, key: str) -> None:
        """A member of Object.prototype, a method of express-session's Session, the cookie."""
        assert read(f'{{"a":1,"{key}":2,"b":3}}') == {"a": 1, "b": 3}

    def test_the_reserved_keys_are_those_of_express_session(self) -> None:
        """Recorded from Node 20: `key in new Session(req, {})`, and the three that this library adds."""
        members = """constructor hasOwnProperty isPrototypeOf propertyIsEnumerable toLocaleString toString valueOf
            __proto__ __defineGetter__ __defineSetter__ __lookupGetter__ __lookupSetter__
            req id touch resetMaxAge save reload destroy regenerate"""

        assert {*members.split(), "cookie", "__meta", "__sealed"} == RESERVED

    def test_every_read_gives_values_of_its_own(self) -> None:
        """Also of the empty text: nobody shares a dict with another session."""
        first = read("{}")
        first["a"] = 1

        assert read("{}") == {}

    @pytest.mark.parametrize("data", ['{"a":', '{"a": not decoded}', "{,}", '{"a":1}}'])
    def test_what_is_no_json_is_a_corrupt_session(self, data: str) -> None:
        """Split has not looked at it; here it is found."""
        with pytest.raises(CorruptSession):
            read(data)
