"""Owns what a store asks when it is opened: the collection, the TTL index, and whether it can be written at all.

What can never work is an error at the start, and not one for every visitor.
"""

from secrets import token_urlsafe
from typing import Any

from pymongo.errors import OperationFailure

from ...errors import StoreError
from ...store import StoredSession
from .connection import Connection
from .documents import READ, free, touching, unchanged, untouched, writing
from .errors import has_no_index

_SECOND = 1_000


async def find_collection(connection: Connection, name: str, *, makes: bool) -> None:
    """Raise StoreError if the collection can keep no sessions, or is missing and not to be made."""
    try:
        found = await connection.database.list_collections(filter={"name": connection.sessions.name})
        collections = await found.to_list()
    except OperationFailure as error:
        if not has_no_index(error):  # a user who may not list what is there may use it all the same
            raise
        return
    if not collections:
        if not makes:
            raise StoreError(f"{name}: is not there; a server makes it when it starts")
        return
    problem = wrong_collection(collections[0])
    if problem:
        raise StoreError(f"{name}: is no collection of sessions: {problem}")


def wrong_collection(found: Any) -> str:
    """Return why a collection, as `listCollections` has it, can keep no sessions; "" if it can."""
    options = found.get("options") or {}
    if found.get("type", "collection") != "collection":
        return f"it is a {found['type']}"
    if options.get("capped"):
        return "it is capped, so the server deletes living sessions"
    locale = (options.get("collation") or {}).get("locale", "simple")
    if locale != "simple":
        return f"its collation is {locale}, by which ids that differ are equal"
    return ""


async def rehearse(connection: Connection) -> None:
    """Write a session, read it, change it, and delete it. Raises what pymongo raises where that is refused."""
    sid, sessions = token_urlsafe(24), connection.sessions
    record = StoredSession('{"cookie":{"originalMaxAge":null}}', _SECOND)  # which has long expired
    await sessions.insert_one({"_id": sid, **writing(record, None, notes_user=False)["$set"]})
    try:
        await sessions.find_one({"_id": sid}, READ)
        await sessions.update_one(free(sid, 2 * _SECOND), writing(record, None, notes_user=True), upsert=True)
        await sessions.update_one(unchanged(sid, record, 0), writing(record, None, notes_user=True))
        await sessions.update_one(untouched(sid, record, 0), touching(_SECOND))
    finally:
        await sessions.delete_one({"_id": sid})


async def has_expiry_index(connection: Connection, *, makes: bool) -> bool:
    """Return True if the server deletes what has expired. Makes connect-mongo's TTL index if it is missing.

    Where the server knows no such index none is made: one of the same name without a TTL would be in the way of a
    connect-mongo that asks for its own.
    """
    sessions = connection.sessions
    if makes:
        try:
            await sessions.create_index("expires", background=True, expireAfterSeconds=0)
        except OperationFailure as error:
            if not has_no_index(error):
                raise
    return any(map(is_expiry_index, await indexes(connection)))


async def indexes(connection: Connection) -> list[Any]:
    """Return the indexes of the collection, as `listIndexes` has them; none for a user who may not ask."""
    try:
        return list(await (await connection.sessions.list_indexes()).to_list())
    except OperationFailure as error:
        if not has_no_index(error):
            raise
        return []


def is_expiry_index(index: Any) -> bool:
    """Return True for an index by which the server deletes what has expired."""
    return list(index["key"]) == ["expires"] and "expireAfterSeconds" in index
