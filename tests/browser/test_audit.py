"""The pages of the reference server before axe-core, and by the keyboard alone: for weak eyes and without a mouse."""

from typing import TYPE_CHECKING

import pytest

from .chromium import audit, set_scheme, set_width, why_no_axe
from .test_others import Person
from .test_page import Visitor

if TYPE_CHECKING:
    from selenium.webdriver import Chrome

AXE = pytest.mark.skipif(why_no_axe() is not None, reason=str(why_no_axe()))
SCHEMES = pytest.mark.parametrize("scheme", ["light", "dark"])
WIDTHS = pytest.mark.parametrize("width", [360, 1000])

FOCUS = """
const focused = document.activeElement;
if (focused === document.body) return null;
const style = getComputedStyle(focused);
const name = focused.labels?.[0]?.innerText ?? focused.getAttribute('aria-label') ?? focused.innerText;
return [name.trim(), style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) >= 2];
"""
"""The element that has the focus, and whether that is seen; null at the end of the page."""


@AXE
@SCHEMES
@WIDTHS
class TestAudit:
    """No rule of axe-core is broken."""

    def test_a_new_visitor(self, driver: "Chrome", url: str, scheme: str, width: int) -> None:
        """Who has nothing yet."""
        set_scheme(driver, scheme)
        set_width(driver, width)
        driver.get(url)

        assert audit(driver) == []

    def test_a_user_with_other_sessions(self, driver: "Chrome", url: str, scheme: str, width: int) -> None:
        """Every table and every button is there."""
        set_scheme(driver, scheme)
        set_width(driver, width)
        person = Person(driver, url)
        assert len(person.listed) == 2

        assert audit(driver) == []

    @pytest.mark.parametrize("error", ["nowhere", "destroy"], ids=["404", "405"])
    def test_an_error(self, driver: "Chrome", url: str, scheme: str, width: int, error: str) -> None:
        """With and without advice."""
        set_scheme(driver, scheme)
        set_width(driver, width)
        driver.get(url + error)

        assert audit(driver) == []


@AXE
def test_the_audit_finds_what_is_wrong(driver: "Chrome", url: str) -> None:
    """A text that is hardly seen, and a field without a name."""
    driver.get(url)
    driver.execute_script("document.querySelector('h1').style.color = '#eee'")
    driver.execute_script(
        "const label = document.querySelector('label'); label.replaceWith(label.querySelector('input'))"
    )

    rules = {each.partition(":")[0] for each in audit(driver)}

    assert {"color-contrast", "label"} <= rules


@WIDTHS
def test_the_keyboard_reaches_everything(driver: "Chrome", url: str, width: int) -> None:
    """Tab leads through the page in the order of its reading, and the focus is seen."""
    from selenium.webdriver.common.action_chains import ActionChains
    from selenium.webdriver.common.keys import Keys

    set_width(driver, width)
    Visitor(driver, url).set("theme", "dark")

    reached: list[tuple[str, bool]] = []
    while len(reached) < 20:
        ActionChains(driver).send_keys(Keys.TAB).perform()
        focus = driver.execute_script(FOCUS)
        if focus is None:
            break
        reached.append(tuple(focus))

    names = [
        "Delete theme",
        "Key",
        "Value, JSON or text",
        "Set",
        "Regenerate",
        "Destroy",
        "/set-session",
        "/get-session",
    ]
    documents = ["the tutorial", "the sessions of a user", "security"]
    assert reached == [(name, True) for name in names + documents]


def test_the_form_works_by_keyboard(driver: "Chrome", url: str) -> None:
    """Enter in a field sends it."""
    from selenium.webdriver.common.keys import Keys

    visitor = Visitor(driver, url)
    visitor.find("form[action='/set'] input[name='key']").send_keys("user", Keys.TAB)

    driver.switch_to.active_element.send_keys("ada", Keys.ENTER)

    assert visitor.data == {"user": '"ada"'}
