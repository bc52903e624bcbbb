"""Owns the contract of ids and texts: they are opaque, whatever characters they are made of."""

import asyncio

from ..errors import StoreError
from ..store import Store, StoredSession
from .suite import (
    LONG,
    Suite,
    assert_conflict,
    assert_record,
    assert_saved,
    create,
    kept_or_refused,
    on_store,
)

IDS = [
    " ", "a ", " a", "a.b", ".", "..", "a/b", "../../etc/passwd", "it's", 'say "hi"', "back\\slash", "%", "_", "*", "?",
    "null", "0", "00", "1e3", "a", "A", "\u00e9", "e\u0301", "\u2603", "\U0001f600", "\u2028", "tab\there", "line\nend",
    '["a"]', '{"a":1}', "a:b", "'); DROP TABLE sessions; --", "x" * 499 + "y", "x" * 500, "\U0001f600" * 125,
]  # fmt: skip
"""Ids of 1 to 500 bytes: near each other, special to some language, or as long as is always kept."""

LONG_IDS = ["x" * 501, "x" * 4_095 + "y", "x" * 4_096]
"""Ids that a store keeps or refuses."""

NO_IDS = ["a\0b", "a\ud800"]
"""What is no id: it holds NUL, or is not UTF-8."""

TEXTS = [
    '{"a":"\\u0000"}',
    '{"a":"\\ud800"}',
    '{"a":"\\\\u0000\\\\","b":"\\""}',
    '{"\u00e9\u2603":"\U0001f600\u2028\x7f"}',
    """{"a":"'; -- %s ? $1 :now $$"}""",
    ' {"a": 1,\n"a":2 } ',
    '""',
    "1.0",
    '{"a":"' + "a\u00e9\u2603\U0001f600\\n" * 1_000 + '"}',
]
"""JSON in UTF-8: escapes, characters beyond ASCII, words of some language, spaces, a name twice, a value, 14 kB."""

ODD_TEXTS = ["before\0after", "", '{"a":', '"\ud800"', '{"a":"' + "a\u00e9\u2603\U0001f600\\n" * 100_000 + '"}']
"""What a store keeps or refuses: raw NUL, no JSON, no UTF-8, more than a megabyte."""


class TextContract(Suite):
    """Ids and texts come back as they were, or are refused."""

    @on_store
    async def test_every_id_is_its_own(self, store: Store) -> None:
        """No id is taken for another one, however near."""
        made = await asyncio.gather(*(store.create(sid, self.record(n)) for n, sid in enumerate(IDS)))
        found = await asyncio.gather(*map(store.get, IDS))

        for n, (one, two) in enumerate(zip(made, found, strict=True)):
            assert_record(one, self.record(n))
            assert_record(two, self.record(n))

    @on_store
    async def test_no_verb_takes_an_id_for_another(self, store: Store) -> None:
        """An update, a rename and a destroy reach the session of their id and no other."""
        left = []
        for n, sid in enumerate(IDS):
            made = await create(store, sid, self.record(n))
            if n % 3 == 0:
                await store.destroy(sid)
            elif n % 3 == 1:
                left.append((sid, assert_saved(await store.update(sid, self.record(-n), made), self.record(-n))))
            else:
                new = f"{n}{sid}"[:100]
                left.append((new, assert_saved(await store.rename(sid, new, self.record(-n), made), self.record(-n))))

        for sid, record in left:
            assert_record(await store.get(sid), record)
        assert [await store.get(sid) for sid in IDS[::3]] == [None] * len(IDS[::3])

    @on_store
    async def test_a_long_id_is_kept_or_refused_and_never_shortened(self, store: Store) -> None:
        """An id of 501 to 4,096 bytes is no other id; what was refused is not there, and no error for `get`."""
        await create(store, "x" * 500, self.record(0))
        for n, sid in enumerate(LONG_IDS, 1):
            made = await kept_or_refused(store.create(sid, self.record(n)))
            found = await store.get(sid)

            if made is StoreError:
                assert found is None
            else:
                assert_record(found, assert_record(made, self.record(n)))
        assert_record(await store.get("x" * 500), self.record(0))

    @on_store
    async def test_destroy_of_an_id_that_was_refused_is_no_error(self, store: Store) -> None:
        """It has no session."""
        for sid in LONG_IDS:
            await kept_or_refused(store.create(sid, self.record(1)))
            await store.destroy(sid)

            assert await store.get(sid) is None

    @on_store
    async def test_what_is_no_id_is_kept_or_refused_and_hits_no_other(self, store: Store) -> None:
        """A text that some database cannot hold is never another session's id."""
        near = [await create(store, sid, self.record(0)) for sid in ("a", "a?", "a\ufffd")]
        for n, odd in enumerate(NO_IDS):
            made = await create(store, f"b{n}", self.record(1))
            await kept_or_refused(store.update(odd, self.record(2), near[0]))
            await kept_or_refused(store.touch(odd, self.record(2, 2 * LONG).expires_at, near[0]))
            await kept_or_refused(store.rename(f"b{n}", odd, self.record(2), made))
            await kept_or_refused(store.create(odd, self.record(3)))
            await store.destroy(odd)

            assert await store.get(odd) is None
        for sid in ("a", "a?", "a\ufffd"):
            assert_record(await store.get(sid), self.record(0))

    @on_store
    async def test_a_text_comes_back_to_the_character(self, store: Store) -> None:
        """Every verb writes it, compares it and reads it as it is."""
        for n, text in enumerate(TEXTS):
            record, other = StoredSession(text, self.record(n).expires_at), self.record(n)
            made = await create(store, f"{n}", record)
            assert_record(await store.get(f"{n}"), record)
            changed = assert_saved(await store.update(f"{n}", other, made), other)
            assert_conflict(await store.update(f"{n}", record, made), other)
            back = assert_saved(await store.update(f"{n}", record, changed), record)
            touched = assert_saved(await store.touch(f"{n}", record.expires_at + LONG, back), self._later(record))
            moved = await store.rename(f"{n}", f"new {n}", record, touched, record)

            assert_saved(moved, record)
            assert_record(await store.get(f"new {n}"), record)
            assert_record(await store.get(f"{n}"), record)

    @on_store
    async def test_an_odd_text_is_kept_whole_or_refused(self, store: Store) -> None:
        """It is never cut short or changed, and one that is refused leaves the session as it was."""
        for n, text in enumerate(ODD_TEXTS):
            odd, old = StoredSession(text, self.record(n).expires_at), self.record(n)
            made = await create(store, f"{n}", old)
            update = await kept_or_refused(store.update(f"{n}", odd, made))

            wanted = old if update is StoreError else assert_saved(update, odd)
            assert_record(await store.get(f"{n}"), wanted)

    @on_store
    async def test_what_is_refused_fails_alone(self, store: Store) -> None:
        """Of calls that arrive together the others have the outcome that they would have had."""
        made = await create(store, "third", self.record(3))
        odd = self.record(0)._replace(data='"\ud800"')
        first, _, second, _, third, _, fourth = await asyncio.gather(
            store.create("first", self.record(1)),
            kept_or_refused(store.create("a\ud800", self.record(0))),
            store.create("second", self.record(2)),
            kept_or_refused(store.create("b", odd)),
            store.update("third", self.record(33), made),
            kept_or_refused(store.create("x" * 4_096, odd)),
            store.create("fourth", self.record(4)),
        )

        for n, record in ((1, first), (2, second), (33, third.record), (4, fourth)):
            assert_record(record, self.record(n))
        assert_record(await store.get("third"), self.record(33))

    @on_store
    async def test_an_expiry_may_be_as_far_as_javascripts_last_date(self, store: Store) -> None:
        """A moment that no calendar knows is kept as well."""
        last = self.record(1)._replace(expires_at=8_640_000_000_000_000)
        made = await create(store, "a", self.record(1))
        assert_saved(await store.touch("a", last.expires_at, made), last)

        assert_record(await store.get("a"), last)

    def _later(self, record: StoredSession) -> StoredSession:
        return record._replace(expires_at=record.expires_at + LONG)
