"""Owns the examination of a MongoDB collection for `doctor`: what is asked of the server, and what is said of it.

All that is asked only reads. What the user may not ask is left out.
"""

import re
from collections.abc import AsyncIterator, Iterator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from pymongo.errors import OperationFailure

from ...errors import CorruptSession
from ...findings import Finding, fault, note, warning
from ..examination import BACKLOG_LIMIT, Asked, backlog, clocks, transport, user_index
from .connection import Connection
from .documents import CODEC, READ, expired, record_of
from .start import indexes, is_expiry_index, wrong_collection
from .url import Target
from .users import INDEX

if TYPE_CHECKING:
    from .store import MongoStore

_SECONDS = 10
"""How long a question may take; a count of many documents is limited."""

_SAMPLE = 100
"""Documents that are looked at, at each end of the index of ids: ids that are no texts are there."""

_ACTIONS = ("find", "insert", "update", "remove", "createIndex", "listIndexes")
"""What a server's user does with the collection."""


class Facts(NamedTuple):
    """What there is."""

    collection: Mapping[str, Any] | None
    """As `listCollections` has it; None: it is not there, or the user may not ask."""
    may_list: bool
    indexes: list[Mapping[str, Any]]
    samples: list[Mapping[str, Any]]
    privileges: list[Mapping[str, Any]] | None
    """What the user may do; None where nobody has to log in, or the server does not say."""

    @property
    def has_expiry_index(self) -> bool:
        """True if the server deletes what has expired."""
        return any(map(is_expiry_index, self.indexes))


async def examine(store: "MongoStore", asked: Asked) -> AsyncIterator[Finding]:
    """Yield what is wrong with the collection of a store. Raises StoreError if the server cannot be asked."""
    target, name = store._target, store.name  # noqa: SLF001 # it is a part of the store
    for finding in (*in_the_clear(target, name), *write_concern(target.write_concern, name)):
        yield finding
    with store.driver_errors():
        connection = Connection(target, store._collection, _SECONDS * 1000)  # noqa: SLF001 # as above
        try:
            before = asked.now
            hello = await connection.database.command("hello", codec_options=CODEC)
            now = (before + asked.now) / 2
            facts = await _facts(connection)
            found = [*clock(hello, now, name, deletes=facts.has_expiry_index), *rights(facts, connection, name)]
            if facts.may_list and facts.collection is None:
                found += no_collection(name)
            else:
                found += [*collection(facts, name), *expiry_index(facts, name), *texts(facts, name)]
                has_index = any(each["name"] == INDEX for each in facts.indexes)
                found += user_index(True if has_index else None, name, asked)
                found += backlog(*await _backlog(connection, asked), asked, name)
        finally:
            await connection.close()
    for finding in found:
        yield finding


# -------------------------------------------------------------------- the checks


def in_the_clear(target: Target, name: str) -> Iterator[Finding]:
    """Yield a finding if sessions go to another machine without TLS."""
    hosts = [re.sub(r":\d+$", "", host).strip("[]") for host in target.hosts]
    yield from transport(hosts, name, is_encrypted=target.is_encrypted)


def write_concern(concern: object, name: str) -> Iterator[Finding]:
    """Yield a finding if a write is answered before most servers of a replica set have it."""
    if concern == 1:
        problem = f"{name}: w=1: a change that one server has is answered, and may be lost when another takes over"
        yield warning("mongodb.write-concern", problem, "take w out of the URL, which then means majority")


def clock(hello: Mapping[str, Any], now: float, name: str, *, deletes: bool) -> Iterator[Finding]:
    """Yield a finding if the server's clock is off; it decides what is deleted if it has a TTL index."""
    time = hello.get("localTime")
    if time is not None:
        off = int(time) - now
        yield from clocks(off, name, decides=deletes and off > 0)


def no_collection(name: str) -> Iterator[Finding]:
    """Yield what is to be said of a collection that is not there."""
    yield note("mongodb.new", f"{name}: is not there yet", "a server makes it, with its indexes, when it starts")


def collection(facts: Facts, name: str) -> Iterator[Finding]:
    """Yield a finding if the collection can keep no sessions."""
    problem = wrong_collection(facts.collection or {})
    if problem:
        yield fault("mongodb.collection", f"{name}: {problem}", "use an ordinary collection (`collection`)")


def expiry_index(facts: Facts, name: str) -> Iterator[Finding]:
    """Yield a finding if the server does not delete what has expired."""
    if not facts.has_expiry_index:
        problem = f"{name}: has no TTL index on expires, so each sweep reads the whole collection"
        advice = "db.sessions.createIndex({ expires: 1 }, { expireAfterSeconds: 0 }), as connect-mongo has it"
        yield warning("store.expiry-index", problem, advice)


def texts(facts: Facts, name: str) -> Iterator[Finding]:
    """Yield findings about documents that cannot be read, or never asked for."""
    for document in facts.samples:
        try:
            record_of(document, 0)
        except CorruptSession as error:
            yield fault("mongodb.encoded", f"{name}: {error}", "convert them, or let their visitors sign in again")
            break
    if any(not isinstance(document["_id"], str) for document in facts.samples):
        problem = f"{name}: has ids that are no texts, as connect-mongo's transformId makes them: nobody finds these"
        yield fault("mongodb.transform-id", problem, "leave transformId out there; hashedIds does this here")


def rights(facts: Facts, connection: Connection, name: str) -> Iterator[Finding]:
    """Yield a finding if the user may not do what a server does."""
    if facts.privileges is None:
        return
    allowed: set[str] = set()
    database, sessions = connection.sessions.database.name, connection.sessions.name
    for each in facts.privileges:
        resource = each.get("resource", {})
        is_here = resource.get("db", "?") in ("", database) and resource.get("collection", "?") in ("", sessions)
        if is_here or resource.get("anyResource"):
            allowed.update(each.get("actions", ()))
    lacking = [action for action in _ACTIONS if action not in allowed and "anyAction" not in allowed]
    if lacking:
        problem = f"{name}: the user lacks {', '.join(lacking)}, which sessions need"
        yield fault("mongodb.rights", problem, f'db.grantRolesToUser(…, [{{ role: "readWrite", db: "{database}" }}])')


# -------------------------------------------------------------------- the facts


async def _facts(connection: Connection) -> Facts:
    sessions = connection.sessions
    found: Mapping[str, Any] | None = None
    may_list = True
    try:
        listed = await (await connection.database.list_collections(filter={"name": sessions.name})).to_list()
        found = listed[0] if listed else None
    except OperationFailure:
        may_list = False
    samples: list[Mapping[str, Any]] = []
    try:
        for order in (1, -1):
            samples += await sessions.find({}, READ).sort("_id", order).limit(_SAMPLE).to_list()
    except OperationFailure:  # without the right to read, which is a finding of its own
        samples = []
    return Facts(found, may_list, await indexes(connection), samples, await _privileges(connection))


async def _privileges(connection: Connection) -> list[Mapping[str, Any]] | None:
    try:
        status = await connection.database.command("connectionStatus", showPrivileges=True)
    except OperationFailure:
        return None
    known = status.get("authInfo", {})
    return list(known.get("authenticatedUserPrivileges", ())) if known.get("authenticatedUsers") else None


async def _backlog(connection: Connection, asked: Asked) -> tuple[int, int | None]:
    """Return how many sessions have expired, and for how many milliseconds the first of them has."""
    sessions, where = connection.sessions, expired(asked.now)
    try:
        oldest = await sessions.find(where, READ).sort("expires").limit(1).to_list()
        if not oldest:
            return 0, None
        count = await sessions.count_documents(where, limit=BACKLOG_LIMIT)
    except OperationFailure:
        return 0, None
    return count, asked.now - int(oldest[0]["expires"])
