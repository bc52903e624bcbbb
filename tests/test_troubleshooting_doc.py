"""docs/troubleshooting.md: the messages that it quotes are those that people meet."""

import logging
import re
import subprocess
import sys
from pathlib import Path

import pytest
from tornado.web import Application, RequestHandler

from sessions import CookieOptions, MemoryStore, SessionManager, SessionMixin, SessionOptions
from sessions.testing import Browser

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs" / "troubleshooting.md").read_text("utf-8")


def quoted(message: str) -> str:
    """A message, which the page has to quote."""
    assert message in PAGE
    return message


def error(folder: Path, program: str) -> str:
    """The last line that a program of this folder prints as it fails. The library is installed behind it."""
    (folder / "main.py").write_text(program)
    command = [sys.executable, "main.py"]
    done = subprocess.run(
        command, cwd=folder, env={"PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    return done.stderr.splitlines()[-1]


@pytest.mark.parametrize(
    ("own", "program", "message"),
    [
        ("", "from sessions import SessionMixin", "cannot import name 'SessionMixin' from 'sessions'"),
        ("", "import sessions\nsessions.SessionManager", "module 'sessions' has no attribute 'SessionManager'"),
        ("from sessions import SessionMixin", "import sessions", "partially initialized module 'sessions'"),
    ],
)
def test_a_file_of_the_librarys_name_hides_it(own: str, program: str, message: str, tmp_path: Path) -> None:
    """The error names the file, or says what the page calls it."""
    (tmp_path / "sessions.py").write_text(own)

    said = error(tmp_path, program)

    if sys.version_info >= (3, 13) and "partially" in message:
        message = "consider renaming"
    assert quoted(message) in said
    assert "attribute" in message or str(tmp_path / "sessions.py") in said


def test_a_folder_of_the_librarys_name_hides_it(tmp_path: Path) -> None:
    """Likewise; one without `__init__.py` does not."""
    (tmp_path / "sessions").mkdir()
    without = subprocess.run(
        [sys.executable, "-c", "from sessions import SessionMixin"],
        cwd=tmp_path,
        env={"PYTHONPATH": str(ROOT)},
        check=False,
    )
    (tmp_path / "sessions" / "__init__.py").touch()

    said = error(tmp_path, "from sessions import SessionMixin")

    assert without.returncode == 0
    assert "cannot import name 'SessionMixin' from 'sessions'" in said


def test_the_mixin_behind_tornados_class_is_refused_by_python() -> None:
    """In the words that the page quotes."""
    with pytest.raises(TypeError) as caught:
        type("Page", (RequestHandler, SessionMixin), {})

    said = " ".join(str(caught.value).split())  # Python breaks the line
    assert (
        quoted("Cannot create a consistent method resolution order (MRO) for bases RequestHandler, SessionMixin")
        == said
    )


async def test_a_prepare_that_does_not_call_the_mixins_is_named(caplog: pytest.LogCaptureFixture) -> None:
    """By the error of `self.session`."""

    class Page(SessionMixin):
        async def prepare(self) -> None:
            pass

        def get(self) -> None:
            self.session["n"] = 1

    options = SessionOptions(secret="a secret of these tests, which is long enough")
    async with Browser(Application([("/", Page)], sessions=SessionManager(MemoryStore(), options))) as browser:
        answer = await browser.fetch("/")

    assert answer.code == 500
    assert quoted("no session: prepare() has not run") in caplog.text


async def test_a_secure_cookie_over_plain_http_is_named(caplog: pytest.LogCaptureFixture) -> None:
    """In the log, as the page says."""

    class Page(SessionMixin):
        def get(self) -> None:
            self.session["n"] = 1

    options = SessionOptions(secret="a secret of these tests, which is long enough", cookie=CookieOptions(secure=True))
    with caplog.at_level(logging.WARNING, "sessions"):
        async with Browser(Application([("/", Page)], sessions=SessionManager(MemoryStore(), options))) as browser:
            answer = await browser.fetch("/")

    assert answer.headers.get("Set-Cookie") is None
    assert quoted("a Secure session cookie was not sent") in caplog.text


async def test_the_403_of_a_form_is_named(caplog: pytest.LogCaptureFixture) -> None:
    """By Tornado's log."""

    class Page(SessionMixin):
        def post(self) -> None: ...

    options = SessionOptions(secret="a secret of these tests, which is long enough")
    app = Application([("/", Page)], sessions=SessionManager(MemoryStore(), options), xsrf_cookies=True)
    async with Browser(app) as browser:
        codes = [(await browser.fetch("/", form=form)).code for form in ({}, {"_xsrf": "2|1|2|3"})]

    assert codes == [403, 403]
    assert quoted("'_xsrf' argument missing from POST") in caplog.text


def test_the_events_that_it_names_are_those_of_the_log() -> None:
    """As docs/security.md has them."""
    events = set(re.findall(r"`(session_\w+)`", PAGE))

    assert events == {"session_tampered", "session_use_after_expire"}
    assert all(each in (ROOT / "docs" / "security.md").read_text("utf-8") for each in events)
