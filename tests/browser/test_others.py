"""The user's other sessions on the page `/`, in a real browser: what a person sees of them, and how they end."""

from typing import TYPE_CHECKING, Any
from urllib.parse import unquote
from uuid import uuid4

import pytest

from sessions.formats.signing import fingerprint

from .chromium import set_scripts, set_width
from .test_page import BROKEN, NAME, SCRIPTS, Visitor

if TYPE_CHECKING:
    from selenium.webdriver import Chrome


class Person:
    """Somebody who has signed in with three browsers and sits before the last one."""

    def __init__(self, driver: "Chrome", url: str) -> None:
        self.name = uuid4().hex  # the tests share the server
        self._others = [self._sign_in(driver, url).cookie for _ in range(2)]
        self.visitor = self._sign_in(driver, url)

    def _sign_in(self, driver: "Chrome", url: str) -> Visitor:
        driver.execute_cdp_cmd("Network.clearBrowserCookies", {})
        visitor = Visitor(driver, url)
        visitor.set("username", self.name)
        return visitor

    @property
    def ids(self) -> list[str]:
        """The ids of the other sessions."""
        return [unquote(each["value"]).removeprefix("s:").partition(".")[0] for each in self._others]

    @property
    def listed(self) -> set[str]:
        """The other sessions, as the page names them."""
        return {each.text for each in self.visitor.driver.find_elements("css selector", "#others td:first-child")}

    def others_are_signed_in(self) -> list[bool]:
        """For each of the other browsers, if its session lives."""
        return [self._is_signed_in(each) for each in self._others]

    def _is_signed_in(self, cookie: dict[str, Any]) -> bool:
        driver, url = self.visitor.driver, self.visitor.url
        driver.execute_cdp_cmd("Network.setCookie", {"name": NAME, "value": cookie["value"], "url": url})
        driver.get(url)
        return self.visitor.data == {"username": f'"{self.name}"'}


@pytest.fixture
def person(driver: "Chrome", url: str) -> Person:
    """Somebody with three sessions."""
    return Person(driver, url)


@SCRIPTS
class TestEnded:
    """What the buttons do."""

    def test_one_is_ended(self, person: Person, scripts: bool) -> None:
        """The page lists the other one alone, and the browser of that one is signed out."""
        set_scripts(person.visitor.driver, on=scripts)
        first, second = (fingerprint(each) for each in person.ids)

        person.visitor.press(f"#others tr:has([value^='{first}']) button")

        assert person.listed == {second}
        assert person.others_are_signed_in() == [False, True]

    def test_all_others_are_ended(self, person: Person, scripts: bool) -> None:
        """The page lists none, and this browser stays signed in."""
        set_scripts(person.visitor.driver, on=scripts)

        person.visitor.press("form[action='/end-others'] button")

        assert person.listed == set()
        assert person.visitor.data == {"username": f'"{person.name}"'}
        assert person.others_are_signed_in() == [False, False]


class TestShown:
    """What the page says."""

    def test_the_names_are_the_logs(self, person: Person) -> None:
        """And no id is on the page."""
        assert person.listed == {fingerprint(each) for each in person.ids}
        assert [each for each in person.ids if each in person.visitor.driver.page_source] == []

    def test_the_browser_has_nothing_to_complain_of(self, person: Person) -> None:
        """No blocked style, no missing file."""
        assert person.visitor.driver.get_log("browser") == []  # type: ignore[no-untyped-call] # selenium has no types for it


class TestForEverybody:
    """Small windows, weak eyes, screen readers."""

    @pytest.mark.parametrize("width", [320, 360, 1000])
    def test_no_sideways_scroll(self, person: Person, width: int) -> None:
        """Nothing is wider than the window."""
        set_width(person.visitor.driver, width)

        inner, content, seen = person.visitor.driver.execute_script(
            "const root = document.documentElement; return [innerWidth, root.scrollWidth, root.clientWidth]"
        )

        assert inner == width
        assert content <= seen

    def test_whole_words(self, person: Person) -> None:
        """On a telephone no button, heading or name is broken in the middle of a word."""
        set_width(person.visitor.driver, 360)

        broken = person.visitor.driver.execute_script(BROKEN, "button, th, #others td")

        assert broken == []

    def test_names(self, person: Person) -> None:
        """Every button has a name that a screen reader can say, and no two the same one."""
        buttons = person.visitor.driver.find_elements("css selector", "button")
        names = [each.accessible_name for each in buttons]

        assert all(names)
        assert len(set(names)) == len(names) == 7
