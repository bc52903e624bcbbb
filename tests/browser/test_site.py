"""The documentation site: `make docs` makes it without a warning, it needs no network, and it fits a desk and a telephone."""

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urldefrag, urlsplit

import pytest
from interop.processes import wait_until
from sphinx.util.inventory import InventoryFile

import sessions
from sessions import testing

from .chromium import SECONDS, audit, set_scheme, set_width, why_no_axe
from .servers import ROOT

if TYPE_CHECKING:
    from selenium.webdriver import Chrome

WIDTHS = (1280, 360)

MISTAKES = {
    "a page that is not there": "[x](nowhere.md)",
    "a heading that is not there": "[x](sockets.md#nowhere)",
    "a name that is not there": "```{eval-rst}\n.. autoclass:: sessions.Nowhere\n```",
    "a page that no other leads to": "# Alone\n",
}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the site, as the Makefile makes it."""
    folder = tmp_path_factory.mktemp("site")
    made = build(ROOT / "docs", folder)
    assert made.returncode == 0, made.stderr
    return folder


def build(source: Path, folder: Path) -> subprocess.CompletedProcess[str]:
    """Make the site of a folder of pages, by the Makefile's own command."""
    (recipe,) = re.findall(r"^docs:.*\n\t(.*)$", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE)
    words = recipe.replace("$(BIN)/sphinx-build", f"{sys.executable} -m sphinx").replace(
        "$(TOOLS)/doctrees", f"{folder}.trees"
    )
    command = words.replace(" docs $(TOOLS)/site", f" {source} {folder}").split()
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=600)


class Links(HTMLParser):
    """What a page leads to, what it loads, and what can be led to in it."""

    def __init__(self, page: Path) -> None:
        super().__init__()
        self.links: list[str] = []
        self.loads: list[str] = []
        self.ids: set[str] = set()
        self.feed(page.read_text("utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Take the attributes that count."""
        given = {name: value or "" for name, value in attrs}
        self.ids |= {given[name] for name in ("id", "name") if name in given}
        if tag == "a" and "href" in given:
            self.links.append(given["href"])
        if tag in ("script", "img", "iframe", "source") and "src" in given:
            self.loads.append(given["src"])
        if tag == "link" and given.get("rel") in ("stylesheet", "icon", "preload"):
            self.loads.append(given["href"])


@pytest.fixture(scope="module")
def pages(site: Path) -> dict[Path, Links]:
    """Every page of the site."""
    return {page: Links(page) for page in sorted(site.rglob("*.html"))}


def test_every_page_of_the_project_is_on_the_site(site: Path) -> None:
    """And can be reached from the contents."""
    sources = {path.relative_to(ROOT / "docs").with_suffix(".html") for path in (ROOT / "docs").rglob("*.md")}
    contents = {urlsplit(link).path for link in Links(site / "index.html").links}

    assert {str(page) for page in sources if not (site / page).exists()} == set()
    assert {str(page) for page in sources} - contents - {"index.html"} == set()


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_an_error(mistake: str, tmp_path: Path) -> None:
    """Nothing is made quietly that leads nowhere."""
    source = tmp_path / "docs"
    source.mkdir()
    shutil.copytree(ROOT / "docs" / "_static", source / "_static")
    shutil.copy(ROOT / "docs" / "conf.py", source)
    (source / "sockets.md").write_text("# Sockets\n")
    (source / "other.md").write_text(f"# Other\n\n{MISTAKES[mistake]}\n")
    others = ["sockets"] if mistake == "a page that no other leads to" else ["sockets", "other"]
    (source / "index.md").write_text("# Index\n\n```{toctree}\n" + "\n".join(others) + "\n```\n")

    made = build(source, tmp_path / "site")

    assert made.returncode != 0
    assert re.search(r"other|Nowhere", made.stderr)


def test_every_link_leads_somewhere(site: Path, pages: dict[Path, Links]) -> None:
    """Inside the site to a page and its heading; outside it is an address as it should be."""
    broken = []
    for page, found in pages.items():
        for link in found.links:
            parts = urlsplit(link)
            if parts.scheme:
                is_right = parts.scheme in ("https", "http", "mailto") and bool(parts.netloc or parts.path)
            else:
                path, heading = urldefrag(unquote(link))
                target = (page.parent / path).resolve() if path else page
                known = pages[target].ids if target in pages else set()
                is_right = target.exists() and (not heading or heading in known)
            broken += [] if is_right else [f"{page.relative_to(site)}: {link}"]

    assert broken == []


def test_nothing_is_loaded_from_elsewhere(site: Path, pages: dict[Path, Links]) -> None:
    """No script, style, font or picture; the styles name no other host either."""
    foreign = [load for found in pages.values() for load in found.loads if urlsplit(load).netloc]
    styles = "".join(each.read_text("utf-8") for each in site.rglob("*.css"))

    assert foreign == []
    assert [url for url in re.findall(r"url\(([^)]*)\)|@import", styles) if "//" in url and "data:" not in url] == []


@pytest.mark.parametrize("module", [sessions, testing], ids=lambda module: str(module.__name__))
def test_every_public_name_has_its_place_in_the_reference(site: Path, module: object) -> None:
    """By the inventory, which other projects link by."""
    with (site / "objects.inv").open("rb") as file:
        inventory = InventoryFile.load(file, "", lambda _base, uri: uri)
    documented = {name for kind in inventory for name in inventory[kind]}

    name = vars(module)["__name__"]
    assert [each for each in vars(module)["__all__"] if f"{name}.{each}" not in documented] == []


# ---------------------------------------------------------------- in a browser


@pytest.fixture
def offline(driver: "Chrome") -> Iterator["Chrome"]:
    """The browser without a network: whatever is not a file is refused."""
    driver.execute_cdp_cmd("Network.enable", {})
    driver.execute_cdp_cmd("Network.setBlockedURLs", {"urls": ["http://*", "https://*"]})
    yield driver
    driver.execute_cdp_cmd("Network.setBlockedURLs", {"urls": []})


def said(driver: "Chrome") -> list[str]:
    """What is in the console."""
    return [str(entry["message"]) for entry in driver.get_log("browser")]  # type: ignore[no-untyped-call] # selenium's


def test_every_page_fits_the_window(offline: "Chrome", site: Path, pages: dict[Path, Links]) -> None:
    """A desk's and a telephone's: nothing lies beyond its right edge, and nothing is wrong in the console."""
    wide: dict[str, list[int]] = {}
    errors: dict[str, list[str]] = {}
    for width, page in product(WIDTHS, pages):
        set_width(offline, width)
        offline.get(page.as_uri())
        room = offline.execute_script(
            "const root = document.documentElement; return [root.scrollWidth, root.clientWidth]"
        )
        name = f"{page.relative_to(site)} at {width}"
        if room[0] > room[1]:
            wide[name] = room
        if messages := said(offline):
            errors[name] = messages

    assert wide == {}
    assert errors == {}


@pytest.mark.parametrize("word", ["tombstone", "saveUninitialized", "sign_in"])
def test_the_search_finds_a_word_without_a_network(offline: "Chrome", site: Path, word: str) -> None:
    """From the folder alone; the first results have the word."""
    offline.get(f"{(site / 'search.html').as_uri()}?q={word}")
    results = "return [...document.querySelectorAll('#search-results li a')].map((link) => link.href)"
    wait_until(lambda: offline.execute_script(results), SECONDS)

    found = [Path(unquote(urlsplit(link).path)) for link in offline.execute_script(results)]

    assert word.lower() in found[0].read_text("utf-8").lower()
    assert said(offline) == []


@pytest.mark.parametrize("page", ["index.html", "reference/library.html", "express.html"])
def test_a_dark_scheme_is_dark(offline: "Chrome", site: Path, page: str) -> None:
    """The browser's wish counts: light text on a dark ground, and the other way round."""
    brightness = {}
    for scheme in ("light", "dark"):
        set_scheme(offline, scheme)
        offline.get((site / page).as_uri())
        style = "const style = getComputedStyle(document.body); return [style.color, style.backgroundColor]"
        colours = [re.findall(r"\d+", colour)[:3] for colour in offline.execute_script(style)]
        brightness[scheme] = [sum(map(int, each)) for each in colours]

    (light_text, light_ground), (dark_text, dark_ground) = brightness["light"], brightness["dark"]
    assert light_ground - light_text > 400
    assert dark_text - dark_ground > 400


@pytest.mark.skipif(why_no_axe() is not None, reason=str(why_no_axe()))
@pytest.mark.parametrize("page", ["index.html", "reference/options.html"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_text_can_be_read(offline: "Chrome", site: Path, scheme: str, page: str) -> None:
    """In both colour schemes, by axe-core's rule of contrast (WCAG 2.2 AA)."""
    set_scheme(offline, scheme)
    offline.get((site / page).as_uri())

    assert audit(offline, "color-contrast") == []
