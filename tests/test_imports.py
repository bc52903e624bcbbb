"""The direction of the imports, read from the sources with `ast`: a room knows nothing of what lies above it."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SOURCES = sorted(
    [path for name in ("sessions", "handlers", "serving") for path in (ROOT / name).rglob("*.py")]
    + [ROOT / "server.py"]
)
MAX_LINES = 400
PACKAGES = {"sessions", "handlers", "serving", "server"}
"""The first words of what is ours."""

FLOORS = """
    server  __main__
    serving
    handlers
    sessions
    web  config  testing  doctor  cli
    watch
    manager  sweeper  stores  at_rest  copying  late_store
    users  queues  timeout  checked_store  observed_store  background  turns  writes  performing  rotation  sign_ins  verbs
    remembered  state  session
    user_text  login  flash  merge  stored_cookie  cookie  meta  absolute_timeout  data  policy  pending  progress
    key_options  renewal  options  formats  store  observe  ends  log_limit
    weak_secrets  validation
    errors  clock  findings  file_access
"""
"""The house. A room is a file of `sessions/`, or a whole package; `sessions` is the file of its public names.

A room imports from the floors below it and, on its own floor, from the rooms to its left.
"""

HEIGHTS = {
    room: (height, place)
    for height, floor in enumerate(reversed(FLOORS.split("\n")))
    for place, room in enumerate(floor.split())
}
"""By room, how high it lies and how far to the right; Python compares such a pair as the rule does."""

TORNADO = {"web", "handlers", "serving", "server", "testing"}
"""The rooms that may know Tornado."""

DRIVERS = {"aiosqlite", "sqlite3", "redis", "asyncpg", "psycopg", "pymongo", "bson", "motor", "uvloop"}
OBSERVERS = {"prometheus_client", "opentelemetry"}
"""Both cost time and memory to load, and are loaded when they are chosen."""


def module_of(path: Path) -> str:
    """`sessions/stores/memory.py` → `sessions.stores.memory`; a package is its own `__init__`."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_of(path): path for path in SOURCES}


def room_of(module: str) -> str:
    """The room of a module of ours: `sessions.cookie` → `cookie`, `sessions.stores.memory` → `stores`."""
    package, _, rest = module.partition(".")
    return rest.partition(".")[0] if package == "sessions" and rest else package


def imported(source: str, package: str) -> Iterator[str]:
    """The modules that a source imports, wherever in it, as absolute names. `package` is where a dot begins."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            name = ".".join([*base, *([node.module] if node.module else [])])
            submodules = [f"{name}.{alias.name}" for alias in node.names if f"{name}.{alias.name}" in MODULES]
            yield from submodules or [name]


def imports_of(module: str) -> set[str]:
    """The modules that one of ours imports."""
    path = MODULES[module]
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    return set(imported(path.read_text("utf-8"), package))


def python(code: str) -> str:
    """What a fresh interpreter prints."""
    command = [sys.executable, "-W", "error", "-c", code]
    return subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout.strip()


class TestReader:
    """The reader of imports sees every spelling."""

    @pytest.mark.parametrize(
        ("source", "package", "modules"),
        [
            ("import os, json.decoder as d", "", ["os", "json.decoder"]),
            ("from .errors import SessionError", "sessions", ["sessions.errors"]),
            ("from .formats import json_text", "sessions", ["sessions.formats.json_text"]),
            ("from .. import cookie, options", "sessions.stores", ["sessions.cookie", "sessions.options"]),
            ("from ..store import Store", "sessions.stores", ["sessions.store"]),
            ("from sessions import Session", "", ["sessions"]),
            ("from sessions import cookie", "", ["sessions.cookie"]),
            ("if TYPE_CHECKING:\n    from .web.mixin import SessionMixin", "sessions", ["sessions.web.mixin"]),
            ("def f():\n    import aiosqlite", "sessions", ["aiosqlite"]),
        ],
    )
    def test_an_import_is_read_as_an_absolute_name(self, source: str, package: str, modules: list[str]) -> None:
        """Relative, of a submodule, behind a condition, in a function."""
        assert list(imported(source, package)) == modules

    def test_the_sources_are_found(self) -> None:
        """The library, its stores, the handlers, the server."""
        assert {
            "sessions",
            "sessions.web.mixin",
            "sessions.stores.memory",
            "handlers",
            "serving",
            "server",
        } <= MODULES.keys()

    def test_every_room_has_its_floor(self) -> None:
        """A new file has to be given its place in the house, once, and no room is empty."""
        assert sorted(FLOORS.split()) == sorted({room_of(module) for module in MODULES})

    def test_the_rule_of_the_house(self) -> None:
        """Lower comes before higher, and left before right."""
        assert HEIGHTS["errors"] < HEIGHTS["clock"] < HEIGHTS["validation"] < HEIGHTS["sessions"] < HEIGHTS["server"]


class TestDirection:
    """Imports run one way."""

    @pytest.mark.parametrize("module", MODULES)
    def test_a_file_imports_from_below_or_the_left_only(self, module: str) -> None:
        """Inside a package one file may import another."""
        room = room_of(module)

        rooms = {room_of(name) for name in imports_of(module) if name.partition(".")[0] in PACKAGES} - {room}

        assert {each for each in rooms if HEIGHTS[each] > HEIGHTS[room]} == set()

    def test_there_is_no_circle(self) -> None:
        """Neither between the rooms, which the floors refuse already, nor inside one."""
        graph = {module: imports_of(module) & MODULES.keys() - {module} for module in MODULES}

        order = list(TopologicalSorter(graph).static_order())

        assert order.index("sessions.errors") < order.index("sessions.web.mixin") < order.index("server")

    @pytest.mark.parametrize("module", [module for module in MODULES if room_of(module) not in TORNADO])
    def test_only_the_rooms_at_the_seam_know_tornado(self, module: str) -> None:
        """The core takes values and returns values."""
        assert {name for name in imports_of(module) if name.partition(".")[0] == "tornado"} == set()

    @pytest.mark.parametrize("module", [module for module in MODULES if room_of(module) == "stores"])
    def test_a_store_never_meets_a_cookie_or_a_session(self, module: str) -> None:
        """It keeps text under an id until a moment, and looks for a user in it at most."""
        known = {room_of(name) for name in imports_of(module) if name in MODULES}

        assert known <= {"errors", "clock", "validation", "store", "stores", "user_text", "findings", "file_access"}

    @pytest.mark.parametrize("module", [module for module in MODULES if room_of(module) not in {"stores", "server"}])
    def test_only_a_store_knows_its_driver(self, module: str) -> None:
        """Driver errors are translated at that edge. A copy's journal is a SQLite file of its own."""
        if module == "sessions.copying.journal":
            return
        assert imports_of(module) & DRIVERS == set()

    @pytest.mark.parametrize("module", [module for module in MODULES if room_of(module) == "handlers"])
    def test_a_handler_uses_public_names_only(self, module: str) -> None:
        """It is what people copy from."""
        ours = {name for name in imports_of(module) if name.partition(".")[0] in PACKAGES - {"handlers"}}

        assert ours <= {"sessions"}


class TestLoading:
    """What is imported is what is needed."""

    def test_importing_the_library_loads_no_driver(self) -> None:
        """An application with a store of its own pays for nothing else."""
        loaded = python("import sessions, sys; print(*sys.modules)").split()

        assert "sessions.web.mixin" in loaded
        assert DRIVERS & set(loaded) == set()

    def test_neither_the_library_nor_the_server_loads_the_command_line(self) -> None:
        """They bring click and rich."""
        loaded = python("import sessions, sessions.config, sessions.testing, server, sys; print(*sys.modules)").split()

        assert "server" in loaded
        assert {"click", "rich", "sessions.cli"} & set(loaded) == set()

    def test_importing_the_hook_or_the_server_loads_no_package_of_an_observer(self) -> None:
        """It is loaded with the observer that needs it."""
        loaded = python("import sessions.observe, server, sys; print(*sys.modules)").split()

        assert OBSERVERS & set(loaded) == set()

    def test_importing_the_library_loads_nothing_for_tests(self) -> None:
        """A server has no use for it, and what is for tests runs under any runner."""
        loaded = python(
            "import sessions, sys; before = {*sys.modules}; import sessions.testing; print(*before, '|', *sys.modules)"
        )
        before, _, after = loaded.partition("|")

        assert "sessions.testing" not in before.split()
        assert "sessions.testing" in after.split()
        assert "pytest" not in after.split()

    @pytest.mark.parametrize(
        ("code", "driver"),
        [
            ("from sessions import SQLiteStore", "aiosqlite"),
            ("import sessions; sessions.open_store('sqlite:x.db')", "aiosqlite"),
            ("from sessions import PostgresStore", "asyncpg"),
            ("import sessions; sessions.open_store('postgresql://nowhere.invalid/x')", "asyncpg"),
        ],
    )
    def test_the_driver_is_loaded_when_it_is_asked_for(self, code: str, driver: str) -> None:
        """By name, or by URL; nothing is opened yet, and no other driver is loaded."""
        loaded = python(f"{code}; import sys; print(*sys.modules)").split()

        assert DRIVERS & set(loaded) - {"sqlite3", "uvloop"} == {driver}
        assert not (ROOT / "x.db").exists()


class TestFiles:
    """Every file can be read in one sitting."""

    @pytest.mark.parametrize("module", MODULES)
    def test_a_file_opens_with_what_it_is_for(self, module: str) -> None:
        """A docstring of at least one sentence."""
        docstring = ast.get_docstring(ast.parse(MODULES[module].read_text("utf-8")))

        assert docstring
        assert docstring.partition("\n")[0].rstrip().endswith((".", ":", ","))

    @pytest.mark.parametrize("module", MODULES)
    def test_a_file_is_not_long(self, module: str) -> None:
        """What grows over the limit is two things."""
        lines = MODULES[module].read_text("utf-8").count("\n")

        assert lines <= MAX_LINES
