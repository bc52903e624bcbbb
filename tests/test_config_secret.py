"""The secret: made once and kept, overridden by the environment, refused where it is weak, and never shown."""

import logging
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from sessions import OptionsError
from sessions.config import Config, ConfigFile

STRONG = "a-secret-that-nobody-guesses-and-no-log-shows"
WEAK = {"your-secret-key": "tutorial", "keyboard cat": "tutorial", "no keyboard": "11 bytes", "x" * 31: "31 bytes"}
REACHED: dict[str, tuple[str, bool]] = {
    "by other machines": ("", True),
    "through a proxy": ("proxy = true\n", False),
}
"""How others reach the server: options of its sessions, and what its owner says."""

each_way = pytest.mark.parametrize(("options", "exposed"), REACHED.values(), ids=REACHED)


def read(session: str = "", *, exposed: bool = False, make_secret: bool = True) -> Config:
    """The configuration in a file of the working folder with a table [session]."""
    Path("config.toml").write_text(f"[session]\n{session}")
    return ConfigFile(Path("config.toml")).config(exposed=exposed, make_secret=make_secret)


def made(folder: Path) -> list[str]:
    """What was made."""
    files = [each for each in folder.rglob("*") if each.is_file() and each.name != "config.toml"]
    return sorted(str(each.relative_to(folder)) for each in files)


class TestMade:
    """Where none is given."""

    @pytest.mark.parametrize(
        ("store", "place"),
        [
            (None, "sessions.db.secret"),
            ("sqlite:mine.db", "mine.db.secret"),
            ("sqlite://mine.db", "mine.db.secret"),
            ("sqlite:data/mine.db", "data/mine.db.secret"),
            ("memory:", ".session-secret"),
        ],
    )
    def test_it_lies_beside_the_store(self, folder: Path, store: str | None, place: str) -> None:
        """Or in the working folder where the store has no file; for its owner only, and as long as it should be."""
        (folder / "data").mkdir()

        config = read(f'store = "{store}"\n' if store else "")

        assert made(folder) == [place]
        assert stat.S_IMODE((folder / place).stat().st_mode) == 0o600
        assert config.session.keys == ((folder / place).read_bytes().strip(),)
        assert len(config.session.keys[0]) >= 32

    def test_it_lies_beside_a_store_elsewhere(self, folder: Path) -> None:
        """A URL with three slashes names a file from the root."""
        (folder / "data").mkdir()

        read(f'store = "sqlite://{folder}/data/mine.db"\n')

        assert made(folder) == ["data/mine.db.secret"]

    def test_it_is_made_once(self, folder: Path) -> None:
        """The next start finds it; another folder's is another."""
        (folder / "data").mkdir()
        first = read()

        second, other = read(), read('store = "sqlite:data/mine.db"\n')

        assert first.session.keys == second.session.keys != other.session.keys

    def test_servers_that_start_together_agree(self, folder: Path) -> None:
        """None of them reads the file before the secret is in it."""
        file = Path("config.toml")
        file.write_text("")
        kept = folder / "sessions.db.secret"
        with ThreadPoolExecutor(8) as pool:
            for _ in range(50):
                starts = [pool.submit(ConfigFile(file).config, exposed=True) for _ in range(8)]

                keys = {start.result().session.keys for start in starts}

                assert len(keys) == 1
                kept.unlink()

    @pytest.mark.parametrize(
        ("content", "said"),
        [(b"", "is empty"), (b"\n,\n", "is empty"), (b"geheim-\xe4", "is not UTF-8"), (None, "directory")],
        ids=["empty", "nothing but commas", "not UTF-8", "a folder"],
    )
    def test_a_file_that_holds_none(self, folder: Path, content: bytes | None, said: str) -> None:
        """Is an error that names it, not another secret."""
        file = folder / "sessions.db.secret"
        file.mkdir() if content is None else file.write_bytes(content)

        with pytest.raises(OptionsError) as error:
            read()

        assert str(error.value).startswith("config.toml: [session] secret: ")
        assert "sessions.db.secret" in str(error.value)
        assert said in str(error.value)

    def test_a_check_makes_none(self, folder: Path) -> None:
        """Without `make_secret` one that is there is taken, and none is made."""
        read(make_secret=False)

        assert made(folder) == []
        kept = read().session.keys
        assert read(make_secret=False).session.keys == kept


class TestGiven:
    """Where one is given."""

    def test_the_files_counts(self, folder: Path) -> None:
        """None is made beside it. Of a list the first signs."""
        one = read(f'secret = "{STRONG}"\n')
        several = read(f'secret = ["{STRONG}", "{STRONG[::-1]}"]\n')

        assert one.session.keys == (STRONG.encode(),)
        assert several.session.keys == (STRONG.encode(), STRONG[::-1].encode())
        assert made(folder) == []

    def test_the_environments_comes_first(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """SESSION_SECRET overrides the file's and the one that was kept; an empty one is none."""
        kept = read().session.keys
        monkeypatch.setenv("SESSION_SECRET", STRONG)

        overridden = read('secret = "the one that stands in the file, long enough"\n'), read()

        assert [each.session.keys for each in overridden] == [(STRONG.encode(),)] * 2
        monkeypatch.setenv("SESSION_SECRET", "")
        assert read().session.keys == kept

    @pytest.mark.parametrize("secret", WEAK)
    def test_a_weak_one_is_taken_if_no_other_machine_reaches_the_server(
        self, folder: Path, caplog: pytest.LogCaptureFixture, secret: str
    ) -> None:
        """With a warning that says why it is weak."""
        config = read(f'secret = "{secret}"\n')

        assert config.session.keys == (secret.encode(),)
        ((logger, level, message),) = caplog.record_tuples
        assert (logger, level) == ("sessions", logging.WARNING)
        assert WEAK[secret] in message

    @each_way
    @pytest.mark.parametrize("secret", WEAK)
    @pytest.mark.parametrize("written", ['"{}"', f'["{STRONG}", "{{}}"]'], ids=["alone", "last of two"])
    def test_a_weak_one_is_refused_if_others_reach_the_server(
        self, folder: Path, options: str, exposed: bool, secret: str, written: str
    ) -> None:
        """Wherever in a list it is."""
        with pytest.raises(OptionsError, match=rf"^config\.toml: \[session\] secret: .* {WEAK[secret]}"):
            read(f"{options}secret = {written.format(secret)}\n", exposed=exposed)

    @each_way
    @pytest.mark.parametrize("secret", WEAK)
    def test_a_weak_one_of_the_environment_is_refused_too(
        self, folder: Path, monkeypatch: pytest.MonkeyPatch, options: str, exposed: bool, secret: str
    ) -> None:
        """It counts, so it is looked at."""
        monkeypatch.setenv("SESSION_SECRET", secret)

        with pytest.raises(OptionsError, match=WEAK[secret]):
            read(options, exposed=exposed)

    @each_way
    def test_a_strong_one_is_taken_everywhere(
        self,
        folder: Path,
        caplog: pytest.LogCaptureFixture,
        monkeypatch: pytest.MonkeyPatch,
        options: str,
        exposed: bool,
    ) -> None:
        """Of 32 bytes or more, the one that was made too; without a word."""
        read(options, exposed=exposed)
        monkeypatch.setenv("SESSION_SECRET", "x" * 32)
        read(options, exposed=exposed)

        assert caplog.record_tuples == []


class TestShown:
    """Nowhere."""

    @pytest.mark.parametrize(
        "line",
        [
            f'secert = "{STRONG}"',
            f'secret = {{ value = "{STRONG}" }}',
            f'secret = ["{STRONG}", 5]',
            f'secret = ["{STRONG}", ""]',
            f'secret = "{STRONG}"\nrolling = 5',
            f'secret = "{STRONG}"\nsecret = "{STRONG}"',
            f'secret = "{STRONG}\n',
            f"secret = {STRONG}",
            f'secret = "{STRONG}"\nproxySecure = true',
            f'secret = "{STRONG[:20]}"\nproxy = true',
        ],
        ids=["name", "table", "type", "empty", "another", "twice", "open", "bare", "together", "weak"],
    )
    def test_no_error_shows_it(self, folder: Path, line: str) -> None:
        """Whatever is wrong with it, or beside it; nor does what the error came from."""
        with pytest.raises(OptionsError) as error:
            read(f"{line}\n")

        shown = ""
        seen: BaseException | None = error.value
        while seen is not None:
            shown, seen = f"{shown}{seen!r}{seen}", seen.__cause__ or seen.__context__
        assert STRONG[:20] not in shown

    def test_no_repr_shows_it(self, folder: Path) -> None:
        """What a debugger or a log prints of the configuration."""
        config = read(f'secret = "{STRONG}"\n')

        assert STRONG not in repr(config)
        assert "secret" not in repr(config)
