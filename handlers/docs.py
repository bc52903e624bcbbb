"""Owns the documents beside the server, as they are: Markdown is read as text, too."""

import asyncio
from pathlib import Path

from tornado.web import HTTPError

from .demo import Demo

DOCS = {path.name: path for path in (Path(__file__).parents[1] / "docs").glob("*.md")}
"""Each document by its name; empty where the server was installed without them."""


class Docs(Demo):
    """A document."""

    async def get(self, name: str) -> None:
        """Show its text."""
        if name not in DOCS:
            raise HTTPError(404)
        self.write(await asyncio.to_thread(DOCS[name].read_text, "utf-8"))
