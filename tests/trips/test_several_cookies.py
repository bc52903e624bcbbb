"""A browser may hold several cookies of our name: for paths and parent domains, or from before a secret or a row was lost."""

from typing import Any
from urllib.parse import quote

import pytest
from client import Response

from sessions import CookieOptions, StoreUnavailable

from .conftest import Logbook
from .world import LIFETIME, MARK, Site, count, logout, show, unset, visit

PAGES = {"/visit": visit, "/show": show, "/count": count, "/logout": logout, "/unset": unset}


def signed(site: Site, sid: str) -> str:
    """A cookie's value as we have signed it."""
    return quote(site.manager.signer.sign(sid), safe="")


async def ask(site: Site, path: str, *values: str) -> Response:
    """Come with these cookies, in one header, in this order."""
    cookies = "; ".join(f"connect.sid={value}" for value in values)
    return await site.browser().fetch(path, headers={"Cookie": cookies})


async def visitors(site: Site, number: int) -> list[str]:
    """The cookies of so many sessions that live."""
    values = []
    for _ in range(number):
        browser = site.browser()
        await browser.fetch("/visit")
        values.append(browser.kept().value)
    return values


def events(logbook: Logbook, name: str) -> int:
    return sum(line.startswith(f"{name}: ") for line in logbook.lines("sessions"))


# ---------------------------------------------------------------- the first that lives is the session


@pytest.mark.parametrize("place", range(4))
async def test_an_id_without_its_session_locks_nobody_out(serve: Any, place: int) -> None:
    """Wherever the living one is among four; a change is its own, and no row is made."""
    site: Site = await serve(PAGES)
    (living,) = await visitors(site, 1)
    values = [signed(site, f"gone-{number}-and-never-stored") for number in range(3)]
    values.insert(place, living)

    shown, counted = await ask(site, "/show", *values), await ask(site, "/count", *values)

    assert shown.json() == {"mark": MARK}
    assert counted.text == "1"
    assert list((await site.rows()).values()) == [{"mark": MARK, "n": 1}]


async def test_an_expired_session_locks_nobody_out(serve: Any) -> None:
    """Its row may wait for the sweeper still."""
    site: Site = await serve(PAGES)
    (old,) = await visitors(site, 1)
    site.clock.forward(LIFETIME)
    (living,) = await visitors(site, 1)

    response = await ask(site, "/show", old, living)

    assert response.json() == {"mark": MARK}


async def test_no_more_than_four_ids_are_asked_for(serve: Any) -> None:
    """A fifth is not looked at: a request has its cost."""
    site: Site = await serve(PAGES)
    (living,) = await visitors(site, 1)
    gone = [signed(site, f"gone-{number}-and-never-stored") for number in range(4)]
    site.store.forget()

    response = await ask(site, "/show", *gone, living)

    assert response.json() == {}
    assert site.store.calls == ["get"] * 4


@pytest.mark.parametrize(("junk", "found"), [(15, {"mark": MARK}), (16, {})])
async def test_junk_does_not_count_among_the_four(serve: Any, junk: int, found: dict[str, str]) -> None:
    """Of 16 cookies of our name each is verified; what nobody has signed costs no call."""
    site: Site = await serve(PAGES)
    (living,) = await visitors(site, 1)
    site.store.forget()

    response = await ask(site, "/show", *(f"s%3Ajunk.{number}" for number in range(junk)), living)

    assert response.json() == found
    assert site.store.calls == ["get"] * bool(found)


async def test_the_same_id_twice_is_asked_for_once(serve: Any, logbook: Logbook) -> None:
    """And is no second session."""
    site: Site = await serve(PAGES)
    (living,) = await visitors(site, 1)
    site.store.forget()

    response = await ask(site, "/show", living, living)

    assert response.json() == {"mark": MARK}
    assert site.store.calls == ["get"]
    assert events(logbook, "session_ambiguous") == 0


async def test_two_living_sessions_are_an_event(serve: Any, logbook: Logbook) -> None:
    """The first counts: whoever planted the other is not believed, and the log says so, without an id."""
    site: Site = await serve(PAGES)
    first, second = await visitors(site, 2)
    await ask(site, "/count", first)

    response = await ask(site, "/count", first, second)

    assert response.text == "2"
    assert events(logbook, "session_ambiguous") == 1


# ---------------------------------------------------------------- a sign-out is the browser's


@pytest.mark.parametrize("path", ["/logout", "/unset"])
@pytest.mark.parametrize("number", [1, 2, 4])
async def test_a_sign_out_ends_every_session_of_the_browser(serve: Any, path: str, number: int) -> None:
    """By `destroy()` and by `unset`: the next page is signed in by none of the cookies; strangers stay signed in."""
    site: Site = await serve(PAGES, unset="destroy")
    *mine, stranger = await visitors(site, number + 1)

    response = await ask(site, path, *mine)

    assert response.status == 200
    for value in mine:
        assert (await ask(site, "/show", value)).json() == {}
    assert (await ask(site, "/show", stranger)).json() == {"mark": MARK}


async def test_a_sign_out_that_fails_half_way_says_so(serve: Any) -> None:
    """The first session has ended, the second has not: a 503, and the next try ends it."""
    site: Site = await serve(PAGES, unset="destroy")
    for path in ("/logout", "/unset"):
        first, second = await visitors(site, 2)
        site.store.fail_once(StoreUnavailable("the disk is away"), "destroy", after=1)

        failed = await ask(site, path, first, second)
        tried_again = await ask(site, path, first, second)

        assert (failed.status, failed.set_cookies, tried_again.status) == (503, [], 200)
        assert (await ask(site, "/show", first, second)).json() == {}


@pytest.mark.parametrize("verb", ["regenerate", "rotate"])
async def test_a_login_leaves_the_other_sessions_alone(serve: Any, verb: str) -> None:
    """They may be another person's, on a device that both use."""

    async def login(handler: Any) -> None:
        await getattr(handler.session, verb)()

    site: Site = await serve({**PAGES, "/login": login})
    first, second = await visitors(site, 2)

    await ask(site, "/login", first, second)

    assert (await ask(site, "/show", second)).json() == {"mark": MARK}


async def test_a_path_and_its_parent_have_a_session_each(serve: Any) -> None:
    """A browser sends the longer path first."""
    site: Site = await serve(PAGES, cookie=CookieOptions(max_age=LIFETIME))
    root, deep = await visitors(site, 2)
    await ask(site, "/count", deep)

    response = await ask(site, "/count", deep, root)

    assert response.text == "2"
