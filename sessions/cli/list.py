"""Owns `list`: the sessions, or those of a user."""

from collections.abc import AsyncIterator

import click

from ..store import Store
from .codes import DONE, NOTHING
from .found import every, of_user
from .output import Output, Row
from .shown import as_row, columns
from .target import Target, targeted


@click.command(name="list")
@click.option("--user", metavar="USER", help="Only the sessions of this user, the last sign-in first.")
@targeted
async def command(target: Target, out: Output, user: str | None) -> int:
    """List the sessions with their users.

    SEEN is exact to `touchAfter`, and "-" if the session's end is a fixed one. A terminal shows the first 12 digits of
    a handle and times to the minute; a pipe gets whole handles and lines with tabs. The exit code is 3 if a user has no
    session.
    """
    async with target.open(reads=True) as store:
        count = await out.stream("sessions", columns(out), _rows(target, store, user))
    return NOTHING if user is not None and not count else DONE


async def _rows(target: Target, store: Store, user: str | None) -> AsyncIterator[Row]:
    if user is None:
        async for each in every(target, store):
            yield as_row(each)
    else:
        for each in await of_user(target, store, user):
            yield as_row(each)
