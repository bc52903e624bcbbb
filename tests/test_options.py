"""The options: what is accepted, what is refused and in which words, and the defaults."""

import logging
from collections.abc import Callable
from dataclasses import FrozenInstanceError, replace
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from sessions import ABSENT, CookieOptions, MemoryStore, OptionsError, SessionManager, SessionOptions

SECRET = "a secret that must never be shown"
DAY = 86_400_000
DATE = datetime(2031, 1, 6, 12, tzinfo=UTC)


def read(**options: Any) -> SessionOptions:
    """Options in express-session's spelling, with a secret."""
    return SessionOptions.from_mapping({"secret": SECRET, **options})


def read_cookie(**options: Any) -> CookieOptions:
    """Cookie options in express-session's spelling."""
    cookie = read(cookie=options).cookie
    assert isinstance(cookie, CookieOptions)
    return cookie


class TestDefaults:
    """What holds where the file is silent."""

    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("name", "connect.sid"), ("genid", None), ("resave", False), ("rolling", False),
            ("save_uninitialized", False), ("unset", "keep"), ("proxy", None), ("proxy_secure", False),
            ("store", "sqlite:sessions.db"), ("cookie", CookieOptions()), ("touch_after", None), ("ttl", DAY),
            ("absolute_timeout", None), ("max_bytes", 1_048_576),
            ("conflict", "merge"), ("grace", None), ("clear_cookie", True), ("cache_headers", True), ("store_down", "error"),
            ("user_key", None), ("max_per_user", None), ("at_limit", "evict"), ("devices", False), ("node_peer", False),
            ("renew_after", None), ("reuse", "log"), ("header", None),
            ("store_timeout", 5000), ("watch_interval", 5000),
        ],
    )  # fmt: skip
    def test_an_option_that_is_not_given_has_its_default(self, name: str, value: object) -> None:
        """The defaults are express-session's, but for resave, saveUninitialized and our own options."""
        assert getattr(read(), name) == value

    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("path", "/"), ("domain", ABSENT), ("expires", ABSENT), ("max_age", ABSENT), ("original_max_age", ABSENT),
            ("http_only", True), ("secure", ABSENT), ("same_site", "lax"), ("partitioned", ABSENT),
            ("priority", ABSENT),
        ],
    )  # fmt: skip
    def test_a_cookie_option_that_is_not_given_has_its_default(self, name: str, value: object) -> None:
        """What was never given is ABSENT, which is another thing than null."""
        assert getattr(read_cookie(), name) == value

    def test_absent_is_falsy_and_says_its_name(self) -> None:
        """ABSENT reads well in a condition and in a log."""
        assert not ABSENT
        assert repr(ABSENT) == "ABSENT"


class TestExpressNames:
    """An option is known by its express-session name in a mapping and by its snake_case name in Python."""

    @pytest.mark.parametrize(
        ("express", "python", "value"),
        [
            ("name", "name", "mySession"), ("genid", "genid", str), ("resave", "resave", True),
            ("rolling", "rolling", True), ("saveUninitialized", "save_uninitialized", True),
            ("unset", "unset", "destroy"), ("proxy", "proxy", False), ("store", "store", "memory:"),
            ("touchAfter", "touch_after", 0), ("touchAfter", "touch_after", 5000), ("ttl", "ttl", 0.5), ("conflict", "conflict", "overwrite"),
            ("conflict", "conflict", "reject"), ("saveOnError", "save_on_error", False),
            ("absoluteTimeout", "absolute_timeout", None), ("absoluteTimeout", "absolute_timeout", DAY),
            ("maxBytes", "max_bytes", 0), ("maxBytes", "max_bytes", 4096),
            ("grace", "grace", None), ("grace", "grace", 0), ("grace", "grace", 300_000),
            ("clearCookie", "clear_cookie", False), ("cacheHeaders", "cache_headers", False),
            ("userKey", "user_key", "passport.user"), ("userKey", "user_key", "$a-1._b"), ("userKey", "user_key", ["my key", "k.0"]),
            ("atLimit", "at_limit", "refuse"), ("nodePeer", "node_peer", True),
            ("renewAfter", "renew_after", None), ("renewAfter", "renew_after", 300_000),
            ("header", "header", None), ("header", "header", "X-Session"),
            ("storeDown", "store_down", "none"), ("storeTimeout", "store_timeout", 250),
            ("watchInterval", "watch_interval", 250),
        ],
    )  # fmt: skip
    def test_an_option_is_read(self, express: str, python: str, value: object) -> None:
        """What the mapping gives is what the option holds."""
        options = read(**{express: value})

        assert getattr(options, python) == value

    @pytest.mark.parametrize(
        ("express", "python", "values"),
        [
            ("path", "path", ["/app", "", None]),
            ("domain", "domain", ["example.com", ".example.com", "localhost", "", None]),
            ("expires", "expires", [DATE, False, None]),
            ("maxAge", "max_age", [86_400_000, 2.5e14, -2.5e14, -1, 0, 0.5, None, False]),
            ("originalMaxAge", "original_max_age", [1000, None, False]),
            ("httpOnly", "http_only", [True, False, None]),
            ("secure", "secure", [False, "auto", None]),
            ("sameSite", "same_site", [True, False, "lax", "Strict", "auto", "", None]),
            ("partitioned", "partitioned", [False, None]),
            ("priority", "priority", ["low", "Medium", "HIGH", "", None]),
        ],
    )
    def test_a_cookie_option_is_read(self, express: str, python: str, values: list[object]) -> None:
        """Every value that express-session takes is taken, null apart from false and from absent."""
        read_values = [getattr(read_cookie(**{express: value}), python) for value in values]

        assert list(map(repr, read_values)) == list(map(repr, values))

    def test_the_second_seed_example_is_read_whole(self) -> None:
        """The full option set of the README's second example works as it was pasted."""
        options = read(
            name="mySession",
            cookie={"maxAge": DAY, "secure": True, "httpOnly": True, "sameSite": "strict"},
            store="memory:",
            rolling=True,
            proxy=True,
            proxySecure=True,
        )

        cookie = CookieOptions(max_age=DAY, secure=True, http_only=True, same_site="strict")
        assert options.cookie == cookie
        assert options == SessionOptions(
            secret=SECRET, name="mySession", cookie=cookie, store="memory:", rolling=True, proxy=True, proxy_secure=True
        )

    def test_the_cookie_may_be_a_function_of_the_request(self) -> None:
        """A callable is kept, and asked later."""

        def cookie(_request: object) -> CookieOptions:
            return CookieOptions()

        assert read(cookie=cookie).cookie is cookie


class TestLifetime:
    """`expires`, `maxAge` and `originalMaxAge` together: the later key counts, as in express-session."""

    @pytest.mark.parametrize(
        ("given", "expires", "max_age", "original"),
        [
            ({"expires": DATE, "maxAge": 5}, ABSENT, 5, ABSENT),
            ({"maxAge": 5, "expires": DATE}, DATE, ABSENT, ABSENT),
            ({"expires": DATE, "maxAge": None}, ABSENT, None, ABSENT),
            ({"maxAge": 5, "expires": False}, False, ABSENT, ABSENT),
            ({"maxAge": 5, "originalMaxAge": 9}, ABSENT, 5, 9),
            ({"originalMaxAge": 9, "maxAge": 5}, ABSENT, 5, ABSENT),
            ({"expires": DATE, "originalMaxAge": 9}, DATE, ABSENT, 9),
            ({"originalMaxAge": 9, "expires": DATE}, DATE, ABSENT, ABSENT),
            ({"maxAge": 5, "originalMaxAge": 9, "expires": DATE}, DATE, ABSENT, ABSENT),
            ({"maxAge": 5, "expires": DATE, "originalMaxAge": 9}, DATE, ABSENT, 9),
            ({"expires": DATE, "originalMaxAge": 9, "maxAge": 5}, ABSENT, 5, ABSENT),
            ({"originalMaxAge": 9, "maxAge": 5, "path": "/app"}, ABSENT, 5, ABSENT),
        ],
    )
    def test_the_order_of_the_keys_decides(
        self, given: dict[str, Any], expires: object, max_age: object, original: object
    ) -> None:
        """Each setter overwrites what came before it, and nothing that comes after it."""
        cookie = read_cookie(**given)

        assert (cookie.expires, cookie.max_age, cookie.original_max_age) == (expires, max_age, original)

    def test_python_options_have_no_order_so_both_are_refused(self) -> None:
        """Keyword arguments cannot say which comes later."""
        with pytest.raises(OptionsError, match=r"cookie\.expires and cookie\.maxAge: give one of the two"):
            CookieOptions(expires=DATE, max_age=5)

    @pytest.mark.parametrize("zone", [UTC, timezone(timedelta(hours=-8))])
    def test_a_date_in_any_time_zone_is_taken(self, zone: timezone) -> None:
        """A moment is a moment."""
        assert read_cookie(expires=DATE.astimezone(zone)).expires == DATE


class TestUnknownKeys:
    """A key that no option has is an error that names the key and the nearest valid one."""

    @pytest.mark.parametrize(
        ("key", "message"),
        [
            ("saveUnitialized", "saveUnitialized: no such option; did you mean saveUninitialized?"),
            ("saveuninitialized", "saveuninitialized: no such option; did you mean saveUninitialized?"),
            ("save_uninitialized", "save_uninitialized: no such option; did you mean saveUninitialized?"),
            ("secrets", "secrets: no such option; did you mean secret?"),
            ("Rolling", "Rolling: no such option; did you mean rolling?"),
            ("proxysecure", "proxysecure: no such option; did you mean proxySecure?"),
            ("httpOnly", "httpOnly: no such option; did you mean cookie.httpOnly?"),
            ("maxAge", "maxAge: no such option; did you mean cookie.maxAge?"),
        ],
    )
    def test_a_mistyped_option_is_named_with_the_nearest(self, key: str, message: str) -> None:
        """Also where the option belongs to the cookie."""
        with pytest.raises(OptionsError) as refusal:
            read(**{key: True})

        assert str(refusal.value) == message

    @pytest.mark.parametrize(
        ("key", "message"),
        [
            ("maxage", "cookie.maxage: no such option; did you mean cookie.maxAge?"),
            ("max_age", "cookie.max_age: no such option; did you mean cookie.maxAge?"),
            ("samesite", "cookie.samesite: no such option; did you mean cookie.sameSite?"),
            ("HttpOnly", "cookie.HttpOnly: no such option; did you mean cookie.httpOnly?"),
        ],
    )
    def test_a_mistyped_cookie_option_is_named_with_the_nearest(self, key: str, message: str) -> None:
        """The message names the place."""
        with pytest.raises(OptionsError) as refusal:
            read(cookie={key: True})

        assert str(refusal.value) == message

    @pytest.mark.parametrize(
        ("options", "names"),
        [({"zzz": 1}, ["zzz: no such option", "saveUninitialized"]), ({7: 1}, ["7: no such option"])],
    )
    def test_a_key_that_is_near_to_none_is_named_with_them_all(self, options: dict[Any, Any], names: list[str]) -> None:
        """Somebody who is lost gets the list."""
        with pytest.raises(OptionsError) as refusal:
            SessionOptions.from_mapping({"secret": SECRET, **options})

        assert all(name in str(refusal.value) for name in names)


class TestWrongValues:
    """A wrong type or value says which option it is and what was expected."""

    @pytest.mark.parametrize(
        ("name", "values", "expected"),
        [
            ("name", ["", "my session", "a=b", "a;b", "a,b", 'a"b', "sid\n", "säd", 5, None], "a cookie name"),
            ("genid", ["uuid", 5], "a function of the request"),
            ("resave", ["true", 1, 0, None], "true or false"),
            ("rolling", ["yes", 1, None], "true or false"),
            ("saveUninitialized", ["false", 1, None], "true or false"),
            ("clearCookie", [1, None], "true or false"),
            ("cacheHeaders", [0, None], "true or false"),
            ("proxySecure", [1, None], "true or false"),
            ("proxy", [1, "true", "loopback"], "true or false"),
            ("unset", ["Destroy", "delete", True, None, ["keep"]], '"keep" or "destroy"'),
            ("conflict", ["Merge", True, None], '"merge", "reject" or "overwrite"'),
            ("saveOnError", [1, "false", None], "true or false"),
            ("storeDown", ["503", None, False], '"error" or "none"'),
            (
                "userKey",
                [
                    "",
                    "my user",
                    "a..b",
                    "a.b.c.d",
                    "0",
                    "cookie",
                    "__meta.user",
                    "a\n",
                    5,
                    [],
                    [1],
                    ["a\0"],
                    ['"'],
                    [""],
                ],
                "a key of the data",
            ),
            ("renewAfter", [0, -1, True, "1h", float("inf")], "a number of milliseconds above 0, or nothing"),
            ("reuse", ["End", None, True], '"log" or "end"'),
            (
                "header",
                [
                    "",
                    "X Session",
                    "Cookie",
                    "set-cookie",
                    "Accept",
                    "content-type",
                    "Sec-Session",
                    "Last-Event-ID",
                    "If-None-Match",
                    "X-Forwarded-For",
                    "X-XSRFToken",
                    "X-CSRFToken",
                    "X-Sässion",
                    5,
                    True,
                ],
                "the name of a header",
            ),
            ("maxPerUser", [0, -1, True, 1.5, "5"], "a whole number above 0, or nothing"),
            ("atLimit", ["drop", None, True], '"evict" or "refuse"'),
            ("devices", [1, None], "true or false"),
            ("nodePeer", ["yes", None], "true or false"),
            ("store", [None, 5, {"url": "memory:"}], "a URL"),
            ("touchAfter", [-1, "5", True, False, float("nan"), float("inf")], "a number of milliseconds, 0 or more"),
            ("ttl", [0, -1, None, True, "1d", float("inf"), 2.5e14 + 1], "a number of milliseconds above 0"),
            (
                "absoluteTimeout",
                [0, -1, True, "1d", float("inf"), 2.5e14 + 1],
                "a number of milliseconds above 0, or nothing",
            ),
            ("maxBytes", [-1, None, True, False, "1M", 0.5], "a whole number of bytes, 0 for no limit"),
            (
                "grace",
                [-1, 300_001, True, "30s", float("nan")],
                "a number of milliseconds from 0 to 300000, or nothing",
            ),
            ("storeTimeout", [0, -1, None, True, "5s", float("nan")], "a number of milliseconds above 0"),
            ("watchInterval", [0, -1, None, True, "5s", float("nan")], "a number of milliseconds above 0"),
            ("cookie", [None, True, "secure", ["secure"]], "a table of cookie options"),
        ],
    )
    def test_an_option_is_refused(self, name: str, values: list[object], expected: str) -> None:
        """Booleans are no numbers, numbers are no booleans, and null is neither."""
        for value in values:
            with pytest.raises(OptionsError, match=f"^{name}: expected {expected}"):
                read(**{name: value})

    @pytest.mark.parametrize(
        ("name", "values", "expected"),
        [
            ("path", ["/a;b", "/a\n", "/ä", "/a\r\nSet-Cookie: x", 5, True], "a path"),
            ("domain", ["ex ample", "a;b", "-a.com", "a..b", "a.com\n", 5, True], "a domain name"),
            ("httpOnly", ["true", 1, 0], "true or false"),
            ("secure", ["true", "Auto", 1, 0], 'true, false or "auto"'),
            ("partitioned", ["true", 1, 0], "true or false"),
            ("sameSite", ["laxx", "true", "Auto", 1, 0, []], 'true, false, "lax", "strict", "none" or "auto"'),
            ("priority", ["urgent", True, False, 1], '"low", "medium" or "high"'),
            ("maxAge", ["60000", True, float("nan"), float("inf"), 2.5e14 + 1, [5]], "a number of milliseconds"),
            ("originalMaxAge", ["60000", True, float("nan")], "a number of milliseconds"),
            ("expires", ["2031-01-06T12:00:00Z", 1925467200000, datetime(2031, 1, 6), True], "a date with a time zone"),  # noqa: DTZ001 # naive on purpose
        ],
    )
    def test_a_cookie_option_is_refused(self, name: str, values: list[object], expected: str) -> None:
        """What browsers would misread, or what would split the header, never reaches one."""
        for value in values:
            with pytest.raises(OptionsError, match=rf"^cookie\.{name}: expected {expected}"):
                read(cookie={name: value})

    @pytest.mark.parametrize("name", ["sid", "connect.sid", "__Host_sid", "my-session", "a!#$%&'*+^`|~b", "0"])
    def test_any_token_is_a_cookie_name(self, name: str) -> None:
        """RFC 9110 tokens, as in Express."""
        assert read(name=name).name == name


class TestUserKey:
    """The key that names the user, and what needs it."""

    @pytest.mark.parametrize(
        ("user_key", "path"),
        [
            (None, None),
            ("user", ("user",)),
            ("passport.user", ("passport", "user")),
            (["a.b", "c"], ("a.b", "c")),
        ],
    )
    def test_the_path_has_the_keys(self, user_key: str | list[str] | None, path: tuple[str, ...] | None) -> None:
        """A text is split at its dots, a list is not."""
        assert SessionOptions(secret=SECRET, user_key=user_key).user_path == path

    @pytest.mark.parametrize("option", [{"maxPerUser": 5}, {"devices": True}])
    def test_what_needs_a_user_needs_the_key(self, option: dict[str, Any]) -> None:
        """A limit for each user is none where nobody is known."""
        with pytest.raises(OptionsError, match=f"^{next(iter(option))}: needs userKey"):
            read(**option)


class TestWarnings:
    """What works and is hardly meant is logged once, at the start."""

    @pytest.mark.parametrize(
        ("cookie", "words"),
        [({"maxAge": 400 * DAY + 1}, "400 days"), ({"path": "app"}, "'app' does not begin with '/'")],
    )
    def test_a_doubtful_option_is_logged(
        self, caplog: pytest.LogCaptureFixture, cookie: dict[str, Any], words: str
    ) -> None:
        """The warning names the option and what comes of it."""
        read(cookie=cookie)

        assert [each.levelno for each in caplog.records] == [logging.WARNING]
        assert f"cookie.{next(iter(cookie))}" in caplog.text
        assert words in caplog.text

    @pytest.mark.parametrize("cookie", [{"maxAge": 400 * DAY}, {"path": "/app"}, {"path": None}, {"maxAge": None}, {}])
    def test_a_sound_option_is_not_logged(self, caplog: pytest.LogCaptureFixture, cookie: dict[str, Any]) -> None:
        """The bound itself is fine."""
        read(cookie=cookie)

        assert not caplog.records


class TestSecrets:
    """The secrets sign the cookie, and are shown to nobody."""

    @pytest.mark.parametrize(
        ("secret", "keys"),
        [
            ("cat", (b"cat",)),
            (b"\xff\x00", (b"\xff\x00",)),
            ("säcret", ("säcret".encode(),)),
            (["new", "old"], (b"new", b"old")),
            (("new", b"old"), (b"new", b"old")),
        ],
    )
    def test_secrets_become_keys_in_their_order(self, secret: object, keys: tuple[bytes, ...]) -> None:
        """One or many, text or bytes; the first signs."""
        assert SessionOptions.from_mapping({"secret": secret}).keys == keys

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({}, "secret: is missing"),
            ({"secret": ""}, "secret: is empty"),
            ({"secret": b""}, "secret: is empty"),
            ({"secret": ["new", ""]}, "secret: is empty"),
            ({"secret": []}, "secret: expected at least one, got an empty list"),
            ({"secret": ()}, "secret: expected at least one, got an empty list"),
            ({"secret": None}, "secret: expected a string or a list of strings, got NoneType"),
            ({"secret": 5}, "secret: expected a string or a list of strings, got int"),
            ({"secret": {SECRET: SECRET}}, "secret: expected a string or a list of strings, got dict"),
            ({"secret": [[SECRET]]}, "secret: expected a string or a list of strings, got list"),
            ({"secret": bytearray(b"cat")}, "secret: expected a string or a list of strings, got bytearray"),
        ],
    )
    def test_what_cannot_sign_is_refused_and_not_shown(self, options: dict[str, Any], message: str) -> None:
        """The type is named, the value is not."""
        with pytest.raises(OptionsError) as refusal:
            SessionOptions.from_mapping(options)

        assert str(refusal.value) == message

    @pytest.mark.parametrize("show", [repr, str, "{}".format, "{!r:.5000}".format])
    def test_no_view_of_the_options_shows_a_secret(self, show: Callable[[object], str]) -> None:
        """Options are logged and printed; what signs is left out."""
        shown = show(SessionOptions(secret=[SECRET, SECRET.encode()]))

        assert "name='connect.sid'" in shown
        assert "never be shown" not in shown

    def test_no_view_of_the_options_shows_the_password_of_a_store(self) -> None:
        """It is in the URL."""
        assert "hunter2" not in repr(read(store="redis://user:hunter2@localhost/0"))

    @pytest.mark.parametrize(
        "wrong", [{"resave": 1}, {"secrt": "x"}, {"cookie": {"path": 5}}, {"cookie": {"partitioned": True}}]
    )
    def test_no_message_about_another_option_shows_a_secret(self, wrong: dict[str, Any]) -> None:
        """An error is logged with its traceback; the message has nothing of the rest of the file."""
        with pytest.raises(OptionsError) as refusal:
            read(**wrong)

        assert "never be shown" not in repr(refusal.value)


class TestFrozen:
    """Options are values: made once, never changed, compared by content."""

    @pytest.mark.parametrize(("options", "name"), [(read(), "rolling"), (CookieOptions(), "secure")])
    def test_an_option_cannot_be_assigned(self, options: SessionOptions | CookieOptions, name: str) -> None:
        """What was checked at the start stays as it was checked."""
        with pytest.raises(FrozenInstanceError):
            setattr(options, name, True)

    @pytest.mark.parametrize("options", [SessionOptions, CookieOptions])
    def test_options_are_given_by_name(self, options: Callable[..., object]) -> None:
        """There are too many for an order that anybody knows."""
        with pytest.raises(TypeError):
            options("/")

    def test_changing_the_list_of_secrets_afterwards_changes_nothing(self) -> None:
        """The secrets are copied, not shared with the caller."""
        secrets: list[str | bytes] = ["new", "old"]
        options = SessionOptions(secret=secrets)

        secrets.clear()

        assert options.keys == (b"new", b"old")

    def test_reading_a_mapping_leaves_it_as_it_was(self) -> None:
        """The mapping is read, neither kept nor changed."""
        mapping = {"secret": SECRET, "cookie": {"maxAge": 5, "expires": DATE}}

        SessionOptions.from_mapping(mapping)

        assert mapping == {"secret": SECRET, "cookie": {"maxAge": 5, "expires": DATE}}


def test_an_attribute_that_browsers_pass_over_is_refused() -> None:
    """1024 bytes of Path, and the longest domain there can be (RFC 6265bis, section 5.6)."""
    CookieOptions(path="/" + "a" * 1_023, domain=".".join(["a" * 63] * 3 + ["a" * 61]))

    with pytest.raises(OptionsError, match=r"^cookie.path: expected .* 1024 bytes"):
        CookieOptions(path="/" + "a" * 1_024)
    with pytest.raises(OptionsError, match=r"^cookie.domain: expected"):
        CookieOptions(domain=".".join(["a" * 63] * 4))


class TestWeakSecrets:
    """A secret that can be guessed is warned of, by whoever takes it, once."""

    @pytest.mark.parametrize(
        ("secret", "why"),
        [
            ("your-secret-key", ["it is one of a tutorial"]),
            ("Keyboard Cat!", ["it is one of a tutorial"]),
            ("__TODO:_GENERATE_YOUR_OWN_RANDOM_VALUE_HERE__", ["it is one of a tutorial"]),
            ("django-insecure-" + "x" * 50, ["it is one of a tutorial"]),
            ("x" * 31, ["it has 31 bytes, 32 are wanted"]),
            (b"\0" * 31, ["it has 31 bytes, 32 are wanted"]),
            ("é" * 15, ["it has 30 bytes, 32 are wanted"]),
            (["x" * 32, "cat", b"bat!"], ["it has 3 bytes, 32 are wanted", "it has 4 bytes, 32 are wanted"]),
            ("é" * 16, []),
            (["x" * 32, b"\0" * 32], []),
        ],
    )
    def test_the_bytes_in_utf_8_count(self, caplog: pytest.LogCaptureFixture, secret: Any, why: list[str]) -> None:
        """Each of a list by itself; a strong one without a word."""
        SessionOptions(secret=secret)

        guessed = "secret: whoever guesses it can sign in as anybody, and"
        assert caplog.record_tuples == [("sessions", logging.WARNING, f"{guessed} {each}") for each in why]

    def test_options_that_come_from_others_say_it_no_second_time(self, caplog: pytest.LogCaptureFixture) -> None:
        """Nor does the manager that takes them, or their secrets."""
        options = SessionOptions(secret="cat")
        caplog.clear()

        manager = SessionManager(MemoryStore(), replace(options, rolling=True))
        manager.use_secrets(options.keys)

        assert caplog.record_tuples == []
        assert "cat" not in repr(options.keys)

    def test_a_manager_that_is_given_another_says_it(self, caplog: pytest.LogCaptureFixture) -> None:
        """It goes past the options."""
        manager = SessionManager(MemoryStore(), SessionOptions(secret="x" * 32))

        manager.use_secrets(["x" * 32, "a weak one"])

        (message,) = caplog.messages
        assert message.endswith("it has 10 bytes, 32 are wanted")
        assert "a weak one" not in message

    @pytest.mark.parametrize("secret", [5, [], "", ["x" * 32, None], {"value": "cat"}])
    def test_what_is_no_secret_is_refused_before(self, caplog: pytest.LogCaptureFixture, secret: Any) -> None:
        """It is not called weak."""
        with pytest.raises(OptionsError, match=r"^secret: "):
            SessionOptions(secret=secret)

        assert caplog.record_tuples == []


@pytest.mark.parametrize("grace", [None, 0, 5])
def test_reject_takes_a_grace_as_merge_does(grace: float | None) -> None:
    """An id that a login replaced is a tombstone there too."""
    options = SessionOptions(secret="x" * 32, conflict="reject", grace=grace)

    assert options.grace_ms == (30_000 if grace is None else grace)


class TestRenewal:
    """What would lock visitors out is refused."""

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"renewAfter": 299_999}, "renewAfter: expected at least 10 times grace, which is 30000, got 299999"),
            ({"renewAfter": 300_000, "grace": 30_001}, "renewAfter: expected at least 10 times grace"),
            ({"renewAfter": 300_000, "grace": 0}, "renewAfter: needs grace above 0"),
            ({"renewAfter": 300_000, "conflict": "overwrite"}, "renewAfter: needs grace above 0"),
            ({"renewAfter": 300_000, "nodePeer": True}, "renewAfter: not with nodePeer"),
            ({"reuse": "end"}, 'reuse: "end" needs renewAfter'),
        ],
    )
    def test_a_renewal_that_could_not_work_is_refused(self, options: dict[str, object], message: str) -> None:
        """By name, when the options are made."""
        with pytest.raises(OptionsError, match=f"^{message}"):
            read(**options)

    @pytest.mark.parametrize("options", [{"grace": 1, "renewAfter": 10}, {"renewAfter": 300_000, "reuse": "end"}])
    def test_a_renewal_is_taken(self, options: dict[str, object]) -> None:
        """At its shortest; and with an end of what was copied."""
        assert read(**options).renew_after == options["renewAfter"]
