"""The limit of a line that visitors cause: the first of a period, then a number; nothing that happened is lost."""

import asyncio
import contextvars
import logging
from collections.abc import Iterator

import pytest

from sessions.log_limit import LogLimit

LONG = 3_600.0

request: contextvars.ContextVar[str] = contextvars.ContextVar("request", default="-")


@pytest.fixture
def said(caplog: pytest.LogCaptureFixture) -> Iterator[list[str]]:
    """The lines of the log, as they come."""
    caplog.set_level(logging.INFO, "sessions")
    lines: list[str] = []

    class Lines(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            lines.append(f"{request.get()} {record.getMessage()}")

    handler = Lines()
    logger = logging.getLogger("sessions")
    logger.addHandler(handler)
    try:
        yield lines
    finally:
        logger.removeHandler(handler)


async def test_the_first_of_a_period_is_written() -> None:
    """All others are counted."""
    limit = LogLimit("too_much", LONG, 1)

    taken = [limit.takes() for _ in range(5)]

    assert taken == [True, False, False, False, False]


async def test_the_first_lines_of_a_period_may_be_several() -> None:
    """So that each of a few can be tied to its request."""
    limit = LogLimit("too_much", LONG, 2)

    taken = [limit.takes() for _ in range(4)]

    assert taken == [True, True, False, False]


async def test_the_end_of_a_period_says_how_many_more_came(said: list[str]) -> None:
    """By itself, as a line of no request; the next one is written again."""
    limit = LogLimit("too_much", 0.05, 1)
    request.set("a request")
    for _ in range(5):
        limit.takes()

    async with asyncio.timeout(60):
        while not said:  # noqa: ASYNC110 # a log sets no event
            await asyncio.sleep(0.01)

    assert said == ["- too_much: 4 more within 0.05 s"]
    assert limit.takes()


async def test_a_single_one_is_followed_by_nothing(said: list[str]) -> None:
    """There is no number to say."""
    limit = LogLimit("too_much", LONG, 1)
    limit.takes()

    limit.close()

    assert said == []
    assert limit.takes()


async def test_an_end_before_its_time_says_the_number(said: list[str]) -> None:
    """Of a server that stops."""
    limit = LogLimit("too_much", LONG, 1)
    for _ in range(3):
        limit.takes()

    limit.close()

    assert said == ["- too_much: 2 more within 3600 s"]


def test_another_loop_begins_a_period(said: list[str]) -> None:
    """The timer of a loop that was closed never comes."""
    limit = LogLimit("too_much", LONG, 1)

    async def three() -> list[bool]:
        return [limit.takes() for _ in range(3)]

    taken = [asyncio.run(three()), asyncio.run(three())]

    assert taken == [[True, False, False]] * 2
    assert said == ["- too_much: 2 more within 3600 s"]
