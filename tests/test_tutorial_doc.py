"""docs/tutorial.md: its file is a login with devices, as the page says, and its test passes by Python's own runner."""

import os
import re
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from html import unescape
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

import pytest
from interop.processes import Process, wait_until
from tornado.httpclient import HTTPResponse

from sessions import MemoryStore, SessionManager
from sessions.testing import Browser, Clock

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs" / "tutorial.md").read_text("utf-8")

APP = "\n\n".join(re.findall(r"^```python\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL))
"""The file: the blocks one below the other."""

TESTS = dict(re.findall(r"^```py\n# (\w+\.py)\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL))

ENV = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with the file of the page, and its test."""
    for name, text in {"app.py": APP, **TESTS}.items():
        (tmp_path / name).write_text(text)
    return tmp_path


@pytest.fixture
def app(folder: Path) -> ModuleType:
    """The file, imported; each test has its own."""
    spec = spec_from_file_location("app", folder / "app.py")
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


# ---------------------------------------------------------------- visitors


class Answer(NamedTuple):
    """What a browser shows after the redirects."""

    status: int
    path: str
    text: str

    @property
    def handles(self) -> list[str]:
        """The handles on the buttons of a list of devices."""
        return re.findall(r"name=handle value=(\w+)", self.text)


class Person(Browser):
    """Opens pages and sends their forms, with a browser of some name."""

    agent = "Tutorial/1.0"

    async def open(self, path: str) -> Answer:
        """Open a page, and those that it leads to."""
        return await self._shown(path, await self.fetch(path, headers={"User-Agent": self.agent}))

    async def send(self, page: Answer, to: str | None = None, **fields: str) -> Answer:
        """Send the form of a page."""
        token = re.search(r'name="_xsrf" value="([^"]+)"', page.text)
        assert token is not None, page
        form, path = {"_xsrf": unescape(token[1]), **fields}, to or page.path
        return await self._shown(path, await self.fetch(path, form=form, headers={"User-Agent": self.agent}))

    async def log_in(self, password: str = "1815", at: str = "/") -> Answer:
        """Open a page, and sign in on the login that it leads to."""
        return await self.send(await self.open(at), user="ada", password=password)

    async def _shown(self, path: str, response: HTTPResponse) -> Answer:
        if response.code in (302, 303):
            return await self.open(response.headers["Location"])
        return Answer(response.code, path, response.body.decode())


class Site(NamedTuple):
    """The application at work."""

    manager: SessionManager
    clock: Clock
    first: Person

    def person(self) -> Person:
        """Another browser."""
        return Person(self.first.port, manager=self.manager)


@asynccontextmanager
async def serving(app: ModuleType) -> AsyncIterator[Site]:
    """Serve the application, on a clock of the test."""
    clock = Clock()
    manager = SessionManager(MemoryStore(clock=clock), app.OPTIONS, clock=clock)
    async with Person(app.make_app(manager)) as first:
        yield Site(manager, clock, first)


# ---------------------------------------------------------------- the page


def test_the_file_is_short() -> None:
    """It can be typed: about 80 lines that are not blank."""
    lines = [line for line in APP.splitlines() if line.strip()]

    assert len(lines) <= 85


def test_its_test_passes(folder: Path) -> None:
    """With no other runner than Python's."""
    command = [sys.executable, "-W", "error", "-m", "unittest"]

    result = subprocess.run(command, cwd=folder, env=ENV, capture_output=True, text=True, check=False, timeout=100)

    assert TESTS.keys() == {"test_app.py"}
    assert re.search(r"^Ran 1 test in .*\n\nOK$", result.stderr, re.MULTILINE), result.stderr


async def test_it_is_served_as_the_page_says(folder: Path, app: ModuleType) -> None:
    """The file is run, a sign-in, and the list of devices; only the port is the test's own."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    (folder / "app.py").write_text(APP.replace("8888", str(port)))

    with Process([sys.executable, "-W", "error", "app.py"], cwd=folder, env=ENV) as process:
        wait_until(lambda: listens(port, process), 10)
        person = Person(port, manager=SessionManager(MemoryStore(), app.OPTIONS))
        home = await person.log_in()
        devices = await person.open("/devices")

    assert "Good day, ada" in home.text
    assert f"{person.agent} at 127.0.0.1, signed in" in devices.text


def listens(port: int, process: Process) -> bool:
    """True if somebody does; raises when the process has ended."""
    process.check()
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


# ---------------------------------------------------------------- the application


async def test_a_login_leads_back(app: ModuleType) -> None:
    """To the page that was asked for, under a new id."""
    async with serving(app) as site:
        login = await site.first.open("/devices")
        before = await site.first.session()
        devices = await site.first.send(login, user="ada", password="1815")

    assert (login.path, before and before.get("user")) == ("/login?next=%2Fdevices", None)
    assert (devices.status, devices.path) == (200, "/devices")


@pytest.mark.parametrize(("user", "password"), [("ada", "1816"), ("eve", "1815"), ("eve", "")])
async def test_a_wrong_password_signs_nobody_in(app: ModuleType, user: str, password: str) -> None:
    """The page says so, and does not say which of the two was wrong."""
    async with serving(app) as site:
        answer = await site.first.send(await site.first.open("/"), user=user, password=password)
        home = await site.first.open("/")

    assert (answer.status, "There is no such user" in answer.text) == (403, True)
    assert home.path.startswith("/login")


async def test_one_device_is_signed_out(app: ModuleType) -> None:
    """The other two stay."""
    async with serving(app) as site:
        people = [site.first, site.person(), site.person()]
        for each in people:
            await each.log_in()
        first = (await people[1].open("/devices")).handles
        mine = (await people[2].open("/devices")).handles
        (third,) = set(first) - set(mine)

        answer = await site.first.send(await site.first.open("/devices"), handle=third)
        homes = [(await each.open("/")).path for each in people]

    assert "Signed out: 1" in answer.text
    assert homes == ["/", "/", "/login?next=%2F"]


async def test_all_others_are_signed_out(app: ModuleType) -> None:
    """This one stays."""
    async with serving(app) as site:
        people = [site.first, site.person(), site.person()]
        for each in people:
            await each.log_in()

        answer = await site.first.send(await site.first.open("/devices"))
        homes = [(await each.open("/")).path for each in people]

    assert "Signed out: 2" in answer.text
    assert homes == ["/", "/login?next=%2F", "/login?next=%2F"]


async def test_a_device_of_another_user_is_not_signed_out(app: ModuleType) -> None:
    """A handle opens nothing for those who are not its user."""
    async with serving(app) as site:
        eve = site.person()
        await eve.sign_in("eve")
        await site.first.log_in()
        (info,) = await site.manager.sessions_of("eve")

        answer = await site.first.send(await site.first.open("/devices"), handle=info.handle)

        assert "Signed out: 0" in answer.text
        assert await eve.session() == {"user": "eve"}


async def test_no_id_is_on_a_page(app: ModuleType) -> None:
    """Neither this session's nor another's."""
    async with serving(app) as site:
        other = site.person()
        pages = [await each.log_in(at="/devices") for each in (other, site.first)]
        values = [
            cookie.value for each in (other, site.first) for cookie in each.jar.all() if cookie.name == "connect.sid"
        ]

    assert len(values) == 2
    ids = [value.removeprefix("s%3A").partition(".")[0] for value in values]
    assert [each for each in ids if any(each in page.text for page in pages)] == []


async def test_an_old_login_gives_the_password_again(app: ModuleType) -> None:
    """The list is shown then; a button that is pressed too late does nothing."""
    async with serving(app) as site:
        other = site.person()
        await other.log_in()
        devices = await site.first.log_in(at="/devices")
        site.clock.advance(11 * 60_000)

        late = await site.first.send(devices)
        asked = await site.first.open("/devices")
        again = await site.first.send(asked, user="ada", password="1815")

        assert (late.status, (await other.open("/")).path) == (401, "/")
        assert asked.path == "/login?next=%2Fdevices&fresh=1"
        assert (again.status, again.path, len(again.handles)) == (200, "/devices", 1)


async def test_a_form_of_another_site_is_refused(app: ModuleType) -> None:
    """It has no token."""
    async with serving(app) as site:
        await site.first.log_in()

        answers = [(await site.first.fetch(path, form={})).code for path in ("/devices", "/logout", "/login")]

    assert answers == [403, 403, 403]


async def test_a_sign_out_ends_the_session(app: ModuleType) -> None:
    """It leads to the login."""
    async with serving(app) as site:
        home = await site.first.log_in()

        left = await site.first.send(home, to="/logout")

        assert left.path == "/login"
        assert await site.manager.sessions_of("ada") == []
