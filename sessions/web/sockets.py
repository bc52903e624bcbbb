"""Owns which WebSockets of an application are open, so that a server that stops can close them.

It must not know sessions, nor what is served.
"""

from typing import Any
from weakref import WeakKeyDictionary, WeakSet

GOING_AWAY = 1001
"""The close code of a server that goes down (RFC 6455, section 7.4.1)."""

_open: "WeakKeyDictionary[Any, WeakSet[Any]]" = WeakKeyDictionary()
"""Tornado's WebSocket protocols, by their application."""


def opened(application: Any, protocol: Any) -> None:
    """Note that a socket is open, or is about to be."""
    _open.setdefault(application, WeakSet()).add(protocol)


def closed(application: Any, protocol: Any) -> None:
    """Note that a socket is closed, and that its handler knows it."""
    _open[application].discard(protocol)


def close_all(application: Any) -> bool:
    """Send the clients a close frame with 1001 (going away). Returns False if no socket is open any more."""
    protocols = list(_open.get(application, ()))
    for each in protocols:
        if not each.is_closing():
            each.close(GOING_AWAY)
    return bool(protocols)


def cut_all(application: Any) -> bool:
    """Close the connections of clients that have not answered. Returns False if no socket is open any more."""
    protocols = list(_open.get(application, ()))
    for each in protocols:
        each.stream.close()
    return bool(protocols)
