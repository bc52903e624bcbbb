"""Owns the stage of the trips with users: pages that sign in and out, and what of a row is the application's."""

import json
from typing import Any

from .world import Act, Site, logout, show, turns, visit


def signing_in(user: Any = "ada", **given: Any) -> Act:
    """A page that signs in, and says who is there then."""

    async def page(handler: Any) -> str:
        await handler.sign_in(user, **given)
        return str(handler.current_user)

    return page


def who(handler: Any) -> str:
    """Who is signed in."""
    return json.dumps(handler.current_user)


async def sign_out(handler: Any) -> str:
    """The end of this session."""
    await handler.sign_out()
    return json.dumps(handler.current_user)


PAGES: dict[str, Any] = {
    "/visit": visit,
    "/ada": signing_in("ada"),
    "/bob": signing_in("bob"),
    "/who": who,
    "/show": show,
    "/out": sign_out,
    "/logout": logout,
}


async def visited(serve: Any, pages: dict[str, Any] | None = None, *first: str, **options: Any) -> tuple[Site, Any]:
    """A site, and a browser that has visited some paths of it."""
    site: Site = await serve({**PAGES, **(pages or {})}, **{"user_key": "user", **options})
    browser = site.browser()
    for path in first:
        response = await browser.fetch(path)
        assert response.status == 200, response.text
    site.store.forget()
    return site, browser


def data_of(row: dict[str, Any]) -> dict[str, Any]:
    """A row without what the library keeps with it."""
    return {key: value for key, value in row.items() if key != "__meta"}


async def rows(site: Site) -> dict[str, dict[str, Any]]:
    """What the store holds, without `__meta`."""
    return {sid: data_of(row) for sid, row in (await site.rows()).items()}


async def meta(site: Site, sid: str | None) -> dict[str, Any]:
    """The `__meta` of a row."""
    row = await site.row(sid)
    assert row is not None
    return dict(row["__meta"])


async def ended(site: Site) -> None:
    """Wait for the work in the background."""
    while site.manager.background.tasks:
        await turns()
