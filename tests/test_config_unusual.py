"""Values that are legal and mostly a mistake: a warning when the file is read, and no word where all is well."""

import logging
from pathlib import Path

import pytest

from sessions import CookieOptions, OptionsError, SessionOptions
from sessions.config import ConfigFile

FILE = Path("my.toml")
SECRET = "of-the-tests-and-as-long-as-a-server-demands"

pytestmark = pytest.mark.usefixtures("folder")


def warnings(text: str, caplog: pytest.LogCaptureFixture) -> list[str]:
    """What is said of a file."""
    FILE.write_text(text)
    ConfigFile(FILE).config(exposed=False)
    assert {each.levelno for each in caplog.records} <= {logging.WARNING}
    return [each.getMessage() for each in caplog.records]


@pytest.mark.parametrize(
    ("option", "seconds"),
    [
        ("[session]\ncookie.maxAge", 3_600),
        ("[session]\ncookie.maxAge", 86_400),
        ("[session]\ncookie.maxAge", 604_800),
        ("[session]\ncookie.maxAge", 2_592_000),
        ("[session]\ncookie.originalMaxAge", 86_400),
        ("[session]\nttl", 1_800),
        ("[session]\nttl", 31_536_000),
        ("[session]\nabsoluteTimeout", 43_200),
        ("[session]\ntouchAfter", 60),
        ("[session]\nstoreTimeout", 5),
        ("[session]\nwatchInterval", 5),
        ("[sweeper]\ninterval", 60),
        ("[sqlite]\nbusyTimeout", 2),
        ("[redis]\ntimeout", 3),
        ("[postgres]\ntimeout", 4),
    ],
)
def test_seconds_for_milliseconds_are_warned_of(caplog: pytest.LogCaptureFixture, option: str, seconds: int) -> None:
    """With what to write instead."""
    table, _, name = option.partition("\n")

    found = warnings(f"{option} = {seconds}\n", caplog)

    assert found == [f"{table} {name}: {seconds} are milliseconds; for as many seconds write {seconds * 1000}"]


def test_a_date_that_has_passed_is_warned_of(caplog: pytest.LogCaptureFixture) -> None:
    """No session lives with it."""
    found = warnings("[session]\ncookie.expires = 2020-01-01T00:00:00Z\n", caplog)

    when = "2020-01-01 00:00:00+00:00 has passed"
    assert found == [
        f"[session] cookie.expires: {when}: every new session has expired when it is made; give maxAge, or a later date"
    ]


def test_an_overwrite_of_what_was_revoked_is_warned_of(caplog: pytest.LogCaptureFixture) -> None:
    """Where users are known, a revocation is expected to last."""
    (found,) = warnings('[session]\nconflict = "overwrite"\nuserKey = "user"\n', caplog)

    assert found.startswith('[session] conflict = "overwrite": a request in flight brings back a session')


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[session]\ncookie.maxAge = 86400000\ntouchAfter = 60000\n",
        "[session]\ncookie.maxAge = 60000\ntouchAfter = 0\n",
        "[session]\nttl = 1800000\nabsoluteTimeout = 28800000\nstoreTimeout = 200\n",
        "[session]\ncookie.maxAge = 10800000\n",
        "[session]\ncookie.expires = 2999-01-01T00:00:00Z\n",
        "[session]\ncookie.expires = false\ncookie.maxAge = false\n",
        "[sqlite]\nbusyTimeout = 0\n[sweeper]\ninterval = 1000\n",
    ],
)
def test_what_is_usual_is_taken_without_a_word(caplog: pytest.LogCaptureFixture, text: str) -> None:
    """Minutes, hours and days in milliseconds, and 0."""
    assert warnings(text, caplog) == []


@pytest.mark.parametrize(
    ("options", "lifetime"),
    [
        ({"cookie": CookieOptions(max_age=60_000), "touch_after": 60_000}, "cookie.maxAge, which is 60000"),
        ({"cookie": CookieOptions(max_age=60_000), "touch_after": 90_000}, "cookie.maxAge, which is 60000"),
        ({"ttl": 60_000, "touch_after": 60_000}, "ttl, which is 60000"),
        ({"ttl": 5, "cookie": CookieOptions(max_age=False), "touch_after": 5}, "ttl, which is 5"),
        (
            {"cookie": CookieOptions(max_age=9_000, original_max_age=5_000), "touch_after": 7_000},
            "cookie.originalMaxAge, which is 5000",
        ),
        (
            {"cookie": CookieOptions(max_age=60_000), "touch_after": 60_000, "rolling": True},
            "cookie.maxAge, which is 60000",
        ),
    ],
)
def test_a_renewal_after_the_end_is_refused(options: dict[str, object], lifetime: str) -> None:
    """A visitor who only reads would be signed out, in the middle of their visit."""
    with pytest.raises(OptionsError) as error:
        SessionOptions(secret=SECRET, **options)  # type: ignore[arg-type] # options of a table

    assert str(error.value) == f"touchAfter: expected less than {lifetime}, got {options['touch_after']}"


@pytest.mark.parametrize(
    "options",
    [
        {"cookie": CookieOptions(max_age=60_000), "touch_after": 59_999},
        {"cookie": CookieOptions(max_age=60_000), "ttl": 5, "touch_after": 6},
        {"ttl": 5, "touch_after": 4},
        {"cookie": CookieOptions(max_age=0), "touch_after": 0},
        {"cookie": CookieOptions(max_age=-1)},
    ],
)
def test_a_renewal_before_the_end_is_taken(options: dict[str, object]) -> None:
    """Of maxAge, or of ttl for a session that has none; a cookie that has expired already is nobody's to renew."""
    given = SessionOptions(secret=SECRET, **options)  # type: ignore[arg-type] # options of a table

    assert given.touch_after == options.get("touch_after")
