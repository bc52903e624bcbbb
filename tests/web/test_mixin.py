"""What the mixin takes of a handler's names: of the private ones exactly one, which no handler of Tornado's has."""

import inspect

import pytest
import tornado.web
import tornado.websocket
from tornado.web import ErrorHandler, FallbackHandler, RedirectHandler, RequestHandler, StaticFileHandler
from tornado.websocket import WebSocketHandler

from sessions import SessionMixin


def private_names(kind: type) -> list[str]:
    """The names with one underscore in front that a class, or a base of it that is not Tornado's, has."""
    names = {name for each in kind.__mro__ if each not in RequestHandler.__mro__ for name in vars(each)}
    return sorted(name for name in names if name.startswith("_") and not name.startswith("__"))


def test_the_private_names_of_a_class_are_found() -> None:
    """Its own and those of a base, methods and attributes; none of Tornado's."""
    base = type("Base", (RequestHandler,), {"_a": 1, "b": 2, "__c__": 3})
    kind = type("Kind", (base,), {"_d": lambda _: None})

    assert private_names(kind) == ["_a", "_d"]


def test_the_mixin_has_one_private_name() -> None:
    """A handler may have a `_commit`, an `_open`, a `_session` of its own: none of them is ours."""
    assert private_names(SessionMixin) == ["_session_response"]


@pytest.mark.parametrize(
    "kind", [RequestHandler, WebSocketHandler, StaticFileHandler, ErrorHandler, FallbackHandler, RedirectHandler]
)
def test_no_handler_of_tornados_has_that_name(kind: type) -> None:
    """Neither in its class, nor as an attribute that its code sets."""
    module = tornado.websocket if kind is WebSocketHandler else tornado.web
    source = inspect.getsource(module)

    for name in private_names(SessionMixin):
        assert not hasattr(kind, name)
        assert name not in source
