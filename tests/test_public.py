"""The public names: few, sorted, documented, and the same in the code and in the README."""

import re
import sys
import time
import tomllib
from importlib.metadata import version
from pathlib import Path

import pytest

import sessions

README = Path(__file__).parent.parent / "README.md"


def names_in(text: str) -> list[str]:
    """The names in backticks of the section "Public names"."""
    section = re.search(r"^## Public names$(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL)
    if section is None:
        pytest.fail('README.md has no section "## Public names"')
    return re.findall(r"`(\w+)[^`]*`", section[1])


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("## Public names\n- `a`: the first\n- `B`, `c`\n\n## Next\n- `d`\n", ["a", "B", "c"]),
        ("`top`\n\n## Public names\n\n`a`, `B`,\n`open_store(url)`.\n", ["a", "B", "open_store"]),
    ],
)
def test_the_list_of_a_readme_is_read(text: str, names: list[str]) -> None:
    """Whether it is a list or a paragraph, and nothing of other sections."""
    assert names_in(text) == names


def test_the_readme_lists_what_is_exported() -> None:
    """Neither of the two lists can drift from the other."""
    if not README.exists():
        pytest.fail("README.md is missing")

    names = names_in(README.read_text("utf-8"))

    assert sorted(names) == sorted(sessions.__all__)


def test_the_list_of_names_is_sorted_and_has_none_twice() -> None:
    """As Python sorts: capitals first."""
    assert sessions.__all__ == sorted(set(sessions.__all__))


@pytest.mark.parametrize("name", sessions.__all__)
def test_a_public_name_is_there(name: str) -> None:
    """Also one that is imported when it is asked for."""
    assert getattr(sessions, name) is not None


@pytest.mark.parametrize("name", sessions.__all__)
def test_a_public_name_is_documented(name: str) -> None:
    """By a docstring of its own, neither inherited nor made by a decorator."""
    value = getattr(sessions, name)
    owner = value if isinstance(value, type) or callable(value) else type(value)

    docstring = vars(owner).get("__doc__") if isinstance(owner, type) else owner.__doc__

    assert docstring
    assert not docstring.startswith(f"{name}(")


def test_a_name_that_is_not_there_is_an_attribute_error() -> None:
    """The lazy names hide no mistyped one."""
    with pytest.raises(AttributeError, match="SqliteStore"):
        sessions.SqliteStore  # noqa: B018 # that is the point


def test_the_version_is_that_of_the_project() -> None:
    """One number, in pyproject.toml; the installed metadata was made from it."""
    project = tomllib.loads(README.with_name("pyproject.toml").read_text("utf-8"))["project"]

    assert sessions.__version__ == version(project["name"]) == project["version"]


def test_a_store_without_its_driver_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """When it is made; until then its name does no harm, so that the star import works."""
    for name in [name for name in sys.modules if name.startswith("sessions.stores.redis")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "redis", None)
    monkeypatch.setitem(sys.modules, "redis.asyncio", None)

    store = sessions.RedisStore

    with pytest.raises(sessions.OptionsError, match=r"^store: redis: needs the package redis.*\[redis\]'$"):
        store("redis://localhost")


def test_everything_the_library_raises_is_a_session_error() -> None:
    """One `except SessionError` catches it all; the handler's mistakes are ValueErrors too."""
    errors = [value for value in map(sessions.__getattribute__, dir(sessions)) if isinstance(value, type)]
    errors = [each for each in errors if issubclass(each, Exception)]

    assert len(errors) >= 8
    assert all(issubclass(each, sessions.SessionError) for each in errors)
    assert issubclass(sessions.StoreUnavailable, sessions.StoreError)
    assert {each.__name__ for each in errors if issubclass(each, ValueError)} == {"DataError", "OptionsError"}


def test_now_is_the_time_of_day_in_milliseconds() -> None:
    """An integer; the tests of everything else move a clock of their own."""
    before, now, after = int(time.time() * 1000), sessions.now_ms(), int(time.time() * 1000)

    assert isinstance(now, int)
    assert before - 1 <= now <= after + 1
