"""Where secrets come from: several in the environment or in a file, a place for the made one, read again, seen by others."""

import logging
import os
from pathlib import Path

import pytest

from sessions import OptionsError
from sessions.config import Config, ConfigFile

OLD = "an-old-secret-of-more-than-32-bytes-for-tests"
NEW = "a-new-secret-of-more-than-32-bytes-for-tests"
KEYS = (NEW.encode(), OLD.encode())

FILE = Path("config.toml")
KEPT = Path("sessions.db.secret")

pytestmark = pytest.mark.usefixtures("folder")


def read(session: str = "", *, exposed: bool = True, make_secret: bool = True) -> Config:
    """The configuration in a file of the working folder with a table [session]."""
    FILE.write_text(f"[session]\n{session}")
    return ConfigFile(FILE).config(exposed=exposed, make_secret=make_secret)


def refusal(session: str = "") -> str:
    """What is said of secrets that are refused, behind the file's name."""
    with pytest.raises(OptionsError) as error:
        read(session)

    for hidden in (OLD, NEW):
        assert hidden[:20] not in str(error.value)
    return str(error.value).removeprefix(f"{FILE}: [session] ")


# ---------------------------------------------------------------- several

LISTS = {
    "lines": f"{NEW}\n{OLD}",
    "lines, the last with its end": f"{NEW}\n{OLD}\n",
    "lines of Windows": f"{NEW}\r\n{OLD}\r\n",
    "empty lines and blanks": f"\n  {NEW}  \n\n\t{OLD}\n\n",
}


@pytest.mark.parametrize("text", LISTS.values(), ids=LISTS)
@pytest.mark.parametrize("source", ["variable", "file", "kept"])
def test_secrets_stand_one_a_line(monkeypatch: pytest.MonkeyPatch, source: str, text: str) -> None:
    """The first signs, all verify; of the environment, of the file that it names, and of the one that was made."""
    if source == "variable":
        monkeypatch.setenv("SESSION_SECRET", text)
    elif source == "file":
        Path("mine").write_text(text, newline="")
        monkeypatch.setenv("SESSION_SECRET_FILE", "mine")
    else:
        KEPT.write_text(text, newline="")

    assert read().session.keys == KEYS


@pytest.mark.parametrize("text", [f"{NEW},{OLD}", f"{NEW}, {OLD}", f" {NEW} ,\n{OLD},\n"])
@pytest.mark.parametrize("source", ["variable", "file"])
def test_commas_divide_secrets_too(monkeypatch: pytest.MonkeyPatch, source: str, text: str) -> None:
    """The whole text is the last key that verifies: it may be one old secret, and its visitors stay signed in."""
    if source == "variable":
        monkeypatch.setenv("SESSION_SECRET", text)
    else:
        Path("mine").write_text(text)
        monkeypatch.setenv("SESSION_SECRET_FILE", "mine")

    assert read().session.keys == (*KEYS, text.encode())


@pytest.mark.parametrize("text", [f"{NEW}\n", f"{NEW}\r\n", f" {NEW}"])
def test_blanks_and_line_ends_are_no_part_of_a_secret(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    """Secrets of Docker, and those of `echo`, end with a line feed."""
    monkeypatch.setenv("SESSION_SECRET", text)

    assert read().session.keys == (NEW.encode(),)


def test_a_file_of_secrets_comes_before_the_configuration(monkeypatch: pytest.MonkeyPatch) -> None:
    """And before the one that was made; an empty variable is none."""
    kept = read().session.keys
    Path("mine").write_bytes(b"\xef\xbb\xbf" + NEW.encode() + b"\r\n")  # as an editor of Windows writes it
    monkeypatch.setenv("SESSION_SECRET_FILE", "mine")
    monkeypatch.setenv("SESSION_SECRET", "")

    overridden = [read().session.keys, read(f'secret = "{OLD}"\n').session.keys]

    assert overridden == [(NEW.encode(),)] * 2
    monkeypatch.setenv("SESSION_SECRET_FILE", "")
    assert read().session.keys == kept


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        (
            {"SESSION_SECRET": NEW, "SESSION_SECRET_FILE": "mine"},
            "secret: SESSION_SECRET and SESSION_SECRET_FILE are both",
        ),
        ({"SESSION_SECRET": " ,\n"}, "secret: SESSION_SECRET is empty"),
        ({"SESSION_SECRET": f"{NEW},short"}, "secret: whoever guesses it can sign in as anybody, and it has 5 bytes"),
        ({"SESSION_SECRET_FILE": "nowhere"}, "secret: SESSION_SECRET_FILE: nowhere: No such file"),
        ({"SESSION_SECRET_FILE": "."}, "secret: SESSION_SECRET_FILE: .: Is a directory"),
        ({"SESSION_SECRET_FILE": "empty"}, "secret: empty is empty"),
        ({"SESSION_SECRET_FILE": "binary"}, "secret: binary is not UTF-8"),
    ],
    ids=lambda each: " ".join(each) if isinstance(each, dict) else None,
)
def test_what_is_no_secret_is_named(monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], said: str) -> None:
    """By its variable or its file; none is made instead."""
    Path("mine").write_text(OLD)
    Path("empty").write_text("\n")
    Path("binary").write_bytes(b"\xff" * 40)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)

    assert refusal().startswith(said)
    assert not KEPT.exists()


# ---------------------------------------------------------------- the place of the made one


def test_secret_file_places_the_made_one(tmp_path: Path) -> None:
    """Not beside the database, and so not in its backups; for its owner only."""
    place = tmp_path / "elsewhere"
    place.mkdir()

    config = read(f'secretFile = "{place}/mine"\n')

    assert not KEPT.exists()
    assert (place / "mine").stat().st_mode & 0o777 == 0o600
    assert config.session.keys == ((place / "mine").read_bytes().strip(),)
    assert read(f'secretFile = "{place}/mine"\n').session.keys == config.session.keys


def test_secret_file_counts_only_if_nobody_has_chosen_a_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    """It places the made one and names no other."""
    Path("mine").write_text(OLD)

    given = read(f'secretFile = "mine"\nsecret = "{NEW}"\n').session.keys
    monkeypatch.setenv("SESSION_SECRET", NEW)

    assert given == read('secretFile = "mine"\n').session.keys == (NEW.encode(),)


def test_a_place_that_is_missing_is_named() -> None:
    """As the option's mistake."""
    assert refusal('secretFile = "nowhere/mine"\n') == "secretFile: the folder nowhere does not exist"


# ---------------------------------------------------------------- read again


def test_the_secrets_of_the_file_are_read_again() -> None:
    """And nothing else of it: what else has changed waits for the next start, even where it is wrong."""
    config = read(f'secret = "{OLD}"\nrolling = false\n')
    FILE.write_text(f'[session]\nsecret = ["{NEW}", "{OLD}"]\nrolling = true\nresave = "nonsense"\n[nonsense]\n')

    again = config.with_new_secrets()

    assert again.session.keys == KEYS
    assert not again.session.rolling
    assert (again.stores, again.sweeper) == (config.stores, config.sweeper)
    assert config.session.keys == (OLD.encode(),)


@pytest.mark.parametrize("source", ["the environment's", "kept", "kept elsewhere"])
def test_a_file_of_secrets_is_read_again(monkeypatch: pytest.MonkeyPatch, source: str) -> None:
    """Wherever it is; the place is that of the start."""
    place = KEPT if source == "kept" else Path("mine")
    place.write_text(OLD)
    if source == "the environment's":
        monkeypatch.setenv("SESSION_SECRET_FILE", "mine")
    config = read('secretFile = "mine"\n' if source == "kept elsewhere" else "")
    FILE.write_text('[session]\nsecretFile = "another"\nstore = "memory:"\n')
    place.write_text(f"{NEW}\n{OLD}\n")

    assert config.with_new_secrets().session.keys == KEYS


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("[session]\nsecret = 5\n", "config.toml: [session] secret: expected a string or a list of strings, got int"),
        ('[session]\nsecret = ""\n', "config.toml: [session] secret: is empty"),
        ('[session]\nsecret = ["short"]\n', "config.toml: [session] secret: whoever guesses it"),
        ("[session]\nsecret = short\n", "config.toml: Invalid value (at line 2"),
        ("[session]\n", "config.toml: [session] secret: none is given any more"),
        ("session = 5\n", "config.toml: [session] secret: none is given any more"),
        (None, "config.toml: "),
    ],
)
def test_new_secrets_that_are_bad_are_refused(caplog: pytest.LogCaptureFixture, content: str | None, said: str) -> None:
    """As at the start, in one line of the log; the ones before stay, and none is made."""
    config = read(f'secret = "{OLD}"\n')
    FILE.unlink() if content is None else FILE.write_text(content)

    again = config.with_new_secrets()

    assert again is config
    (record,) = caplog.records
    assert record.levelno == logging.ERROR
    assert record.getMessage().startswith(f"the secrets stay as they are: {said}")
    assert not KEPT.exists()


# ---------------------------------------------------------------- seen by others


@pytest.mark.parametrize("mode", [0o644, 0o604, 0o666, 0o602])
@pytest.mark.parametrize("place", ["sessions.db.secret", "mine", "the environment's"])
def test_a_secret_that_others_can_read_is_warned_of(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, place: str, mode: int
) -> None:
    """By name, with its mode."""
    file = Path(place)
    file.write_text(NEW)
    file.chmod(mode)
    if place == "the environment's":
        monkeypatch.setenv("SESSION_SECRET_FILE", place)

    read('secretFile = "mine"\n' if place == "mine" else "", make_secret=False)

    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert f"others can read {place} (its mode is 0{mode:o})" in record.getMessage()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_a_secret_of_another_owner_is_warned_of(caplog: pytest.LogCaptureFixture) -> None:
    """By name: whoever owns it can read it."""
    read()
    os.chown(KEPT, 65_534, 65_534)

    read()

    assert [each.getMessage() for each in caplog.records] == [
        "[session] secret: sessions.db.secret belongs to the user 65534, who can read it and sign in as anybody"
    ]


@pytest.mark.parametrize("mode", [0o600, 0o400, 0o640])
def test_a_secret_of_ones_own_is_taken_without_a_word(caplog: pytest.LogCaptureFixture, mode: int) -> None:
    """As the server makes it, or for a group that somebody has chosen."""
    read()
    KEPT.chmod(mode)

    read()

    assert caplog.records == []
