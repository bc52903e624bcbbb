"""Owns the spans and metrics for OpenTelemetry, by its API alone: without an SDK they cost little and go nowhere.

The spans `session.load` and `session.commit` are children of the span in which the request is handled. No attribute has
an id, a fingerprint or a user.
"""

import time

from opentelemetry import metrics, trace
from opentelemetry.metrics import MeterProvider
from opentelemetry.trace import SpanKind, StatusCode, TracerProvider

from .events import Batch, Commit, Event, Load, SessionEvent, Sockets, StoreCall, StoreReady, Sweep

FAILED = ("unavailable", "cancelled", "error")
"""The outcomes that are failures."""

NANOSECONDS = 1_000_000_000


class OpenTelemetryObserver:
    """Makes spans and metrics by the global providers, or by those that are given."""

    def __init__(
        self, tracer_provider: TracerProvider | None = None, meter_provider: MeterProvider | None = None
    ) -> None:
        self._tracer = trace.get_tracer("sessions", tracer_provider=tracer_provider)
        meter = metrics.get_meter("sessions", meter_provider=meter_provider)
        self._store = meter.create_histogram("sessions.store.duration", "s", "Calls of the session store")
        self._happened = meter.create_counter("sessions.events", "{event}", "What happened to sessions")
        self._commits = meter.create_counter("sessions.commits", "{commit}", "Changes that requests have stored")
        self._batches = meter.create_histogram("sessions.batch.jobs", "{job}", "Jobs in a batch of the store")
        self._ready = meter.create_gauge("sessions.store.ready", "1", "1 if the store has answered")
        self._sockets = meter.create_up_down_counter(
            "sessions.open_sockets", "{socket}", "WebSockets and event streams that end with their session"
        )
        self._backlog = meter.create_gauge("sessions.sweep.backlog", "{session}", "Expired sessions before a sweep")
        self._deleted = meter.create_counter("sessions.sweep.deleted", "{session}", "Expired sessions deleted")
        self._errors = meter.create_counter("sessions.sweep.errors", "{sweep}", "Sweeps that failed")
        self._sweeps = meter.create_histogram("sessions.sweep.duration", "s", "Sweeps of this process")

    def __call__(self, event: Event) -> None:
        """Take note of an event."""
        match event:
            case Load():
                self._span("session.load", event)
            case Commit():
                self._span("session.commit", event, **{"session.change": event.change})
                if event.outcome == "done":
                    self._commits.add(1, {"change": event.change})
            case StoreCall():
                self._store.record(event.seconds, {"verb": event.verb, "outcome": event.outcome})
            case Batch():
                self._batches.record(event.jobs, {"kind": event.kind})
            case SessionEvent():
                self._happened.add(1, {"event": event.name})
            case StoreReady():
                self._ready.set(int(event.is_ready))
            case Sockets():
                self._sockets.add(event.change)
            case Sweep():
                self._backlog.set(event.backlog)
                self._deleted.add(event.deleted)
                self._errors.add(int(event.failed))
                self._sweeps.record(event.seconds)

    def _span(self, name: str, event: Load | Commit, **attributes: str) -> None:
        """Make a span that ends now, as the event comes right after what it is about."""
        now = time.time_ns()
        started = now - int(event.seconds * NANOSECONDS)
        attributes["session.outcome"] = event.outcome
        span = self._tracer.start_span(name, kind=SpanKind.INTERNAL, attributes=attributes, start_time=started)
        if event.outcome in FAILED:
            span.set_status(StatusCode.ERROR, event.outcome)
        span.end(now)
