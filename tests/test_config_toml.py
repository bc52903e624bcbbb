"""A configuration file that is no TOML: the line, and what its author may have meant, but nothing that is secret."""

from pathlib import Path

import pytest

from sessions import OptionsError
from sessions.config import ConfigFile

FILE = Path("my.toml")
SECRET = "a-secret-that-nobody-may-read-and-long-enough"

pytestmark = pytest.mark.usefixtures("folder")


def refusal(content: str | bytes) -> OptionsError:
    """The error of a file that is refused."""
    FILE.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(OptionsError) as error:
        ConfigFile(FILE)

    assert str(error.value).startswith(f"{FILE}: ")
    assert "\n" not in str(error.value)
    return error.value


HINTS = {
    "resave = False": "a switch is true or false, in lower case",
    "resave = yes": "a switch is true or false, in lower case",
    "cookie.domain = None": "nothing is said by leaving the line out",
    "cookie.domain = null": "nothing is said by leaving the line out",
    "cookie.maxAge = 1000 * 60 * 60": "TOML does not calculate: write the result",
    "cookie.maxAge = 60*60": "TOML does not calculate: write the result",
    "resave = false,": "a line ends without a comma",
    'store = "sqlite:C:\\sessions.db"': r"a path takes / as well, or single quotes",
    "resave: false": "name and value have = between them",
    '"resave": false,': "name and value have = between them",
    "cookie = { maxAge: 1 }": "name and value have = between them",
    "// resave = true": "a comment begins with #",
    "resave = true // so": "a comment begins with #",
    "store = sqlite:mine.db": "a text has quotes around it",
    'store = "sqlite:mine.db': "the closing quote is missing",
}
"""For each line, as people write it, what is said of it."""


@pytest.mark.parametrize("line", HINTS)
def test_the_line_is_shown_with_a_hint(line: str) -> None:
    """In one line, with its number."""
    error = refusal(f"[session]\nrolling = true\n{line}\nunset = 'keep'\n")

    said = str(error)
    assert "at line 3, " in said
    assert HINTS[line] in said
    if not line.endswith("false,"):
        assert line in said


@pytest.mark.parametrize(
    "text",
    [
        "resave = true\nresave = false",
        "cookie.maxAge = 5\ncookie = { maxAge = 6 }",
        "cookie = { maxAge = 6 }\ncookie.maxAge = 5",
        "cookie.maxAge = 5\n[session]\ncookie.maxAge = 5",
    ],
)
def test_what_is_given_twice_is_called_so(text: str) -> None:
    """Where the second one is; as when a block is switched on and the lines above it are not switched off."""
    said = str(refusal(f"[session]\n{text}\n"))

    assert "(it is given above already, or is a part of what is given there)" in said
    assert "line 3" in said


@pytest.mark.parametrize(
    "text",
    [
        f"secret = {SECRET}",
        f'secret = "{SECRET}',
        f'secret = [\n  "x",\n  {SECRET}\n]',
        f'secret = ["x",\n"{SECRET}]',
        f'secret: "{SECRET}"',
        f'"secret" = "{SECRET}" "x"',
        f'secert = "{SECRET}" "x"',
        'store = "redis://me:hush@host',
        "store = redis://me:hush@host",
        'store = [\n"memory:redis:me:hush@host"\n"x"]',
        "password = hush",
        "sentinel = { password = hush }",
        "apiKey = hush",
        'passphrase = """\nx\nhush\n"""x',
    ],
)
def test_a_line_that_may_hold_a_secret_is_not_shown(text: str) -> None:
    """By the names in its statement, and passwords in a URL by their place; nor is it in the errors behind the error."""
    error: BaseException | None = refusal(f"[session]\n{text}\n")

    shown = ""
    while error is not None:
        shown, error = f"{shown}{error!r}{error}", error.__cause__ or error.__context__
    assert "hush" not in shown
    assert SECRET[:20] not in shown


@pytest.mark.parametrize(
    "content", ["\ufeff[session]\r\nrolling = true\r\n", "\ufeff# so\n[session]\nrolling = true\n"]
)
def test_a_byte_order_mark_is_taken(content: str) -> None:
    """Editors of Windows write one."""
    FILE.write_text(content, encoding="utf-8", newline="")

    assert ConfigFile(FILE).config(exposed=False).session.rolling


@pytest.mark.parametrize("coding", ["utf-16", "utf-16-le", "latin-1"])
def test_another_coding_is_named(coding: str) -> None:
    """With the remedy, and without the content."""
    error = refusal(f'[session]\nsecret = "{SECRET}" # für uns\n'.encode(coding))

    assert "UTF-8" in str(error) or "at line" in str(error)
    assert error.__cause__ is None
    assert SECRET[:20] not in str(error)
