"""Owns the mutants of what is at rest: ids that are hashed, data that is sealed."""

from typing import Any

from ..mutant import always, row_table

MUTANTS, breaks = row_table()

HASHED, STORE, SEAL = "at_rest/test_hashed_ids.py", "at_rest/test_sealed_store.py", "at_rest/test_seal.py"
WRAPPER, FORMAT = "sessions.at_rest.hashed_ids", "sessions.at_rest.seal"


class _Nothing:
    """A pattern that nothing fits."""

    def fullmatch(self, _text: str) -> None:
        return None


breaks("6.5.2; at-rest", "what is signed may be a key of the store",
       f"{HASHED}::test_a_dump_of_the_store_opens_nothing_even_with_the_secret",
       f"{WRAPPER}:_HASH")(lambda _: _Nothing())  # fmt: skip
breaks("6.5.2", "an id that looks like a key is an id",
       f"{HASHED}::test_an_id_that_looks_like_a_key_is_refused",
       f"{WRAPPER}:_HASH")(lambda _: _Nothing())  # fmt: skip
breaks("6.5.2", "the store has the id itself",
       f"{HASHED}::test_the_ids_in_the_store_are_hashes",
       f"{WRAPPER}:_hashed")(lambda _: lambda _key, sid: sid)  # fmt: skip


@breaks("6.5.2", "plain ids are asked for without an end",
        f"{HASHED}::test_plain_rows_are_taken_over_until_the_day_that_is_said",
        f"{WRAPPER}:HashedIds.__init__")  # fmt: skip
def _(original: Any) -> Any:
    def init(self: Any, inner: Any, keys: Any, *, legacy_until: Any = None, **named: Any) -> None:
        original(self, inner, keys, legacy_until=None, **named)

    return init


breaks("11.3.2; 11.3.3; 11.3.4", "the key is another one",
       f"{SEAL}::TestVectors::test_the_vectors_are_what_they_say",
       "sessions.at_rest.keyring:Key.derived")(
    lambda original: lambda self, info: original(self, info.upper()))  # fmt: skip
breaks("11.3.4", "the nonce is always the same",
       f"{SEAL}::TestVectors::test_what_is_sealed_is_opened_and_never_the_same",
       f"{FORMAT}:os")(lambda _: _SameBytes)  # fmt: skip


class _SameBytes:
    """A system that knows no chance."""

    urandom = staticmethod(bytes)


breaks("11.3.3", "a second spelling of a seal is accepted",
       f"{SEAL}::TestRefusals::test_every_bit_that_is_flipped",
       f"{FORMAT}:_url")(
    lambda original: lambda data: original(data) if len(data) > 3 else "")  # fmt: skip
breaks("at-rest", "the key is one for all rows",
       f"{STORE}::TestRefused::test_a_row_under_another_id_is_refused",
       f"{FORMAT}:_row_key")(lambda original: lambda key, _row: original(key, ""))  # fmt: skip
breaks("at-rest", "nothing is sealed",
       f"{STORE}::test_nothing_of_a_session_is_in_the_store",
       "sessions.at_rest.sealed_store:SealedStore.encode")(lambda _: lambda _self, _key, record: record)  # fmt: skip
breaks("at-rest", "a sealed row is a session without data where there are no keys",
       f"{STORE}::TestRefused::test_a_sealed_row_is_a_500_where_there_are_no_keys",
       "sessions.formats.json_text:is_sealed")(always(value=False))  # fmt: skip


@breaks("at-rest", "what cannot be opened is an empty session",
        f"{STORE}::TestRefused::test_a_wrong_key_is_a_500_and_no_empty_session"
        f" {STORE}::TestRefused::test_a_row_that_was_changed_is_refused",
        "sessions.at_rest.sealed_store:SealedStore.decode")  # fmt: skip
def _(original: Any) -> Any:
    def decode(self: Any, key: str, record: Any) -> Any:
        try:
            return original(self, key, record)
        except Exception:  # noqa: BLE001 # a mutant
            return record._replace(data='{"cookie":{"path":"/"}}')

    return decode


@breaks("at-rest", "members beside the seal are taken",
        f"{STORE}::TestRefused::test_a_member_beside_the_seal_is_refused_if_all_is_to_be_sealed",
        f"{FORMAT}:Seal._opened_slowly")  # fmt: skip
def _(original: Any) -> Any:
    def opened(self: Any, key: str, text: str) -> Any:
        return original(self, key, text)._replace(is_later=False)

    return opened
