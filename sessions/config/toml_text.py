"""Owns the reading of TOML, and what is said of a text that is none: the line, and what its author may have meant.

A line that may hold a secret is not shown. This file must not know any option.
"""

import re
import tomllib
from pathlib import Path
from typing import Any

from ..errors import OptionsError
from ..validation import is_secret_name, masked

_PLACE = re.compile(r"\(at line (\d+), column \d+\)")
_STATEMENT = re.compile(r"""\s*(?:[\w.-]+|"[^"]*"|'[^']*')\s*[=:]""")
"""The begin of a statement, in JavaScript's spelling too."""
_NAME = re.compile(r"""([\w-]+)["']?\s*[=:]""")
_LONG_WORD = re.compile(r"[\w+/=-]{20,}")
"""No name of an option is so long, and a secret may stand behind a name that is misspelled."""

_HINTS = (
    (r"=\s*(True|False|TRUE|FALSE|yes|no|on|off)\b", "a switch is true or false, in lower case"),
    (r"=\s*(None|null|undefined|nil)\b", "nothing is said by leaving the line out"),
    (r"=\s*[\d._]+\s*[*/+-]", "TOML does not calculate: write the result"),
    (r'=\s*"[^"]*\\', r"in double quotes a backslash is written \\; a path takes / as well, or single quotes"),
    (r"(^|\s)//", "a comment begins with #"),
    (r"""^\s*["'\w.-]+\s*:|\{\s*["'\w.-]+\s*:""", "name and value have = between them"),
    (r"""[^\s,]\s*,\s*(#.*)?$""", "a line ends without a comma"),
    (r"=\s*[A-Za-z]", "a text has quotes around it"),
    (r"""=\s*"[^"]*$|=\s*'[^']*$""", "the closing quote is missing"),
)
"""For a line that is no TOML: how it looks, and what to write. The first that fits is said."""

_TWICE = re.compile("Cannot (overwrite|declare|mutate)|twice|already")


def read_toml(path: Path) -> dict[str, Any]:
    """Return the tables of a TOML file, which may begin with a BOM. Raises OptionsError, which names the file."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        problem = f"is not UTF-8 (byte {error.start}): save it as UTF-8"
    except (OSError, ValueError) as error:
        raise OptionsError(f"{path}: {error}") from error
    else:
        try:
            return tomllib.loads(text)
        except (ValueError, RecursionError) as error:  # too many digits or brackets are the last two
            problem = _explained(str(error), text)
    raise OptionsError(f"{path}: {problem}")  # here, so that no error behind it holds the text


def _explained(message: str, text: str) -> str:
    """Return a message of tomllib with the line and a hint."""
    place = _PLACE.search(message)
    if place is None:
        return message
    lines = text.splitlines()
    number = min(int(place[1]), len(lines)) - 1
    line = lines[number].strip()
    if _TWICE.search(message):
        hint: str | None = "it is given above already, or is a part of what is given there"
    else:
        hint = next((words for pattern, words in _HINTS if re.search(pattern, line)), None)
    shown = "" if _may_hold_secret(lines, number) else f": {_LONG_WORD.sub('…', masked(line))}"
    return f"{message}{shown}{f' ({hint})' if hint else ''}"


def _may_hold_secret(lines: list[str], number: int) -> bool:
    """True if a name in the statement that the line belongs to is one of a secret."""
    begin = number
    while begin > 0 and not _STATEMENT.match(lines[begin]):
        begin -= 1
    return any(is_secret_name(name) for line in lines[begin : number + 1] for name in _NAME.findall(line))
