"""Owns `sweep`: the deletion of expired sessions, now."""

import asyncio

import click

from ..store import name_of, sweepable
from ..sweeper import Sweeper
from .output import Output, sessions
from .target import Target, targeted

_COUNTED = 10_000_000
"""Expired sessions that are counted at most, for the bar."""


@click.command(name="sweep")
@targeted
async def command(target: Target, out: Output) -> None:
    """Delete the expired sessions now, in small steps beside the servers.

    One process sweeps a store at a time. If a server sweeps it, nothing is deleted here, and that is no failure.
    """
    async with target.open() as store:
        power = sweepable(store)
        by_itself, is_led = power is None, power is not None and power.lead()
        deleted = 0
        if power is not None and is_led:
            with out.progress("deleting", await power.backlog(_COUNTED)) as bar:
                shown = 0

                async def pause(seconds: float) -> None:
                    nonlocal shown
                    bar.advance(sweeper.deleted - shown)
                    shown = sweeper.deleted
                    await asyncio.sleep(seconds)

                options = target.sweeper
                sweeper = Sweeper(store, batch=options.batch, pause=options.pause, sleep=pause)
                deleted = await sweeper.sweep()
        name = name_of(store)
    if out.as_json:
        out.document(
            {"deleted": deleted, "sweptBy": "the store" if by_itself else None if is_led else "another process"}
        )
    elif by_itself:
        out.line(f"{name} drops expired sessions by itself")
    elif not is_led:
        out.line(f"another process sweeps {name}")
    else:
        out.line(f"{sessions(deleted)} deleted")
