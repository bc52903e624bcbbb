"""The secret: made once and kept, overridden by the environment, refused where it is weak, and never shown."""

import json
import logging
import re
import stat
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from processes import Server, run

from server import Config, read_config
from sessions import OptionsError, now_ms

Start = Callable[..., Server]

STRONG = "a-secret-that-nobody-guesses-and-no-log-shows"
WEAK = {"your-secret-key": "tutorial", "keyboard cat": "12 bytes", "x" * 31: "31 bytes"}
REACHABLE = {
    "every interface": '[server]\naddress = ""\n',
    "every IPv4 interface": '[server]\naddress = "0.0.0.0"\n',
    "another address": '[server]\naddress = "192.0.2.1"\n',
    "a name": '[server]\naddress = "example.com"\n',
    "behind a proxy": "[session]\nproxy = true\n",
    "behind a proxy, by xheaders": "[server]\nxheaders = true\n",
}


def read(config: str, *, make_secret: bool = True) -> Config:
    """The configuration in a file of the working folder."""
    Path("config.toml").write_text(config)
    return read_config(Path("config.toml"), make_secret=make_secret)


def made(folder: Path) -> list[str]:
    """What the server has made."""
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

        config = read(f'[session]\nstore = "{store}"\n' if store else "")

        assert made(folder) == [place]
        assert stat.S_IMODE((folder / place).stat().st_mode) == 0o600
        assert config.session.keys == ((folder / place).read_bytes().strip(),)
        assert len(config.session.keys[0]) >= 32

    def test_it_lies_beside_a_store_elsewhere(self, folder: Path) -> None:
        """A URL with three slashes names a file from the root."""
        (folder / "data").mkdir()

        read(f'[session]\nstore = "sqlite://{folder}/data/mine.db"\n')

        assert made(folder) == ["data/mine.db.secret"]

    def test_it_is_made_once(self, folder: Path) -> None:
        """The next start finds it; another folder's is another."""
        (folder / "data").mkdir()
        first = read("")

        second, other = read(""), read('[session]\nstore = "sqlite:data/mine.db"\n')

        assert first.session.keys == second.session.keys != other.session.keys

    def test_servers_that_start_together_agree(self, folder: Path) -> None:
        """None of them reads the file before the secret stands in it."""
        Path("config.toml").write_text("")
        kept = folder / "sessions.db.secret"
        with ThreadPoolExecutor(8) as pool:
            for _ in range(50):
                starts = [pool.submit(read_config, Path("config.toml")) for _ in range(8)]

                keys = {start.result().session.keys for start in starts}

                assert len(keys) == 1
                kept.unlink()

    async def test_sessions_survive_a_restart(self, start: Start) -> None:
        """With the secret that was kept, a new process knows its visitors."""
        first = start("", secret=None)
        browser = first.browser()
        await browser.fetch("/set-session")
        first.kill()

        browser.port = start("", secret=None).port
        response = await browser.fetch("/get-session")

        assert response.text == "Session data: exampleuser"

    @pytest.mark.parametrize(
        ("content", "said"),
        [(b"", "is empty"), ("geheimnisvoll-ä".encode(), ""), (None, "directory")],
        ids=["empty", "not ASCII", "a folder"],
    )
    def test_a_file_that_holds_none(self, folder: Path, content: bytes | None, said: str) -> None:
        """Is an error that names it, not another secret."""
        file = folder / "sessions.db.secret"
        file.mkdir() if content is None else file.write_bytes(content)

        with pytest.raises(OptionsError) as error:
            read("")

        assert str(error.value).startswith("config.toml: [session] secret: ")
        assert "sessions.db.secret" in str(error.value)
        assert said in str(error.value)

    def test_a_check_makes_none(self, folder: Path) -> None:
        """`--check` takes one that is there and makes none that is not."""
        read("", make_secret=False)

        assert made(folder) == []
        kept = read("").session.keys
        assert read("", make_secret=False).session.keys == kept


class TestGiven:
    """Where one is given."""

    def test_the_files_counts(self, folder: Path) -> None:
        """None is made beside it. Of a list the first signs."""
        one = read(f'[session]\nsecret = "{STRONG}"\n')
        several = read(f'[session]\nsecret = ["{STRONG}", "{STRONG[::-1]}"]\n')

        assert one.session.keys == (STRONG.encode(),)
        assert several.session.keys == (STRONG.encode(), STRONG[::-1].encode())
        assert made(folder) == []

    def test_the_environments_comes_first(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """SESSION_SECRET overrides the file's and the one that was kept; an empty one is none."""
        kept = read("").session.keys
        monkeypatch.setenv("SESSION_SECRET", STRONG)

        overridden = read('[session]\nsecret = "the one that stands in the file, long enough"\n'), read("")

        assert [each.session.keys for each in overridden] == [(STRONG.encode(),)] * 2
        monkeypatch.setenv("SESSION_SECRET", "")
        assert read("").session.keys == kept

    @pytest.mark.parametrize("secret", WEAK)
    @pytest.mark.parametrize("address", ["127.0.0.1", "::1", "127.8.8.8", "localhost"])
    def test_a_weak_one_is_taken_on_loopback(
        self, folder: Path, caplog: pytest.LogCaptureFixture, secret: str, address: str
    ) -> None:
        """With a warning that says why it is weak."""
        config = read(f'[server]\naddress = "{address}"\n[session]\nsecret = "{secret}"\n')

        assert config.session.keys == (secret.encode(),)
        ((_, level, message),) = caplog.record_tuples
        assert level == logging.WARNING
        assert WEAK[secret] in message

    @pytest.mark.parametrize("where", REACHABLE.values(), ids=REACHABLE)
    @pytest.mark.parametrize("secret", WEAK)
    def test_a_weak_one_is_refused_where_others_reach_it(
        self, folder: Path, monkeypatch: pytest.MonkeyPatch, secret: str, where: str
    ) -> None:
        """From the file or from the environment, the first of a list or the last."""
        named = "\n" if "[session]" in where else "\n[session]\n"

        for written in (f'"{secret}"', json.dumps([STRONG, secret])):
            with pytest.raises(OptionsError, match=WEAK[secret]):
                read(f"{where}{named}secret = {written}\n")
        monkeypatch.setenv("SESSION_SECRET", secret)
        with pytest.raises(OptionsError, match=WEAK[secret]):
            read(where)

    @pytest.mark.parametrize("where", REACHABLE.values(), ids=REACHABLE)
    def test_a_strong_one_is_taken_everywhere(
        self, folder: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, where: str
    ) -> None:
        """Of 32 bytes or more, the server's own too; without a word."""
        read(where)
        monkeypatch.setenv("SESSION_SECRET", "x" * 32)
        read(where)

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
            read(f"[session]\n{line}\n")

        told, seen = "", error.value
        while seen is not None:
            told, seen = f"{told}{seen!r}{seen}", seen.__cause__ or seen.__context__
        assert STRONG[:20] not in told

    def test_no_repr_shows_it(self, folder: Path) -> None:
        """What a debugger or a log prints of the configuration."""
        config = read(f'[session]\nsecret = "{STRONG}"\n')

        assert STRONG not in repr(config)
        assert "secret" not in repr(config)

    @pytest.mark.parametrize("source", ["environment", "made"])
    def test_a_check_masks_it(self, tmp_path: Path, source: str) -> None:
        """Wherever it comes from."""
        (tmp_path / "sessions.db.secret").write_text(STRONG)

        result = run(tmp_path, "", "--check", secret=STRONG if source == "environment" else None)

        assert result.returncode == 0
        assert "secret = ********\n" in result.stdout
        assert STRONG not in result.stdout + result.stderr

    async def test_no_log_shows_it(self, start: Start) -> None:
        """Nor an id, a cookie or what lies in a session: not at the start, in answers, errors or failures."""
        server = start(f'[session]\nsecret = "{STRONG}"\n', secret=None)
        browser = server.browser()
        (header,) = (await browser.fetch("/set-session")).set_cookies
        sid, cookie = browser.sid, header.partition("=")[2].partition(";")[0]
        assert sid is not None
        forged = {"Cookie": f"connect.sid=s%3A{sid}.forged"}
        json_body = {"Content-Type": "application/json"}
        for path, method, body, headers in (
            ("/", "GET", b"", {}),
            ("/nowhere", "GET", b"", {}),
            ("/get-session", "GET", b"", forged),
            ("/get-session", "GET", b'{"exampleuser"', json_body),
            ("/destroy", "POST", b"", {}),
            ("/get-session", "GET", b"", {"Cookie": f"connect.sid={cookie}"}),
        ):
            await browser.fetch(path, method=method, body=body, headers=headers)
        (server.folder / "sessions.db").unlink()
        failed = await browser.fetch("/get-session")

        server.kill()

        assert failed.status == 503
        assert re.search(r" 403 POST /destroy ", server.output)
        for hidden in (STRONG, sid, cookie, cookie.rpartition(".")[2], "exampleuser"):
            assert hidden not in server.output
        assert browser.jar.clock() <= now_ms()
