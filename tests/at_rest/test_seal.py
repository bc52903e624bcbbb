"""The format of a sealed session: the vectors of docs/sealed.md, and every change of a text that is refused."""

import base64
import hashlib
import hmac
import json
import re
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from sessions import CorruptSession, HashedIds, MemoryStore, OptionsError
from sessions.at_rest.keyring import Keyring, key_bytes
from sessions.at_rest.seal import Seal

TEXT = (Path(__file__).parents[2] / "docs" / "sealed.md").read_text("utf-8")
VECTORS = dict(re.findall(r"^\| ([\w ,]+) \| `(.*)` \|$", TEXT[TEXT.index("### Test vectors") :], re.MULTILINE))
KEY = base64.b64decode(VECTORS["key"])
ROW = VECTORS["key of the row"]
SESSION = VECTORS["session"]
SEALED = VECTORS["row"]


def seal(key: bytes = KEY, name: str = VECTORS["key id"]) -> Seal:
    """A seal with the key of the vectors, or with another one."""
    return Seal(Keyring({name: key}))


def url(data: bytes) -> str:
    """Bytes as base64url without padding."""
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def derived(info: str) -> bytes:
    """A key that comes from that of the vectors, by another implementation."""
    return HKDF(algorithm=SHA256(), length=32, salt=None, info=info.encode()).derive(KEY)


class TestVectors:
    """docs/sealed.md says what another implementation has to do."""

    def test_the_vectors_are_what_they_say(self) -> None:
        """Each step, by the primitives of another library."""
        nonce = bytes.fromhex(VECTORS["nonce"])
        key = derived(f"sessions/1/data/{VECTORS['key id']}/{ROW}")
        cookie, plain = re.fullmatch(r'\{"cookie":(\{[^}]*\}),(.*)', SESSION, re.DOTALL).groups()  # type: ignore[union-attr] # or the page is wrong
        box = nonce + AESGCM(key).encrypt(nonce, ("{" + plain).encode(), None)
        user = hmac.digest(derived(f"sessions/1/user/{VECTORS['key id']}"), b"ada", hashlib.sha256)
        row = json.loads(SEALED)

        assert seal().opened(ROW, SEALED).text == SESSION
        assert key.hex() == VECTORS["key of AES"]
        assert row["__sealed"] == f"1.{VECTORS['key id']}.{url(box)}"
        assert row["__meta"] == {"user": url(user), "signedInAt": 1_900_000_000_000}
        assert row["cookie"] == json.loads(cookie)

    def test_the_row_is_opened(self) -> None:
        """To the character."""
        opened = seal().opened(ROW, SEALED)

        assert (opened.text, opened.key_id, opened.is_later) == (SESSION, VECTORS["key id"], False)

    def test_what_is_sealed_is_opened_and_never_the_same(self) -> None:
        """The parts beside the ciphertext are those of the vectors."""
        one, two = (seal().sealed(ROW, SESSION, "ada") for _ in range(2))

        assert one != two
        assert [re.sub(r"2026a\.[\w-]+", "", text) for text in (one, two)] == [re.sub(r"2026a\.[\w-]+", "", SEALED)] * 2
        assert {seal().opened(ROW, text).text for text in (one, two)} == {SESSION}

    def test_a_hashed_id_is_that_of_the_vectors(self) -> None:
        """An HMAC of the id with the key itself."""
        key = HashedIds(MemoryStore(), {"a": KEY}).key_of(ROW)

        assert key == VECTORS["the same id, hashed with the same key"]
        assert key == f"h1.{url(hmac.digest(KEY, ROW.encode(), 'sha256'))}"


TEXTS = {
    "no data": '{"cookie":{"path":"/"}}',
    "no cookie": '{"n":1}',
    "blanks": '{"cookie": {"path": "/"}, "user": "ada"}',
    "an odd cookie": '{"cookie":{"path":"/}\\"{"},"n":1}',
    "a cookie with an object in it": '{"cookie":{"a":{}},"n":1}',
    "two cookies": '{"cookie":{"path":"/"},"n":1,"cookie":{"path":"/x"}}',
    "half a character": '{"cookie":{"path":"/"},"n":"\ud800"}',
    "no JSON": "nonsense",
    "nothing": "",
    "a meta of another": '{"cookie":{"path":"/"},"__meta":[1],"n":1}',
    "the member itself": '{"cookie":{"path":"/"},"n":{"__sealed":"1.a.b"}}',
    "100 kB": '{"cookie":{"path":"/"},"n":"' + "ü" * 50_000 + '"}',
}


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
def test_any_text_comes_back_to_the_character(text: str) -> None:
    """However it is spelled; nothing of it is in what is stored but the cookie."""
    sealed = seal().sealed("a", text, None)

    assert seal().opened("a", sealed).text == text
    assert '"n"' not in sealed


class TestRefusals:
    """What no key of ours has sealed for this row is refused, and no message shows what it holds."""

    def refused(self, text: str, row: str = ROW, key: bytes = KEY) -> str:
        with pytest.raises(CorruptSession) as error:
            seal(key).opened(row, text)
        assert "ada" not in str(error.value)
        return str(error.value)

    def test_a_row_under_another_id(self) -> None:
        """The key of AES is bound to the row."""
        assert "put under another id" in self.refused(SEALED, "another")

    def test_another_key_of_that_id(self) -> None:
        """It is said which."""
        assert "'2026a' is another one" in self.refused(SEALED, key=bytes(32))

    def test_a_key_that_is_not_given(self) -> None:
        """It is said which."""
        with pytest.raises(CorruptSession, match="the key '2026a', which is not given"):
            seal(name="2025").opened(ROW, SEALED)

    @pytest.mark.parametrize("length", range(4))
    def test_every_bit_that_is_flipped(self, length: int) -> None:
        """Of the value of `__sealed`, in each character: none has a second spelling, however base64 ends."""
        text = seal().sealed(ROW, f'{{"n":"{"x" * length}"}}', None) if length else SEALED
        begin = text.index('"1.') + 1
        for place in range(begin, text.index('"', begin)):
            for bit in range(7):
                changed = chr(ord(text[place]) ^ (1 << bit))
                if changed in '"\\' or changed < " ":
                    continue  # another JSON, or none: see below
                self.refused(text[:place] + changed + text[place + 1 :])

    def test_every_length_that_is_cut_off(self) -> None:
        """Of the value, and of the row."""
        begin, end = SEALED.index('"1.') + 1, SEALED.index('","__meta"')
        for place in range(begin, end):
            self.refused(SEALED[:place] + SEALED[end:])
        for place in range(begin, len(SEALED)):
            self.refused(SEALED[:place])

    @pytest.mark.parametrize(
        "value", ["5", "null", "[]", '"x"', '"2.2026a.AAAA"', '"1..AAAA"', '"1.2026a."', '"1.2026a.ü"']
    )
    def test_what_is_no_seal(self, value: str) -> None:
        """Of another type, another version, without a key or a text."""
        self.refused(f'{{"cookie":{{"path":"/"}},"__sealed":{value}}}')

    def test_padding_and_the_other_alphabet_are_no_spellings(self) -> None:
        """There is one way to write a seal."""
        self.refused(SEALED.replace('","__meta"', '=","__meta"'))
        self.refused(SEALED.replace("E_sl", "E/sl"))


class TestBeside:
    """What is beside the seal in a row."""

    def test_the_cookie_is_that_of_the_row(self) -> None:
        """A Node server's touch rewrites it."""
        opened = seal().opened(ROW, SEALED.replace('"path":"/"', '"path":"/x"'))

        assert json.loads(opened.text) == json.loads(SESSION.replace('"path":"/"', '"path":"/x"'))

    @pytest.mark.parametrize("spelled", [lambda text: text, lambda text: json.dumps(json.loads(text), sort_keys=True)])
    def test_members_that_node_adds_come_over_what_is_sealed(self, spelled: "object") -> None:
        """Node keeps the order of the members; a column of type jsonb does not."""
        text = SEALED[:-1] + ',"user":"bob","n":1}'
        opened = seal().opened(ROW, spelled(text))  # type: ignore[operator] # a function of the list

        assert json.loads(opened.text) == {**json.loads(SESSION), "user": "bob", "n": 1}
        assert opened.is_later

    def test_the_meta_in_the_clear_is_not_believed(self) -> None:
        """It is for the store's index; what counts is sealed."""
        changed = SEALED.replace("1900000000000", "1").replace('"signedInAt"', '"endsAt":5,"signedInAt"')

        assert seal().opened(ROW, changed).text == SESSION

    def test_a_row_in_the_clear_is_as_it_is(self) -> None:
        """It was not sealed yet."""
        assert seal().opened(ROW, SESSION) == (SESSION, None, True)

    def test_a_user_is_hidden_and_found_by_each_key(self) -> None:
        """Another HMAC for each key, and no plain name."""
        both = Seal(Keyring({"new": bytes(32), "2026a": KEY}))

        assert list(both.names("ada"))[1] == json.loads(SEALED)["__meta"]["user"]
        assert "ada" not in both.sealed(ROW, SESSION, "ada")


class TestKeys:
    """What a key may be."""

    @pytest.mark.parametrize(
        "text",
        [KEY.hex(), KEY.hex().upper(), base64.b64encode(KEY).decode(), url(bytes(reversed(KEY))), f" {url(KEY)}=\n"],
    )
    def test_a_key_is_written_in_three_ways(self, text: str) -> None:
        """Hex, base64 and base64url, with blanks around it."""
        assert key_bytes(text) in (KEY, bytes(reversed(KEY)))

    @pytest.mark.parametrize("text", ["", "a" * 32, KEY.hex()[:-2], url(KEY)[:-1], f"{url(KEY)}A", "-" * 64, "ü" * 43])
    def test_what_is_no_key(self, text: str) -> None:
        """Another length, another alphabet."""
        assert key_bytes(text) is None
        with pytest.raises(OptionsError, match=r"^keys: a: expected 32 bytes") as error:
            Keyring({"a": text})
        assert not text or text not in str(error.value)

    @pytest.mark.parametrize("name", ["", "a" * 17, "a b", "a.b", "ä"])
    def test_what_is_no_id_of_a_key(self, name: str) -> None:
        """It is a part of each row."""
        with pytest.raises(OptionsError, match=r"^keys: expected an id of 1 to 16 letters"):
            Keyring({name: KEY})

    def test_no_key_at_all(self) -> None:
        """And the keys that were there stay."""
        keyring = Keyring({"a": KEY})
        with pytest.raises(OptionsError, match=r"^keys: expected at least one$"):
            keyring.use({})

        assert keyring.first.id == "a"
        assert repr(keyring) == "<Keyring of a>"
