"""Owns `stats`: how many sessions live."""

import click

from ..errors import OptionsError
from ..store import admin, name_of
from .output import Output
from .target import Target, targeted


@click.command(name="stats")
@targeted
async def command(target: Target, out: Output) -> None:
    """Count the sessions."""
    async with target.open(reads=True) as store:
        power = admin(store)
        if power is None:
            raise OptionsError(f"store: {name_of(store)} cannot count its sessions")
        living = await power.length()
    if out.as_json:
        out.document({"living": living})
    else:
        out.line(f"living {living}")
