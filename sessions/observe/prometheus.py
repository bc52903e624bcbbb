"""Owns the metrics for Prometheus. No label has an id, a fingerprint or a user: each label has few values, all ours.

In several processes prometheus-client keeps the metrics in files, in the folder that PROMETHEUS_MULTIPROC_DIR names
before it is imported. A gauge says what its own process has seen, and those of dead processes do not count.
"""

from functools import cache
from typing import Any, ClassVar

import prometheus_client
from prometheus_client import REGISTRY, CollectorRegistry, Counter, Gauge, Summary
from prometheus_client.values import MutexValue, ValueClass

from . import events, numbers
from .events import Batch, Commit, Event, Load, SessionEvent, Sockets, StoreCall, StoreReady, Sweep

SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5)
"""The buckets of a store's calls: from a read of SQLite to `storeTimeout`."""

JOBS = (1, 2, 4, 8, 16, 32, 64, 128, 256)
"""The buckets of batches, up to the largest (stores/batching.py)."""

NAMES = [name for key, name in vars(events).items() if key.isupper() and isinstance(name, str)]
CHANGES = ("create", "update", "touch", "destroy")


class PrometheusObserver:
    """Counts and times what happens, in a registry of prometheus-client.

    One observer serves all managers and sweepers of a process: a registry takes each metric once.
    """

    ignores: ClassVar[tuple[type[Event], ...]] = (Load,)  # its time is that of the store's calls

    def __init__(self, registry: CollectorRegistry = REGISTRY) -> None:
        metrics: Any = numbers if ValueClass is MutexValue else prometheus_client  # in several processes the library's
        store = metrics.Histogram(
            "sessions_store_seconds",
            "Calls of the session store",
            ["verb", "outcome"],
            registry=registry,
            buckets=SECONDS,
        )
        happened = metrics.Counter("sessions_events", "What happened to sessions", ["event"], registry=registry)
        commits = metrics.Counter(
            "sessions_commits", "Changes that requests have stored", ["change"], registry=registry
        )
        batches = metrics.Histogram(
            "sessions_batch_jobs", "Jobs in a batch of the store", ["kind"], buckets=JOBS, registry=registry
        )
        self._store = cache(lambda verb, outcome: store.labels(verb, outcome).observe)
        self._happened = {name: happened.labels(name).inc for name in NAMES}  # a rate needs the zero before the first
        self._committed = {change: commits.labels(change).inc for change in CHANGES}
        self._batches = {kind: batches.labels(kind).observe for kind in ("read", "write")}
        self._ready = Gauge(
            "sessions_store_ready", "1 if the store has answered", multiprocess_mode="livemostrecent", registry=registry
        )
        self._sockets = Gauge(
            "sessions_open_sockets",
            "WebSockets and event streams that end with their session",
            multiprocess_mode="livesum",
            registry=registry,
        )
        self._backlog = Gauge(
            "sessions_sweep_backlog",
            "Expired sessions that waited for the last sweep, up to 10,000",
            multiprocess_mode="livemostrecent",
            registry=registry,
        )
        self._deleted = Counter("sessions_sweep_deleted", "Expired sessions that were deleted", registry=registry)
        self._errors = Counter("sessions_sweep_errors", "Sweeps that failed", registry=registry)
        self._sweeps = Summary("sessions_sweep_seconds", "Sweeps of this process", registry=registry)

    def __call__(self, event: Event) -> None:
        """Take note of an event."""
        match event:
            case StoreCall():
                self._store(event.verb, event.outcome)(event.seconds)
            case Batch():
                self._batches[event.kind](event.jobs)
            case Commit(outcome="done"):
                self._committed[event.change]()
            case SessionEvent():
                self._happened[event.name]()
            case StoreReady():
                self._ready.set(event.is_ready)
            case Sockets():
                self._sockets.inc(event.change)
            case Sweep():
                self._backlog.set(event.backlog)
                self._deleted.inc(event.deleted)
                self._errors.inc(event.failed)
                self._sweeps.observe(event.seconds)
