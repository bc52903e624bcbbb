"""What save(), touch(), mutate(), reload() and keep_alive do on a socket: the table of docs/sockets.md, cell by cell."""

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from clock import MINUTE

from .conftest import memory_only
from .talks import ENDED as CLOSED
from .talks import NEVER, Chat, Talk, site_of, talk
from .world import LIFETIME, MARK, Site

DOC = (Path(__file__).parents[2] / "docs" / "sockets.md").read_text("utf-8")
GONE = "NoSession: no session: it was destroyed or has expired since it was loaded"


async def save(handler: Any) -> None:
    await handler.session.save()


def touch(handler: Any) -> None:
    handler.session.touch()


async def mutate(handler: Any) -> None:
    await handler.session.mutate(lambda data: data.update(told=sorted(data)))


async def reload(handler: Any) -> None:
    await handler.session.reload()


def nothing(_: Any) -> None:
    """`keep_alive` needs no call."""


ACTS: dict[str, Callable[[Any], Awaitable[None] | None]] = {
    "`await self.session.save()`": save,
    "`self.session.touch()`": touch,
    "`await self.session.mutate(change)`": mutate,
    "`await self.session.reload()`": reload,
    "`keep_alive = True`": nothing,
}
"""By the first column of the table."""

ROWS = dict(zip(ACTS, ("save", "touch", "mutate", "reload", "keep_alive"), strict=True))


def cell(act: str, column: int) -> str:
    """One cell of the page's table."""
    (row,) = (line for line in DOC.splitlines() if line.startswith(f"| {act} |"))
    return row.split(" | ")[column].rstrip(" |")


class Changing(Chat):
    """Changes its session, then acts."""

    end_with_session: bool | None = False

    async def on_message(self, message: str | bytes) -> None:
        if message == "change":
            self.session["here"] = 1
            await self.write_message("changed")
        else:
            await super().on_message(message)


class ChangingAlive(Changing):
    """The same, in use."""

    keep_alive = True


class Watched(ChangingAlive):
    """The same, and it ends."""

    end_with_session = None


async def at(serve: Any, act: str, kind: type[Chat] | None = None) -> tuple[Site, Talk, str]:
    """A socket with a change that is not stored, beside a page that has stored another since; and the session's id."""
    kind = kind or (ChangingAlive if act == "`keep_alive = True`" else Changing)
    done: list[bool] = []

    async def after_first(handler: Any) -> str:
        if done:  # the first message only opens the socket
            result = ACTS[act](handler)
            if result is not None:
                await result
        done.append(True)
        return "done"

    site = await site_of(serve, {"/table": (kind, after_first)}, watch_interval=NEVER)
    browser = site.browser()
    await browser.fetch("/visit")
    sid = browser.sid or ""
    opened = await talk(site, browser, "/table")
    await opened.say("change")
    row = await site.stored(sid)
    other = row._replace(data=row.data.replace('"mark"', '"there":1,"mark"'), version=None)
    await site.store.inner.update(sid, other, row)
    site.clock.forward(LIFETIME // 2)
    return site, opened, sid


STORED: dict[str, tuple[str, dict[str, Any]]] = {
    "`await self.session.save()`": ("what was changed here, with what others have stored", {"here": 1}),
    "`self.session.touch()`": ("nothing, until `save()`", {}),
    "`await self.session.mutate(change)`": (
        "what `change` does to the newest data, and what was changed here",
        {"here": 1, "told": ["here", "mark", "there"]},
    ),
    "`await self.session.reload()`": ("nothing; what was changed here is dropped", {}),
    "`keep_alive = True`": ("nothing", {}),
}


@pytest.mark.parametrize("act", ACTS, ids=ROWS.get)
@memory_only
async def test_what_is_stored(serve: Any, act: str) -> None:
    """On top of what the page has stored."""
    says, more = STORED[act]
    site, opened, sid = await at(serve, act)

    answer = await opened.say()
    await site.store.idle()
    await opened.close()

    assert (answer, cell(act, 1)) == ("done", says)
    assert await site.row(sid) == {"mark": MARK, "there": 1, **more}


@memory_only
async def test_a_reload_shows_what_others_have_stored(serve: Any) -> None:
    """And a save behind it stores nothing of what was dropped."""
    site, opened, sid = await at(serve, "`await self.session.reload()`")

    await opened.say()
    await opened.close()

    assert "here" not in (await site.row(sid) or {})


LIVES: dict[str, tuple[str, bool]] = {
    "`await self.session.save()`": ("starts again", True),
    "`self.session.touch()`": ("stays, until `save()`", False),
    "`await self.session.mutate(change)`": ("starts again", True),
    "`await self.session.reload()`": ("stays", False),
    "`keep_alive = True`": ("starts again with a message, at most once per `touchAfter`", True),
}


@pytest.mark.parametrize("act", ACTS, ids=ROWS.get)
@memory_only
async def test_what_becomes_of_the_lifetime(serve: Any, act: str) -> None:
    """Half of it has passed."""
    says, starts = LIVES[act]
    site, opened, sid = await at(serve, act)
    before = (await site.stored(sid)).expires_at

    await opened.say()
    await site.store.idle()
    after = (await site.stored(sid)).expires_at
    await opened.close()

    assert cell(act, 2) == says
    assert after == (site.clock() + LIFETIME if starts else before)


OVER: dict[str, tuple[str, str]] = {
    "`await self.session.save()`": ("NoSession", GONE),
    "`self.session.touch()`": ("nothing", "done"),
    "`await self.session.mutate(change)`": ("NoSession", GONE),
    "`await self.session.reload()`": ("NoSession", "NoSession: failed to load session"),
}


@pytest.mark.parametrize("act", OVER, ids=ROWS.get)
@memory_only
async def test_what_happens_if_the_session_has_ended(serve: Any, act: str) -> None:
    """Elsewhere, and this process does not know it yet; nothing comes back."""
    says, answer = OVER[act]
    site, opened, sid = await at(serve, act)
    await site.store.inner.destroy(sid)

    answered = await opened.say()
    await opened.close()

    assert (answered, cell(act, 3)) == (answer, says)
    assert await site.row(sid) is None


@memory_only
async def test_keep_alive_closes_the_socket_of_a_session_that_has_ended(serve: Any) -> None:
    """It is the first to find it gone."""
    act = "`keep_alive = True`"
    site, opened, sid = await at(serve, act, Watched)
    await site.store.inner.destroy(sid)

    site.clock.forward(MINUTE)
    await opened.client.write_message("hello")
    while await opened.hear() is not None:
        pass

    assert cell(act, 3) == "the socket is closed"
    assert (opened.client.close_code, opened.client.close_reason) == CLOSED


def test_the_table_has_these_rows() -> None:
    """No more, and no fewer."""
    _, _, rest = DOC.partition("| on a socket |")
    rows = [line.split(" | ")[0].removeprefix("| ") for line in rest.splitlines()[2:] if line.startswith("| ")]

    assert rows == list(ACTS)
