"""Owns the reading of docs/coming-from: a block of a page that has a file's name in its first line, as a module."""

import re
from pathlib import Path
from types import ModuleType
from typing import Any

from tornado.web import Application

from sessions import MemoryStore, SessionManager, SessionOptions
from sessions.testing import Browser, Clock

FOLDER = Path(__file__).parents[2] / "docs" / "coming-from"


def source(name: str) -> str:
    """The block that begins with this file name, of whichever page has it."""
    pattern = re.compile(rf"^```(?:python|py)\n# {re.escape(name)}\n(.*?)^```$", re.MULTILINE | re.DOTALL)
    (block,) = [block for page in FOLDER.glob("*.md") for block in pattern.findall(page.read_text("utf-8"))]
    return str(block)


def module(name: str) -> Any:
    """The block, imported: each call makes a new one."""
    made = ModuleType(name.removesuffix(".py"))
    exec(source(name), made.__dict__)
    return made


def manager(options: SessionOptions, clock: Clock | None = None) -> SessionManager:
    """A manager with a store in memory."""
    clock = clock or Clock()
    return SessionManager(MemoryStore(clock=clock), options, clock=clock)


def visitor(app: Application, sessions: SessionManager | None = None) -> Browser:
    """A visitor of an application that may know nothing of the library."""
    none = SessionManager(MemoryStore(), SessionOptions(secret="nothing is signed by this manager, at all"))
    return Browser(app, manager=sessions or app.settings.get("sessions") or none)


def copy_of(browser: Browser) -> Browser:
    """Another browser with the same cookies, as they are now."""
    other = Browser(browser.port, manager=browser.manager)
    for cookie in browser.jar.all():
        other.jar.receive(f"{cookie.name}={cookie.value}; Path=/", "127.0.0.1", "/", secure=False)
    return other
