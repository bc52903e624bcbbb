"""Owns the browser and the server that the tests of the page share."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from interop.processes import missing

from .chromium import chromium, set_scheme, set_scripts, set_width, why_not
from .servers import HOST, reference_server

if TYPE_CHECKING:
    from selenium.webdriver import Chrome

CONFIG = """
[session]
store = "sqlite:{db}"
saveUninitialized = true
userKey = "username"
[session.cookie]
maxAge = 3600000
"""


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip what cannot run here. Said from this one place, so that the summary says it in a line for each lack."""
    reason = why_not() if "browser" in getattr(item, "fixturenames", ()) else None
    reason = reason or missing(*getattr(getattr(item, "module", None), "NEEDS", ()))
    if reason is not None:
        pytest.skip(reason)


@pytest.fixture(scope="session")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator["Chrome"]:
    """One chromium for all tests: starting it costs more than most of them."""
    with chromium(tmp_path_factory.mktemp("profile")) as driver:
        yield driver


@pytest.fixture
def driver(browser: "Chrome") -> "Chrome":
    """The browser as a new visitor's: no cookies, a desk's window, scripts on, a light page."""
    browser.execute_cdp_cmd("Network.clearBrowserCookies", {})
    set_width(browser, 1000)
    set_scripts(browser, on=True)
    set_scheme(browser, "light")
    browser.get("about:blank")
    browser.get_log("browser")  # type: ignore[no-untyped-call] # selenium's; what an earlier test has left there
    return browser


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for the files of a module's servers."""
    return tmp_path_factory.mktemp("server")


@pytest.fixture(scope="module")
def url(folder: Path) -> Iterator[str]:
    """The reference server's page."""
    with reference_server(folder, CONFIG) as (port, _):
        yield f"http://{HOST}:{port}/"
