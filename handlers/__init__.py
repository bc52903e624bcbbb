"""Owns the table of URLs: the one place that says which handler answers what."""

from typing import Any

from .base import NotFound
from .demo import GetSession, SetSession
from .docs import Docs
from .page import DeleteKey, Destroy, End, EndOthers, Page, Regenerate, SetKey

__all__ = ["NotFound", "routes"]

routes: list[tuple[str, Any]] = [
    (r"/", Page),
    (r"/set", SetKey),
    (r"/delete", DeleteKey),
    (r"/end", End),
    (r"/end-others", EndOthers),
    (r"/regenerate", Regenerate),
    (r"/destroy", Destroy),
    (r"/set-session", SetSession),
    (r"/get-session", GetSession),
    (r"/docs/([a-z-]+\.md)", Docs),
]
