"""Writes docs/page.png and docs/page-360.png: the page `/` of the reference server, on a desk and on a telephone.

    cd tests && ../.venv/bin/python -m browser.screenshots

For the documentation, when the page has changed; the tests look at the page itself and write nothing.
"""

import sys
import tempfile
from pathlib import Path

from .chromium import chromium, picture, press, set_scheme, set_width, why_not
from .conftest import CONFIG
from .servers import HOST, ROOT, reference_server

PICTURES = {"page.png": 760, "page-360.png": 360}
"""The files in docs/ and how wide the window is, in CSS pixels."""

SESSION = {"basket": '{"apples": 3, "pears": 1}', "theme": "dark"}
OTHERS = 2
"""Browsers that the user has signed in with before."""


def main() -> int:
    """Write both; returns the exit status."""
    reason = why_not()
    if reason is not None:
        print(f"no screenshots: {reason}", file=sys.stderr)
        return 1
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with reference_server(folder, CONFIG) as (port, _), chromium(folder / "profile") as driver:
            set_scheme(driver, "light")
            page = f"http://{HOST}:{port}/"
            for _ in range(OTHERS):
                driver.get(f"{page}set-session")
                driver.execute_cdp_cmd("Network.clearBrowserCookies", {})
            driver.get(f"{page}set-session")
            driver.get(page)
            for key, value in SESSION.items():
                driver.find_element("css selector", "form[action='/set'] input[name='key']").send_keys(key)
                driver.find_element("css selector", "form[action='/set'] input[name='value']").send_keys(value)
                press(driver, "form[action='/set'] button")
            for file, width in PICTURES.items():
                set_width(driver, width)
                driver.refresh()
                (ROOT / "docs" / file).write_bytes(picture(driver))
                print(f"docs/{file}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
