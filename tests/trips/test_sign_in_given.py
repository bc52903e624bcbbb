"""What `sign_in()` is given, and what the session remembers of it; the hook that gets it."""

from datetime import timedelta
from typing import Any

import pytest
from clock import DAY, HOUR, MINUTE

from sessions import CookieOptions, DataError, HeadersSent, OptionsError
from sessions.formats.signing import fingerprint
from sessions.observe import SessionEvent

from .members import meta, rows, signing_in, visited
from .staged import Gate
from .world import LIFETIME, MARK, logout, overtaken, slow


class TestBadInput:
    """An error that says what, at the call; nothing is lost."""

    @pytest.mark.parametrize(
        "user", ["", "x" * 201, "x" * 10_000, "a\nb", "a\x7f", "\ud83d", True, None, 1.5, b"ada", ["ada"], 2**63]
    )
    async def test_what_names_no_user_is_refused(self, serve: Any, user: Any) -> None:
        """By its length or type, never by the value."""
        errors: list[Exception] = []

        async def act(handler: Any) -> None:
            try:
                handler.sign_in(user)
            except DataError as error:
                errors.append(error)

        site, browser = await visited(serve, {"/act": act}, "/visit")

        await browser.fetch("/act")

        assert str(errors[0]).startswith("user: expected a string or an integer, of 1 to 200 characters")
        assert await rows(site) == {browser.sid: {"mark": MARK}}

    @pytest.mark.parametrize("user", ["a", "x" * 200, "Åsa", "😀", " ", 0, -5, 2**53 - 1])
    async def test_what_names_one_is_taken(self, serve: Any, user: Any) -> None:
        """The edges."""
        site, browser = await visited(serve, {"/act": signing_in(user)})

        response = await browser.fetch("/act")

        assert response.text == str(user)
        assert await rows(site) == {browser.sid: {"user": user}}

    @pytest.mark.parametrize("remember", [30, timedelta(0), timedelta(days=-1), timedelta(microseconds=1), "1 day"])
    async def test_what_is_no_time_is_refused(self, serve: Any, remember: Any) -> None:
        """As an attribute of the cookie is."""
        errors: list[str] = []

        async def act(handler: Any) -> None:
            try:
                handler.sign_in("ada", remember=remember)
            except OptionsError as error:
                errors.append(str(error))

        _, browser = await visited(serve, {"/act": act})

        await browser.fetch("/act")

        assert errors[0].startswith("remember: expected a timedelta")

    async def test_without_the_option_nobody_signs_in(self, serve: Any) -> None:
        """The error names it."""
        errors: list[str] = []

        async def act(handler: Any) -> None:
            for verb in (lambda: handler.sign_in("ada"), handler.confirm):
                try:
                    verb()
                except OptionsError as error:
                    errors.append(str(error))

        _, browser = await visited(serve, {"/act": act}, user_key=None)

        await browser.fetch("/act")

        assert [error.partition(":")[0] for error in errors] == ["userKey", "userKey"]

    @pytest.mark.parametrize("first", [(), ("/visit",)])
    async def test_after_the_headers_it_is_refused(self, serve: Any, first: tuple[str, ...]) -> None:
        """No browser would have the id."""
        errors: list[Exception] = []

        async def act(handler: Any) -> None:
            handler.write("some")
            await handler.flush()
            try:
                handler.sign_in("ada")
            except HeadersSent as error:
                errors.append(error)

        site, browser = await visited(serve, {"/act": act}, *first)
        before = await site.rows()

        response = await browser.fetch("/act")

        assert (response.whole, len(errors)) == (True, 1)
        assert await site.rows() == before

    async def test_a_meta_of_another_application_is_named(self, serve: Any) -> None:
        """It is data, and stays."""
        site, browser = await visited(serve)
        await site.plant(browser, '{"cookie":{"originalMaxAge":null,"expires":null,"path":"/"},"__meta":{"mine":1}}')
        before = await site.rows()

        response = await browser.fetch("/ada")

        assert response.status == 500
        assert await site.rows() == before


class TestRemember:
    """`remember`: the cookie's lifetime, and the session's own end."""

    async def test_the_cookie_lives_as_long_as_was_asked(self, serve: Any) -> None:
        """In the browser and in the store."""
        site, browser = await visited(serve, {"/stay": signing_in(remember=timedelta(days=30))}, "/visit")

        await browser.fetch("/stay")

        ends = site.clock() + 30 * DAY
        assert abs(browser.kept().expires - ends) <= 1000
        assert (await site.stored(browser.sid)).expires_at == ends
        assert (await meta(site, browser.sid))["endsAt"] == ends

    async def test_it_ends_then_however_much_it_is_used(self, serve: Any) -> None:
        """The absolute end, without the option `absoluteTimeout`."""
        site, browser = await visited(serve, {"/stay": signing_in(remember=timedelta(days=30))}, "/visit", "/stay")

        users = []
        for _ in range(4):
            site.clock.forward(8 * DAY)
            users.append((await browser.fetch("/who")).json())

        assert users == ["ada", "ada", "ada", None]

    async def test_the_end_counts_from_the_sign_in_on(self, serve: Any) -> None:
        """Also where the request goes on for a minute, and its answer starts the lifetime again."""

        async def act(handler: Any) -> None:
            await handler.sign_in("ada", remember=timedelta(hours=1))
            site.clock.forward(MINUTE)

        site, browser = await visited(serve, {"/act": act})

        await browser.fetch("/act")

        ends = (await meta(site, browser.sid))["endsAt"]
        assert ends == site.clock() + HOUR - MINUTE
        assert (browser.kept().expires or 0) <= ends

    async def test_the_earlier_end_counts(self, serve: Any) -> None:
        """That of `absoluteTimeout` here."""
        site, browser = await visited(
            serve, {"/stay": signing_in(remember=timedelta(days=30))}, "/visit", "/stay", absolute_timeout=10 * DAY
        )

        assert (await site.stored(browser.sid)).expires_at == site.clock() + 10 * DAY

    async def test_none_gives_the_lifetime_of_the_options_back(self, serve: Any) -> None:
        """And no end of its own."""
        site, browser = await visited(serve, {"/stay": signing_in(remember=timedelta(days=30))}, "/visit", "/stay")

        await browser.fetch("/ada")

        assert (await site.stored(browser.sid)).expires_at == site.clock() + LIFETIME
        assert (await site.stored_cookie(browser.sid))["originalMaxAge"] == LIFETIME
        assert "endsAt" not in await meta(site, browser.sid)

    @pytest.mark.parametrize("hours", [(720, 2), (2, 720)])
    async def test_the_last_one_counts(self, serve: Any, hours: tuple[int, int]) -> None:
        """A shorter one, and a longer one: no end before it is left over."""
        pages = {f"/{each}": signing_in(remember=timedelta(hours=each)) for each in hours}
        site, browser = await visited(serve, pages, f"/{hours[0]}")

        await browser.fetch(f"/{hours[1]}")

        ends = site.clock() + hours[1] * HOUR
        assert (await meta(site, browser.sid))["endsAt"] == ends
        assert (await site.stored(browser.sid)).expires_at == ends

    async def test_a_session_cookie_becomes_one_again(self, serve: Any) -> None:
        """Where the options give no `maxAge`."""
        site, browser = await visited(
            serve, {"/stay": signing_in(remember=timedelta(days=30))}, "/visit", "/stay", cookie=CookieOptions()
        )

        await browser.fetch("/ada")

        assert browser.kept().expires is None
        assert (await site.stored_cookie(browser.sid))["originalMaxAge"] is None

    async def test_it_survives_a_row_that_is_gone(self, serve: Any) -> None:
        """A sign-out meanwhile: the new session is remembered as well."""
        gate = Gate()
        pages = {"/slow": slow(gate, signing_in(remember=timedelta(days=30))), "/fast": logout}
        site, browser = await visited(serve, pages, "/visit")

        await overtaken(browser, gate)

        assert (await meta(site, browser.sid))["endsAt"] == site.clock() + 30 * DAY
        assert (await site.stored(browser.sid)).expires_at == site.clock() + 30 * DAY


class TestDevices:
    """`devices = true`: the browser's name and address, as they were at the sign-in."""

    async def test_they_are_kept_on_one_line(self, serve: Any) -> None:
        """Shortened, without what would make `__meta` slow to read."""
        site, browser = await visited(serve, devices=True)

        await browser.fetch("/ada", headers={"User-Agent": 'Mozilla/5.0 {"x"}' + 300 * "y"})

        kept = await meta(site, browser.sid)
        assert kept["ip"] == "127.0.0.1"
        assert kept["agent"].startswith("Mozilla/5.0  x y")
        assert len(kept["agent"]) == 200

    async def test_a_client_of_a_unix_socket_has_no_address(self, serve: Any) -> None:
        """Tornado has 0.0.0.0 for it, which nobody has."""
        site, browser = await visited(serve, devices=True, xheaders=True)

        await browser.fetch("/ada", headers={"X-Real-IP": "0.0.0.0"})

        assert "ip" not in await meta(site, browser.sid)

    async def test_without_the_option_nothing_is_kept(self, serve: Any) -> None:
        """It is personal data."""
        site, browser = await visited(serve)

        await browser.fetch("/ada", headers={"User-Agent": "Mozilla/5.0"})

        assert await meta(site, browser.sid) == {"signedInAt": site.clock()}


class TestObserver:
    """The hook of the application."""

    async def test_it_gets_who_signs_in_and_out(self, serve: Any) -> None:
        """With the user; the log has the fingerprint only."""
        events: list[Any] = []
        _, browser = await visited(serve, observer=events.append)

        await browser.fetch("/ada")
        inside = browser.sid
        await browser.fetch("/out")

        told = [event for event in events if isinstance(event, SessionEvent) and event.user is not None]
        assert [(event.name, event.user) for event in told] == [("signed_in", "ada"), ("signed_out", "ada")]
        assert {event.fingerprint for event in told} == {fingerprint(str(inside))}
        assert "ada" not in repr(told)

    async def test_one_that_fails_does_no_harm(self, serve: Any, logbook: Any) -> None:
        """It is logged."""

        def observer(event: Any) -> None:
            raise RuntimeError("the audit log is full")

        _, browser = await visited(serve, observer=observer)

        response = await browser.fetch("/ada")

        assert response.text == "ada"
        assert any("the audit log is full" in line for line in logbook.lines("sessions"))
