"""Stores from elsewhere in a configuration file: registered ones, those of installed packages, and their tables."""

from pathlib import Path
from typing import Any

import pytest
from installed import install

from sessions import MemoryStore, OptionsError, StoredSession, register_store, stores
from sessions.config import Config, ConfigFile, effective_options

FILE = Path("my.toml")
SHELF = '[session]\nstore = "shelf:books"\n'

pytestmark = pytest.mark.usefixtures("folder")


class Shelf(MemoryStore):
    """A store of somebody's own, with what it was made of."""

    def __init__(self, url: str, *, shelf_size: int = 10, is_dusty: bool = False) -> None:
        if shelf_size < 1:
            raise OptionsError(f"shelfSize: expected a whole number above 0, got {shelf_size}")
        if url == "shelf:":
            raise OptionsError("store: expected shelf:PLACE")
        super().__init__()
        self.given = (url, shelf_size, is_dusty)


@pytest.fixture(autouse=True)
def _registry(monkeypatch: pytest.MonkeyPatch) -> None:
    """No store of another test; `shelf:` is registered."""
    monkeypatch.setattr(stores, "_registered", {})
    register_store("shelf", Shelf)


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that packages can be installed in."""
    folder = tmp_path / "site"
    folder.mkdir()
    monkeypatch.syspath_prepend(folder)
    return folder


def config(text: str) -> Config:
    """What a file says."""
    FILE.write_text(text, encoding="utf-8")
    return ConfigFile(FILE).config(exposed=False)


def given(text: str) -> Any:
    """What the store of a file was made of."""
    store: Any = config(text).open_store()
    return store.given


def refusal(text: str) -> str:
    """What is said of a file that is refused, behind its name."""
    with pytest.raises(OptionsError) as error:
        config(text)

    said = str(error.value)
    assert said.startswith(f"{FILE}: ")
    return said.removeprefix(f"{FILE}: ")


# ---------------------------------------------------------------- its options


@pytest.mark.parametrize(
    ("table", "made_of"),
    [
        ("", ("shelf:books", 10, False)),
        ("[shelf]\n", ("shelf:books", 10, False)),
        ("[shelf]\nshelfSize = 5\n", ("shelf:books", 5, False)),
        ("[shelf]\nshelf_size = 5\nisDusty = true\n", ("shelf:books", 5, True)),
    ],
)
def test_a_registered_store_gets_its_url_and_its_table(table: str, made_of: tuple[str, int, bool]) -> None:
    """In Python's spelling, whichever the file has."""
    assert given(f"{SHELF}{table}") == made_of


def test_a_store_of_an_installed_package_gets_its_url_and_its_table(site: Path) -> None:
    """Nothing else is needed than that it is installed."""
    install(site, "packaged")

    made_of = given('[session]\nstore = "packaged://host/1"\n[packaged]\nshelfSize = 5\napiKey = "x"\n')

    assert made_of == ("packaged://host/1", 5, "x")


def test_a_scheme_that_is_no_bare_key_has_its_table_in_quotes() -> None:
    """As TOML has it."""
    register_store("shelf+tls", Shelf)

    made_of = given('[session]\nstore = "shelf+tls:x"\n["shelf+tls"]\nshelfSize = 5\n')

    assert made_of == ("shelf+tls:x", 5, False)


def test_a_factory_that_takes_any_option_gets_them_all() -> None:
    """In Python's spelling; what they mean is its own."""
    seen = {}

    def make(url: str, **options: Any) -> MemoryStore:
        seen.update({"url": url, **options})
        return MemoryStore()

    register_store("open", make)

    config('[session]\nstore = "open:x"\n[open]\nmaxSize = 5\ndeep = { aB = 1 }\n')

    assert seen == {"url": "open:x", "max_size": 5, "deep": {"aB": 1}}


async def test_a_store_without_async_with_is_opened_all_the_same() -> None:
    """It needs the six verbs and nothing else."""

    class Verbs:
        def __init__(self, url: str) -> None:
            inner = MemoryStore()
            self.get, self.create, self.update = inner.get, inner.create, inner.update
            self.touch, self.rename, self.destroy = inner.touch, inner.rename, inner.destroy

    register_store("verbs", Verbs)

    async with config('[session]\nstore = "verbs:"\n').open_store() as store:
        await store.create("a", StoredSession("{}", 2**42))
        found = await store.get("a")

    assert found == StoredSession("{}", 2**42)


def test_its_options_are_shown_with_secrets_masked(site: Path) -> None:
    """Those that the file gives."""
    install(site, "packaged")
    found = config('[session]\nstore = "packaged:x"\n[packaged]\nshelfSize = 5\napiKey = "hush"\n')

    shown = effective_options(found.tables)

    assert "\n[packaged]\nshelfSize = 5\napiKey = ********\n" in shown
    assert "hush" not in shown + repr(found)


# ---------------------------------------------------------------- mistakes


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (f"{SHELF}[shelf]\nshelfSise = 5\n", "[shelf] shelfSise: no such option; did you mean shelfSize?"),
        (f"{SHELF}[shelf]\npath = 5\n", "[shelf] path: no such option; known are shelfSize, isDusty"),
        (f"{SHELF}[shelf]\nurl = 5\n", "[shelf] url: no such option; known are shelfSize, isDusty"),
        (f"{SHELF}[shelf]\nshelfSize = 5\nshelf_size = 5\n", "[shelf] shelf_size: is given twice"),
        (f"{SHELF}[shelf]\nshelfSize = 0\n", "[shelf] shelfSize: expected a whole number above 0, got 0"),
        ('[session]\nstore = "shelf:"\n', "[session] store: expected shelf:PLACE"),
        ("[shelf]\n", "[shelf]: is read only where store is a shelf: URL; its scheme is 'sqlite'"),
        (
            '[session]\nstore = "redis://h"\n[shelf]\nshelfSize = 5\n',
            "[shelf]: is read only where store is a shelf: URL; its scheme is 'redis'",
        ),
        (f"{SHELF}[shelv]\n", "[shelv]: no such table; known are session"),
        (
            '[session]\nstore = "shelv:x"\n[shelv]\n',
            "[session] store: shelv: no such store; did you mean store: shelf?",
        ),
        (f"shelf = 1\n{SHELF}", "shelf: expected a table [shelf]"),
    ],
)
def test_a_mistake_is_named_as_any_other(text: str, said: str) -> None:
    """By file, table and option."""
    assert refusal(text).startswith(said)


def test_the_table_of_an_installed_package_is_refused_beside_another_store(site: Path) -> None:
    """No option is read and ignored."""
    install(site, "packaged")

    said = refusal('[session]\nstore = "sqlite:sessions.db"\n[packaged]\nshelfSize = 5\n')

    assert said == "[packaged]: is read only where store is a packaged: URL; its scheme is 'sqlite'"


def test_an_option_that_a_store_demands_is_missed_by_name() -> None:
    """In the file's spelling."""

    def make(url: str, *, base_folder: str) -> MemoryStore:
        return MemoryStore()

    register_store("strict", make)

    assert refusal('[session]\nstore = "strict:x"\n') == "[strict] baseFolder: is missing"


def test_a_store_without_options_says_so() -> None:
    """Where there is no nearest name and no list."""
    register_store("plain", lambda _url: MemoryStore())

    assert refusal('[session]\nstore = "plain:x"\n[plain]\na = 1\n') == "[plain] a: no such option; there is none"


def broken(url: str) -> MemoryStore:
    """A factory with a mistake of its own, of the kind that a wrong call has."""
    return MemoryStore(size=len(url))  # type: ignore[call-arg] # the mistake


def test_a_type_error_of_the_factory_is_no_unknown_option() -> None:
    """The message names it as what it is, and its traceback leads to it."""
    register_store("broken", broken)
    FILE.write_text('[session]\nstore = "broken:x"\n')

    with pytest.raises(OptionsError) as error:
        ConfigFile(FILE).config(exposed=False)

    assert str(error.value).startswith("my.toml: [session] store: broken: cannot be made: TypeError: MemoryStore.")
    assert error.value.__cause__ is not None
    own = error.value.__cause__.__cause__
    assert isinstance(own, TypeError)
    assert own.__traceback__ is not None
    assert own.__traceback__.tb_next is not None
    assert own.__traceback__.tb_next.tb_frame.f_code is broken.__code__


def no_url() -> MemoryStore:
    """A factory that takes nothing."""
    return MemoryStore()


@pytest.mark.parametrize(
    ("factory", "said"),
    [
        (dict, "cannot be made: ValueError"),
        (no_url, "cannot be made: TypeError"),
        (lambda _url: object(), "object lacks get, create, update, touch, rename, destroy"),
    ],
    ids=["no signature", "no URL", "no store"],
)
def test_a_factory_that_makes_no_store_is_named(factory: Any, said: str) -> None:
    """By its scheme, with the reason."""
    register_store("odd", factory)

    assert refusal('[session]\nstore = "odd:x"\n').startswith(f"[session] store: odd: {said}")


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("import nowhere_to_be_found", "ModuleNotFoundError: No module named 'nowhere_to_be_found'"),
        ("Store = None", "AttributeError: "),
    ],
)
def test_a_package_that_cannot_be_loaded_is_named(site: Path, source: str, said: str) -> None:
    """With what Python says of it."""
    scheme = f"bad{len(source)}"
    install(site, scheme, source)

    assert refusal(f'[session]\nstore = "{scheme}:x"\n').startswith(
        f"[session] store: {scheme}: cannot be loaded: {said}"
    )
