"""Owns `revoke`: the end of a session, of all of a user, or of all, while servers go on."""

import sys

import click

from ..clock import now_ms
from ..errors import CorruptSession
from ..meta import HOPS, closed_meta, is_closed
from ..store import Outcome, Store, StoredSession, by_key, name_of
from ..stores.users import REMOVED
from ..users import checked_user, handle_of
from .codes import DONE, NOTHING
from .found import by_handle, checked_handle, finds, lists, of_user, one_of
from .output import Output, sessions
from .target import Target, targeted


@click.command(name="revoke")
@click.argument("handle", required=False)
@click.option("--user", metavar="USER", help="All sessions of this user.")
@click.option("--keep", metavar="HANDLE", help="With --user: all but this one.")
@click.option("--all", "everything", is_flag=True, help="All sessions of the store.")
@click.option("--yes", is_flag=True, help="With --all: do not ask.")
@targeted
async def command(
    target: Target, out: Output, handle: str | None, user: str | None, keep: str | None, *, everything: bool, yes: bool
) -> int:
    """End the session with a HANDLE, all sessions of a user, or all sessions.

    A session that moves to a new id meanwhile is followed. Servers need no restart: the next request of the visitor
    finds no session, and sockets close within `watchInterval`. A sign-in after the command is not touched. The exit
    code is 3 if no session ended.
    """
    if [handle is not None, user is not None, everything].count(True) != 1:
        raise click.UsageError("give one of HANDLE, --user USER and --all")
    if keep is not None and user is None:
        raise click.UsageError("--keep goes with --user")
    wanted = handle if keep is None else keep
    prefix = "" if wanted is None else checked_handle(wanted)
    async with target.open() as store:
        if everything:
            ended = await _end_all(store, out, asks=not yes)
        elif user is not None:
            ended = await end_user(target, store, user, prefix)
            if not ended and prefix:
                out.say(f"{user} has no other session than the one to keep, or none with its handle: nothing was ended")
        else:
            match = await by_handle(store, out, prefix)
            ended = 0 if match is None else await end(store, match[0])
    if out.as_json:
        out.document({"ended": ended})
    else:
        out.line(f"{sessions(ended)} ended")
    return DONE if ended else NOTHING


async def end(store: Store, key: str) -> int:
    """End the session under a key, or the one that it goes on as. Returns how many ended.

    It is removed only as it was read, so that one that moves between two steps is seen to move.
    """
    stored = by_key(store)
    for _ in range(HOPS):
        record = await stored.get(key)
        while record is not None and not is_closed(record, now_ms()):
            outcome, newer = await stored.update(key, REMOVED, record)
            if outcome is Outcome.SAVED:
                await stored.destroy(key)  # an expired row that a Node server touches would live again
                return 1
            record = newer if outcome is Outcome.CONFLICT else None
        following = None if record is None else _next(record)
        if following is None:
            return 0
        key = following
    return 0


def _next(record: StoredSession) -> str | None:
    """Return the key under which the session of a tombstone goes on."""
    try:
        following = (closed_meta(record) or {}).get("next")
    except CorruptSession:
        return None
    return following if isinstance(following, str) else None


async def end_user(target: Target, store: Store, user: str, keep: str) -> int:
    """End the sessions of a user, but the one with the handle `keep`, if that is not ""."""
    power, text = finds(target, store), checked_user(user)
    if not keep:
        return len(await power.end(text))
    theirs = await of_user(target, store, text)
    kept = one_of([each[:2] for each in theirs if handle_of(each.key).startswith(keep)], keep)
    if kept is None:
        return 0
    ended, key = 0, kept[0]
    while True:
        keys = {each.key for each in await of_user(target, store, text)}
        key = await _followed(store, key)  # after the list, so that the one to keep is not in it under another id
        gone = await power.end(text, keys - {key})
        if not gone:
            return ended
        ended += len(gone)


async def _followed(store: Store, key: str) -> str:
    """Return the key under which a session is now."""
    left: set[str] = set()
    while True:
        record = await by_key(store).get(key)
        following = None if record is None or not is_closed(record, now_ms()) else _next(record)
        if following is None or following in left:
            return key
        left.add(key)
        key = following


_PASSES = 3
"""How often `--all` deletes at most: one pass may miss a session that moves to a new id meanwhile."""


def has_terminal() -> bool:
    """Return True if there is a person to ask."""
    return sys.stdin.isatty()


async def _end_all(store: Store, out: Output, *, asks: bool) -> int:
    power = lists(store)
    number = await power.length()
    if number and asks:
        if not has_terminal():
            raise click.UsageError("--all asks, and there is no terminal: give --yes")
        click.confirm(f"End {sessions(number)} of {name_of(store)}?", abort=True, err=True)
    with out.progress("deleting"):
        for _ in range(_PASSES):
            await power.clear()
            if not await power.length():
                break
    return number
