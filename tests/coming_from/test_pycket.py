"""docs/coming-from/pycket-torndsession.md: its application after the change, and what JSON cannot hold.

The packages themselves are in tests/lab/coming_from.
"""

import base64
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from tornado.web import Application

from sessions import SessionMixin, SessionOptions

from .blocks import FOLDER, manager, module, visitor

PAGE = (FOLDER / "pycket-torndsession.md").read_text("utf-8")
MOMENT = datetime(2026, 11, 27, tzinfo=UTC)

KEPT: list[tuple[Any, Any]] = [
    (MOMENT, MOMENT.isoformat()),
    ({2, 1}, [1, 2]),
    (Decimal("1.50"), "1.50"),
    (UUID(int=7), str(UUID(int=7))),
    (b"\xff", base64.b64encode(b"\xff").decode()),
    ({1: "a"}, {"1": "a"}),
]
"""What a pickle held, and what the page says to keep in its place."""


async def store(value: Any) -> tuple[int, Any]:
    """Put a value into a session. Returns the status, and what the store has then."""

    class Page(SessionMixin):
        def get(self) -> None:
            self.session["cart"] = value

    options = SessionOptions(secret="a secret of these tests, which is long enough")
    async with visitor(Application([("/", Page)], sessions=manager(options))) as browser:
        answer = await browser.fetch("/")
        return answer.code, (await browser.session() or {}).get("cart")


async def test_the_application_signs_in_and_out() -> None:
    """As with pycket."""
    after = module("from_pycket.py")
    async with visitor(after.make_app(manager(after.OPTIONS))) as browser:
        stranger = await browser.fetch("/")
        await browser.fetch("/login", form={"user": "ada"})
        home = await browser.fetch("/")
        await browser.fetch("/logout", form={})
        left = await browser.fetch("/")

    assert (stranger.code, home.body, left.code) == (302, b"Good day, ada", 302)


@pytest.mark.parametrize(("pickled", "kept"), KEPT, ids=lambda value: type(value).__name__)
async def test_what_json_cannot_hold_is_refused(pickled: Any, kept: Any, caplog: pytest.LogCaptureFixture) -> None:
    """By an error that names the key; nothing is stored. What the page says to keep is."""
    refused = await store(pickled)
    stored = await store(kept)

    assert refused == (500, None)
    assert "DataError: session['cart']" in caplog.text
    assert stored == (200, kept)


async def test_the_error_is_the_one_of_the_page(caplog: pytest.LogCaptureFixture) -> None:
    """And a tuple comes back as a list."""
    await store(Decimal(1))
    stored = await store((1, 2))

    assert "session['cart']: a Decimal has no JSON form" in PAGE
    assert "session['cart']: a Decimal has no JSON form" in caplog.text
    assert stored == (200, [1, 2])
