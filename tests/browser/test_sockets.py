"""The chat and the dashboard of docs/sockets.md, in a real browser: what a person sees when the session ends."""

import os
import re
import sys
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest
from interop.processes import Process, wait_until

from .servers import HOST, ROOT, answers, free_ports

if TYPE_CHECKING:
    from selenium.webdriver import Chrome

BLOCK = re.compile(r"^```python\n(# chat\.py\n.*?)^```$", re.MULTILINE | re.DOTALL)
SECONDS = 20


@pytest.fixture(scope="module")
def chat(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The page's application, served."""
    folder = tmp_path_factory.mktemp("chat")
    (found,) = BLOCK.findall((ROOT / "docs/sockets.md").read_text("utf-8"))
    (folder / "chat.py").write_text(found, "utf-8")
    (port,) = free_ports(1)
    command = [sys.executable, "-c", f"import asyncio, chat; asyncio.run(chat.main({port}))"]
    env = {"PATH": os.environ["PATH"], "PYTHONPATH": f"{ROOT}{os.pathsep}{folder}"}
    with Process(command, cwd=folder, env=env) as process:
        wait_until(lambda: answers(port, process), SECONDS)
        yield f"http://{HOST}:{port}/"
    assert "Uncaught" not in process.output, process.output


def lines(driver: "Chrome") -> list[str]:
    """What the page has said so far."""
    script = "return [...document.querySelectorAll('#log li')].map((each) => each.textContent)"
    return list(driver.execute_script(script))


def until(driver: "Chrome", line: str, times: int = 1) -> None:
    """Wait until the page has said something so often."""
    wait_until(lambda: lines(driver).count(line) >= times, SECONDS)


def sign_in(driver: "Chrome", url: str) -> None:
    """Sign in, and wait until both connections are up."""
    driver.get(url)
    driver.find_element("css selector", "form button").click()
    until(driver, "hello, ada")
    until(driver, "news 1")


def test_a_sign_out_ends_both_for_good(driver: "Chrome", chat: str) -> None:
    """The socket by 4401, the stream by the 204 that its reconnection gets; neither comes back."""
    sign_in(driver, chat)

    driver.find_element("css selector", "#out").click()
    until(driver, "signed out")
    until(driver, "no more news")
    said = lines(driver)
    time.sleep(2)  # longer than the page waits before it connects again

    assert lines(driver) == said
    assert said.count("hello, ada") == 1


def test_a_sign_out_in_one_tab_ends_the_other_tabs(driver: "Chrome", chat: str) -> None:
    """Each has a socket and a stream of its own."""
    sign_in(driver, chat)
    first = driver.current_window_handle
    driver.switch_to.new_window("tab")
    driver.get(chat)
    until(driver, "hello, ada")
    driver.find_element("css selector", "#out").click()
    until(driver, "signed out")
    driver.close()

    driver.switch_to.window(first)

    until(driver, "signed out")
    until(driver, "no more news")


def test_a_new_sign_in_makes_both_connect_again(driver: "Chrome", chat: str) -> None:
    """The socket by 4402, once and with the new cookie; the stream by itself."""
    sign_in(driver, chat)

    driver.execute_script(
        "fetch('/login', {method: 'POST', body: new URLSearchParams({user: 'ada'}), redirect: 'manual'})"
    )
    until(driver, "hello, ada", 2)
    until(driver, "news 1", 2)

    assert "signed out" not in lines(driver)
    assert "no more news" not in lines(driver)
