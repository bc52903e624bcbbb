"""Owns the contract between the sessions and their store: the record, six verbs, their outcomes, the powers.

A store keeps a text under an id until a given time. Six verbs are all that a store needs (`Store`). The attributes
`sweepable`, `prepared`, `admin`, `overwriting`, `batching`, `users` and `existing` say what else it can do: each is
None, or absent, or the object that has the verbs of that power. A store must not know cookies, signatures or Tornado.

What holds for every verb (`sessions.testing.StoreContract` tests it, and demands nothing else):

- An id is a text of 1 to 4,096 bytes in UTF-8 without NUL. A store keeps ids of 1 to 500 bytes. It keeps a longer one
  or refuses it with StoreError; it never shortens it. Ids that differ are different sessions.
- The session's text is JSON in UTF-8. It comes back to the character.
- Anything else (an id that is none, a text that is no JSON or more than the database takes) is kept whole or refused
  with StoreError, and disturbs no other call.
- A session with an `expires_at` of now or earlier is expired, and an expired session counts as none, swept or not.
- One verb is one step: no other call, of this process or of another, sees it half done. A read that begins after a
  write was answered sees it. (A database that has no step over two ids performs `rename` by
  `sessions.stores.base.rename_in_steps`, which says what can be seen of it.)
- A verb does not block the event loop. Calls run side by side in any number.
- A caller that is cancelled only stops waiting: the step is done whole, or not at all.
- StoreError says that the store refused or failed. StoreUnavailable says that a later try may help, and that it is
  unknown whether the step was done. The driver's error is the cause of both.
- Several store objects, in one process or in many, may share the data.
- `async with` opens and closes a store that has `__aenter__` and `__aexit__`. `ready` says whether the store is up, as
  far as the store knows without asking; a store without `ready` is always up.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from enum import Enum
from typing import Any, Literal, NamedTuple, Protocol, Self, TypeAlias, cast


class StoredSession(NamedTuple):
    """What a store keeps under an id."""

    data: str
    """The session as JSON text."""
    expires_at: int
    """Milliseconds since the epoch, up to JavaScript's last date; from then on the session is gone, swept or not.

    An int. It comes back as it was written, or less than a second off if the database counts the time that is left.
    """
    version: Any = None
    """Whatever the store compares to know that the record is unchanged, with `==`. None: the text itself.

    It comes from what Node writes too (a digest, PostgreSQL's xmin), never from a counter that only we count. It is
    opaque to everybody but its store, and means nothing in a record that is to be written.
    """

    def same_as(self, other: "StoredSession") -> bool:
        """True if both are the same record: equal versions, or equal texts if neither has a version."""
        mine, theirs = self.version, other.version
        if mine is None and theirs is None:
            return self.data == other.data
        if isinstance(mine, StoredSession) and isinstance(theirs, StoredSession):
            return mine.same_as(theirs)  # a wrapper keeps the record of the store inside as the version of its own
        return bool(mine == theirs)

    def __repr__(self) -> str:
        return f"<StoredSession until {self.expires_at}>"  # without the data: a repr comes into logs and error pages


class Outcome(Enum):
    """What became of a write to a session that was loaded."""

    SAVED = "saved"
    CONFLICT = "conflict"
    """Another request has changed the session since it was loaded."""
    GONE = "gone"
    """The session was destroyed or has expired."""
    TAKEN = "taken"
    """Of `rename` only: another row has the new id."""


class Update(NamedTuple):
    """What became of a write, and the record that the store has now."""

    outcome: Outcome
    record: StoredSession | None = None
    """SAVED: the record as the store has it now. CONFLICT: the newer one. GONE and TAKEN: None."""


GONE = Update(Outcome.GONE)
TAKEN = Update(Outcome.TAKEN)


class Store(Protocol):
    """Where sessions are kept: six verbs, each an `async def`, or a function that returns what is to be awaited.

    `expected` is always a record that `get` or a write returned, by this store object or another one on the same data.
    """

    def get(self, sid: str) -> Awaitable[StoredSession | None]:
        """Read the session of an id.

        Returns the record, or None if there is none or it has expired. A missing id is not an error, nor is an id that
        the store could not keep.
        """

    def create(self, sid: str, record: StoredSession) -> Awaitable[StoredSession | None]:
        """Insert a new session, and never overwrite one.

        Returns the record as the store has it now, or None if a living session has the id. An expired session in the
        way is not an error: it is replaced. A record that has expired already is not an error: it cannot be read.
        """

    def update(self, sid: str, record: StoredSession, expected: StoredSession) -> Awaitable[Update]:
        """Replace a session that is still the expected one, and never insert one.

        Returns SAVED with the record as the store has it now, CONFLICT with the newer record, or GONE. Not an error: a
        session of which only the expiry was moved (SAVED or CONFLICT); a record that has expired already, by which a
        caller removes a session only if it is unchanged (SAVED).
        """

    def touch(self, sid: str, expires_at: int, expected: StoredSession) -> Awaitable[Update]:
        """Move the expiry of a session that is still the expected one, without carrying its text.

        Returns as `update` does, SAVED with the text of `expected`. A session of which only the text or only the expiry
        was changed is not an error: it may be SAVED, as only the end moves. By the record that comes back, too, an
        `update` is a CONFLICT then if the text was changed.
        """

    def rename(
        self,
        old: str,
        new: str,
        record: StoredSession,
        expected: StoredSession,
        tombstone: StoredSession | None = None,
    ) -> Awaitable[Update]:
        """Move a session that is still the expected one to a new id, with a new record, in one step.

        Returns SAVED with the record as the store has it under `new`; else, and then it changes nothing, the first that
        applies of GONE, CONFLICT with the newer record under `old`, and TAKEN if a row has `new` (which may be an
        expired one that is not swept yet). The id `old` is free afterwards, or holds `tombstone`, an ordinary record to
        the store; a store that has no room for a tombstone is not in error without it.
        """

    def destroy(self, sid: str) -> Awaitable[None]:
        """Delete a session. An id that has none is not an error, nor is an id that the store could not keep."""


class OpenableStore(Store, Protocol):
    """A store that `async with` opens and closes."""

    async def __aenter__(self) -> Self: ...

    async def __aexit__(self, *exc_info: object) -> None: ...


# ---------------------------------------------------------------- the powers beyond the core


class Sweepable(Protocol):
    """The power of a store that does not drop expired sessions by itself: the `Sweeper` asks it to."""

    def lead(self) -> bool:
        """Return True if this process sweeps, of those that share the data. It does so until it ends."""

    async def sweep(self, limit: int) -> int:
        """Delete at most `limit` expired sessions, the oldest first. Returns how many it deleted."""

    async def backlog(self, limit: int) -> int:
        """Return how many expired sessions wait to be swept, counted up to `limit`."""


class Prepared(Protocol):
    """The power of a store that makes or asks something before the first of several processes opens it."""

    def prepare(self) -> None:
        """Do it, once, before any fork, and leave nothing open. Raises StoreError."""


class Admin(Protocol):
    """The power to count, list and delete all sessions. Tombstones count as sessions here."""

    async def length(self) -> int:
        """Return how many sessions live."""

    def all(self) -> AsyncIterator[tuple[str, StoredSession]]:
        """Yield every living session with its key, read in pages: a change meanwhile may or may not be seen.

        A record is good as `expected` for the store with verbs that take keys (`by_key`).
        """

    async def clear(self) -> None:
        """Delete every session."""


OnBatch: TypeAlias = Callable[[Literal["read", "write"], int], None]
"""Called with the kind of a batch and its jobs when a store begins it."""


class Batching(Protocol):
    """The power of a store that performs in one step what several callers ask for."""

    def report_batches(self, report: OnBatch) -> None:
        """Call `report` at the begin of each batch from now on. It must not raise."""


class Overwriting(Protocol):
    """The power to write blindly, as Express does: for `conflict = "overwrite"`."""

    def set(self, sid: str, record: StoredSession) -> Awaitable[StoredSession]:
        """Insert or replace a session, whatever is there. Returns the record as the store has it now."""


class Limit(NamedTuple):
    """How many sessions a user may have, as a sign-in meets it."""

    user: str
    most: int
    """Sessions of the user that may live, the new one included."""
    refuses: bool
    """True if a sign-in beyond that is refused; False if the session that signed in first ends."""
    aliases: tuple[str, ...] = ()
    """Further names of the user, as `Users` says."""


class SignedIn(NamedTuple):
    """What became of a sign-in."""

    update: Update | None
    """As `rename` returns it; of a session that is created SAVED or TAKEN. None: refused, and nothing was changed."""
    ended: list[str]
    """The keys of the user's sessions that ended to make room."""


class Users(Protocol):
    """The power to find the sessions of a user, whoever wrote them, and to end them. Keys, never ids, but in `sign_in`.

    A user is a text of user_text.py. Before anything else `index` is called. A tombstone is nobody's session.
    A user may have `aliases`: further names by which rows name the same user, as a wrapper writes them to hide it.
    """

    by_meta: bool
    """True if a session is found by the member `user` of its `__meta`, which its writer has to keep as the data has it.

    False if the store itself finds the user in the data.
    """
    refuses: bool
    """True if `sign_in` can refuse: where it is one step."""

    def index(self, path: tuple[str, ...], *, node_peer: bool, in_meta: bool = False) -> None:
        """Say under which keys of the data, from the outermost on, the user is. It opens nothing, and may be repeated.

        With `in_meta` a row that names nobody there is the user's whom the member `user` of its `__meta` names.
        `node_peer` says that a Node server writes to the store. A store with an index makes it when it is opened, or
        when it is first needed; a table of 50,000 rows or more gets none by that. Without one every verb is right and
        slow, which the log says once.
        """

    async def rows(self, user: str, aliases: Collection[str] = ()) -> list[tuple[str, StoredSession]]:
        """Return the living sessions that may be the user's: all that are, and the caller compares each.

        A record is good as `expected` for the store with verbs that take keys (`by_key`).
        """

    async def end(
        self,
        user: str,
        keys: Collection[str] | None = None,
        keep: str | None = None,
        aliases: Collection[str] = (),
    ) -> list[str]:
        """Delete the user's sessions: all, or those under some keys, and none under `keep`. Returns their keys.

        A session that another call moves meanwhile is followed: with `keys` None none lives afterwards that was stored
        before the call, but for one under `keep`. A key that is gone, or another user's, is not an error.
        """

    async def sign_in(
        self,
        limit: Limit,
        new: str,
        record: StoredSession,
        old: str | None = None,
        expected: StoredSession | None = None,
        tombstone: StoredSession | None = None,
    ) -> SignedIn:
        """Create a session of the user under the id `new`, or rename one (`old`, `expected`), within a limit.

        Counting, writing and ending others are one step among all calls of `sign_in`, where the store says `refuses`;
        in a Redis Cluster what ends is found after the write. The session under `old` does not count. Of the others
        those that signed in first end (`signedInAt` of `__meta`; one without it is the oldest).
        """


class IndexedUsers(Users, Protocol):
    """The power `users` of a store that has an index for it, which can be made on a large table too."""

    async def make_index(self, *, rebuild: bool, progress: Callable[[int, int], None]) -> bool:
        """Make the index, while others write as far as the database lets them. Returns False if it is there already.

        With `rebuild` one that is there is made again. `progress` is called with what is done and the whole, where the
        database tells. Raises StoreError, and OptionsError where there can be none.
        """


class Existing(Protocol):
    """The power to open only what is there: for an operator, who may have named the wrong place."""

    def take_existing(self, *, reads: bool) -> None:
        """Say, before the store is opened, that it makes no file, table or index. One that is missing is a StoreError.

        `reads` says that no session is written either, so that a right to read is enough.
        """


def sweepable(store: Store) -> Sweepable | None:
    """Return what sweeps the store, or None if it drops expired sessions by itself."""
    return cast("Sweepable | None", getattr(store, "sweepable", None))


def prepared(store: Store) -> Prepared | None:
    """Return what prepares the store before a fork, or None."""
    return cast("Prepared | None", getattr(store, "prepared", None))


def admin(store: Store) -> Admin | None:
    """Return what counts, lists and clears the store, or None."""
    return cast("Admin | None", getattr(store, "admin", None))


def batching(store: Store) -> Batching | None:
    """Return what reports the batches of the store, or None if it has none."""
    return cast("Batching | None", getattr(store, "batching", None))


def overwriting(store: Store) -> Overwriting | None:
    """Return what writes blindly, or None."""
    return cast("Overwriting | None", getattr(store, "overwriting", None))


def users(store: Store) -> Users | None:
    """Return what finds the sessions of a user, or None."""
    return cast("Users | None", getattr(store, "users", None))


def indexed(store: Store) -> IndexedUsers | None:
    """Return what finds the sessions of a user by an index that it can make, or None."""
    power = users(store)
    return cast("IndexedUsers", power) if hasattr(power, "make_index") else None


def existing(store: Store) -> Existing | None:
    """Return what keeps the store from making anything, or None."""
    return cast("Existing | None", getattr(store, "existing", None))


def is_ready(store: Store) -> bool:
    """Return True if the store is up, as far as it knows without asking."""
    return bool(getattr(store, "ready", True))


def is_sealed(store: Store) -> bool:
    """Return True if what the store keeps is sealed (at_rest/sealed_store.py)."""
    return bool(getattr(store, "is_sealed", False))


def key_of(store: Store, sid: str) -> str:
    """Return the key of an id: what the innermost store has as its id. A store that hashes ids says another one."""
    of = getattr(store, "key_of", None)
    return sid if of is None else str(of(sid))


def by_key(store: Store) -> Store:
    """Return the store with verbs that take keys: the store itself, unless it hashes ids."""
    return cast("Store", getattr(store, "by_key", store))


def name_of(store: object) -> str:
    """Return the store's name for a message: what it calls itself, or its class."""
    return str(getattr(store, "name", None) or type(store).__name__)
