"""Owns the way of an event to the log and to the observers. An id comes in, and a fingerprint goes out.

Without observers nothing but the log costs anything: who makes an event that is not logged asks `has_observers` first.
"""

import logging
from asyncio import CancelledError
from collections.abc import Awaitable, Callable, Sequence
from time import perf_counter
from typing import Any, TypeVar

from ..errors import StoreUnavailable
from ..formats.signing import fingerprint
from .events import Event, Load, Observer, SessionEvent

log: logging.Logger = logging.getLogger("sessions")

Result = TypeVar("Result")


class Reporter:
    """The observers of a manager or a sweeper."""

    __slots__ = ("_observers", "has_observers", "reports_loads")

    def __init__(self, observer: Observer | Sequence[Observer] = ()) -> None:
        self._observers: Sequence[Observer] = observer if isinstance(observer, Sequence) else (observer,)
        self.has_observers: bool = bool(self._observers)
        self.reports_loads: bool = any(Load not in getattr(each, "ignores", ()) for each in self._observers)

    def report(self, event: Event) -> None:
        """Call the observers with an event."""
        for observer in self._observers:
            try:
                observer(event)
            except Exception:
                log.exception("the observer %r of %s", observer, type(event).__name__)

    def note(
        self,
        name: str,
        secret: str,
        level: int = logging.INFO,
        *,
        user: str | None = None,
        may_log: Callable[[], bool] | None = None,
    ) -> None:
        """Log an event of a session, and report it, by the fingerprint of its id, or of the cookie where none is.

        It is reported also if `may_log` says that the log has enough of it.
        """
        is_logged = log.isEnabledFor(level) and (may_log is None or may_log())
        if is_logged or self.has_observers:
            mark = fingerprint(secret)
            if is_logged:
                log.log(level, "%s: %s", name, mark)
            if self.has_observers:
                self.report(SessionEvent(name, user, mark))

    async def timed(
        self,
        event: Callable[[Any, float], Event],
        outcome_of: Callable[[Result], str],
        call: Callable[..., Awaitable[Result]],
        *args: Any,
    ) -> Result:
        """Await `call(*args)`, which the store takes part in, then report `event(outcome, seconds)`."""
        started = perf_counter()
        outcome = "error"
        try:
            result = await call(*args)
            outcome = outcome_of(result)
        except StoreUnavailable:
            outcome = "unavailable"
            raise
        except CancelledError:
            outcome = "cancelled"
            raise
        else:
            return result
        finally:
            self.report(event(outcome, perf_counter() - started))


def log_event(name: str, secret: str) -> None:
    """Log an event of a session that is not reported: one of several that are reported as one."""
    if log.isEnabledFor(logging.INFO):
        log.info("%s: %s", name, fingerprint(secret))
