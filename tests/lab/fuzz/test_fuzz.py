"""The short form of `make fuzz`: every target gets the kept corpus, and some thousand inputs made from it.

What a long run has found lies in the corpus as `found-…` and is tried again here for ever.
"""

import logging
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from sessions.formats.signing import Signer

from .__main__ import SHARES
from .targets import GENUINE, ISSUED, KEYS, NAME, TARGETS, cookie_header, signed_value

CORPUS = Path(__file__).parent / "corpus"
TRIES = {"config": 300, "form_body": 500}
"""Inputs for the slow targets; the others get 2000."""

each_target = pytest.mark.parametrize("target", TARGETS)


@pytest.fixture(autouse=True)
def _quiet(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A weak secret is warned of, thousands of times; one of the environment would stand for those of the files."""
    monkeypatch.delenv("SESSION_SECRET", raising=False)
    logging.disable(logging.WARNING)
    yield
    logging.disable(logging.NOTSET)


def corpus(target: str) -> list[bytes]:
    """What is kept for a target."""
    return [path.read_bytes() for path in sorted((CORPUS / target).iterdir())]


def mutated(seeds: list[bytes], chance: random.Random) -> bytes:
    """One of the seeds after a few changes: bytes set, put in, cut out, doubled, or taken from another one."""
    made = bytearray(chance.choice(seeds))
    for _ in range(chance.randint(1, 6)):
        start = chance.randint(0, len(made))
        end = min(len(made), start + chance.choice((1, 1, 2, 8, 64)))
        match chance.randrange(5):
            case 0:
                made[start:end] = chance.randbytes(end - start)
            case 1:
                made[start:start] = chance.randbytes(chance.choice((1, 1, 3)))
            case 2:
                del made[start:end]
            case 3:
                made[start:start] = made[start:end] * chance.choice((1, 2, 40))
            case 4:
                other = chance.choice(seeds)
                cut = chance.randint(0, len(other))
                made[start:end] = other[cut : cut + chance.choice((1, 4, 32))]
    return bytes(made)


@each_target
def test_the_kept_corpus_breaks_no_law(target: str) -> None:
    """Seeds written by hand, what a long run kept, and every finding."""
    kept = corpus(target)

    assert kept
    for data in kept:
        TARGETS[target](data)


@each_target
def test_what_is_made_of_it_breaks_no_law(target: str) -> None:
    """The same in every run: the generator starts from a fixed seed."""
    chance, seeds = random.Random(target), corpus(target)

    for _ in range(TRIES.get(target, 2_000)):
        data = mutated(seeds, chance)
        try:
            TARGETS[target](data)
        except Exception as error:
            error.add_note(f"the input was {data!r}")
            raise


def test_every_target_has_its_share_of_the_long_run() -> None:
    """All shares together are the whole."""
    assert SHARES.keys() == TARGETS.keys()
    assert sum(SHARES.values()) == 1000


def test_a_forgery_would_be_noticed() -> None:
    """An id that we never issued, signed with our very secret, is what the targets cry out at: they can fail."""
    forged = Signer([KEYS[0]]).sign("nobody's id")

    with pytest.raises(AssertionError, match="an accepted forgery"):
        signed_value(forged.encode())
    with pytest.raises(AssertionError, match="an accepted forgery"):
        cookie_header(f"{NAME}={forged}".encode())


def test_genuine_values_are_accepted_in_the_targets() -> None:
    """So that what is mutated is not refused for another reason: every issued id, by either secret."""
    accepted = {sid for value in GENUINE if (sid := Signer(KEYS).unsign(value)) is not None}

    assert accepted == set(ISSUED)
    assert len(GENUINE) == len(ISSUED) * len(KEYS)
