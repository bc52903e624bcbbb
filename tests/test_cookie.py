"""The session cookie: its attributes and lifetime, its JSON view, the Set-Cookie header that sends and clears it."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from clock import MovableClock

from sessions import ABSENT, Cookie, CookieOptions, CorruptSession, OptionsError
from sessions.stored_cookie import StoredCookie, is_moment, iso, set_cookie

NOON = 1_925_467_200_123  # 2031-01-06T12:00:00.123Z
MINUTE = 60_000
DAY = 86_400_000
LAST = 253_402_300_799_999  # 9999-12-31T23:59:59.999Z


@pytest.fixture
def clock() -> MovableClock:
    """Noon, and some milliseconds."""
    return MovableClock(NOON)


class CoreCookie(Cookie):
    """A handler's cookie with everything of the stored one in reach."""

    __slots__ = ()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stored, name)

    @property
    def expires_ms(self) -> int | None:
        """`expires` in milliseconds since the epoch; None for one that lives until the browser is closed."""
        expires = self._stored.member("expires")
        return expires if is_moment(expires) else None


def new(clock: MovableClock, **options: Any) -> CoreCookie:
    """The cookie of a new session on an insecure request, by default without SameSite."""
    made = CookieOptions(**{"same_site": ABSENT, **options})
    return CoreCookie(StoredCookie.new(made, clock, is_secure=lambda: False))


def load(clock: MovableClock, expires_at: int = NOON + MINUTE, **stored: Any) -> CoreCookie:
    """The cookie of a stored session."""
    return CoreCookie(StoredCookie.load(json.dumps(stored), expires_at, clock))


def never() -> bool:
    """An answer that nobody should ask for."""
    raise AssertionError("the request was asked whether it is secure")


class TestNew:
    """The cookie of a new session is made of the options."""

    def test_without_options_it_is_the_cookie_of_express(self, clock: MovableClock) -> None:
        """Path, HttpOnly and no lifetime; what was never given is not there."""
        assert new(clock).to_json() == {"originalMaxAge": None, "expires": None, "httpOnly": True, "path": "/"}

    def test_members_stand_in_express_order(self, clock: MovableClock) -> None:
        """Node compares texts, so the order of the JSON view is part of the format."""
        cookie = new(
            clock, path="/app", domain="example.com", max_age=MINUTE, http_only=False, secure=True, same_site="none",
            partitioned=True, priority="high",
        )  # fmt: skip

        assert cookie.text() == (
            '{"originalMaxAge":60000,"partitioned":true,"priority":"high","expires":"2031-01-06T12:01:00.123Z",'
            '"secure":true,"httpOnly":false,"domain":"example.com","path":"/app","sameSite":"none"}'
        )
        assert list(cookie.to_json().items()) == list(json.loads(cookie.text()).items())

    @pytest.mark.parametrize("value", [None, False])
    def test_null_and_false_stay_what_they_are(self, clock: MovableClock, value: Any) -> None:
        """Absent, null and false are three things in Node's rows."""
        cookie = new(clock, secure=value, same_site=value, partitioned=value, max_age=value)

        members = ("originalMaxAge", "partitioned", "expires", "secure", "sameSite")
        assert {name: cookie.to_json()[name] for name in members} == dict.fromkeys(members, value)

    @pytest.mark.parametrize(("is_secure", "same_site"), [(True, "none"), (False, "lax")])
    def test_auto_is_resolved_by_the_request(self, clock: MovableClock, is_secure: bool, same_site: str) -> None:
        """Once, when the session is made: what is stored is the answer."""
        options = CookieOptions(secure="auto", same_site="auto")

        cookie = Cookie(StoredCookie.new(options, clock, is_secure=lambda: is_secure))

        assert (cookie.secure, cookie.same_site) == (is_secure, same_site)

    def test_an_answer_of_none_is_a_no(self, clock: MovableClock) -> None:
        """A handler may override `is_secure` and return nothing: at a new id "auto" still raises sameSite."""
        options = CookieOptions(secure="auto", same_site="auto")
        cookie = StoredCookie.new(CookieOptions(same_site=False), clock, is_secure=never)

        cookie.ask_again(StoredCookie.new(options, clock, is_secure=lambda: None))  # type: ignore[arg-type, return-value] # the mistake

        assert cookie.member("sameSite") == "lax"

    def test_without_auto_the_request_is_not_asked(self, clock: MovableClock) -> None:
        """Whether it is secure is worked out only where it matters."""
        cookie = Cookie(StoredCookie.new(CookieOptions(secure=True, same_site="strict"), clock, is_secure=never))

        assert cookie.secure is True

    def test_an_original_max_age_of_its_own_takes_over_at_the_first_touch(self, clock: MovableClock) -> None:
        """The first lifetime is max_age, every later one original_max_age."""
        cookie = new(clock, max_age=MINUTE, original_max_age=DAY)
        first = cookie.max_age

        cookie.touch()

        assert (first, cookie.max_age) == (MINUTE, DAY)

    def test_an_original_max_age_of_null_is_none_of_its_own(self, clock: MovableClock) -> None:
        """It is then that of max_age, as in Express."""
        assert new(clock, max_age=MINUTE, original_max_age=None).original_max_age == MINUTE


class TestLifetime:
    """`expires` and `max_age` are two views of one moment; `original_max_age` is what a touch starts again."""

    def test_max_age_counts_down(self, clock: MovableClock) -> None:
        """It is what is left, below zero when it is over."""
        cookie = new(clock, max_age=MINUTE)
        left = []

        for now in (NOON, NOON + 1234, NOON + MINUTE + 1):
            clock.now = now
            left.append(cookie.max_age)

        assert left == [MINUTE, MINUTE - 1234, -1]

    def test_a_touch_starts_the_lifetime_again(self, clock: MovableClock) -> None:
        """From the moment of the touch, for the original lifetime."""
        cookie = new(clock, max_age=MINUTE)

        clock.forward(5000)
        cookie.touch()

        assert cookie.expires_ms == NOON + 5000 + MINUTE
        assert cookie.original_max_age == MINUTE

    def test_assigning_max_age_sets_all_three(self, clock: MovableClock) -> None:
        """For good: a touch starts the new lifetime."""
        cookie = new(clock, max_age=MINUTE)

        cookie.max_age = 1000

        assert (cookie.max_age, cookie.original_max_age) == (1000, 1000)
        assert cookie.expires == datetime(2031, 1, 6, 12, 0, 1, 123_000, tzinfo=UTC)

    def test_assigning_expires_sets_all_three(self, clock: MovableClock) -> None:
        """A date becomes the lifetime that is left until it; later touches slide past it, as in Express."""
        cookie = new(clock)

        cookie.expires = datetime(2031, 1, 6, 12, 1, 0, 123_000, tzinfo=UTC)

        assert (cookie.max_age, cookie.original_max_age, cookie.expires_ms) == (MINUTE, MINUTE, NOON + MINUTE)

    @pytest.mark.parametrize("value", [None, False])
    @pytest.mark.parametrize("name", ["max_age", "expires"])
    def test_without_a_lifetime_it_lives_until_the_browser_is_closed(
        self, clock: MovableClock, name: str, value: Any
    ) -> None:
        """None and False both mean so, and both stay through a touch."""
        cookie = new(clock, max_age=MINUTE)

        setattr(cookie, name, value)
        cookie.touch()

        assert [cookie.max_age, cookie.original_max_age, cookie.expires, cookie.expires_ms] == [
            value,
            value,
            value,
            None,
        ]

    @pytest.mark.parametrize(("max_age", "has_expiry"), [(MINUTE, True), (0, True), (False, True), (None, False)])
    def test_false_counts_as_an_expiry_and_none_does_not(
        self, clock: MovableClock, max_age: Any, has_expiry: bool
    ) -> None:
        """Express asks `expires != null`."""
        assert new(clock, max_age=max_age).has_expiry is has_expiry

    def test_fractions_of_a_millisecond_are_dropped(self, clock: MovableClock) -> None:
        """A JavaScript Date has none."""
        cookie = new(clock, max_age=1500.7)

        assert cookie.to_json()["originalMaxAge"] == 1500
        assert cookie.expires_ms == NOON + 1500

    @pytest.mark.parametrize("microsecond", [123_000, 123_999])
    def test_an_expires_option_in_the_past_leaves_less_than_nothing(
        self, clock: MovableClock, microsecond: int
    ) -> None:
        """The session is over before it begins, as in Express."""
        cookie = new(clock, expires=datetime(2031, 1, 6, 11, 59, 0, microsecond, tzinfo=UTC))

        assert (cookie.max_age, cookie.original_max_age) == (-MINUTE, -MINUTE)

    @pytest.mark.parametrize("max_age", [2.5e14, -2.5e14, 0, -1])
    def test_every_lifetime_that_is_accepted_can_be_sent_and_stored(self, clock: MovableClock, max_age: float) -> None:
        """No number passes the start and fails in a response."""
        cookie = new(clock, max_age=max_age)

        assert "; Expires=" in cookie.set_cookie("sid", "x")
        assert cookie.expires is not None
        assert json.loads(cookie.text())["originalMaxAge"] == max_age

    def test_a_session_that_expires_at_the_last_moment_can_be_touched(self, clock: MovableClock) -> None:
        """`expires` in the year 9999 is how people say for ever; later moments have no HTTP date."""
        cookie = new(clock, expires=datetime.max.replace(tzinfo=UTC))

        clock.forward(5000)
        cookie.touch()

        assert cookie.expires_ms == LAST
        assert "; Expires=Fri, 31 Dec 9999 23:59:59 GMT" in cookie.set_cookie("sid", "x")

    def test_a_lifetime_that_ends_before_all_dates_ends_at_the_epoch(self, clock: MovableClock) -> None:
        """Over is over."""
        assert new(clock, max_age=-2.5e14).expires_ms == 0

    def test_a_row_that_expires_beyond_all_dates_can_be_sent(self, clock: MovableClock) -> None:
        """Rows may come from other programs, with more digits in their dates."""
        cookie = load(clock, 8_640_000_000_000_000, originalMaxAge=DAY, expires="+275760-09-13T00:00:00.000Z")

        assert cookie.expires == datetime(9999, 12, 31, 23, 59, 59, 999_000, tzinfo=UTC)


class TestAssignment:
    """A handler may assign what the options may hold; what cannot be sent is refused on that line."""

    @pytest.mark.parametrize(
        ("name", "value", "attribute"),
        [
            ("path", "/app", "; Path=/app"), ("path", None, ""), ("domain", "example.com", "; Domain=example.com"),
            ("secure", True, "; Secure"), ("same_site", True, "; SameSite=Strict"),
            ("same_site", False, ""),
            ("same_site", "None", "; SameSite=None"), ("partitioned", True, "; Partitioned"),
            ("priority", "LOW", "; Priority=Low"),
            ("http_only", True, "; HttpOnly"), ("http_only", False, ""),
        ],
    )  # fmt: skip
    def test_an_attribute_that_was_assigned_is_sent(
        self, clock: MovableClock, name: str, value: Any, attribute: str
    ) -> None:
        """And read back as it was assigned."""
        cookie = new(clock, path=None, http_only=False)

        setattr(cookie, name, value)

        assert cookie.set_cookie("sid", "x") == f"sid=x{attribute}"
        assert getattr(cookie, name) == value

    @pytest.mark.parametrize(
        ("name", "values", "option"),
        [
            ("path", ["/a;b", "/a\r\nX: y", 5], "path"),
            ("domain", ["a b", "a;b", 5], "domain"),
            ("http_only", ["true", 1], "httpOnly"),
            ("secure", ["true", 1, "auto"], "secure"),
            ("same_site", ["laxx", 1, "auto", "AUTO"], "sameSite"),
            ("partitioned", [1], "partitioned"),
            ("priority", ["urgent", True], "priority"),
            ("max_age", ["5", True, float("nan"), float("inf"), 1e300, ABSENT], "maxAge"),
            ("original_max_age", ["5", True, 1e300, ABSENT], "originalMaxAge"),
            ("expires", ["2031-01-06", NOON, datetime(2031, 1, 6), ABSENT], "expires"),  # noqa: DTZ001 # naive on purpose
        ],
    )
    def test_what_cannot_be_sent_is_refused_and_changes_nothing(
        self, clock: MovableClock, name: str, values: list[Any], option: str
    ) -> None:
        """The message names the option in express-session's spelling."""
        cookie = new(clock, max_age=MINUTE)
        before = cookie.text()

        for value in values:
            with pytest.raises(OptionsError, match=rf"^cookie\.{option}: expected"):
                setattr(cookie, name, value)

        assert cookie.text() == before

    def test_no_attribute_can_be_invented(self, clock: MovableClock) -> None:
        """A mistyped name is an error, not a setting without effect."""
        with pytest.raises(AttributeError):
            new(clock).maxAge = 5  # type: ignore[attr-defined] # that is the point


class TestLoad:
    """The stored cookie, whoever stored it, decides the attributes of a loaded session."""

    def test_what_was_stored_comes_back(self, clock: MovableClock) -> None:
        """A round trip through the text changes nothing."""
        text = new(clock, domain="a.com", max_age=MINUTE, secure=True, same_site="lax", priority="low").text()

        assert load(clock, **json.loads(text)).text() == text

    @pytest.mark.parametrize(
        ("stored", "loaded"),
        [
            ({}, {"expires": None, "httpOnly": True, "path": "/"}),
            ({"path": None, "httpOnly": None}, {"expires": None, "httpOnly": None, "path": None}),
            ({"httpOnly": False, "path": "/a"}, {"expires": None, "httpOnly": False, "path": "/a"}),
            ({"foo": 1, "_expires": 2, "signed": True}, {"expires": None, "httpOnly": True, "path": "/"}),
            ({"expires": "no date"}, {"expires": None, "httpOnly": True, "path": "/"}),
            ({"expires": False}, {"expires": False, "httpOnly": True, "path": "/"}),
            ({"expires": 0}, {"expires": False, "httpOnly": True, "path": "/"}),
            (
                {"expires": 0.0, "originalMaxAge": 5},
                {"originalMaxAge": 5, "expires": False, "httpOnly": True, "path": "/"},
            ),
        ],
    )
    def test_a_foreign_cookie_is_filled_with_defaults(
        self, clock: MovableClock, stored: dict[str, Any], loaded: dict[str, Any]
    ) -> None:
        """What Express fills in is filled in, what it does not know is dropped."""
        assert load(clock, **stored).to_json() == loaded

    @pytest.mark.parametrize(
        "expires", ["2031-01-06T12:01:00.123Z", "2031-01-06T12:01:00Z", NOON, "+275760-09-13T00:00:00.000Z"]
    )
    def test_the_moment_of_the_row_counts_before_that_of_the_text(self, clock: MovableClock, expires: Any) -> None:
        """A touch moves the row's expiry and leaves the text."""
        cookie = load(clock, NOON + 5 * MINUTE, originalMaxAge=MINUTE, expires=expires)

        assert (cookie.expires_ms, cookie.max_age) == (NOON + 5 * MINUTE, 5 * MINUTE)

    def test_without_an_original_max_age_the_first_touch_takes_the_expiry_away(self, clock: MovableClock) -> None:
        """As in Express: `originalMaxAge` is undefined then."""
        cookie = load(clock, expires="2031-01-06T12:01:00.123Z")

        cookie.touch()

        assert cookie.to_json() == {"httpOnly": True, "path": "/"}
        assert (cookie.expires, cookie.has_expiry) == (None, False)

    @pytest.mark.parametrize("lifetime", [None, False])
    def test_a_stored_cookie_without_a_lifetime_stays_so(self, clock: MovableClock, lifetime: Any) -> None:
        """Null or false, through a touch too."""
        cookie = load(clock, originalMaxAge=lifetime, expires=lifetime)

        cookie.touch()

        assert (cookie.original_max_age, cookie.expires, cookie.expires_ms) == (lifetime, lifetime, None)

    @pytest.mark.parametrize("lifetime", ["60000", True, [60_000], {}, 1e300])
    def test_a_stored_lifetime_that_is_no_number_is_a_corrupt_session(self, clock: MovableClock, lifetime: Any) -> None:
        """It would become the row's expiry."""
        with pytest.raises(CorruptSession):
            load(clock, originalMaxAge=lifetime, expires="2031-01-06T12:01:00.123Z")

    @pytest.mark.parametrize("lifetime", ["999999999999999", "007"])
    def test_nor_is_one_that_no_row_of_node_s_has(self, clock: MovableClock, lifetime: str) -> None:
        """Also where the cookie is spelled as Node spells it, which is read without a look at every member."""
        with pytest.raises(CorruptSession):
            StoredCookie.load(
                f'{{"originalMaxAge":{lifetime},"expires":"2031-01-06T12:01:00.123Z","path":"/"}}', NOON, clock
            )


class TestSetCookie:
    """The header to the byte as the npm package cookie 0.7 writes it."""

    def test_attributes_stand_in_npm_cookies_order(self, clock: MovableClock) -> None:
        """Domain, Path, Expires, HttpOnly, Secure, Partitioned, Priority, SameSite; never Max-Age."""
        cookie = new(
            clock, same_site=True, priority="Medium", partitioned=True, secure=True, http_only=True, max_age=MINUTE,
            path="/app", domain=".example.com",
        )  # fmt: skip

        assert cookie.set_cookie("sid", "s:a.b+/=") == (
            "sid=s%3Aa.b%2B%2F%3D; Domain=.example.com; Path=/app; Expires=Mon, 06 Jan 2031 12:01:00 GMT; HttpOnly; "
            "Secure; Partitioned; Priority=Medium; SameSite=Strict"
        )

    @pytest.mark.parametrize(
        ("value", "written"),
        [
            ("aZ09-_.!~*'()", "aZ09-_.!~*'()"),
            ('; ",\\\t=%', "%3B%20%22%2C%5C%09%3D%25"),
            ("é😀", "%C3%A9%F0%9F%98%80"),
            ("", ""),
        ],
    )
    def test_a_value_is_encoded_as_javascript_does(self, value: str, written: str) -> None:
        """`encodeURIComponent`, so nothing in a value can end it."""
        assert set_cookie("sid", value, {}) == f"sid={written}"

    @pytest.mark.parametrize(("moment", "date"), [
        (0, "Thu, 01 Jan 1970 00:00:00 GMT"), (999, "Thu, 01 Jan 1970 00:00:00 GMT"),
        (-1, "Wed, 31 Dec 1969 23:59:59 GMT"), (951_782_400_000, "Tue, 29 Feb 2000 00:00:00 GMT"),
        (LAST, "Fri, 31 Dec 9999 23:59:59 GMT"),
    ])  # fmt: skip
    def test_the_date_is_in_whole_seconds_rounded_down(self, moment: int, date: str) -> None:
        """As `Date.prototype.toUTCString`."""
        assert set_cookie("sid", "", {"expires": moment}) == f"sid=; Expires={date}"

    def test_clearing_keeps_the_attributes_and_the_past_ends_it(self, clock: MovableClock) -> None:
        """A browser removes a cookie only if Domain and Path are the same, and obeys the prefixes then too."""
        cookie = new(
            clock, domain="a.com", path="/app", max_age=MINUTE, secure=True, partitioned=True, same_site="none"
        )
        before = cookie.text()

        header = cookie.clearing("sid")

        assert header == (
            "sid=; Domain=a.com; Path=/app; Expires=Thu, 01 Jan 1970 00:00:00 GMT; HttpOnly; Secure; Partitioned; "
            "SameSite=None"
        )
        assert cookie.text() == before

    @pytest.mark.parametrize("members", [
        {"path": "/a;b"}, {"path": "/a\nb"}, {"domain": "a b"}, {"sameSite": "auto"}, {"sameSite": 1},
        {"sameSite": "laxx"}, {"priority": "urgent"}, {"path": 5}, {"domain": {"a": 1}}, {"sameSite": []},
    ])  # fmt: skip
    def test_a_stored_attribute_that_cannot_be_sent_is_refused(
        self, clock: MovableClock, members: dict[str, Any]
    ) -> None:
        """Rows may come from others; what would break the header is found before it is sent."""
        with pytest.raises(CorruptSession):
            load(clock, **members).check()


class TestIso:
    """The one spelling of a date in the stored JSON."""

    @pytest.mark.parametrize(("moment", "text"), [
        (0, "1970-01-01T00:00:00.000Z"), (NOON, "2031-01-06T12:00:00.123Z"), (-1, "1969-12-31T23:59:59.999Z"),
        (-62_135_596_800_000, "0001-01-01T00:00:00.000Z"), (LAST, "9999-12-31T23:59:59.999Z"),
    ])  # fmt: skip
    def test_a_moment_is_written_as_javascript_writes_it(self, moment: int, text: str) -> None:
        """Milliseconds always, four digits of a year always."""
        assert iso(moment) == text
