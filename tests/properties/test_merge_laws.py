"""The merge by pieces is the merge by keys, however many keys there are and wherever they differ."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from sessions.formats.json_text import dumps
from sessions.merge import changes, clashes, merged, restored

VALUES = st.sampled_from([0, 1, True, False, None, 1.0, "x", [], [1], [True], {}, {"a": 1, "b": 2}, {"b": 2, "a": 1}])
COUNTS = st.integers(0, 5) | st.sampled_from([63, 64, 65, 128, 129, 4_096, 5_000])


@st.composite
def pairs(draw: st.DrawFn) -> tuple[dict[str, Any], dict[str, Any]]:
    """Data of so many keys, and what has become of it: some set, some new, some deleted, some moved to the end."""
    before = {f"k{number}": draw(VALUES) if number < 8 else number for number in range(draw(COUNTS))}
    return before, changed(draw, before)


@st.composite
def races(draw: st.DrawFn) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
    """Data, and what two requests have made of it."""
    before, mine = draw(pairs())
    return before, mine, changed(draw, before)


def changed(draw: st.DrawFn, before: dict[str, Any]) -> dict[str, Any]:
    """Data after some changes."""
    after = dict(before)
    for _ in range(draw(st.integers(0, 6))):
        key = f"k{draw(st.integers(0, len(before) + 2))}"
        match draw(st.sampled_from(["set", "delete", "move"])):
            case "set":
                after[key] = draw(VALUES)
            case "delete":
                after.pop(key, None)
            case "move" if key in after:
                after[key] = after.pop(key)
    return after


@given(pair=pairs())
def test_the_changes_are_those_of_each_key(pair: tuple[dict[str, Any], dict[str, Any]]) -> None:
    """By the text of the value: 1 is not True."""
    before, after = pair

    change = changes(before, after)

    wanted = [key for key in after if key not in before or dumps(before[key]) != dumps(after[key])]
    assert sorted(change.assigned) == sorted(wanted)
    assert change.deleted == before.keys() - after.keys()


@given(pair=pairs())
def test_what_was_changed_and_applied_again_is_the_same(pair: tuple[dict[str, Any], dict[str, Any]]) -> None:
    """On what it was changed from; and there is nothing left to change then."""
    before, after = pair
    again, left = merged(changes(before, after), before, after, dict(before))
    third, nothing = merged(left, before, after, dict(again))

    assert {key: dumps(value) for key, value in again.items()} == {key: dumps(value) for key, value in after.items()}
    assert not changes(again, after)
    assert (dumps(third), bool(nothing)) == (dumps(again), False)


@given(pair=pairs())
def test_what_is_restored_is_what_was_before(pair: tuple[dict[str, Any], dict[str, Any]]) -> None:
    """And a list or dict that is the same is the one that is held."""
    before, after = pair

    result = restored(after, dict(before))

    assert dumps(result) == dumps(before)
    for key, value in after.items():
        if isinstance(value, list | dict) and key in before and dumps(before[key]) == dumps(value):
            assert result[key] is value


@given(race=races())
def test_a_clash_is_a_key_that_both_have_changed_to_something_else(
    race: tuple[dict[str, Any], dict[str, Any], dict[str, Any]],
) -> None:
    """Where there is none, nothing of either is lost by the merge, whichever comes first."""
    before, mine, theirs = race

    found = clashes(changes(before, mine), before, mine, theirs)

    texts = [{key: dumps(value) for key, value in data.items()} for data in race]
    wanted = [key for key in before | mine | theirs if len({each.get(key, "") for each in texts}) == 3]
    assert sorted(found) == sorted(wanted)
    if not found:
        one, _ = merged(changes(before, mine), before, mine, dict(theirs))
        other, _ = merged(changes(before, theirs), before, theirs, dict(mine))
        assert {key: dumps(value) for key, value in one.items()} == {key: dumps(value) for key, value in other.items()}
