"""Promise 4: an id that a visitor brings along is never adopted, and a forged cookie costs no store call."""

from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import pytest
from client import Browser, Response

from sessions import OptionsError

from .conftest import memory_only
from .world import LIFETIME, MARK, SECRET, Site, show, visit

SID = "an-id-of-the-visitors-own-making"


def signed(site: Site, sid: str) -> str:
    """A cookie value with a good signature, as an old cookie has."""
    return quote(site.manager.signer.sign(sid), safe="")


async def visit_with(site: Site, value: str, path: str = "/visit") -> tuple[Response, Browser]:
    """Come with a cookie of our name; the answer, and a browser that has taken the new cookie."""
    browser = site.browser()
    return await browser.fetch(path, headers={"Cookie": f"connect.sid={value}"}), browser


FORGERIES: dict[str, Callable[[str], str]] = {
    "unsigned": lambda good: quote(SID),
    "unsigned, prefixed": lambda good: quote(f"s:{SID}"),
    "tampered id": lambda good: good.replace("s%3A", "s%3AX"),
    "tampered signature": lambda good: good[:-1] + ("A" if good[-1] != "A" else "B"),
    "signature cut": lambda good: good[:-2],
    "signature padded": lambda good: good + "%3D",
    "signature missing": lambda good: good.partition(".")[0],
    "signature empty": lambda good: good.partition(".")[0] + ".",
    "prefix missing": lambda good: good.replace("s%3A", ""),
    "prefix doubled": lambda good: f"s%3A{good}",
    "other case": lambda good: good.replace("s%3A", "S%3A"),
    "empty": lambda good: "",
    "only the prefix": lambda good: "s%3A",
    "only dots": lambda good: "s%3A....",
}


ELSEWHERE: dict[str, Callable[[str], dict[str, Any]]] = {
    "the query": lambda value: {"path": f"/show?connect.sid={value}"},
    "the query, as PHP names it": lambda value: {"path": f"/show?PHPSESSID={value}&sid={value}"},
    "the path": lambda value: {"path": f"/show;jsessionid={value}"},
    "X-Session-Id": lambda value: {"headers": {"X-Session-Id": value}},
    "Authorization": lambda value: {"headers": {"Authorization": f"Bearer {value}"}},
    "a header of the cookie's name": lambda value: {"headers": {"connect.sid": value}},
    "Cookie2": lambda value: {"headers": {"Cookie2": f"connect.sid={value}"}},
    "another cookie": lambda value: {"headers": {"Cookie": f"sid={value}; connect.sid2={value}"}},
}


@memory_only  # no store is asked
@pytest.mark.parametrize("where", ELSEWHERE)
async def test_an_id_is_read_from_the_cookie_alone(serve: Any, where: str) -> None:
    """A good id anywhere else is nobody's session: it would be in logs, in Referer, and in links that fix a session."""
    pages = {"/visit": visit, "/show": show, "/show;jsessionid=.*": show}
    site: Site = await serve(
        pages, genid=lambda _: "an id"
    )  # so short that the access log, which has URLs, may show it
    browser = site.browser()
    await browser.fetch("/visit")
    good = browser.kept().value
    site.store.forget()
    request = {"path": "/show", **ELSEWHERE[where](good)}

    response = await site.browser().fetch(request.pop("path"), **request)

    assert (response.status, response.json()) == (200, {})
    assert site.store.calls == []


@memory_only  # no store is asked
@pytest.mark.parametrize("how", FORGERIES)
async def test_promise_4_a_forged_cookie_costs_no_store_call(serve: Any, how: str) -> None:
    """The signature is checked before the store is asked; its bearer is a fresh visitor."""
    site: Site = await serve({"/visit": visit, "/show": show})
    browser = site.browser()
    await browser.fetch("/visit")
    good = browser.kept().value
    site.store.forget()

    shown, _ = await visit_with(site, FORGERIES[how](good), "/show")
    calls = list(site.store.calls)
    visited, forger = await visit_with(site, FORGERIES[how](good))

    assert (shown.status, shown.json()) == (200, {})
    assert calls == []
    assert visited.status == 200
    assert forger.sid not in (SID, browser.sid, None)
    assert site.store.calls == ["create"]


async def test_promise_4_an_unknown_id_is_not_adopted(serve: Any) -> None:
    """A good signature under an id that the store does not know, after the store was emptied, say: a fresh id."""
    site: Site = await serve(visit)

    response, browser = await visit_with(site, signed(site, SID))

    assert response.status == 200
    assert browser.sid not in (SID, None)
    assert list(await site.rows()) == [browser.sid]
    assert site.store.calls == ["get", "create"]


async def test_promise_4_an_unknown_id_that_nobody_uses_makes_nothing(serve: Any) -> None:
    """A page that only reads leaves store and browser alone."""
    site: Site = await serve(show)

    response, browser = await visit_with(site, signed(site, SID))

    assert (response.json(), response.set_cookies) == ({}, [])
    assert site.store.calls == ["get"]
    assert browser.cookie() is None


async def test_promise_4_an_expired_id_is_not_adopted(serve: Any) -> None:
    """Swept or not: who comes back after the expiry has a new session under a new id."""
    site: Site = await serve({"/visit": visit, "/show": show})
    browser = site.browser()
    await browser.fetch("/visit")
    old = browser.kept()
    site.clock.forward(LIFETIME)

    shown, _ = await visit_with(site, old.value, "/show")
    _, again = await visit_with(site, old.value)

    assert shown.json() == {}
    assert again.kept() != old
    assert list(await site.rows()) == [again.sid]


async def test_promise_4_a_destroyed_id_is_not_adopted(serve: Any) -> None:
    """A cookie that was copied before the logout opens nothing after it."""
    site: Site = await serve({"/visit": visit, "/leave": lambda handler: handler.session.destroy()})
    browser = site.browser()
    await browser.fetch("/visit")
    old = browser.kept()
    await browser.fetch("/leave")

    _, thief = await visit_with(site, old.value)

    assert thief.sid not in (None, browser.sid)
    assert thief.cookie() != old


async def test_promise_4_a_new_id_is_tried_again_where_it_is_taken(serve: Any) -> None:
    """A genid that repeats itself never joins two visitors: `create` does not overwrite."""
    ids = iter(["the-id-number-one", "the-id-number-one", "the-id-number-two"])
    site: Site = await serve({"/visit": visit, "/count": lambda h: h.session.update(n=1)}, genid=lambda _: next(ids))
    first, second = site.browser(), site.browser()

    await first.fetch("/visit")
    await second.fetch("/count")

    assert await site.rows() == {"the-id-number-one": {"mark": MARK}, "the-id-number-two": {"n": 1}}
    assert (first.sid, second.sid) == ("the-id-number-one", "the-id-number-two")


@memory_only
async def test_a_genid_that_only_repeats_itself_is_a_500(serve: Any) -> None:
    """The error comes after a few tries; the other visitor's session is unchanged."""
    site: Site = await serve(
        {"/visit": visit, "/count": lambda h: h.session.update(n=1)}, genid=lambda _: "the-only-id"
    )
    await site.browser().fetch("/visit")

    response = await site.browser().fetch("/count")

    assert (response.status, response.set_cookies) == (500, [])
    assert await site.rows() == {"the-only-id": {"mark": MARK}}


@memory_only
@pytest.mark.parametrize("sid", ["", None, 7, b"bytes"])
async def test_a_genid_that_gives_no_string_is_a_500(serve: Any, sid: object) -> None:
    """An empty id would be no cookie at all."""
    site: Site = await serve(visit, genid=lambda _: sid)

    response = await site.browser().fetch()

    assert (response.status, response.set_cookies) == (500, [])
    assert await site.rows() == {}


async def test_ids_may_hold_anything(serve: Any) -> None:
    """Dots, signs, letters beyond ASCII: the id that genid gives comes back from the browser unharmed."""
    sid = 'größe.7/å+é=ÿ; %41,"quoted" \\ 日本'
    site: Site = await serve({"/visit": visit, "/show": show}, genid=lambda _: sid)
    browser = site.browser()

    await browser.fetch("/visit")
    response = await browser.fetch("/show")

    assert browser.sid == sid
    assert response.json() == {"mark": MARK}


async def test_promise_4_a_rotated_secret_verifies_and_no_longer_signs(serve: Any) -> None:
    """Old cookies work as long as their secret is listed; new ones are signed by the first."""
    old: Site = await serve(visit, secret="the-old-secret-of-the-trips")
    browser = old.browser()
    await browser.fetch()
    cookie = browser.kept()

    both: Site = await serve(
        {"/show": show, "/visit": visit},
        store=old.store,
        secret=["the-new-secret-of-the-trips", "the-old-secret-of-the-trips"],
    )
    only: Site = await serve({"/show": show}, store=old.store, secret="the-new-secret-of-the-trips")
    with_both, _ = await visit_with(both, cookie.value, "/show")
    with_new, _ = await visit_with(only, cookie.value, "/show")
    fresh = both.browser()
    await fresh.fetch("/visit")
    shown, _ = await visit_with(only, fresh.kept().value, "/show")

    assert with_both.json() == {"mark": MARK}
    assert with_new.json() == {}
    assert shown.json() == {"mark": MARK}


@pytest.mark.parametrize("secrets", ["new-secret-and-as-long-as-it-has-to-be", ["new-secret-and-as-long", SECRET]])
async def test_secrets_change_while_the_application_serves(serve: Any, secrets: Any) -> None:
    """The first secret signs, all verify, and a cookie of a secret that has left the list is worth nothing."""
    site: Site = await serve({"/visit": visit, "/show": show})
    browser = site.browser()
    await browser.fetch("/visit")

    site.manager.use_secrets(secrets)
    known = await browser.fetch("/show")
    fresh, newcomer = await visit_with(site, "junk")

    assert known.json() == ({} if isinstance(secrets, str) else {"mark": MARK})
    assert (await newcomer.fetch("/show")).json() == {"mark": MARK}
    assert fresh.status == 200


async def test_a_wrong_secret_leaves_the_others_in_place(serve: Any) -> None:
    """It is refused, and the application goes on."""
    site: Site = await serve({"/visit": visit, "/show": show})
    browser = site.browser()
    await browser.fetch("/visit")

    wrongs: list[Any] = ["", [], [7]]
    for wrong in wrongs:
        with pytest.raises(OptionsError, match="secret"):
            site.manager.use_secrets(wrong)

    assert (await browser.fetch("/show")).json() == {"mark": MARK}
