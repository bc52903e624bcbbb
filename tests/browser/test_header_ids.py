"""The page of another origin of docs/header-ids.md, in a real browser: it asks first, and has its id in the header."""

import os
import re
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest
from interop.processes import Process, wait_until

from .servers import HOST, ROOT, answers, free_ports

if TYPE_CHECKING:
    from selenium.webdriver import Chrome

SECONDS = 60
TEXT = (ROOT / "docs/header-ids.md").read_text("utf-8")


def block(language: str) -> str:
    """The page's example in a language."""
    (found,) = re.findall(rf"^```{language}\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)
    return str(found)


SERVERS = """
import asyncio, sys
from tornado.web import Application
from sessions import MemoryStore, SessionManager, SessionOptions

ASKED = []

class Noting(Api):
    def on_finish(self):
        kind, colon, _ = self.request.headers.get("X-Session", "-").partition(":")
        ASKED.append([self.request.method, kind + colon])

class Leaving(Noting):
    def get(self):
        self.session.destroy()
        self.write({})

class Asked(RequestHandler):
    def get(self):
        self.write({"asked": ASKED})

class Page(RequestHandler):
    def get(self):
        self.write("<!doctype html><title>page</title>")

async def main(api, page):
    options = SessionOptions(secret="of-the-tests-and-as-long-as-the-server-demands-it", header="X-Session")
    manager = SessionManager(MemoryStore(), options)
    routes = [("/visits", Noting), ("/leave", Leaving), ("/asked", Asked), ("/", Page)]
    Application(routes, sessions=manager).listen(api, "127.0.0.1")
    Application([("/", Page)]).listen(page, "127.0.0.1")
    await asyncio.Event().wait()

asyncio.run(main(int(sys.argv[1]), int(sys.argv[2])))
"""


@pytest.fixture
def origins(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str]]:
    """The application's origin, and that of a page which it trusts."""
    api, page = free_ports(2)
    example = block("python")
    assert example.count("https://app.example.com") == 1
    example = example.replace("https://app.example.com", f"http://{HOST}:{page}")
    command = [sys.executable, "-c", f"{example}\n{SERVERS}", str(api), str(page)]
    env = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)}
    with Process(command, cwd=tmp_path_factory.mktemp("origins"), env=env) as process:
        wait_until(lambda: answers(api, process) and answers(page, process), SECONDS)
        yield f"http://{HOST}:{api}", f"http://{HOST}:{page}"
    assert "Traceback" not in process.output, process.output


def run(driver: "Chrome", script: str, *args: object) -> Any:
    """Run an async script in the page, with the example in it. Returns what it returns, or its error as a text."""
    body = f"const done = arguments[arguments.length - 1]; {block('js')}; (async () => {{ {script} }})()"
    return driver.execute_async_script(f"{body}.then(done, (error) => done(String(error)));", *args)


def test_a_page_of_another_origin_has_its_session(driver: "Chrome", origins: tuple[str, str]) -> None:
    """It asks first, each time for a header that no form can set; no cookie is kept."""
    api, page = origins
    driver.get(page)

    visits = run(
        driver, "const url = arguments[0] + '/visits'; return [await ask(url), await ask(url), await ask(url)];", api
    )

    assert visits == [{"visits": 1}, {"visits": 2}, {"visits": 3}]
    assert driver.execute_cdp_cmd("Network.getAllCookies", {})["cookies"] == []
    driver.get(f"{api}/")
    asked = run(driver, "return (await (await fetch('/asked')).json()).asked;")
    assert asked[0] == ["OPTIONS", "-"]
    assert [sent for method, sent in asked if method == "GET"] == ["new", "s:", "s:"]


def test_a_page_forgets_the_id_of_a_session_that_is_over(driver: "Chrome", origins: tuple[str, str]) -> None:
    """The answer has an empty header; the next request asks for a new one."""
    api, page = origins
    driver.get(page)

    run(
        driver,
        "for (const path of ['/visits', '/leave', '/visits']) await ask(arguments[0] + path); return null;",
        api,
    )

    driver.get(f"{api}/")
    asked = run(driver, "return (await (await fetch('/asked')).json()).asked;")
    assert [sent for method, sent in asked if method == "GET"] == ["new", "s:", "new"]


def test_a_page_that_is_not_trusted_is_refused(driver: "Chrome", origins: tuple[str, str]) -> None:
    """By the browser, before the request with the header leaves."""
    api, page = origins
    driver.get(page.replace(HOST, "localhost"))

    answer = run(driver, "return await ask(arguments[0] + '/visits');", api)

    assert "Failed to fetch" in str(answer)
    driver.get(f"{api}/")
    asked = run(driver, "return (await (await fetch('/asked')).json()).asked;")
    assert asked == [["OPTIONS", "-"]]
