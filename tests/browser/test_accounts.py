"""docs/examples/accounts in a real browser: what a person sees, on a desk and on a telephone, by day and by night."""

import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from interop.processes import Process, wait_until

from .chromium import audit, press, set_scheme, set_width, why_no_axe
from .servers import HOST, ROOT, SECRET, answers, free_ports

if TYPE_CHECKING:
    from selenium.webdriver import Chrome

SECONDS = 60
PASSWORD = "correct horse battery"


@pytest.fixture(scope="module")
def accounts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The application, and the provider of its tests on another site: `localhost`."""
    folder = tmp_path_factory.mktemp("site") / "accounts"
    shutil.copytree(ROOT / "docs" / "examples" / "accounts", folder, ignore=shutil.ignore_patterns("__pycache__"))
    here, there = free_ports(2)
    for name in ("main.py", "tests/provider.py"):
        text = (folder / name).read_text()
        text = text.replace("http://127.0.0.1:9000", f"http://localhost:{there}").replace("9000", str(there))
        (folder / name).write_text(text.replace("8888", str(here)))
    env = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "SESSION_SECRET": SECRET}
    with Process([sys.executable, "tests/provider.py"], cwd=folder, env=env) as provider:
        wait_until(lambda: answers(there, provider), SECONDS)
        with Process([sys.executable, "-W", "error", "main.py"], cwd=folder, env=env) as process:
            wait_until(lambda: answers(here, process), SECONDS)
            yield f"http://{HOST}:{here}"
    assert "Traceback" not in process.output, process.output


def fill(driver: "Chrome", **fields: str) -> None:
    """Type into the fields of a form, and press its button."""
    for name, text in fields.items():
        driver.find_element("css selector", f"main form [name={name}]").send_keys(text)
    press(driver, "main form button")


def register(driver: "Chrome", url: str, name: str) -> None:
    """Become a user, and wait until the chat is open."""
    driver.get(f"{url}/register")
    fill(driver, name=name, password=PASSWORD)
    wait_until(lambda: name in text(driver, "#members"), SECONDS)


def text(driver: "Chrome", css: str) -> str:
    """What the first such element says; nothing, while another page comes."""
    found: str = driver.execute_script("return document.querySelector(arguments[0])?.textContent ?? ''", css)
    return found


def path(driver: "Chrome") -> str:
    """Where the browser is."""
    return str(driver.execute_script("return location.pathname"))


def severe(driver: "Chrome") -> list[str]:
    """What the console has complained of, but that this small site has no icon."""
    said = driver.get_log("browser")  # type: ignore[no-untyped-call] # selenium's
    return [each["message"] for each in said if each["level"] == "SEVERE" and "favicon" not in each["message"]]


def test_what_is_said_is_text(driver: "Chrome", accounts: str) -> None:
    """In the chat, in each tab; no policy of the page is broken."""
    register(driver, accounts, "ada")

    driver.find_element("css selector", "#say input").send_keys("<img src=x onerror=alert(1)>")
    driver.find_element("css selector", "#say button").click()
    wait_until(lambda: bool(text(driver, "#log")), SECONDS)

    assert text(driver, "#log") == "ada: <img src=x onerror=alert(1)>"
    assert severe(driver) == []


def test_a_sign_out_in_one_tab_shows_the_login_in_the_other(driver: "Chrome", accounts: str) -> None:
    """By itself, when the chat ends."""
    register(driver, accounts, "bob")
    first = driver.current_window_handle
    driver.switch_to.new_window("tab")
    driver.get(f"{accounts}/devices")
    press(driver, "header button")
    driver.close()

    driver.switch_to.window(first)
    wait_until(lambda: path(driver) == "/login", SECONDS)

    driver.back()
    assert "Good day" not in text(driver, "h1")


def test_a_new_password_keeps_the_chat_of_its_browser(driver: "Chrome", accounts: str) -> None:
    """In another tab: the session is the same."""
    register(driver, accounts, "eve")
    first = driver.current_window_handle
    driver.switch_to.new_window("tab")
    driver.get(f"{accounts}/password")
    fill(driver, old=PASSWORD, new="another long password")
    changed = text(driver, "[role=status]")
    driver.close()
    driver.switch_to.window(first)

    driver.find_element("css selector", "#say input").send_keys("still here")
    driver.find_element("css selector", "#say button").click()
    wait_until(lambda: text(driver, "#log") == "eve: still here", SECONDS)

    assert changed == "The password is changed. You are signed out on all other devices."


def test_a_file_is_uploaded(driver: "Chrome", accounts: str, tmp_path: Path) -> None:
    """And can be downloaded then; one that is too large is refused before it is sent."""
    register(driver, accounts, "dan")
    small, large = tmp_path / "small", tmp_path / "large"
    small.write_bytes(b"a file")
    large.write_bytes(bytes(10_000_001))

    said = []
    for file in (large, small):
        driver.find_element("css selector", "#upload input[type=file]").send_keys(str(file))
        driver.find_element("css selector", "#upload button").click()
        wait_until(lambda: bool(text(driver, "#said") or text(driver, "a[href='/file']")), SECONDS)
        said.append(text(driver, "#said"))
        driver.refresh() if file is large else None

    assert said[0] == "The file has more than 10 MB."
    script = "const done = arguments[0]; fetch('/file').then((answer) => answer.text()).then(done)"
    assert driver.execute_async_script(script) == "a file"


def test_an_account_of_another_site_signs_in(driver: "Chrome", accounts: str) -> None:
    """The way back comes from the other site, with the Lax cookie of the session that began it."""
    driver.get(f"{accounts}/devices")

    press(driver, "form.alone button")
    wait_until(lambda: path(driver) == "/devices", SECONDS)

    assert "ada@localhost" in text(driver, "header")
    assert severe(driver) == []


@pytest.mark.skipif(why_no_axe() is not None, reason=str(why_no_axe()))
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1280])
def test_every_page_can_be_read(driver: "Chrome", accounts: str, scheme: str, width: int) -> None:
    """Nothing is wider than the window, and axe-core finds no fault."""
    set_width(driver, width)
    set_scheme(driver, scheme)
    found = {}
    for page in ("/login", "/register", "/", "/devices", "/password", "/file"):
        driver.get(accounts + page)
        found[page] = faults(driver, width)
        if page == "/register":
            fill(driver, name=f"{scheme}{width}", password=PASSWORD)

    assert found == {page: [] for page in found}


def faults(driver: "Chrome", width: int) -> list[str]:
    """What is wrong with a page."""
    wide = driver.execute_script("return document.documentElement.scrollWidth")
    return audit(driver) + ([f"{wide} pixels"] if wide > width else [])
