"""Rows that a Node server may store, of each user with the texts that a database finds hard: what the tests share."""

import json

DEEP = 2_500
"""Levels of nesting that Node writes and reads, and SQLite's JSON (1,000) and Python's decoder do not."""


def odd_rows(deep: int = DEEP) -> dict[str, tuple[str, str | None]]:
    """Return texts by id, each with its user; None for nobody. `deep` is how deeply one of them is nested."""
    users: dict[str, tuple[object, str | None]] = {
        "plain": ("ada", "ada"),
        "nul beside": ("ada", "ada"),
        "half an emoji beside": ("ada", "ada"),
        "deep beside": ("ada", "ada"),
        "integer": (7, "7"),
        "large integer": (2**64, None),
        "text of an integer": ("7", "7"),
        "nul inside": ("ad\0a", None),
        "half an emoji inside": ("ada\ud83d", None),
        "emoji": ("ada\U0001f600", "ada\U0001f600"),
        "question marks": ("ada??", "ada??"),
        "long": ("x" * 3_000, None),
        "200": ("x" * 200, "x" * 200),
        "true": (True, None),
        "1.0": (1.0, None),
        "text of true": ("true", "true"),
        "object": ({"id": "ada"}, None),
        "list": (["ada"], None),
        "null": (None, None),
        "empty": ("", None),
    }
    beside = {
        "nul beside": '"a\\u0000b"',
        "half an emoji beside": '"a\\ud83d"',
        "deep beside": "[" * deep + "]" * deep,
    }
    return {
        sid: (f'{{"cookie":{{"path":"/"}},"x":{beside.get(sid, 1)},"user":{json.dumps(user)}}}', text)
        for sid, (user, text) in users.items()
    }


USERS = sorted({user for _, user in odd_rows().values() if user is not None})
LOOK_ALIKES = ["ad", "ada?", "True", "1", "1.0", "null", "x" * 199, '{"id":"ada"}', '["ada"]', "ada\\ud83d"]
"""Users of no row."""


def of(user: str) -> set[str]:
    """Return the ids of the rows that are a user's."""
    return {sid for sid, (_, its_user) in odd_rows().items() if its_user == user}
