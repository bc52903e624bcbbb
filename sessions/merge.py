"""Owns the merge: one request's changes applied to the newer data that another request has stored meanwhile.

Data is compared as JSON text, key by key at the top. This file must not know where the data comes from.
"""

from typing import Any

from .errors import DataError
from .formats import json_text


def merged(loaded: dict[str, Any], mine: dict[str, Any], theirs: dict[str, Any]) -> dict[str, Any]:
    """`theirs` with the keys that were set or deleted between `loaded` and `mine`."""
    before = json_text.texts(loaded)
    changed = {key for key, text in json_text.texts(mine).items() if before.get(key) != text}
    deleted = before.keys() - mine.keys()
    result = {
        # what the handler holds stays what it holds, as long as it is the same
        key: mine[key] if key in mine and before.get(key) == text else theirs[key]
        for key, text in json_text.texts(theirs).items()
        if key not in deleted
    }
    result.update((key, mine[key]) for key in mine if key in changed)
    return result


def restored(values: dict[str, Any], before: dict[str, Any]) -> dict[str, Any]:
    """`before`, in which what a handler holds of `values` stays what it holds, as long as it is the same."""
    return {key: values[key] if key in values and _is_same(values[key], each) else each for key, each in before.items()}


def _is_same(value: Any, each: Any) -> bool:
    try:
        return json_text.dumps(value) == json_text.dumps(each)
    except DataError:  # the change that is undone may have left there what JSON cannot hold
        return False
