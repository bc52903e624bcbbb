"""The SQLite file under a running server: lost, it is a 503 and then a new start, without a restart of the server."""

from pathlib import Path
from typing import Any

from .conftest import sqlite_only
from .world import MARK, Site, show, visit

pytestmark = sqlite_only


async def test_a_deleted_file_is_noticed_and_made_again(serve: Any, tmp_path: Path) -> None:
    """No write goes into a file that is not there any more; visitors with a cookie come back as fresh ones."""
    site: Site = await serve({"/visit": visit, "/show": show})
    browser = site.browser()
    await browser.fetch("/visit")
    remove(tmp_path)

    lost = await browser.fetch("/visit")
    responses = [await browser.fetch("/show"), await browser.fetch("/visit"), await browser.fetch("/show")]

    assert lost.status == 503
    assert [response.status for response in responses] == [200, 200, 200]
    assert [responses[0].json(), responses[2].json()] == [{}, {"mark": MARK}]


def remove(folder: Path) -> None:
    for file in folder.glob("sessions.db*"):
        file.unlink()


async def test_sessions_survive_a_restart(serve: Any, world: Any) -> None:
    """Another application on the same file, with the same secret, knows the visitor."""
    first: Site = await serve(visit)
    browser = first.browser()
    await browser.fetch()
    await first.store.__aexit__(None, None, None)

    second: Site = await serve(show, store=await world.store())
    browser.port = second.port
    response = await browser.fetch()

    assert response.json() == {"mark": MARK}
