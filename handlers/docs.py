"""Owns the documents beside the server, as they are: Markdown is read as text, too."""

from pathlib import Path

from tornado.web import HTTPError

from .demo import Demo

DOCS = {path.name: path.read_text("utf-8") for path in (Path(__file__).parents[1] / "docs").glob("*.md")}
"""The text of each document by the name of its file; empty where the server was installed without them."""


class Docs(Demo):
    """A document."""

    async def get(self, name: str) -> None:
        """Show its text."""
        if name not in DOCS:
            raise HTTPError(404)
        self.write(DOCS[name])
