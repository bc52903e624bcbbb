"""Owns the real browser: Debian's chromium, driven by selenium through Debian's chromedriver. Knows no server."""

import base64
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from interop.processes import wait_until

if TYPE_CHECKING:
    from selenium.webdriver import Chrome

FLAGS = (
    "--headless",
    "--no-sandbox",  # the tests may run as root, in a container
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-quic",
    # No more processes than it needs, as each test would start two:
    "--no-zygote",
    "--process-per-site",
    "--disable-extensions",
    "--disable-features=SpareRendererForSitePerProcess,BackForwardCache",
    # It is to talk to our server and to nobody else:
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-default-apps",
)
AXE = Path(__file__).parents[1] / "interop/node_modules/axe-core/axe.min.js"
"""From npm: tests/interop/install.sh installs it."""

SECONDS = 60
"""Until a page must be there."""


def why_not() -> str | None:
    """Why there is no browser here; None when there is one."""
    if shutil.which("chromium") is None:
        return "no chromium on this machine (Debian: apt-get install -y chromium chromium-driver)"
    if shutil.which("chromedriver") is None:
        return "no chromedriver on this machine (Debian: apt-get install -y chromium-driver)"
    if find_spec("selenium") is None:
        return "no selenium in this environment (`make browser` installs it)"
    return None


@contextmanager
def chromium(profile: Path) -> Iterator["Chrome"]:
    """A browser with an empty profile in that folder; a self-signed certificate will do."""
    from selenium.webdriver import Chrome, ChromeOptions
    from selenium.webdriver.chrome.service import Service

    options = ChromeOptions()
    options.binary_location = shutil.which("chromium") or ""
    options.accept_insecure_certs = True
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    for flag in (*FLAGS, f"--user-data-dir={profile}"):
        options.add_argument(flag)
    # Both paths are given, so that selenium does not go looking for a browser on the network.
    driver = Chrome(options=options, service=Service(shutil.which("chromedriver")))
    try:
        driver.set_page_load_timeout(SECONDS)
        yield driver
    finally:
        driver.quit()


def press(driver: "Chrome", css: str) -> None:
    """Press a button and wait until another page has come and is there wholly."""
    moment = "return performance.timeOrigin"
    before = driver.execute_script(moment)
    driver.find_element("css selector", css).click()
    complete = "return document.readyState === 'complete' && performance.timeOrigin"
    wait_until(lambda: driver.execute_script(complete) not in (False, before), SECONDS)


def picture(driver: "Chrome") -> bytes:
    """The whole page, also below the window's edge, as PNG."""
    width, height = driver.execute_script(
        "const root = document.documentElement; return [root.clientWidth, root.scrollHeight]"
    )
    clip = {"x": 0, "y": 0, "width": width, "height": height, "scale": 1}
    taken = driver.execute_cdp_cmd("Page.captureScreenshot", {"captureBeyondViewport": True, "clip": clip})
    return base64.b64decode(taken["data"])


def set_width(driver: "Chrome", width: int, height: int = 800) -> None:
    """A window of that many CSS pixels; up to 500 it is a telephone's, which obeys the page's viewport line."""
    screen = {"width": width, "height": height, "deviceScaleFactor": 2, "mobile": width <= 500}
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", screen)


def set_scripts(driver: "Chrome", *, on: bool) -> None:
    """Whether pages may run JavaScript; the driver's own always runs."""
    driver.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": not on})


def set_scheme(driver: "Chrome", scheme: str) -> None:
    """The colour scheme that the browser reports to the page: light or dark."""
    features = [{"name": "prefers-color-scheme", "value": scheme}]
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})


def cookies(driver: "Chrome") -> dict[str, dict[str, Any]]:
    """All cookies the browser holds, HttpOnly ones too, with their attributes."""
    return {each["name"]: each for each in driver.execute_cdp_cmd("Network.getAllCookies", {})["cookies"]}


def why_no_axe() -> str | None:
    """Why pages cannot be audited here; None when they can."""
    return None if AXE.exists() else "axe-core is missing (tests/interop/install.sh, or `make interop`)"


def audit(driver: "Chrome", *rules: str) -> list[str]:
    """Each rule of axe-core that the page breaks, with the element and what is wrong there.

    Without `rules` all that axe has on by itself: WCAG 2.2 A and AA, and its best practices.
    """
    driver.execute_script(AXE.read_text("utf-8"))
    options = {"runOnly": rules} if rules else {}
    found = driver.execute_async_script("axe.run(arguments[0]).then(arguments[1])", options)
    assert found["passes"], "axe looked at nothing"
    return [
        f"{rule['id']}: {node['html']}: {node['failureSummary']}"
        for rule in found["violations"]
        for node in rule["nodes"]
    ]
