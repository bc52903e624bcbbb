"""The one hook: what happens to sessions and their store, as events for observers.

    manager = SessionManager(store, options, observer=PrometheusObserver())

An observer is a function of one event (events.py). Those that need a package are imported when they are asked for.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from .events import (
    AMBIGUOUS,
    COOKIE_RENEWED,
    CORRUPT,
    CREATED,
    DESTROYED,
    DROPPED,
    REFUSED,
    RENEWED,
    REUSED,
    REVOKED,
    SIGNED_IN,
    SIGNED_OUT,
    TAMPERED,
    UNKNOWN,
    Batch,
    Commit,
    Event,
    Load,
    Observer,
    SessionEvent,
    Sockets,
    StoreCall,
    StoreReady,
    Sweep,
)
from .reporter import Reporter, log_event

if TYPE_CHECKING:
    from .opentelemetry import OpenTelemetryObserver
    from .prometheus import PrometheusObserver

__all__ = [
    "AMBIGUOUS",
    "COOKIE_RENEWED",
    "CORRUPT",
    "CREATED",
    "DESTROYED",
    "DROPPED",
    "REFUSED",
    "RENEWED",
    "REUSED",
    "REVOKED",
    "SIGNED_IN",
    "SIGNED_OUT",
    "TAMPERED",
    "UNKNOWN",
    "Batch",
    "Commit",
    "Event",
    "Load",
    "Observer",
    "OpenTelemetryObserver",
    "PrometheusObserver",
    "Reporter",
    "SessionEvent",
    "Sockets",
    "StoreCall",
    "StoreReady",
    "Sweep",
    "log_event",
]

_LAZY = {"PrometheusObserver": ("prometheus", "metrics"), "OpenTelemetryObserver": ("opentelemetry", "otel")}
"""By the name of an observer its file, and the extra that has its package."""


def __getattr__(name: str) -> Any:
    """An observer is imported when it is asked for (PEP 562). Raises ImportError, which says what is missing."""
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    file, extra = _LAZY[name]
    try:
        return getattr(import_module(f".{file}", __name__), name)
    except ModuleNotFoundError as error:
        raise ImportError(f"{name} needs a package: pip install 'tornado-express-sessions[{extra}]'") from error
