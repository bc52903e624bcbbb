"""Owns `show`: what is known of a session, or of all of a user, and what is in them."""

import json
from typing import Any

import click

from ..clock import now_ms
from ..meta import closed_meta, is_closed
from ..store import Store
from .codes import DONE, NOTHING
from .found import Found, by_handle, checked_handle, found, of_user
from .output import Output, size
from .shown import LEVELS, as_row, data_of, successor
from .target import Target, targeted


@click.command(name="show")
@click.argument("handle", required=False)
@click.option("--user", metavar="USER", help="All sessions of this user, in place of HANDLE.")
@click.option("--data", "with_data", is_flag=True, help="Show what the application keeps in it.")
@targeted
async def command(target: Target, out: Output, handle: str | None, user: str | None, *, with_data: bool) -> int:
    """Show the session with a HANDLE, or all sessions of a user.

    HANDLE may be the first 8 digits or more, as the servers' logs have them. To find one all sessions are read. The
    data is shown without cookie and id. The exit code is 3 if there is none.
    """
    if (handle is None) is (user is None):
        raise click.UsageError("give a HANDLE, or --user USER")
    prefix = "" if handle is None else checked_handle(handle)
    async with target.open(reads=True) as store:
        matches = await of_user(target, store, user) if user is not None else await _one(target, store, out, prefix)
    documents = [_document(out, each, with_data=with_data) for each in matches]
    if out.as_json:
        out.document({"sessions": documents})
    else:
        for number, document in enumerate(documents):
            _print(out, document, is_first=number == 0)
    if not matches:
        out.say("no such session")
        return NOTHING
    return DONE


async def _one(target: Target, store: Store, out: Output, handle: str) -> list[Found]:
    match = await by_handle(store, out, handle)
    return [] if match is None else [found(*match, target)]


def _document(out: Output, each: Found, *, with_data: bool) -> dict[str, Any]:
    document = dict(as_row(each))
    is_over = is_closed(each.record, now_ms())
    document["goesOnAs"] = successor((closed_meta(each.record) or {}).get("next")) if is_over else None
    if with_data:
        document["data"], is_whole = data_of(each)
        if document["readable"] and not is_whole:
            out.say(f"{each.info.handle}: what is nested more than {LEVELS} levels deep is shown as null")
    return document


def _print(out: Output, document: dict[str, Any], *, is_first: bool) -> None:
    if not is_first:
        out.line("")
    facts = [
        ("handle", document["handle"]),
        ("user", document["user"] or "-"),
        *((name, out.moment(document[key])) for name, key in _MOMENTS),
        ("ip", document["ip"] or "-"),
        ("agent", document["agent"] or "-"),
        ("bytes", size(document["bytes"])),
    ]
    if not document["readable"]:
        facts.append(("state", "the row is no session: it cannot be read"))
    if document["goesOnAs"] is not None:
        facts.append(("state", f"left for the session {document['goesOnAs']}"))
    out.facts(facts)
    if document.get("data") is not None:
        for line in json.dumps(document["data"], indent=2, ensure_ascii=False).splitlines():
            out.line(line)


_MOMENTS = (("created", "created"), ("signed in", "signedIn"), ("seen", "seen"), ("expires", "expires"))
