"""Owns what lasts: a chat by WebSocket, an event stream that says who is in it, and an upload.

The library ends a socket and a stream with their session, also if another process ends that.
"""

import asyncio
import json
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import IO, ClassVar

from tornado.iostream import StreamClosedError
from tornado.locks import Condition
from tornado.web import HTTPError, stream_request_body
from tornado.websocket import WebSocketClosedError, WebSocketHandler

from pages import Page

MAX_BYTES = 10_000_000


class Chat(Page, WebSocketHandler):
    """What one says, all hear who are at this process."""

    keep_alive = True  # who talks stays signed in
    members: ClassVar[set["Chat"]] = set()
    changed = Condition()

    async def prepare(self) -> None:
        await super().prepare()
        self.name = self.user.name  # 401 without one

    def open(self) -> None:
        self.members.add(self)
        self.changed.notify_all()

    def on_close(self) -> None:
        self.members.discard(self)
        self.changed.notify_all()

    def on_message(self, message: str | bytes) -> None:
        for each in self.members:
            with suppress(WebSocketClosedError):
                each.write_message({"name": self.name, "text": str(message)})


class Members(Page):
    """Who is in the chat: an event for each change."""

    async def get(self) -> None:
        if self.current_user is None:
            return self.set_status(204)  # an EventSource does not connect again
        self.set_header("Content-Type", "text/event-stream")
        with suppress(StreamClosedError):  # the browser has gone, or the library has ended the stream
            while True:
                self.write(f"data: {json.dumps(sorted({each.name for each in Chat.members}))}\n\n")
                await self.flush()
                await Chat.changed.wait(timedelta(seconds=30))


@stream_request_body
class Upload(Page):
    """A new content of the user's one file, written while it comes in. No name comes with it."""

    part: IO[bytes]

    async def prepare(self) -> None:
        await super().prepare()
        length = self.request.headers.get("Content-Length", "")
        if length.isdecimal() and int(length) > MAX_BYTES:
            raise HTTPError(413)  # or Tornado closes the connection when it has read too much
        self.request.connection.set_max_body_size(MAX_BYTES)  # type: ignore[union-attr] # HTTP/1's has it
        self.part = NamedTemporaryFile(dir=self.file.parent, delete=False)  # noqa: SIM115 # is closed by on_finish

    async def data_received(self, chunk: bytes) -> None:
        await asyncio.to_thread(self.part.write, chunk)

    def post(self) -> None:
        self.part.close()
        Path(self.part.name).replace(self.file)

    def on_finish(self) -> None:
        if hasattr(self, "part"):
            self.part.close()
            Path(self.part.name).unlink(missing_ok=True)  # of an upload that was broken off

    on_connection_close = on_finish


class Download(Page):
    """The file. No browser takes it for a page of ours, whatever is in it."""

    async def get(self) -> None:
        if not self.file.exists():
            raise HTTPError(404)
        self.set_header("Content-Type", "application/octet-stream")
        self.set_header("Content-Disposition", "attachment")
        self.write(await asyncio.to_thread(self.file.read_bytes))
