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


# For every text that is seen: the contrast of its colour against what lies behind it (WCAG 2.2, 1.4.3 and "relative
# luminance"). Colours come from the computed styles; half-transparent ones are laid over what is below them.
CONTRAST = """
const parse = (text) => {
  const [r, g, b, a = 1] = text.match(/[\\d.]+/g).map(Number);
  return { r, g, b, a };
};
const over = (top, below) => Object.fromEntries(
  ['r', 'g', 'b'].map((c) => [c, top[c] * top.a + below[c] * (1 - top.a)]).concat([['a', 1]]));
const luminance = ({ r, g, b }) => {
  const [R, G, B] = [r, g, b].map((c) => c / 255).map((c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4));
  return 0.2126 * R + 0.7152 * G + 0.0722 * B;
};
const canvas = () => {  // what the browser paints where the page paints nothing: white, or its own dark
  const probe = document.createElement('div');
  probe.style.color = 'Canvas';
  document.body.append(probe);
  const color = parse(getComputedStyle(probe).color);
  probe.remove();
  return color;
};
const behind = (element) => {
  if (!element) return canvas();
  const own = parse(getComputedStyle(element).backgroundColor);
  return own.a === 1 ? own : over(own, behind(element.parentElement));
};
const seen = [];
const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
while (walker.nextNode()) {
  const element = walker.currentNode.parentElement;
  const text = walker.currentNode.textContent.trim();
  if (text && element.checkVisibility()) seen.push([text, element]);
}
for (const input of document.querySelectorAll('input:not([type=hidden])')) seen.push([`<input ${input.name}>`, input]);
return seen.map(([text, element]) => {
  const below = behind(element);
  const [a, b] = [luminance(over(parse(getComputedStyle(element).color), below)), luminance(below)];
  return [text, (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05)];
});
"""
