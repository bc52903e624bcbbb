"""Where the keys of what is at rest come from: the file, the environment, read again; and what is refused of them."""

import base64
import logging
import subprocess
import sys
from pathlib import Path

import pytest

from sessions import HashedIds, OptionsError, SealedStore
from sessions.config import Config, ConfigFile, effective_options
from sessions.store import is_sealed, key_of

FILE = Path("config.toml")
SECRET = "a-secret-of-more-than-32-bytes-for-the-tests"
OLD, NEW = b"o" * 32, b"n" * 32
SEALS = 'encryption.keys = [{ id = "new", file = "new" }, { id = "old", file = "old" }]\n'
HASHES = 'hashedIds = true\nhashing.keys = [{ id = "old", file = "old" }]\n'

pytestmark = pytest.mark.usefixtures("folder")


@pytest.fixture(autouse=True)
def _keys(folder: Path) -> None:
    """Two keys in files, one as base64 and one as hex."""
    for name, text in (("old", base64.b64encode(OLD).decode() + "\n"), ("new", NEW.hex())):
        (folder / name).write_text(text)
        (folder / name).chmod(0o600)


def read(session: str) -> Config:
    """The configuration in a file of the working folder with a table [session]."""
    FILE.write_text(f'[session]\nsecret = "{SECRET}"\nstore = "memory:"\n{session}')
    return ConfigFile(FILE).config(exposed=True)


def refusal(session: str) -> str:
    """What is said of keys that are refused, behind the file's name; no key is in it."""
    with pytest.raises(OptionsError) as error:
        read(session)

    for hidden in (base64.b64encode(OLD).decode(), NEW.hex()):
        assert hidden[:20] not in str(error.value)
    return str(error.value).removeprefix(f"{FILE}: [session] ")


def ids(config: Config) -> tuple[list[str], list[str]]:
    """The ids of the keys that seal and of those that hash."""
    rings = (config.keys.encryption, config.keys.hashing)
    encryption, hashing = ([] if ring is None else [key.id for key in ring.keys] for ring in rings)
    return encryption, hashing


def test_without_keys_nothing_is_in_front_of_the_store() -> None:
    """The defaults are off, and cost nothing."""
    store = read("").open_store()

    assert not isinstance(store, SealedStore | HashedIds)


def test_the_wrappers_are_put_together_in_one_order() -> None:
    """HashedIds(SealedStore(store))."""
    store = read(SEALS + HASHES).open_store()

    assert isinstance(store, HashedIds)
    assert isinstance(store.inner, SealedStore)
    assert is_sealed(store)
    assert key_of(store, "x").startswith("h1.")


def test_the_keys_are_those_of_the_files() -> None:
    """In their order."""
    config = read(SEALS)

    assert ids(config) == (["new", "old"], [])
    assert config.keys.encryption is not None
    assert [key.master for key in config.keys.encryption.keys] == [NEW, OLD]


@pytest.mark.parametrize("between", [",", "\n", ", \n"])
def test_the_environment_has_keys_too(monkeypatch: pytest.MonkeyPatch, between: str) -> None:
    """Each with its id, with commas or lines between them."""
    both = between.join([f"new:{NEW.hex()}", f"old:{base64.urlsafe_b64encode(OLD).decode()}"])
    monkeypatch.setenv("SESSION_ENCRYPTION_KEYS", both)
    monkeypatch.setenv("SESSION_HASH_KEYS", both)

    assert ids(read("hashedIds = true\n")) == (["new", "old"], ["new", "old"])


@pytest.mark.parametrize(
    ("session", "said"),
    [
        ("encryption = 5\n", "encryption: expected a table [session.encryption], got int"),
        ("encryption.key = 5\n", "encryption.key: no such option; did you mean encryption.keys?"),
        ("encryption.keys = 5\n", "encryption.keys: expected a list of"),
        ('encryption.keys = ["old"]\n', "encryption.keys: expected a list of"),
        ('encryption.keys = [{ id = "old" }]\n', "encryption.keys: expected a list of"),
        ('encryption.keys = [{ id = "old", file = "" }]\n', "encryption.keys: expected a list of"),
        ('encryption.keys = [{ id = "o d", file = "old" }]\n', "encryption.keys: id: expected 1 to 16 letters"),
        ('encryption.keys = [{ id = "old", file = "none" }]\n', "encryption.keys: old: none: No such file"),
        ('encryption.keys = [{ id = "old", file = "short" }]\n', "encryption.keys: old: short: expected 32 bytes"),
        ('encryption.keys = [{ id = "old", file = "bytes" }]\n', "encryption.keys: old: bytes: expected 32 bytes"),
        (
            f'encryption.keys = [{{ id = "old", file = "{NEW.hex()}" }}]\n',
            "encryption.keys: old: file: expected the path",
        ),
        (f'encryption.keys = [{{ id = "{NEW.hex()}", file = "old" }}]\n', "encryption.keys: id: expected 1 to 16"),
        (SEALS.replace('"new", file', '"old", file'), "encryption: two keys have the id 'old'"),
        (SEALS.replace('file = "new"', 'file = "old"'), "encryption: the key 'old' is there twice"),
        ("requireSealed = true\n", "requireSealed: needs encryption.keys"),
        ("hashedIds = true\n", "hashedIds: needs hashing.keys"),
        ('hashing.keys = [{ id = "old", file = "old" }]\n', "hashing: there are keys, but hashedIds is false"),
        (HASHES + "nodePeer = true\nuserKey = 'u'\n", "hashedIds: no Node server"),
        (
            HASHES + "hashing.legacyUntil = 2030-01-01T00:00:00\n",
            "hashing.legacyUntil: expected a date and time with a",
        ),
    ],
)
def test_what_is_wrong_with_keys_is_named(session: str, said: str) -> None:
    """At the start, with the option, and the file where there is one."""
    for name, content in (("short", b"a" * 16), ("bytes", bytes(range(200, 232)))):
        Path(name).write_bytes(content)
        Path(name).chmod(0o600)

    assert refusal(session).startswith(said)


@pytest.mark.parametrize("mode", [0o604, 0o644, 0o602])
def test_a_file_of_a_key_that_others_can_read_is_refused(mode: int) -> None:
    """By name, with its mode."""
    Path("new").chmod(mode)

    assert refusal(SEALS) == f"encryption.keys: new: others can read or write new (its mode is {mode:04o}): chmod 600"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (" ,", "SESSION_ENCRYPTION_KEYS is empty"),
        ("old", "number 1: expected id:key"),
        ("old:short", "number 1: expected"),
    ],
)
def test_what_is_wrong_with_the_variable_is_named(monkeypatch: pytest.MonkeyPatch, text: str, said: str) -> None:
    """Without what it holds."""
    monkeypatch.setenv("SESSION_ENCRYPTION_KEYS", text)

    assert said in refusal("")


def test_keys_in_both_places_are_a_mistake(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody could say which of them seals."""
    monkeypatch.setenv("SESSION_ENCRYPTION_KEYS", f"old:{OLD.hex()}")

    assert refusal(SEALS).startswith("encryption: encryption.keys and SESSION_ENCRYPTION_KEYS are both given")


def test_no_key_is_shown() -> None:
    """Neither in what `--check` prints nor in a repr."""
    config = read(SEALS + HASHES)
    shown = effective_options(config.tables) + repr(config)

    assert NEW.hex() not in shown
    assert "[session.encryption]\nkeys = ********" in shown
    assert "hashedIds = true" in shown


def test_keys_are_read_again() -> None:
    """A store that was opened before seals with the new one; nothing else of the table counts."""
    config = read(SEALS.replace('{ id = "new", file = "new" }, ', "") + HASHES)
    store = config.open_store()
    before = key_of(store, "x")
    turned = HASHES.replace("[{", '[{ id = "new", file = "new" }, {')
    FILE.write_text(f'[session]\nsecret = "{SECRET}"\n{SEALS}{turned}hashing.legacyUntil = 2000-01-01T00:00:00Z\n')
    again = config.with_new_secrets()

    assert ids(config) == ids(again) == (["new", "old"], ["new", "old"])
    assert key_of(store, "x") != before
    assert again.session.hashing is not None


@pytest.mark.parametrize(
    ("session", "said"),
    [
        (HASHES, "encryption: no keys are given any more"),
        (SEALS + "hashedIds = true\n", "hashedIds: needs hashing.keys"),
        (SEALS.replace('"old" }', '"none" }') + HASHES, "encryption.keys: old: none: No such file"),
    ],
)
def test_new_keys_that_are_wrong_change_nothing(caplog: pytest.LogCaptureFixture, session: str, said: str) -> None:
    """Neither the keys nor the secrets; the log says so in one line."""
    config = read(SEALS + HASHES)
    FILE.write_text(f'[session]\nsecret = "another-{SECRET}"\n{session}')

    assert config.with_new_secrets() is config
    assert ids(config) == (["new", "old"], ["old"])
    (record,) = caplog.records
    assert record.levelno == logging.ERROR
    assert said in record.getMessage()


def test_keys_that_are_new_take_a_restart(caplog: pytest.LogCaptureFixture) -> None:
    """The log says so: what is stored stays in the clear until then."""
    config = read("")
    read(SEALS)

    assert config.with_new_secrets() is config
    (record,) = caplog.records
    assert "encryption: the server was started without keys" in record.getMessage()


def test_without_the_package_the_extra_is_named() -> None:
    """At the start, and only if keys are given."""
    code = (
        "import sys; sys.modules['cryptography'] = None; sys.modules['cryptography.exceptions'] = None\n"
        "from sessions import *\n"
        "from sessions.config import ConfigFile; from pathlib import Path\n"
        "try: ConfigFile(Path('config.toml')).config(exposed=True)\n"
        "except OptionsError as error: print(error)\n"
        "try: SealedStore(MemoryStore(), {})\n"
        "except OptionsError as error: print(error)\n"
    )
    read(SEALS)
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.splitlines()

    assert len(shown) == 2
    assert all("pip install 'tornado-express-sessions[crypto]'" in line for line in shown)
