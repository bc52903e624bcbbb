"""Owns `index`: the index of the users, made on a table of any size."""

import click

from ..store import indexed, name_of
from .found import finds
from .output import Output
from .target import Target, targeted


@click.command(name="index")
@click.option("--rebuild", is_flag=True, help="Make it again if it is there.")
@targeted
async def command(target: Target, out: Output, *, rebuild: bool) -> None:
    """Make the index by which the sessions of a user are found, on a table of any size.

    A server makes it by itself while the table has under 50,000 rows. PostgreSQL makes it while the servers write. In
    SQLite nobody writes meanwhile, some 6 seconds for a million sessions: a request that waits longer than busyTimeout
    is answered with 503.
    """
    async with target.open() as store:
        finds(target, store)
        power, name = indexed(store), name_of(store)
        made = False
        if power is not None:
            with out.progress("indexing") as bar:
                made = await power.make_index(rebuild=rebuild, progress=bar.to)
    if out.as_json:
        out.document({"made": made})
    elif power is None:
        out.line(f"{name} keeps the sessions of each user by itself; there is no index to make")
    else:
        out.line(f"{name}: the index was made" if made else f"{name}: the index is there; --rebuild makes it again")
