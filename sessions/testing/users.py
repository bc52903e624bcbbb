"""Owns the contract of the power `users`: the sessions of a user are found and ended, whatever else goes on."""

import asyncio
import json
from typing import Any

from ..store import Limit, Outcome, Store, StoredSession, Users, by_key, key_of, users
from ..user_text import user_in
from .powers import PowerContract
from .suite import LONG, SOON, Stores, create, on_store, on_two_stores

PATH = ("user",)


class UsersContract(PowerContract):
    """`users`: find the sessions of a user, and end them."""

    power = "users"

    def session_of(self, user: object, n: int = 0, *, life: int = LONG, **meta: Any) -> StoredSession:
        """Return the nth record of a user, as a manager writes it: `__meta` has the user's text too."""
        members = {**meta, "user": str(user)} if user is not None else meta
        text = {"cookie": {"path": "/"}, "__meta": members, "n": n, **({} if user is None else {"user": user})}
        return StoredSession(json.dumps(text, ensure_ascii=False), self.clock() + life)

    def hidden(self, name: str, **meta: Any) -> StoredSession:
        """Return a record of a user that only `__meta` names, by another name."""
        return StoredSession(
            json.dumps({"cookie": {"path": "/"}, "__meta": {**meta, "user": name}, "n": 0}), self.clock() + LONG
        )

    @on_store
    async def test_rows_are_those_of_the_user(self, store: Store) -> None:
        """Of several sessions of a user each is found, and of another user, or of nobody, none."""
        users = _users(store)
        for sid, user in (("a", "ada"), ("b", "ada"), ("c", "bob"), ("d", None), ("e", "ad"), ("f", "ada ")):
            await store.create(sid, self.session_of(user))

        assert await found(users, "ada") == keys(store, "a", "b")
        assert await found(users, "bob") == keys(store, "c")
        assert await found(users, "eve") == set()

    @on_store
    async def test_rows_bring_records_for_the_next_write(self, store: Store) -> None:
        """A record that was found is good as the expected one of the store with verbs that take keys."""
        users = _users(store)
        await store.create("a", self.session_of("ada"))
        ((key, record),) = await users.rows("ada")

        assert (await by_key(store).update(key, self.session_of("ada", 2), record)).outcome is Outcome.SAVED

    @on_store
    async def test_an_integer_is_compared_as_text(self, store: Store) -> None:
        """The user 1 and the user "1" are one."""
        users = _users(store)
        await store.create("a", self.session_of(1))
        await store.create("b", self.session_of("1"))

        assert await found(users, "1") == keys(store, "a", "b")
        assert sorted(await users.end("1")) == sorted(keys(store, "a", "b"))

    @on_store
    async def test_a_user_of_any_characters_is_found(self, store: Store) -> None:
        """Quotes, brackets, a pair of surrogates, 200 characters, the words of SQL and of patterns."""
        users = _users(store)
        names = [
            'a"b', "a\\b", "a\\u0000b", "a\\ud83db", "{[*?]}", "a'; --", "%", "_", "ü", "\u20ac",
            "\U0001f600", "?", "??", " ", "$user", "x" * 200, "\U0001f600" * 200, "null", "true", "1.0", "-1", "A", "a",
        ]  # fmt: skip
        for n, name in enumerate(names):
            await store.create(f"{n}", self.session_of(name))

        assert [await found(users, name) for name in names] == [keys(store, f"{n}") for n in range(len(names))]
        assert [await users.end(name) for name in names] == [[*keys(store, f"{n}")] for n in range(len(names))]

    @on_store
    async def test_what_is_no_user_is_nobodys(self, store: Store) -> None:
        """True, a number with a point, null, a list, an object, a long text are not the texts that they look like."""
        users = _users(store)
        odd = [True, 1.0, 1.5, None, ["ada"], {"a": 1}, "x" * 201, "x" * 3000]
        for n, user in enumerate(odd):
            await store.create(f"{n}", self.session_of(user))
        names = ["true", "True", "1.0", "1", "1.5", "null", "None", '["ada"]', "ada", '{"a":1}', '{"a": 1}', "x" * 200]

        assert [await found(users, name) for name in names] == [set()] * len(names)
        assert [await users.end(name) for name in names] == [[]] * len(names)
        assert None not in [await store.get(f"{n}") for n in range(len(odd))]

    @on_store
    async def test_a_user_in_meta_is_found_if_that_is_asked(self, store: Store) -> None:
        """Under each of several names. What the data says comes before `__meta`: it is what a Node server changes."""
        users = _users(store, in_meta=True)
        hidden = self.hidden("H(ada)")
        later = StoredSession(hidden.data.replace('"n"', '"user": "bob", "n"'), hidden.expires_at)
        for sid, record in (("a", hidden), ("b", self.session_of("ada")), ("c", later), ("d", self.session_of(None))):
            await store.create(sid, record)

        assert {key for key, _ in await users.rows("ada", ["H(ada)"])} >= keys(store, "a", "b")
        assert {key for key, _ in await users.rows("eve", ["H(eve)"])} == set()
        assert set(await users.end("ada", keep=key_of(store, "b"), aliases=["H(ada)"])) == keys(store, "a")
        assert await users.end("ada", [key_of(store, "b"), key_of(store, "c")], aliases=["H(ada)"]) == [
            *keys(store, "b")
        ]
        assert [await store.get(sid) is not None for sid in "abcd"] == [False, False, True, True]

    @on_store
    async def test_a_limit_counts_every_name(self, store: Store) -> None:
        """The oldest of all the user's sessions ends, or the sign-in is refused."""
        users = _users(store, in_meta=True)
        await store.create("a", self.session_of("ada", signedInAt=1))
        await store.create("b", self.hidden("H1", signedInAt=2))
        await store.create("c", self.hidden("H2", signedInAt=3))
        new = self.hidden("H2", signedInAt=4)
        evicting, refusing = (Limit("ada", 2, refuses, ("H1", "H2")) for refuses in (False, True))
        refused = await users.sign_in(refusing, "d", new) if users.refuses else None
        made = await users.sign_in(evicting, "e", new)

        assert refused in (None, (None, []))
        assert set(made.ended) == keys(store, "a", "b")
        assert [await store.get(sid) is not None for sid in "abcde"] == [False, False, True, False, True]

    @on_store
    async def test_rows_follow_every_write(self, store: Store) -> None:
        """A session that is updated, touched, moved, destroyed or expired is found as it is by then."""
        users = _users(store)
        made = [await create(store, sid, self.session_of("ada", n)) for n, sid in enumerate("abcd")]
        await store.create("e", self.session_of("ada", life=SOON))
        await store.update("a", self.session_of("bob"), made[0])
        await store.touch("b", self.clock() + 2 * LONG, made[1])
        await store.rename("c", "f", self.session_of("ada", 3), made[2], self.session_of(None, closed=1))
        await store.destroy("d")
        await self.pass_time(SOON)

        assert await found(users, "ada") == keys(store, "b", "f")
        assert await found(users, "bob") == keys(store, "a")

    @on_two_stores
    async def test_end_ends_all_of_the_user(self, stores: Stores) -> None:
        """And no other session; another store on the data sees it."""
        users = _users(stores[0])
        _users(stores[1])
        for sid, user in (("a", "ada"), ("b", "ada"), ("c", "bob"), ("d", None)):
            await stores[1].create(sid, self.session_of(user))
        ended = await users.end("ada")

        assert set(ended) == keys(stores[0], "a", "b")
        assert [await stores[1].get(sid) is not None for sid in "abcd"] == [False, False, True, True]
        assert await found(_users(stores[1]), "ada") == set()

    @on_store
    async def test_end_keeps_one(self, store: Store) -> None:
        """A change of password ends the others."""
        users = _users(store)
        for sid in "abc":
            await store.create(sid, self.session_of("ada"))
        ended = await users.end("ada", keep=key_of(store, "b"))

        assert set(ended) == keys(store, "a", "c")
        assert await found(users, "ada") == keys(store, "b")

    @on_store
    async def test_end_takes_some_keys(self, store: Store) -> None:
        """Of those that are the user's; another's session is not ended, and a key that is gone is no error."""
        users = _users(store)
        for sid, user in (("a", "ada"), ("b", "ada"), ("c", "bob")):
            await store.create(sid, self.session_of(user))
        ended = await users.end("ada", [key_of(store, sid) for sid in ("a", "c", "nobody")])

        assert ended == [key_of(store, "a")]
        assert [await store.get(sid) is not None for sid in "abc"] == [False, True, True]
        assert await users.end("ada", []) == []

    @on_two_stores
    async def test_end_follows_what_moves(self, stores: Stores) -> None:
        """Sessions that rotate and save meanwhile do not escape."""
        power = _users(stores[0])
        _users(stores[1])
        for round_ in range(3):
            made = [await create(stores[1], f"{round_} {n}", self.session_of("ada", n)) for n in range(10)]
            moving = [
                asyncio.create_task(self._move(stores[n % 2], f"{round_} {n}", record, tombstone=n % 3 == 0))
                for n, record in enumerate(made)
            ]
            await power.end("ada")
            await asyncio.gather(*moving)

            assert await found(power, "ada") == set()

    async def _move(self, store: Store, sid: str, record: StoredSession, *, tombstone: bool) -> None:
        """Rotate and save a session until it is gone."""
        closed = self.session_of(None, closed=1, next="x") if tombstone else None
        for n in range(1_000):
            new = f"{sid} {n}"
            moved = await store.rename(sid, new, self.session_of("ada", n), record, closed)
            if moved.record is None or moved.outcome is not Outcome.SAVED:
                return
            sid, record = new, moved.record
            saved = await store.update(sid, self.session_of("ada", -n), record)
            if saved.record is None:
                return
            record = saved.record

    # ---------------------------------------------------------------- the limit

    @on_store
    async def test_a_sign_in_creates_or_renames(self, store: Store) -> None:
        """As `create` and `rename` do; below the limit nothing else happens."""
        users = _users(store)
        limit = Limit("ada", 3, refuses=False)
        made = await create(store, "a", self.session_of(None))
        renamed = await users.sign_in(limit, "b", self.session_of("ada"), "a", made, self.session_of(None, closed=1))
        created = await users.sign_in(limit, "c", self.session_of("ada"))
        taken = await users.sign_in(limit, "c", self.session_of("ada"))
        gone = await users.sign_in(limit, "e", self.session_of("ada"), "nobody", made)

        outcomes = [each.update.outcome for each in (renamed, created, taken, gone) if each.update is not None]
        assert outcomes == [Outcome.SAVED, Outcome.SAVED, Outcome.TAKEN, Outcome.GONE]
        assert [each.ended for each in (renamed, created, taken, gone)] == [[], [], [], []]
        assert await found(users, "ada") == keys(store, "b", "c")

    @on_store
    async def test_a_sign_in_beyond_the_limit_ends_the_oldest(self, store: Store) -> None:
        """By `signedInAt`; a session that does not say when it signed in is the oldest. No other user's ends."""
        users = _users(store)
        for sid, user, meta in (
            ("c", "ada", {"signedInAt": 3}),
            ("b", "ada", {"signedInAt": 2}),
            ("a", "ada", {}),
            ("d", "bob", {"signedInAt": 1}),
        ):
            await store.create(sid, self.session_of(user, **meta))
        first = await users.sign_in(Limit("ada", 3, refuses=False), "e", self.session_of("ada", signedInAt=4))
        second = await users.sign_in(Limit("ada", 1, refuses=False), "f", self.session_of("ada", signedInAt=1))

        assert set(first.ended) == keys(store, "a")
        assert set(second.ended) == keys(store, "b", "c", "e")
        assert await found(users, "ada") == keys(store, "f")
        assert await found(users, "bob") == keys(store, "d")

    @on_store
    async def test_a_sign_in_beyond_the_limit_is_refused(self, store: Store) -> None:
        """Nothing is changed. The session's own old row does not count."""
        users = _users(store)
        if not users.refuses:
            return
        limit = Limit("ada", 2, refuses=True)
        for sid in "ab":
            await users.sign_in(limit, sid, self.session_of("ada"))
        refused = await users.sign_in(limit, "c", self.session_of("ada"))
        made = await store.get("a")
        again = await users.sign_in(limit, "d", self.session_of("ada"), "a", made)

        assert refused == (None, [])
        assert again.update is not None
        assert again.update.outcome is Outcome.SAVED
        assert await found(users, "ada") == keys(store, "b", "d")
        assert await store.get("c") is None

    @on_two_stores
    async def test_many_sign_ins_keep_the_limit(self, stores: Stores) -> None:
        """Of 50 at once as many live as may; where to count and to end are two steps, it may be fewer."""
        power = [_users(store) for store in stores]
        for refuses in {False, power[0].refuses}:
            user = f"ada {refuses}"
            limit = Limit(user, 5, refuses)
            calls = (
                power[n % 2].sign_in(limit, f"{refuses} {n}", self.session_of(user, n, signedInAt=n)) for n in range(50)
            )
            done = await asyncio.gather(*calls)

            living = len(await found(power[0], user))
            assert living == 5 or (1 <= living < 5 and not power[0].refuses)
            refused = sum(each.update is None for each in done)
            assert refused == (45 if refuses else 0)
            assert len({key for each in done for key in each.ended}) == 50 - living - refused


def _users(store: Store, *, in_meta: bool = False) -> Users:
    power = users(store)
    assert power is not None, "the store does not offer users"
    power.index(PATH, node_peer=False, in_meta=in_meta)
    return power


async def found(power: Users, user: str) -> set[str]:
    """Return the keys of the user's sessions: each that is listed, if its row says so."""
    return {key for key, record in await power.rows(user) if user_in(record.data, PATH) == user}


def keys(store: Store, *sids: str) -> set[str]:
    """Return the keys of some ids."""
    return {key_of(store, sid) for sid in sids}
