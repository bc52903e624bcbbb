"""docs/coming-from/control-panel.md, with the terminal of Jupyter: a sign-out closes it."""

import json
from pathlib import Path

from tornado.httpclient import HTTPRequest
from tornado.websocket import websocket_connect
from trips.talks import Talk

from .served import served

APP = """
from sessions import SessionMixin
from terminado import UniqueTermManager
from tornado.web import Application
from panel_terminado import Terminal

class Login(SessionMixin):
    async def post(self):
        await self.sign_in("root")

class Logout(SessionMixin):
    async def post(self):
        await self.sign_out()

def make_app(manager):
    terminals = UniqueTermManager(shell_command=["sh"])
    routes = [("/login", Login), ("/logout", Logout), ("/terminal", Terminal, {"term_manager": terminals})]
    return Application(routes, sessions=manager)
"""


async def test_a_sign_out_closes_the_terminal(tmp_path: Path) -> None:
    """With 4401; a stranger gets none."""
    with served(tmp_path, APP, "panel_terminado.py") as browser:
        stranger = await browser.fetch("/terminal")
        await browser.fetch("/login", form={})
        (cookie,) = browser.jar.all()
        url = f"ws://127.0.0.1:{browser.port}/terminal"
        headers = {"Cookie": f"{cookie.name}={cookie.value}"}
        terminal = Talk(await websocket_connect(HTTPRequest(url, headers=headers)))
        await terminal.client.write_message(json.dumps(["stdin", "echo $((6 * 7))\n"]))
        heard = ""
        while "42" not in heard:
            heard += str(await terminal.hear())

        await browser.fetch("/logout", form={})

        while (last := await terminal.hear()) is not None:
            heard += str(last)
        assert (stranger.code, terminal.client.close_code) == (403, 4401)
