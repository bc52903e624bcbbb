"""Sealed sessions read by Node: the 30 lines of sealed.js open what is sealed here, and refuse what is refused here."""

import json
import subprocess
from pathlib import Path

import pytest

from sessions.at_rest.keyring import Keyring
from sessions.at_rest.seal import Seal

READER = Path(__file__).with_name("sealed.js")
KEYS = {"2026a": b"n" * 32, "2025": bytes(range(32))}
TEXTS = {
    "a session": '{"cookie":{"originalMaxAge":null,"path":"/"},"__meta":{"user":"ada","xsrf":"x"},"user":"ada","n":["é€😀"]}',
    "no data": '{"cookie":{"path":"/"}}',
    "another spelling": '{"cookie": {"path": "/"}, "user": "ada"}',
}


def node(row: str, text: str, keys: dict[str, bytes] = KEYS) -> "subprocess.CompletedProcess[str]":
    """What Node makes of a row."""
    given = json.dumps({"row": row, "text": text, "keys": {name: key.hex() for name, key in keys.items()}})
    return subprocess.run(["node", READER], input=given, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
@pytest.mark.parametrize("row", ["an-id_of-24", "ä/b c"])
def test_node_opens_what_is_sealed_here(text: str, row: str) -> None:
    """The whole session, `__meta` too, by either key."""
    for name, key in KEYS.items():
        sealed = Seal(Keyring({name: key})).sealed(row, text, "ada")

        assert json.loads(node(row, sealed).stdout) == json.loads(text)


def test_node_adds_members_beside_the_seal() -> None:
    """Both sides see the later ones over what is sealed."""
    seal = Seal(Keyring(KEYS))
    sealed = seal.sealed("a", TEXTS["a session"], "ada")
    text = f'{sealed[:-1]},"user":"bob"}}'
    found = json.loads(node("a", text).stdout)

    assert found["user"] == "bob"
    assert found == json.loads(seal.opened("a", text).text)


def test_node_refuses_what_is_refused_here() -> None:
    """Another id, another key, a changed text."""
    sealed = Seal(Keyring(KEYS)).sealed("a", TEXTS["a session"], "ada")
    changed = sealed.replace('"1.2026a.', '"1.2026a.AAAA')
    answers = [node("b", sealed), node("a", sealed, {"2026a": bytes(32)}), node("a", sealed, {}), node("a", changed)]

    assert [answer.returncode for answer in answers] == [1] * 4
    assert all("ada" not in answer.stdout + answer.stderr for answer in answers)


def test_node_reads_rows_in_the_clear() -> None:
    """As they are."""
    assert json.loads(node("a", TEXTS["a session"]).stdout) == json.loads(TEXTS["a session"])
