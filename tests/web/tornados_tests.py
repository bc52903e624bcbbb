"""Owns a run of Tornado's own tests in which every handler has the mixin: a program that test_tornados_tests.py starts.

    python tornados_tests.py MODE TEST ...          # names as unittest takes them; prints what became of each as JSON

The classes that tests derive their handlers from are replaced before Tornado's tests are imported, so each handler is
what a user writes: `class Page(SessionMixin, RequestHandler)`. A handler's own `prepare`, which knows nothing of the
mixin, is wrapped so that the mixin's runs before it.
"""

import asyncio
import contextlib
import functools
import gc
import importlib
import io
import itertools
import json
import logging
import sys
import unittest
import warnings
from collections.abc import Callable
from inspect import isawaitable
from typing import Any

import tornado.web
import tornado.websocket
from tornado.test.util import ABT_SKIP_MESSAGE
from tornado.web import RequestHandler

from sessions import SessionManager, SessionMixin, SessionOptions, StoredSession, StoreWrapper, Update, open_store

MODES = ("plain", "untouched", "rolling", "writing")
"""Without the mixin; with default options; with `saveUninitialized`, `rolling` and a slow store; and a change as well."""

SECONDS = 0.002
"""How long each verb of the slow store takes."""

HANDLERS = {
    tornado.web: ("RequestHandler", "ErrorHandler", "FallbackHandler", "RedirectHandler", "StaticFileHandler"),
    tornado.websocket: ("WebSocketHandler",),
}
"""The classes of handlers that Tornado brings."""


class SlowStore(StoreWrapper):
    """A store that takes its time, as one behind a network does."""

    async def get(self, sid: str) -> StoredSession | None:
        await asyncio.sleep(SECONDS)
        return await super().get(sid)

    async def create(self, sid: str, record: StoredSession) -> StoredSession | None:
        await asyncio.sleep(SECONDS)
        return await super().create(sid, record)

    async def update(self, sid: str, record: StoredSession, expected: StoredSession) -> Update:
        await asyncio.sleep(SECONDS)
        return await super().update(sid, record, expected)

    async def touch(self, sid: str, expires_at: int, expected: StoredSession) -> Update:
        await asyncio.sleep(SECONDS)
        return await super().touch(sid, expires_at, expected)


def manager(mode: str) -> SessionManager:
    """The sessions of one application."""
    secret = "the-secret-of-tornados-own-tests"
    if mode == "untouched":
        return SessionManager(open_store("memory:"), SessionOptions(secret=secret))
    options = SessionOptions(secret=secret, save_uninitialized=True, rolling=True)
    return SessionManager(SlowStore(open_store("memory:")), options)


# ---------------------------------------------------------------- the mixin in front of every handler


class MixedIn(SessionMixin):
    """The mixin, for handlers that know nothing of it."""

    changes: Callable[[], int] | None = None
    """What makes another value for each request, where a change is to be written in every `prepare`."""
    is_prepared = False
    prepared = 0
    """How many requests a session was loaded for."""

    async def prepare(self) -> None:
        """Load the session, and change it, once in a request: a handler's `prepare` may call another's."""
        if self.is_prepared:
            return
        self.is_prepared = True
        MixedIn.prepared += 1
        await super().prepare()
        if MixedIn.changes is not None and self.has_session:
            self.session["prepared"] = MixedIn.changes()

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "prepare" in vars(cls):
            cls.prepare = wrapped(vars(cls)["prepare"])  # type: ignore[assignment, method-assign] # the handler's own


def wrapped(prepare: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """A handler's own `prepare`, behind that of the mixin."""

    @functools.wraps(prepare)
    async def both(self: Any) -> None:
        await MixedIn.prepare(self)
        result = prepare(self)
        if isawaitable(result):
            await result

    return both


def mix_in(mode: str, modules: list[str]) -> None:
    """Import Tornado's tests with other classes of handlers, and give every application a manager."""
    if mode == "writing":
        MixedIn.changes = itertools.count().__next__
    for module, names in HANDLERS.items():
        for name in names:
            base = vars(module)[name]
            mixed = type(name, (MixedIn, base), {"__module__": base.__module__, "__doc__": base.__doc__})
            setattr(module, name, mixed)
    for each in modules:
        importlib.import_module(each)
    tornado.web.RequestHandler = RequestHandler  # type: ignore[misc] # Tornado itself asks what is a subclass of it
    initialize = tornado.web.Application.__init__

    @functools.wraps(initialize)
    def with_sessions(self: tornado.web.Application, *args: Any, **settings: Any) -> None:
        initialize(self, *args, **settings)
        self.settings.setdefault("sessions", manager(mode))

    tornado.web.Application.__init__ = with_sessions  # type: ignore[method-assign] # every test makes its own


# ---------------------------------------------------------------- the run


class Overlooked(logging.Handler):
    """What asyncio logs of tasks and Futures with a failure that nobody has seen."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.said: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.said.append(self.format(record))
        record.exc_info = None


class Result(unittest.TestResult):
    """What became of each test: "passed", "skipped", or the traceback."""

    def __init__(self, overlooked: Overlooked) -> None:
        super().__init__()
        self.became: dict[str, str] = {}
        self._overlooked = overlooked

    def stopTest(self, test: unittest.TestCase) -> None:  # noqa: N802 # unittest's
        super().stopTest(test)
        gc.collect(0)  # a task with an exception that nobody has looked at says so only now
        if self._overlooked.said:
            self.became[test.id()] = "\n".join(self._overlooked.said)
            self._overlooked.said.clear()
        self.became.setdefault(test.id(), "passed")

    def addSkip(self, test: unittest.TestCase, reason: str) -> None:  # noqa: N802 # unittest's
        super().addSkip(test, reason)
        self.became[test.id()] = "abstract" if reason == ABT_SKIP_MESSAGE else "skipped"

    def addError(self, test: unittest.TestCase, err: Any) -> None:  # noqa: N802 # unittest's
        super().addError(test, err)
        self.became[test.id()] = self.errors[-1][1]

    def addFailure(self, test: unittest.TestCase, err: Any) -> None:  # noqa: N802 # unittest's
        super().addFailure(test, err)
        self.became[test.id()] = self.failures[-1][1]

    def addSubTest(self, test: unittest.TestCase, subtest: unittest.TestCase, err: Any) -> None:  # noqa: N802 # unittest's
        super().addSubTest(test, subtest, err)
        if err is not None:
            self.became[test.id()] = (self.errors + self.failures)[-1][1]


def run(names: list[str]) -> dict[str, str]:
    """Run tests as Tornado's own runner does: what is deprecated in Tornado, and what was not closed, is an error."""
    warnings.simplefilter("error")
    warnings.filterwarnings("ignore", category=DeprecationWarning)
    warnings.filterwarnings("error", category=DeprecationWarning, module=r"tornado\..*")
    logging.getLogger().setLevel(logging.INFO)  # some tests expect a line of this level
    logging.getLogger("tornado.access").setLevel(logging.CRITICAL)
    overlooked = Overlooked()
    logging.getLogger("asyncio").addHandler(overlooked)
    result = Result(overlooked)
    unittest.defaultTestLoader.loadTestsFromNames(names).run(result)
    return {name: what for name, what in result.became.items() if what != "abstract"}


def main(mode: str, names: list[str]) -> None:
    """Run tests in a mode, and print what became of them."""
    if mode != "plain":
        mix_in(mode, [".".join(name.split(".")[:3]) for name in names])
    with contextlib.redirect_stdout(io.StringIO()):
        became = run(names)
    print(json.dumps({"became": became, "prepared": MixedIn.prepared}))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
