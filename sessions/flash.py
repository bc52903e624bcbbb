"""Owns messages that are shown once, in the shape of the npm package connect-flash 0.1 (lib/flash.js).

    {"flash": {"info": ["saved"], "error": ["too long", "too many"]}}

So a message that was set in Express is shown here, and the other way round. All functions are pure. Whatever else an
application keeps under that key is left alone.
"""

from typing import Any, TypeGuard

KEY = "flash"

MOST = 20
"""Messages that a session keeps: more are not read, and a visitor must not make the session grow."""


def added(flash: Any, kind: str, text: str) -> dict[str, list[Any]]:
    """Return the messages with one more. The oldest beyond `MOST` goes."""
    messages = flash if _is_flash(flash) else {}
    return _at_most({**messages, kind: [*messages.get(kind, ()), text]})


def shown(flash: Any) -> dict[str, list[str]]:
    """Return the messages by kind, as texts; none for what is no flash."""
    messages = flash if _is_flash(flash) else {}
    return {kind: [str(each) for each in texts] for kind, texts in messages.items() if texts}


def merged(loaded: Any, mine: Any, theirs: Any) -> Any:
    """Return theirs without what one request took of what it has loaded, plus what it added.

    None is a key that is not there. What is no flash is merged as any other key: mine counts.
    """
    if not all(each is None or _is_flash(each) for each in (loaded, mine, theirs)):
        return mine
    loaded, mine, theirs = loaded or {}, mine or {}, theirs or {}
    kinds = dict.fromkeys([*theirs, *mine])
    result = {
        kind: _without(theirs.get(kind, []), _without(loaded.get(kind, []), mine.get(kind, [])))
        + _without(mine.get(kind, []), loaded.get(kind, []))
        for kind in kinds
    }
    return _at_most({kind: texts for kind, texts in result.items() if texts}) or None


def _is_flash(value: Any) -> TypeGuard[dict[str, list[Any]]]:
    return isinstance(value, dict) and all(isinstance(texts, list) for texts in value.values())


def _without(texts: list[Any], gone: list[Any]) -> list[Any]:
    left = list(texts)
    for each in gone:
        if each in left:
            left.remove(each)
    return left


def _at_most(messages: dict[str, list[Any]]) -> dict[str, list[Any]]:
    """Return the messages without the oldest ones of the kind that has the most, until `MOST` are left."""
    left = {kind: list(texts) for kind, texts in messages.items()}
    for _ in range(sum(map(len, left.values())) - MOST):
        max(left.values(), key=len).pop(0)
    return left
