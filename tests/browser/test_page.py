"""The page `/` of the reference server, in a real browser: what a person sees and does there.

Everything works by links and forms, so every test of what is done runs with JavaScript on and off.
"""

import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

import pytest

from .chromium import cookies, press, set_scripts, set_width

if TYPE_CHECKING:
    from selenium.webdriver import Chrome

NAME = "connect.sid"
SCRIPTS = pytest.mark.parametrize("scripts", [True, False], ids=["scripts on", "scripts off"])
LONG = "long" * 100

# A range over a single word has one rectangle for each line that the word covers.
BROKEN = r"""
const broken = (element) => {
  const node = document.createTreeWalker(element, NodeFilter.SHOW_TEXT).nextNode();
  const range = document.createRange();
  return [...(node?.data ?? '').matchAll(/\S+/g)].some((word) => {
    range.setStart(node, word.index);
    range.setEnd(node, word.index + word[0].length);
    return range.getClientRects().length > 1;
  });
};
return [...document.querySelectorAll(arguments[0])].filter(broken).map((element) => element.innerText);
"""


class Visitor:
    """A person before the page."""

    def __init__(self, driver: "Chrome", url: str) -> None:
        self.driver = driver
        self.url = url
        driver.get(url)

    def find(self, css: str) -> Any:
        """The one element that it means."""
        return self.driver.find_element("css selector", css)

    def set(self, key: str, value: str) -> None:
        """Fill in the form and press Set."""
        self.find("form[action='/set'] input[name='key']").send_keys(key)
        self.find("form[action='/set'] input[name='value']").send_keys(value)
        self.press("form[action='/set'] button")

    def press(self, css: str) -> None:
        """Press a button and wait for the page it leads to."""
        press(self.driver, css)

    @property
    def data(self) -> dict[str, str]:
        """The table as it is read."""
        rows = self.driver.find_elements("css selector", "#data tr:has(td)")
        cells = [row.find_elements("css selector", "td") for row in rows]
        return {key.text: value.text for key, value, *_ in cells}

    @property
    def text(self) -> str:
        """All text that is seen."""
        return str(self.find("body").text)

    @property
    def cookie(self) -> dict[str, Any]:
        """The session cookie as the browser holds it."""
        return cookies(self.driver)[NAME]

    @property
    def sid(self) -> str:
        """The id in it."""
        return unquote(self.cookie["value"]).removeprefix("s:").partition(".")[0]


@pytest.fixture
def visitor(driver: "Chrome", url: str) -> Visitor:
    """A new visitor who has opened the page."""
    return Visitor(driver, url)


@pytest.fixture
def scripted(driver: "Chrome", url: str, scripts: bool) -> Visitor:
    """The same, with JavaScript as the test has it."""
    set_scripts(driver, on=scripts)
    return Visitor(driver, url)


@SCRIPTS
class TestForms:
    """What the forms do."""

    def test_set(self, scripted: Visitor) -> None:
        """A key that is set is shown, as text or as JSON, and is there after a reload."""
        scripted.set("user", "ada")
        scripted.set("basket", '{"apples": 3}')

        assert scripted.data == {"user": '"ada"', "basket": '{"apples": 3}'}
        scripted.driver.refresh()
        assert scripted.data == {"user": '"ada"', "basket": '{"apples": 3}'}

    def test_delete(self, scripted: Visitor) -> None:
        """A key that is deleted is gone, the others stay."""
        scripted.set("user", "ada")
        scripted.set("theme", "dark")

        scripted.press("form[action='/delete']:has([value='user']) button")

        assert scripted.data == {"theme": '"dark"'}

    def test_regenerate(self, scripted: Visitor) -> None:
        """Regenerate gives the browser a new id and an empty session."""
        scripted.set("user", "ada")
        before = scripted.sid

        scripted.press("form[action='/regenerate'] button")

        assert scripted.sid != before
        assert scripted.data == {}

    def test_destroy(self, scripted: Visitor) -> None:
        """Destroy ends the session: nothing is left of it, and the old cookie brings nothing back."""
        scripted.set("user", "ada")
        old = scripted.cookie

        scripted.press("form[action='/destroy'] button")

        assert scripted.data == {}
        stolen = {"name": NAME, "value": old["value"], "url": scripted.url}
        scripted.driver.execute_cdp_cmd("Network.setCookie", stolen)
        scripted.driver.get(scripted.url)
        assert scripted.data == {}
        assert scripted.cookie["value"] != old["value"]

    def test_no_token(self, scripted: Visitor) -> None:
        """A form without its XSRF token does nothing."""
        scripted.set("user", "ada")
        scripted.driver.execute_script("document.querySelectorAll('[name=_xsrf]').forEach((each) => each.remove())")

        scripted.press("form[action='/destroy'] button")

        assert "403" in scripted.text
        scripted.driver.get(scripted.url)
        assert scripted.data == {"user": '"ada"'}


class TestShown:
    """What the page says."""

    def test_cookie(self, visitor: Visitor) -> None:
        """The attributes on the page are those that the browser holds, and the id is nowhere on it."""
        began = time.monotonic()
        visitor.set("user", "ada")
        (line,) = [line for line in visitor.text.splitlines() if line.startswith("Set-Cookie: ")]
        cookie = visitor.cookie
        took = time.monotonic() - began

        attributes = dict(each.partition("=")[::2] for each in line.split("; ")[1:])
        assert attributes.keys() == {"Path", "Expires", "HttpOnly", "SameSite"}
        assert (cookie["path"], cookie["httpOnly"], cookie["secure"]) == (attributes["Path"], True, False)
        assert cookie["sameSite"] == attributes["SameSite"] == "Lax"
        shown = datetime.strptime(attributes["Expires"], "%a, %d %b %Y %H:%M:%S GMT").replace(tzinfo=UTC)
        assert abs(shown.timestamp() - cookie["expires"]) <= took + 1  # of two answers, and in whole seconds
        assert visitor.sid not in visitor.driver.page_source
        assert visitor.sid not in unquote(visitor.driver.page_source)

    def test_time_left(self, visitor: Visitor) -> None:
        """It says how long the session lives."""
        assert "60 minutes" in visitor.text

    def test_markup_is_text(self, visitor: Visitor) -> None:
        """What a visitor puts into the session is shown, never obeyed."""
        visitor.set("<b>key</b>", "<script>document.title = 'obeyed'</script>")

        assert visitor.data == {"<b>key</b>": "\"<script>document.title = 'obeyed'</script>\""}
        assert visitor.driver.title != "obeyed"

    def test_quiet(self, visitor: Visitor) -> None:
        """The browser has nothing to complain of: no blocked style, no missing file, no script."""
        visitor.set("user", "ada")

        assert visitor.driver.get_log("browser") == []  # type: ignore[no-untyped-call] # selenium has no types for it
        asked = visitor.driver.execute_script(
            "return performance.getEntriesByType('resource').map((each) => each.name)"
        )
        assert asked == []


class TestForEverybody:
    """Small windows, weak eyes, screen readers."""

    @pytest.mark.parametrize("width", [320, 360, 1000])
    def test_no_sideways_scroll(self, visitor: Visitor, width: int) -> None:
        """Nothing is wider than the window, whatever the session holds."""
        set_width(visitor.driver, width)
        visitor.set(LONG, LONG)

        inner, content, seen = visitor.driver.execute_script(
            "const root = document.documentElement; return [innerWidth, root.scrollWidth, root.clientWidth]"
        )

        assert inner == width
        assert content <= seen

    def test_whole_words(self, visitor: Visitor) -> None:
        """On a telephone no button, heading or short key is broken in the middle of a word."""
        set_width(visitor.driver, 360)
        visitor.set("basket", '{"apples": 3, "pears": 1}')

        broken = visitor.driver.execute_script(BROKEN, "button, th, td:first-child")

        assert broken == []

    @pytest.mark.parametrize("width", [320, 360])
    def test_a_value_has_the_width_of_a_telephone(self, visitor: Visitor, width: int) -> None:
        """A long one is not read by the letter."""
        set_width(visitor.driver, width)
        visitor.set("basket", LONG)

        cell = visitor.find("td:nth-child(2)").size["width"]

        assert cell > 0.8 * width

    def test_names(self, visitor: Visitor) -> None:
        """Every field and button has a name that a screen reader can say, and no two buttons the same one."""
        visitor.set("user", "ada")
        visitor.set("theme", "dark")

        named = visitor.driver.find_elements("css selector", "input:not([type=hidden]), button")
        names = [each.accessible_name for each in named]
        assert all(names)
        assert len(set(names)) == len(names)
