"""The laws of the signed id: what was signed verifies, and nothing near it does."""

from hypothesis import assume, given
from hypothesis import strategies as st

from sessions.formats.signing import Signer

KEYS = st.lists(st.binary(min_size=1, max_size=100), min_size=1, max_size=4)
SIDS = st.text(st.characters(exclude_categories=["Cs"]), max_size=60)  # a lone surrogate has no bytes to sign
VALUES = st.one_of(st.text(), st.builds("s:{}.{}".format, st.text(), st.text()))

CAT = Signer([b"keyboard cat"])


@given(keys=KEYS, sid=SIDS, data=st.data())
def test_what_any_of_the_secrets_signed_is_verified(keys: list[bytes], sid: str, data: st.DataObject) -> None:
    """Whichever secret of the list signed, and whatever the id holds."""
    signed = Signer([data.draw(st.sampled_from(keys))]).sign(sid)

    assert Signer(keys).unsign(signed) == sid


@given(keys=KEYS, other=st.binary(min_size=1, max_size=100), sid=SIDS)
def test_a_foreign_secret_verifies_nothing(keys: list[bytes], other: bytes, sid: str) -> None:
    """HMAC pads a short key with zeros, so keys that differ in those alone are one."""
    assume(other.rstrip(b"\0") not in {key.rstrip(b"\0") for key in keys})

    assert Signer(keys).unsign(Signer([other]).sign(sid)) is None


@given(sid=SIDS, position=st.integers(min_value=0), replacement=st.characters())
def test_a_value_that_was_changed_anywhere_is_refused(sid: str, position: int, replacement: str) -> None:
    """One character replaced: in the prefix, the id, the dot or the signature."""
    signed = CAT.sign(sid)
    position %= len(signed)
    assume(signed[position] != replacement)

    assert CAT.unsign(signed[:position] + replacement + signed[position + 1 :]) is None


def test_a_session_id_that_was_changed_at_any_position_is_refused() -> None:
    """Every position, every character of base64 and a few more: none of 4000 neighbours is accepted."""
    signed = CAT.sign("kEhQnXBQsVgAAf2rkYTkZ2yWXeSLkVd0")
    neighbours = [
        signed[:position] + replacement + signed[position + 1 :]
        for position in range(len(signed))
        for replacement in "Aa0+/-_=.s: %é"
        if signed[position] != replacement
    ]

    assert [each for each in neighbours if CAT.unsign(each) is not None] == []


@given(sid=SIDS, position=st.integers(min_value=0), piece=st.text(min_size=1, max_size=3))
def test_a_value_that_was_lengthened_or_cut_is_refused(sid: str, position: int, piece: str) -> None:
    """One piece put in, one character taken out."""
    signed = CAT.sign(sid)
    position %= len(signed)
    longer = signed[:position] + piece + signed[position:]
    shorter = signed[:position] + signed[position + 1 :]

    assert CAT.unsign(longer) is None
    assert CAT.unsign(shorter) is None


@given(value=VALUES)
def test_no_value_raises(value: str) -> None:
    """Whatever a client sends is an id or nothing; that it is one by chance would break HMAC."""
    assert CAT.unsign(value) is None
