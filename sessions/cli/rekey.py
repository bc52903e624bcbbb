"""Owns `rekey`: every session is sealed with the first key (at_rest/rekey.py)."""

import click

from ..errors import OptionsError
from ..store import admin, is_sealed, name_of
from ..users import handle_of
from .codes import DONE, FAILED
from .output import Output, sessions
from .target import Target, targeted

_SHOWN = 10
"""Handles that are shown to a person."""


@click.command(name="rekey")
@targeted
async def command(target: Target, out: Output) -> int:
    """Seal every session with the first key of encryption, beside the servers.

    Rows in the clear and those under older keys are sealed again; when none is left an older key can go. If this is
    interrupted, call it again: it goes on with what is left.
    """
    store = target.open()
    if not is_sealed(store):
        raise OptionsError("encryption: the configuration has no keys, so nothing is sealed")
    from ..at_rest.rekey import rekey  # noqa: PLC0415 # it needs a package that is optional, and is there by now

    async with store:
        rows = admin(store)
        if rows is None:
            raise OptionsError(f"store: {name_of(store)}: cannot list its sessions")
        with out.progress("sealing", await rows.length()) as bar:
            done = await rekey(store, bar.advance)
    if out.as_json:
        out.document({**done._asdict(), "failed": list(map(handle_of, done.failed))})
    else:
        out.line(f"{sessions(done.sealed)} sealed, of {done.seen:,}")
        if done.refused:
            out.say(f"{sessions(done.refused)} in the clear refused: requireSealed is on")
        if done.failed:
            out.say(f"{sessions(len(done.failed))} cannot be opened: {', '.join(map(handle_of, done.failed[:_SHOWN]))}")
    return FAILED if done.failed or done.refused else DONE
