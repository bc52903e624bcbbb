"""Owns how a configuration is shown: every option with the value that counts, without what is secret."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import is_dataclass
from typing import Any

from ..options import SessionOptions
from ..validation import ABSENT, MASK, camel, express_names, is_secret_name, masked


def effective_options(tables: Mapping[str, Any]) -> str:
    """Return every option with the value that counts, as `[table]` and `name = value` in lines; secrets are masked.

    A table is a dataclass, or a mapping by names in snake_case.
    """
    lines = []
    for name, options in named_tables(tables):
        lines.append(f"[{name}]")
        lines += [f"{option} = {_toml(option, value)}" for option, value in options.items()]
    return "\n".join(lines)


def excludes_node(options: SessionOptions, *, sealed: bool) -> Iterator[str]:
    """Yield a line for each option with which a Node server cannot share the store as before."""
    if options.hashed_ids:
        yield "hashedIds: no Node server can share this store, as it looks for the id itself"
    if options.require_sealed:
        yield "requireSealed: no Node server can write to this store, as what it writes is refused"
    elif sealed:
        yield "encryption: a Node server that shares this store needs the keys and a reader (docs/sealed.md)"
    if options.renew_after is not None:
        yield "renewAfter: a Node server that shares this store needs five lines of its own (docs/renewal.md)"


def named_tables(tables: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield each table as a mapping in the file's spelling, with its name; a table inside another comes after it."""
    for name, table in tables.items():
        if isinstance(table, Mapping):
            options = {camel(option): value for option, value in table.items()}
        else:
            options = {option: getattr(table, attribute) for option, attribute in express_names(type(table)).items()}
        inner = {f"{name}.{option}": value for option, value in options.items() if is_dataclass(value)}
        yield name, {option: value for option, value in options.items() if not is_dataclass(value)}
        yield from named_tables(inner)


def _toml(option: str, value: Any) -> str:
    if value is None or value is ABSENT:
        return "(not set)"
    return MASK if is_secret_name(option) else json.dumps(masked(value), default=str)
