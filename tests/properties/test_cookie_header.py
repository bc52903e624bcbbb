"""The Cookie header is read leniently and never raises: a bad cookie is a new visitor.

By examples, and by laws that hypothesis tries to break.
"""

from collections.abc import Iterable, Iterator
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sessions.formats import cookie_header
from sessions.stored_cookie import set_cookie

NAMES = st.text("!#$%&'*+-.^_`|~0129abyzABYZ", min_size=1, max_size=12)
JUNK = st.one_of(st.text(max_size=200), st.text('sid=;"% \t\x00é%3A', max_size=200))


def values(headers: Iterable[str], name: str) -> Iterator[str]:
    """The values of a name as a signer reads them, decoded one by one."""
    return map(cookie_header.decoded, cookie_header.values(headers, name))


class TestExamples:
    """Blanks, quotes, percent escapes, duplicates, two headers, rubbish in between."""

    @pytest.mark.parametrize(
        ("headers", "expected"),
        [
            ([], []),
            ([""], []),
            (["sid"], []),
            (["sid="], [""]),
            (["sid=a"], ["a"]),
            (["x=1; sid=a; y=2"], ["a"]),
            (["x=1;sid=a"], ["a"]),
            ([" \t sid \t = \t a \t ;"], ["a"]),
            (["SID=a; sidx=b; xsid=c; x=sid=d"], []),
            (["sid=a=b=="], ["a=b=="]),
            (['sid="a"'], ["a"]),
            (['sid=""'], [""]),
            (['sid="a'], ['"a']),
            (['sid="s%3Aa b"'], ["s:a b"]),
            (["sid=s%3Aa%2Fb%2Bc%3D"], ["s:a/b+c="]),
            (["sid=s%3aa%2fb"], ["s:a/b"]),
            (["sid=s:a/b+c="], ["s:a/b+c="]),
            (["sid=a+b"], ["a+b"]),
            (["sid=%C3%A9"], ["é"]),
            (["sid=%"], ["%"]),
            (["sid=%3"], ["%3"]),
            (["sid=s%3Aa%zz"], ["s%3Aa%zz"]),
            (["sid=%C3%28"], ["%C3%28"]),
            (["sid=%ED%A0%80"], ["%ED%A0%80"]),
            (["sid=%253A"], ["%3A"]),
            (["sid=%00"], ["\x00"]),
            (["sid=\x00a"], ["\x00a"]),
            (["sid=\xe9"], ["\xe9"]),
            (["sid=a; sid=b", "x=1; sid=c"], ["a", "b", "c"]),
            (["sid=; sid=b"], ["", "b"]),
            (["x=1", "sid=b"], ["b"]),
            (["x=%zz; =; ;; sid=a; \x00"], ["a"]),
        ],
    )
    def test_the_values_of_a_name_are_found_in_their_order(self, headers: list[str], expected: list[str]) -> None:
        """As the npm package cookie reads it, but that every value of the name is given, not the first alone."""
        assert list(values(headers, "sid")) == expected

    @pytest.mark.parametrize(
        "junk", ["x" * 10_000, ";" * 10_000, "=" * 10_000, "%" * 10_000, "sid;" * 2500, '"' * 10_000]
    )
    def test_ten_kilobytes_of_junk_hide_nothing(self, junk: str) -> None:
        """The cookie behind them is found."""
        assert list(values([f"{junk}; sid=a"], "sid"))[-1] == "a"

    def test_a_name_is_no_pattern(self) -> None:
        """The dot of connect.sid is a dot."""
        assert list(values(["connectXsid=a; connect.sid=b"], "connect.sid")) == ["b"]

    def test_reading_stops_where_the_caller_stops(self) -> None:
        """Of a thousand duplicates only those are decoded that somebody looks at."""
        found = values(["sid=a; " * 1000], "sid")

        assert [next(found), next(found)] == ["a", "a"]


class TestLaws:
    """What holds for every header."""

    @given(headers=st.lists(JUNK, max_size=4))
    def test_no_header_raises(self, headers: list[str]) -> None:
        """Every value that is found is text."""
        assert all(isinstance(each, str) for each in values(headers, "sid"))

    @given(name=NAMES, value=st.text(st.characters(exclude_categories=["Cs"])))
    def test_what_set_cookie_writes_is_read_back(self, name: str, value: str) -> None:
        """Under every name that the options take, whatever the value holds."""
        pair = set_cookie(name, value, {})

        assert list(values([pair], name)) == [value]

    @given(value=st.text(st.characters(exclude_categories=["Cs"])), before=JUNK, after=JUNK)
    def test_junk_around_a_cookie_does_not_touch_it(self, value: str, before: str, after: str) -> None:
        """The cookies of other names are passed over unseen; one of our name in the junk is one more candidate."""
        header = f"{before};sid={quote(value, safe='')};{after}"

        assert value in list(values([header], "sid"))

    @given(headers=st.lists(JUNK, max_size=4))
    def test_two_headers_are_read_one_after_the_other(self, headers: list[str]) -> None:
        """As if they had been joined by a semicolon (RFC 9113, section 8.2.3)."""
        assert list(values(headers, "sid")) == list(values([";".join(headers)], "sid"))
