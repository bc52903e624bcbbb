"""Owns what is written from elsewhere into config.toml, README.md and docs/reference: `make docs-tables`.

What an option does is said once, in the docstring below its field. From there it comes into the comments of
config.toml, the README's table and docs/reference/options.md. What a handler has is a table of the README, which
docs/reference/handlers.md repeats. tests/test_docs_tables.py fails if a file is not as this module writes it.
"""

import ast
import inspect
import json
import re
import textwrap
from collections.abc import Iterator, Mapping
from dataclasses import fields
from functools import cache
from pathlib import Path
from typing import Any

from serving.options import ServerOptions
from sessions import ABSENT, CookieOptions, SessionOptions
from sessions.key_options import EncryptionOptions, HashingOptions
from sessions.stores.tables import STORE_OPTIONS
from sessions.sweeper import SweeperOptions
from sessions.validation import camel, express_names

ROOT = Path(__file__).parent.parent

TABLES: Mapping[str, type[Any]] = {
    "server": ServerOptions,
    "session": SessionOptions,
    "session.cookie": CookieOptions,
    "session.encryption": EncryptionOptions,
    "session.hashing": HashingOptions,
    **STORE_OPTIONS,
    "sweeper": SweeperOptions,
}
"""Each table of config.toml, and the class that checks it."""

IN_WORDS = {
    "secret": "made and kept by the server",
    "genid": "24 random bytes",
    "cookie": "`[session.cookie]`",
}
"""Defaults that config.toml cannot hold."""

HEAD = "| option | default | what it does |\n|---|---|---|\n"

COLUMN, WIDTH = 29, 120
"""Where the comments of config.toml begin, and where its lines end."""


# ---------------------------------------------------------------- what is said of an option


@cache
def docstrings(table: str) -> dict[str, str]:
    """The docstrings below the fields of a table's class, by the fields' names in config.toml."""
    (tree,) = ast.parse(inspect.getsource(TABLES[table])).body
    found, name = {}, None
    for node in tree.body if isinstance(tree, ast.ClassDef) else ():
        match node:
            case ast.AnnAssign(target=ast.Name(id=field)):
                name = camel(field)
            case ast.Expr(value=ast.Constant(value=str(text))) if name is not None:
                found[name] = spelled(" ".join(text.split()))
                name = None
            case _:
                name = None
    return found


def spelled(text: str) -> str:
    """The text with names and values in backticks as config.toml has them: `at_limit` → `atLimit`, `True` → `true`."""
    names = {python: name for kind in TABLES.values() for name, python in express_names(kind).items()}
    names |= {"True": "true", "False": "false"}
    return re.sub(r"`(\w+)`", lambda found: f"`{names.get(found[1], found[1])}`", text)


def default(table: str, name: str) -> str:
    """The default as config.toml has it, in backticks; or in words."""
    if table == "session" and name in IN_WORDS:
        return IN_WORDS[name]
    (value,) = (each.default for each in fields(TABLES[table]) if camel(each.name) == name)
    return "not set" if value in (None, ()) or value is ABSENT else f"`{json.dumps(value)}`"


def rows(table: str, up: str, prefix: str = "") -> Iterator[str]:
    """The rows of a table in Markdown. `up` leads from the page to the folder docs."""
    for name, text in docstrings(table).items():
        linked = re.sub(r"\(docs/([\w/-]+)\.md\)", rf"([\1]({up}\1.md))", text)
        yield f"| `{prefix}{name}` | {default(table, name)} | {linked} |"


# ---------------------------------------------------------------- the files


def of_readme() -> str:
    """The README's table of options: those of a session, and those of its cookie one by one."""
    own = [row for row in rows("session", "docs/") if not row.startswith("| `cookie` |")]
    return HEAD + "\n".join([*own, *rows("session.cookie", "docs/", "cookie.")])


def parts(text: str, name: str) -> tuple[str, str, str]:
    """What is before, in and after the place `<!-- name -->` … `<!-- / -->`. Raises ValueError if there is none."""
    start, end = f"<!-- {name} -->\n", "<!-- / -->"
    before, found, rest = text.partition(start)
    content, closed, after = rest.partition(end)
    if not found or not closed:
        raise ValueError(f"there is no place <!-- {name} -->")
    return before + start, content.strip("\n"), end + after


def replaced(text: str, name: str, content: str) -> str:
    """The text with other content in a place."""
    before, _, after = parts(text, name)
    return f"{before}\n{content}\n\n{after}"


def configuration(text: str) -> str:
    """config.toml with the comment of each option from its docstring. The blocks to switch on stay as they are."""
    lines: list[str] = []
    table, is_block, is_option = "", False, False
    for line in text.splitlines():
        if line.startswith("# ----"):
            is_block = line != "# ----"
        elif head := re.match(r"\[(\w+)\]", line):
            table = head[1]
        if is_option and re.match(r" +# ", line):
            continue  # the rest of the comment that is replaced
        option = None if is_block else re.match(r"((?:# )?([A-Za-z.]+) = .+?)(?:  +# .*| # .*|$)", line)
        is_option = option is not None
        lines += [line] if option is None else commented(option[1], *f"{table}.{option[2]}".rsplit(".", 1))
    return "\n".join(lines) + "\n"


def commented(code: str, table: str, name: str) -> list[str]:
    """The lines of an option: its code, and behind it the comment."""
    text, usual = docstrings(table)[name].replace("`", ""), default(table, name).strip("`")
    if not code.startswith("# ") and code != f"{name} = {usual}":
        text = f"(default {usual}) {text}"
    comment = textwrap.wrap(text, WIDTH - COLUMN - 2, break_long_words=False, break_on_hyphens=False)
    below = [f"{'':{COLUMN}}# {each}" for each in comment]
    return [f"{code:<{COLUMN}}{below[0].strip()}", *below[1:]] if len(code) < COLUMN else [code, *below]


def written() -> dict[Path, str]:
    """Each file as it has to be."""
    readme, options, handlers, config = (
        ROOT / name for name in ("README.md", "docs/reference/options.md", "docs/reference/handlers.md", "config.toml")
    )
    texts = {path: path.read_text("utf-8") for path in (readme, options, handlers, config)}
    texts[readme] = replaced(texts[readme], "options", of_readme())
    for table in TABLES:
        texts[options] = replaced(texts[options], table, HEAD + "\n".join(rows(table, "../")))
    texts[handlers] = replaced(texts[handlers], "in a handler", parts(texts[readme], "in a handler")[1])
    texts[config] = configuration(texts[config])
    return texts


if __name__ == "__main__":
    for path, text in written().items():
        path.write_text(text, "utf-8")
