"""Signed session ids: signing, verifying, rotated secrets, forged values, fresh ids, the hash that a log has."""

import base64
import hmac
import random
import re
from typing import Any
from urllib.parse import quote

import pytest

from sessions.formats import signing
from sessions.formats.signing import RECENT, Signer, fingerprint, new_id
from sessions.validation import COOKIE_BYTES

CAT = b"keyboard cat"
mac = signing._mac
ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"

# Recorded from the npm package cookie-signature 1.0.7.
GOLDEN = [
    ("hello", "keyboard cat", "s:hello.xz6khi6+oL1pnNhBgjk3Nr1CX2sxTjJiO9pKXaHZ33E"),
    ("hello", "tobiiscool", "s:hello.DGDUkGlIkCzPz+C0B064FNgHdEjox7ch8tOBGslZ5QI"),
    ("", "keyboard cat", "s:.aJcKKTu8Uv0mRiw7LTI435t+pOa+giU/WLAuLCKGEFc"),
    ("apple", "keyboard cat", "s:apple.D8Y+pkTAmeR0PobOhY4G97PRW+j7bUnP/5m6/On1MCU"),
]


class TestSign:
    """`s:<id>.<signature>`, as Express makes it."""

    @pytest.mark.parametrize(("sid", "secret", "signed"), GOLDEN)
    def test_an_id_is_signed_as_in_node(self, sid: str, secret: str, signed: str) -> None:
        """The bytes are those of cookie-signature behind express-session's prefix."""
        assert Signer([secret.encode()]).sign(sid) == signed

    @pytest.mark.parametrize("key", [b"k", b"k" * 63, b"k" * 64, b"k" * 65, b"k" * 1000, bytes(range(256))])
    def test_a_key_of_any_length_signs_as_hmac_does(self, key: bytes) -> None:
        """Keys that are shorter and longer than SHA-256's block of 64 bytes are taken in as RFC 2104 says."""
        signature = base64.b64encode(hmac.digest(key, b"apple", "sha256")).rstrip(b"=").decode()

        assert Signer([key]).sign("apple") == f"s:apple.{signature}"

    def test_the_first_secret_signs(self) -> None:
        """A new secret takes over by standing in front."""
        assert Signer([b"new", CAT]).sign("apple") == Signer([b"new"]).sign("apple")

    def test_signing_twice_gives_the_same(self) -> None:
        """A signer keeps nothing of what it has signed."""
        signer = Signer([CAT])

        assert [signer.sign("hello"), signer.sign("apple"), signer.sign("hello")] == [
            GOLDEN[0][2],
            GOLDEN[3][2],
            GOLDEN[0][2],
        ]


class TestUnsign:
    """What one of the secrets has signed gives the id, everything else gives None."""

    @pytest.mark.parametrize(("sid", "secret", "signed"), GOLDEN)
    def test_what_node_signed_is_verified(self, sid: str, secret: str, signed: str) -> None:
        """A cookie of an Express server is ours."""
        assert Signer([secret.encode()]).unsign(signed) == sid

    @pytest.mark.parametrize(
        "sid",
        [
            "",
            ".",
            "a.b.c",
            "trailing.",
            "..",
            "säße",
            "😀",
            "a b",
            "s:x",
            "line\nbreak",
            "\x00",
            "=",
            "+/",
            "x" * 10_000,
        ],
    )
    def test_an_id_may_hold_anything(self, sid: str) -> None:
        """The last dot divides, whatever comes before it."""
        signer = Signer([CAT])

        assert signer.unsign(signer.sign(sid)) == sid

    @pytest.mark.parametrize("position", [0, 1, 2])
    def test_every_secret_of_the_list_verifies(self, position: int) -> None:
        """Cookies that older secrets have signed stay valid."""
        keys = [b"new", b"old", b"older"]
        signed = Signer([keys[position]]).sign("apple")

        assert Signer(keys).unsign(signed) == "apple"

    def test_a_secret_that_left_the_list_no_longer_verifies(self) -> None:
        """The end of a rotation."""
        signed = Signer([b"older"]).sign("apple")

        assert Signer([b"new", b"old"]).unsign(signed) is None

    @pytest.mark.parametrize(
        "value",
        [
            "",
            "s:",
            "s:.",
            "s:apple",
            "s:apple.",
            "s:.apple",
            "apple",
            "apple.D8Y+pkTAmeR0PobOhY4G97PRW+j7bUnP/5m6/On1MCU",
            "S:apple.D8Y+pkTAmeR0PobOhY4G97PRW+j7bUnP/5m6/On1MCU",
            " s:apple.D8Y+pkTAmeR0PobOhY4G97PRW+j7bUnP/5m6/On1MCU",
            "s:apple.D8Y+pkTAmeR0PobOhY4G97PRW+j7bUnP/5m6/On1MCU ",
            "s:apple.D8Y+pkTAmeR0PobOhY4G97PRW+j7bUnP/5m6/On1MCU\n",
            "s:apple..D8Y+pkTAmeR0PobOhY4G97PRW+j7bUnP/5m6/On1MCU",
            "s:Apple.D8Y+pkTAmeR0PobOhY4G97PRW+j7bUnP/5m6/On1MCU",
            "s:apple.d8y+pktamer0pobohy4g97prw+j7bunp/5m6/on1mcu",
            "s:apple.säure",
            "s:apple.\ud800",
            "s:\ud800.D8Y+pkTAmeR0PobOhY4G97PRW+j7bUnP/5m6/On1MCU",
            "s:apple." + "A" * 10_000,
            "s:" + "." * 10_000,
        ],
    )
    def test_anything_else_gives_nothing(self, value: str) -> None:
        """Unsigned, cut, lengthened, in another case, or no signature at all: never an error, never an id."""
        assert Signer([CAT]).unsign(value) is None

    @pytest.mark.parametrize("wrong", [0, 20, 42])
    def test_no_early_exit_tells_how_much_of_a_signature_is_right(
        self, monkeypatch: pytest.MonkeyPatch, wrong: int
    ) -> None:
        """Whichever character is wrong, whole signatures come to `compare_digest`, once for each secret."""
        compared: list[tuple[bytes, bytes]] = []

        def compare(one: bytes, other: bytes) -> bool:
            compared.append((one, other))
            return compare_digest(one, other)

        compare_digest = hmac.compare_digest
        monkeypatch.setattr("hmac.compare_digest", compare)
        signer = Signer([CAT, b"another"])
        value = signer.sign("an-id")
        place = len(value) - 43 + wrong
        forged = value[:place] + ("A" if value[place] != "A" else "B") + value[place + 1 :]

        assert signer.unsign(forged) is None
        assert [(len(one), other) for one, other in compared] == [(43, forged[-43:].encode())] * 2

    def test_a_signature_belongs_to_its_id(self) -> None:
        """The signature of one id says nothing of another."""
        signature = GOLDEN[0][2].rpartition(".")[2]

        assert Signer([CAT]).unsign(f"s:apple.{signature}") is None

    @pytest.mark.parametrize("padding", ["=", "==", "%3D"])
    def test_a_padded_signature_is_refused(self, padding: str) -> None:
        """It is compared as text, as in Node."""
        assert Signer([CAT]).unsign(GOLDEN[3][2] + padding) is None

    def test_the_url_safe_alphabet_is_refused(self) -> None:
        """The same bytes in another alphabet are another text."""
        signed = GOLDEN[3][2]
        assert "+" in signed
        assert "/" in signed

        assert Signer([CAT]).unsign(signed.replace("+", "-").replace("/", "_")) is None

    def test_another_spelling_of_the_last_character_is_refused(self) -> None:
        """43 characters hold 258 bits of which 256 count: four last characters decode to the same bytes."""
        signed = GOLDEN[3][2]
        head, last = signed[:-1], ALPHABET.index(signed[-1])
        spellings = [head + ALPHABET[last & ~3 | bits] for bits in range(4)]
        decoded = {base64.b64decode(each.rpartition(".")[2] + "=") for each in spellings}
        assert len(decoded) == 1

        accepted = [each for each in spellings if Signer([CAT]).unsign(each) is not None]

        assert accepted == [signed]

    def test_a_value_is_verified_after_decoding_only(self) -> None:
        """The percent-encoding of the wire belongs to the cookie codec."""
        assert Signer([CAT]).unsign(quote(GOLDEN[3][2], safe="")) is None


class TestNewId:
    """Ids come from the system's CSPRNG in the shape of express-session's."""

    def test_an_id_is_24_bytes_of_base64url(self) -> None:
        """32 characters, no padding."""
        sid = new_id()

        assert re.fullmatch(r"[A-Za-z0-9_-]{32}", sid)
        assert len(base64.urlsafe_b64decode(sid)) == 24

    def test_ids_do_not_repeat(self) -> None:
        """192 bits have no collisions."""
        ids = {new_id() for _ in range(20_000)}

        assert len(ids) == 20_000

    def test_an_id_is_no_function_of_the_time(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Nor of a seed, the process or what was made before: with all of these held, ids differ."""
        for name in ("time", "time_ns", "monotonic", "monotonic_ns", "perf_counter", "perf_counter_ns"):
            monkeypatch.setattr(f"time.{name}", lambda: 1_900_000_000)
        monkeypatch.setattr("os.getpid", lambda: 1)

        ids = set()
        for _ in range(100):
            random.seed(1)
            ids.add(new_id())

        assert len(ids) == 100

    def test_every_bit_of_an_id_is_random(self) -> None:
        """Each of the 192 bits is set in about half of 4096 ids: none is fixed, none leans (ten sigma)."""
        ids = [int.from_bytes(base64.urlsafe_b64decode(new_id())) for _ in range(4096)]

        counts = [sum(each >> bit & 1 for each in ids) for bit in range(192)]

        assert all(abs(count - 2048) < 320 for count in counts)


class TestMemory:
    """What came lately is not verified again."""

    def test_only_good_values_are_remembered(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A flood of forged ones drives no visitor's value out, and takes no memory."""
        verified: list[bytes] = []

        def counted(key: Any, message: bytes) -> bytes:
            verified.append(message)
            return mac(key, message)

        monkeypatch.setattr(signing, "_mac", counted)
        signer = Signer([CAT])
        good = signer.sign("good")
        signer.id_in(good)
        for number in range(2 * RECENT):
            with pytest.raises(LookupError):
                signer.id_in(f"s:{number}.{'A' * 43}")
        verified.clear()

        assert signer.id_in(good) == "good"
        with pytest.raises(LookupError):
            signer.id_in("s:1." + "A" * 43)
        assert verified == [b"1"]

    def test_a_long_value_is_refused_unseen(self) -> None:
        """What is remembered takes no more than a cookie may: a client can spell one id in many ways."""
        signer = Signer([CAT])
        good = quote(signer.sign("x" * 2000), safe="")
        spelled = good.replace("x", "%78")

        assert len(spelled) > COOKIE_BYTES
        assert signer.id_in(good) == "x" * 2000
        with pytest.raises(LookupError):
            signer.id_in(spelled)

    def test_other_secrets_remember_nothing(self) -> None:
        """What an old secret has signed is nobody's as soon as that is taken away."""
        signed = Signer([CAT]).sign("apple")

        assert Signer([CAT]).id_in(signed) == "apple"
        with pytest.raises(LookupError):
            Signer([b"another"]).id_in(signed)


class TestFingerprint:
    """The hash that a log has in place of an id."""

    def test_it_is_eight_hexadecimal_digits_that_do_not_change(self) -> None:
        """The start of the SHA-256 of the id: the same in every process and after every start."""
        assert fingerprint("apple") == "3a7bd3e2"

    @pytest.mark.parametrize("sid", ["", "säße", "\ud800", "x" * 10_000])
    def test_any_id_has_one(self, sid: str) -> None:
        """Logging never fails, not even of an id that no encoding holds."""
        assert re.fullmatch("[0-9a-f]{8}", fingerprint(sid))

    def test_the_hashes_of_ids_differ(self) -> None:
        """Eight digits are enough to follow one visitor through a log."""
        assert len({fingerprint(f"id-{number}") for number in range(1000)}) == 1000
