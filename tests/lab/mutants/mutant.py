"""Owns what a mutant is: a name in `sessions/`, what takes its place, and the tests that have to notice.

A table must not import `sessions` at its top: it is read before that, in a process that is about to become a mutant.
"""

import importlib
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType, SimpleNamespace
from typing import Any

Replacement = Callable[[Any], Any]
"""Takes what has the name, and returns what takes its place: a function around a function, a text for a text."""


class Stale(Exception):
    """A mutant that does not fit the sources any more."""


@dataclass(frozen=True)
class Mutant:
    """One way to break one of the seven promises. The names of the tests have the numbers of the promises."""

    promise: int
    name: str
    tests: str
    """Paths in `tests/`, with a space between them."""
    target: str
    """`package.module:Class.method`, as `pkgutil.resolve_name` reads it; the items of a dict have names, too."""
    replacement: Replacement
    rows: tuple[str, ...] = ()
    """The rows of docs/security.md that it breaks."""

    @property
    def module(self) -> str:
        """The module that the target is in."""
        return self.target.partition(":")[0]

    def check(self) -> None:
        """Raise Stale if the target is not there, or is not changed. Changes nothing."""
        try:
            module = importlib.import_module(self.module)
        except ModuleNotFoundError as error:
            raise Stale(f"{self.target}: {error}") from error
        self._made(module)

    def apply(self, module: ModuleType) -> None:
        """Put the replacement into the module, which has just been executed. Raises Stale."""
        owner, name, made = self._made(module)
        setattr(owner, name, made)

    def _made(self, module: ModuleType) -> tuple[object, str, object]:
        *path, name = self.target.partition(":")[2].split(".")
        owner: object = module
        try:
            for each in path:
                owner = owner[each] if isinstance(owner, dict) else getattr(owner, each)
            original = inspect.getattr_static(owner, name)
        except (AttributeError, KeyError) as error:
            raise Stale(f"{self.target}: {error}") from error
        made = self.replacement(original)
        if made is original or made == original:
            raise Stale(f"{self.target}: nothing is changed")
        return owner, name, made


def table() -> tuple[list[Mutant], Callable[[int, str, str, str], Callable[[Replacement], Replacement]]]:
    """Return an empty table, and the decorator that puts a replacement into it: promise, name, tests, target."""
    mutants: list[Mutant] = []

    def breaks(promise: int, name: str, tests: str, target: str) -> Callable[[Replacement], Replacement]:
        def put(replacement: Replacement) -> Replacement:
            mutants.append(Mutant(promise, name, tests, f"sessions.{target}", replacement))
            return replacement

        return put

    return mutants, breaks


def row_table() -> tuple[list[Mutant], Callable[[str, str, str, str], Callable[[Replacement], Replacement]]]:
    """Return an empty table for docs/security.md, and the decorator: rows, what is broken, tests, target.

    The rows, with "; " between them, begin the name. The tests are those that each of these rows names; the target has
    its package, since some rows are met by the reference server. The promise is 0: none between requests is broken.
    """
    mutants: list[Mutant] = []

    def breaks(rows: str, what: str, tests: str, target: str) -> Callable[[Replacement], Replacement]:
        def put(replacement: Replacement) -> Replacement:
            mutants.append(Mutant(0, f"{rows}: {what}", tests, target, replacement, tuple(rows.split("; "))))
            return replacement

        return put

    return mutants, breaks


def always(value: Any) -> Replacement:
    """What takes the place of a function: it returns this value, whatever it is given."""
    return lambda _original: lambda *_, **__: value


def without(event: str) -> Replacement:
    """A replacement of the method that reports what happens to a session: one event is not reported."""
    return lambda original: (
        lambda self, name, *rest, **more: None if name == event else original(self, name, *rest, **more)
    )


def edited(text: str, old: str, new: str) -> str:
    """Return a text (SQL, Lua) in which some words are others. Raises Stale where they are not there exactly once."""
    if text.count(old) != 1:
        raise Stale(f"expected once, found {text.count(old)} times: {old!r}")
    return text.replace(old, new)


def words(old: str, new: str) -> Replacement:
    """A replacement of words in a text."""
    return lambda text: edited(text, old, new)


def members(module: Any, **others: Any) -> SimpleNamespace:
    """A module with other members, for the one module that has imported it under this name."""
    unknown = [name for name in others if not hasattr(module, name)]
    if unknown:
        raise Stale(f"{module.__name__} has no {unknown}")
    return SimpleNamespace(**{**vars(module), **others})
