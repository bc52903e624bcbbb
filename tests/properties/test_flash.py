"""Messages that are shown once: of requests side by side each adder's message is shown, and none twice that was taken."""

import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sessions import flash
from sessions.merge import changes, merged

KINDS = ("info", "error")
TEXTS = st.lists(st.sampled_from("abcd"), max_size=4)
FLASH = st.none() | st.dictionaries(st.sampled_from(KINDS), TEXTS)
HISTORIES = 3_000


def texts(value: Any) -> list[str]:
    """All messages, sorted."""
    return sorted(text for kind in (value or {}).values() for text in kind)


@pytest.mark.parametrize("seed", range(3))
def test_no_adder_loses_and_nothing_taken_comes_back(seed: int) -> None:
    """Random histories of requests, each with a load, what it does, and a commit that merges on what is stored by then."""
    chance = random.Random(seed)
    for _ in range(HISTORIES // 3):
        stored: Any = None
        added, taken = set(), set()
        open_requests: list[tuple[Any, Any, set[str], set[str]]] = []
        for number in range(chance.randrange(2, 9)):
            if open_requests and chance.random() < 0.5:
                loaded, mine, adds, takes = open_requests.pop(chance.randrange(len(open_requests)))
                stored = mine if loaded == stored else flash.merged(loaded, mine, stored)
                added |= adds
                taken |= takes
                continue
            mine, adds, takes = stored, set(), set()
            if chance.random() < 0.4:
                takes, mine = set(texts(mine)), None
            if chance.random() < 0.7:
                text = f"message {number}"
                adds, mine = {text}, flash.added(mine, chance.choice(KINDS), text)
            open_requests.append((stored, mine, adds, takes))

        assert set(texts(stored)) == added - taken
        assert len(texts(stored)) == len(set(texts(stored)))


@given(loaded=FLASH, mine=FLASH, theirs=FLASH)
def test_it_is_pure(loaded: Any, mine: Any, theirs: Any) -> None:
    """What it is given stays as it was."""
    before = repr((loaded, mine, theirs))

    flash.merged(loaded, mine, theirs)

    assert repr((loaded, mine, theirs)) == before


@given(loaded=FLASH, theirs=FLASH)
def test_who_changed_nothing_leaves_theirs(loaded: Any, theirs: Any) -> None:
    """But for kinds without a message."""
    assert texts(flash.merged(loaded, loaded, theirs)) == texts(theirs)


@given(loaded=FLASH, mine=FLASH)
def test_on_what_was_loaded_mine_comes_out(loaded: Any, mine: Any) -> None:
    """Nobody else was there."""
    assert texts(flash.merged(loaded, mine, loaded)) == texts(mine)


@given(kinds=st.lists(st.sampled_from(KINDS), max_size=60))
def test_twenty_are_kept_the_newest_ones(kinds: list[str]) -> None:
    """Of one kind exactly; of several the oldest of the one that has the most goes."""
    value: Any = None
    for number, kind in enumerate(kinds):
        value = flash.added(value, kind, str(number))

    assert len(texts(value)) == min(len(kinds), flash.MOST)
    assert all(each == sorted(each, key=int) for each in (value or {}).values())
    if kinds:
        assert value[kinds[-1]][-1] == str(len(kinds) - 1)


@pytest.mark.parametrize("other", ["text", 1, [], {"info": "saved"}, True])
def test_what_is_no_flash_is_merged_as_any_key(other: Any) -> None:
    """An application may keep something else there."""
    assert flash.merged({"info": ["a"]}, other, {"info": ["b"]}) == other
    assert flash.shown(other) == {}


@pytest.mark.parametrize(
    ("mine", "theirs", "result"),
    [
        ({"flash": {"info": ["mine"]}}, {"flash": {"info": ["theirs"]}}, {"flash": {"info": ["theirs", "mine"]}}),
        ({}, {"flash": {"info": ["old", "new"]}}, {"flash": {"info": ["new"]}}),
        ({}, {"flash": {"info": ["old"]}}, {}),
        ({"flash": {"info": ["old", "more"]}}, {}, {"flash": {"info": ["more"]}}),
        ({"other": 1}, {"flash": {"info": ["old"]}, "n": 1}, {"other": 1, "n": 1}),
    ],
)
def test_the_merge_of_sessions_asks_it(mine: dict[str, Any], theirs: dict[str, Any], result: dict[str, Any]) -> None:
    """Keys that were set, and keys that were deleted."""
    loaded = {"flash": {"info": ["old"]}} if "flash" not in mine or "old" in mine["flash"]["info"] else {}

    values, _ = merged(changes(loaded, mine), loaded, mine, theirs)

    assert values == result
