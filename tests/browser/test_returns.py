"""The way back from another site, as docs/how-to/oauth.md says it: which cookies Chromium sends with it."""

import json
import os
import re
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest
from interop.processes import Process, wait_until

from .chromium import press
from .servers import HOST, ROOT, answers, free_ports

if TYPE_CHECKING:
    from selenium.webdriver import Chrome

SECONDS = 60
PAGE = (ROOT / "docs" / "how-to" / "oauth.md").read_text("utf-8")
BLOCKS = dict(re.findall(r"^```python\n# (\w+\.py)\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL))

SERVERS = """
import asyncio, sys
from tornado.web import Application, RequestHandler
from sessions import CookieOptions, MemoryStore, SessionManager, SessionMixin, SessionOptions

{form_post}
{landing}

class Begin(SessionMixin):
    def get(self):
        self.session["who"] = "ada"
        self.write(f"<form action={{self.settings['other']}}/page><input name=to value={{self.get_argument('to')}}>"
                   f"<input name=method value={{self.get_argument('method')}}><button>Go</button></form>")

class Back(SessionMixin):
    def get(self):
        self.write({{"who": self.session.get("who"), "code": self.get_argument("code", "")}})
    post = get
    def check_trusted_origin(self, origin):
        return True

class Provider(RequestHandler):
    def get(self):
        self.write(f"<form method={{self.get_argument('method')}} action={{self.get_argument('to')}}>"
                   "<input name=code value=c><button>Yes</button></form>")

async def main(other, *ports):
    for port, same_site in zip(ports, ["lax", "strict", "none"]):
        cookie = CookieOptions(same_site=same_site, secure=True)
        options = SessionOptions(secret="x" * 32, cookie=cookie, proxy=True, proxy_secure=True)
        routes = [("/begin", Begin), ("/back", Back), ("/oidc/return", Back), ("/form_post", FormPost), ("/landing", Landing)]
        app = Application(routes, sessions=SessionManager(MemoryStore(), options), other=f"http://localhost:{{other}}",
                          cross_origin_protection=True)
        app.listen(port, "127.0.0.1")
    Application([("/page", Provider)]).listen(other, "127.0.0.1")
    await asyncio.Event().wait()

asyncio.run(main(*map(int, sys.argv[1:])))
"""


@pytest.fixture(scope="module")
def sites(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """One application for each SameSite, and a provider on another site."""
    other, *ports = free_ports(4)
    form_post = BLOCKS["form_post.py"].replace("https://login.example.com", f"http://localhost:{other}")
    program = SERVERS.format(form_post=form_post, landing=BLOCKS["strict_return.py"])
    command = [sys.executable, "-c", program, str(other), *map(str, ports)]
    env = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)}
    with Process(command, cwd=tmp_path_factory.mktemp("returns"), env=env) as process:
        wait_until(lambda: all(answers(port, process) for port in (other, *ports)), SECONDS)
        yield {site: f"http://{HOST}:{port}" for site, port in zip(["lax", "strict", "none"], ports, strict=True)}
    assert "Traceback" not in process.output, process.output


def comes_back(driver: "Chrome", site: str, method: str, to: str = "/back") -> dict[str, str]:
    """Begin a session, go to the provider, press its button, and read what the application says then."""
    driver.get(f"{site}/begin?method={method}&to={site}{to}")
    press(driver, "button")
    press(driver, "button")
    wait_until(lambda: driver.execute_script("return document.body.innerText").startswith("{"), SECONDS)
    found: dict[str, str] = json.loads(driver.execute_script("return document.body.innerText"))
    return found


HAS, HAS_NOT = "has the session", "has no session"


def table() -> list[tuple[str, str, bool]]:
    """The cells of the page's table: SameSite, method, and whether there is a session."""
    rows = re.findall(r'^\| `"(\w+)"`.*?\| (has .*?) \| (has .*?) \|$', PAGE, re.MULTILINE)
    return [
        (site, method, says == HAS)
        for site, *cells in rows
        for method, says in zip(("get", "post"), cells, strict=True)
    ]


@pytest.mark.parametrize(("same_site", "method", "has_session"), table())
def test_a_return_has_the_session_or_not(
    driver: "Chrome", sites: dict[str, str], same_site: str, method: str, has_session: bool
) -> None:
    """As the table says."""
    found = comes_back(driver, sites[same_site], method)

    assert found == {"who": "ada" if has_session else None, "code": "c"}


def test_the_table_is_whole() -> None:
    """Three kinds of cookies, two methods."""
    assert len(table()) == 6


def test_a_form_post_leads_to_a_get_that_has_the_session(driver: "Chrome", sites: dict[str, str]) -> None:
    """The handler of the page touches none, so the visitor's cookie stays."""
    assert comes_back(driver, sites["lax"], "post", "/form_post") == {"who": "ada", "code": "c"}


def test_a_landing_page_makes_a_strict_cookie_come(driver: "Chrome", sites: dict[str, str]) -> None:
    """It goes on from the application's own site."""
    assert comes_back(driver, sites["strict"], "get", "/landing") == {"who": "ada", "code": "c"}
