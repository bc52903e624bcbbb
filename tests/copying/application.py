"""Owns a Tornado application that is moved: `python application.py CONFIG`. It prints the port that it listens on."""

import asyncio
import signal
import sys
from pathlib import Path

from tornado.httpserver import HTTPServer
from tornado.netutil import bind_sockets
from tornado.web import Application, RequestHandler

from sessions import SessionManager, SessionMixin
from sessions.config import ConfigFile


class Page(SessionMixin, RequestHandler):
    """GET says who the visitor is, and how often the visitor has added something; POST does what its path says."""

    async def get(self, _verb: str) -> None:
        if self.current_user is None:
            self.write({"user": None})
        else:
            self.write({"user": self.current_user, "added": self.session.get("added", 0)})

    async def post(self, verb: str) -> None:
        if verb == "login":
            await self.sign_in(self.get_argument("user"))
        elif self.current_user is None:
            self.set_status(401)
        elif verb == "logout":
            await self.sign_out()
        else:
            self.session["added"] = self.session.get("added", 0) + 1


async def main(path: Path) -> None:
    """Serve until SIGTERM."""
    config = ConfigFile(path).config(exposed=False)
    async with config.open_store() as store:
        manager = SessionManager(store, config.session)
        (socket,) = bind_sockets(0, "127.0.0.1")
        server = HTTPServer(Application([(r"/(\w+)", Page)], sessions=manager))
        server.add_sockets([socket])
        stop = asyncio.Event()
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
        print(f"listening on port {socket.getsockname()[1]}", flush=True)
        await stop.wait()
        server.stop()
        await server.close_all_connections()
        await manager.close()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
