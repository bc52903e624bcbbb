"""The hook: what observers are called with while visitors come, and what the two of ours make of it."""

import asyncio
import subprocess
import sys
from collections.abc import Awaitable, Callable
from typing import Any

import prometheus_client
import pytest
from opentelemetry import context, trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode
from prometheus_client import CollectorRegistry, generate_latest

from sessions.errors import StoreError, StoreUnavailable
from sessions.formats.signing import fingerprint
from sessions.observe import (
    Batch,
    Commit,
    Event,
    Load,
    OpenTelemetryObserver,
    PrometheusObserver,
    SessionEvent,
    Sockets,
    StoreCall,
    StoreReady,
    Sweep,
    numbers,
)

from .talks import NEVER, opened, talk, until
from .world import Page, Site, count, logout, show, visit

Serve = Callable[..., Awaitable[Site]]

USER = "a-user-whom-no-label-may-name"


async def sign_in(handler: Any) -> str:
    """A login."""
    await handler.sign_in(USER)
    return "in"


def registered() -> tuple[CollectorRegistry, PrometheusObserver]:
    """A registry, and the observer that fills it."""
    registry = CollectorRegistry()
    return registry, PrometheusObserver(registry)


class TestEvents:
    """What happens is an event."""

    async def test_a_visit_is_a_commit_of_store_calls(self, serve: Serve) -> None:
        """The first one creates, the next one loads and updates."""
        events: list[Event] = []
        site = await serve(count, observer=events.append)
        browser = site.browser()

        await browser.fetch()
        first = [type(event).__name__ for event in events]
        del events[:]
        await browser.fetch()

        calls = [(event.verb, event.outcome) for event in events if isinstance(event, StoreCall)]
        assert first == ["StoreReady", "StoreCall", "SessionEvent", "Commit"]
        assert calls == [("get", "found"), ("update", "saved")]
        assert [event.outcome for event in events if isinstance(event, Load)] == ["found"]
        assert [(each.change, each.outcome) for each in events if isinstance(each, Commit)] == [("update", "done")]

    async def test_an_id_that_has_ended_is_a_load_of_nothing(self, serve: Serve) -> None:
        """And an event with the fingerprint of the id."""
        events: list[Event] = []
        site = await serve({"/visit": visit, "/show": show}, observer=events.append)
        browser = site.browser()
        await browser.fetch("/visit")
        await site.store.inner.destroy(str(browser.sid))
        del events[:]

        await browser.fetch("/show")

        (load,) = (event for event in events if isinstance(event, Load))
        assert load.outcome == "over"
        assert SessionEvent("session_use_after_expire", None, fingerprint(str(browser.sid))) in events

    async def test_a_page_that_changes_nothing_commits_nothing(self, serve: Serve) -> None:
        """It has loaded all the same."""
        events: list[Event] = []
        site = await serve({"/visit": visit, "/show": show}, observer=events.append)
        browser = site.browser()
        await browser.fetch("/visit")
        del events[:]

        await browser.fetch("/show")

        assert [type(event).__name__ for event in events] == ["StoreCall", "Load"]

    @pytest.mark.parametrize(
        ("error", "outcome"), [(StoreUnavailable("away"), "unavailable"), (StoreError("broken"), "error")]
    )
    async def test_a_store_that_fails_is_an_outcome(self, serve: Serve, error: Exception, outcome: str) -> None:
        """Of the call, and of the load."""
        events: list[Event] = []
        site = await serve({"/visit": visit, "/show": show}, observer=events.append)
        browser = site.browser()
        await browser.fetch("/visit")
        del events[:]
        site.store.fail(error, "get")

        await browser.fetch("/show")

        assert {event.outcome for event in events if isinstance(event, StoreCall | Load)} == {outcome}

    async def test_a_call_that_is_cut_off_is_cancelled(self, serve: Serve) -> None:
        """And the load finds the store unavailable: it was too slow."""
        events: list[Event] = []
        site = await serve({"/visit": visit, "/show": show}, observer=events.append)
        browser = site.browser()
        await browser.fetch("/visit")
        gate = site.store.hold("get")
        page = asyncio.create_task(browser.fetch("/show"))
        await gate.reached()
        del events[:]

        site.cut_off()
        await page

        (call,) = (event for event in events if isinstance(event, StoreCall))
        (load,) = (event for event in events if isinstance(event, Load))
        assert (call.outcome, load.outcome) == ("cancelled", "unavailable")

    async def test_a_store_that_is_away_and_back_is_reported_once_each(self, serve: Serve) -> None:
        """However many calls find it so."""
        events: list[Event] = []
        site = await serve({"/visit": visit, "/show": show}, observer=events.append)
        browser = site.browser()
        await browser.fetch("/visit")
        for _ in range(2):
            site.store.fail_once(StoreUnavailable("away"), "get")
            await browser.fetch("/show")

        await browser.fetch("/show")

        assert [event.is_ready for event in events if isinstance(event, StoreReady)] == [True, False, True]

    async def test_several_observers_are_all_called(self, serve: Serve) -> None:
        """In their order; what one of them raises harms no other."""
        one: list[Event] = []
        other: list[Event] = []

        def broken(event: Event) -> None:
            raise RuntimeError(f"cannot take {type(event).__name__}")

        site = await serve(visit, observer=[one.append, broken, other.append])

        response = await site.browser().fetch()

        assert response.text == "visited"
        assert one == other
        assert one

    @pytest.mark.parametrize("kind", ["sqlite", "redis_itself", "postgres"], indirect=True)
    async def test_a_batch_has_its_kind_and_its_jobs(self, serve: Serve) -> None:
        """Of a store that performs in batches."""
        events: list[Event] = []
        site = await serve(count, observer=events.append)
        browser = site.browser()
        await browser.fetch()

        await browser.fetch()

        assert [(each.kind, each.jobs) for each in events if isinstance(each, Batch)] == [
            ("write", 1),
            ("read", 1),
            ("write", 1),
        ]


class TestSockets:
    """Open sockets are counted, however they end."""

    @pytest.mark.parametrize("path", ["/logout", "/confirm", None])
    async def test_a_socket_is_counted_until_it_ends(self, serve: Serve, path: str | None) -> None:
        """With its session, or before it; one that goes on under another id is the same one."""
        changes: list[int] = []

        def note(event: Event) -> None:
            if isinstance(event, Sockets):
                changes.append(event.change)

        site, browser, socket = await opened(serve, observer=note, watch_interval=NEVER)
        other = await talk(site, browser)
        at_first = sum(changes)

        if path is not None:
            await browser.fetch(path)
        left = sum(changes)
        await socket.close()

        await until(lambda: sum(changes) == (0 if path == "/logout" else 1))
        assert (at_first, left) == (2, 0 if path == "/logout" else 2)
        await other.close()

    async def test_sockets_are_counted_no_more_when_the_manager_closes(self, serve: Serve) -> None:
        """As the server does at its end, while they are still open."""
        changes: list[int] = []

        def note(event: Event) -> None:
            if isinstance(event, Sockets):
                changes.append(event.change)

        site, _, socket = await opened(serve, observer=note, watch_interval=NEVER)

        await site.manager.close()

        await socket.close()
        assert changes == [1, -1]


class TestCheck:
    """`SessionManager.check_store`."""

    async def test_it_asks_the_store(self, serve: Serve) -> None:
        """And reports what it has found each time, changed or not."""
        events: list[Event] = []
        site = await serve(visit, observer=events.append)

        found = [await site.manager.check_store()]
        site.store.fail_once(StoreUnavailable("away"), "get")
        found.append(await site.manager.check_store())
        found.append(await site.manager.check_store())

        assert found == [True, False, True]
        assert [event.is_ready for event in events if isinstance(event, StoreReady)][-1] is True

    async def test_a_store_that_is_too_slow_is_away(self, serve: Serve) -> None:
        """For longer than `storeTimeout`."""
        site = await serve(visit)
        gate = site.store.hold("get")
        check = asyncio.create_task(site.manager.check_store())
        await gate.reached()

        site.cut_off()

        assert await check is False


class TestPrometheus:
    """PrometheusObserver."""

    async def test_visits_are_counted_and_timed(self, serve: Serve) -> None:
        """By verb and outcome, by change, by event."""
        registry, observer = registered()
        site = await serve({"/count": count, "/out": logout}, observer=observer)
        browser = site.browser()

        for path in ("/count", "/count", "/count", "/out"):
            await browser.fetch(path)

        def value(name: str, **labels: str) -> float | None:
            return registry.get_sample_value(name, labels)

        assert value("sessions_store_seconds_count", verb="get", outcome="found") == 3
        assert value("sessions_store_seconds_count", verb="create", outcome="saved") == 1
        assert value("sessions_commits_total", change="create") == 1
        assert value("sessions_commits_total", change="update") == 2
        assert value("sessions_events_total", event="session_created") == 1
        assert value("sessions_events_total", event="session_destroyed") == 1
        assert value("sessions_events_total", event="session_tampered") == 0
        assert value("sessions_store_ready") == 1

    async def test_no_label_names_a_user_or_a_session(self, serve: Serve) -> None:
        """Neither an id nor a fingerprint: a label with many values is a leak, and it fills Prometheus."""
        registry, observer = registered()
        site = await serve({"/in": sign_in, "/out": logout}, observer=observer, user_key="user")
        browser = site.browser()
        await browser.fetch("/in")
        sid = str(browser.sid)
        await site.manager.revoke_all(USER)

        text = generate_latest(registry).decode()

        assert 'sessions_events_total{event="signed_in"} 1.0' in text
        assert 'sessions_events_total{event="revoked"} 1.0' in text
        assert [each for each in (USER, sid, fingerprint(sid)) if each in text] == []

    async def test_sweeps_sockets_and_readiness_are_metrics(self) -> None:
        """As their events say."""
        registry, observer = registered()

        for event in (
            Sweep(backlog=7, deleted=5, failed=False, seconds=2.0),
            Sweep(backlog=3, deleted=0, failed=True, seconds=1.0),
            Sockets(3),
            Sockets(-1),
            StoreReady(is_ready=False),
            Batch("write", 3),
        ):
            observer(event)

        names = (
            "sessions_sweep_backlog", "sessions_sweep_deleted_total", "sessions_sweep_errors_total",
            "sessions_sweep_seconds_sum", "sessions_open_sockets", "sessions_store_ready",
        )  # fmt: skip
        assert [registry.get_sample_value(name) for name in names] == [3, 5, 1, 3, 2, 0]
        assert registry.get_sample_value("sessions_batch_jobs_bucket", {"kind": "write", "le": "4.0"}) == 1


class TestNumbers:
    """The counters and histograms of one process are, to a registry, those of prometheus-client."""

    def test_prometheus_reads_the_same(self) -> None:
        """Amounts between, at and beyond the bounds, under several labels."""
        texts = []
        for kind in (numbers, prometheus_client):
            metrics: Any = kind
            registry = CollectorRegistry()
            times = metrics.Histogram(
                "times", "How long", ["verb", "outcome"], registry=registry, buckets=(0.5, 1, 2.5)
            )
            times.labels("set", "done")
            for amount in (0.25, 0.5, 0.75, 1, 2, 2.5, 64):
                times.labels("get", "found").observe(amount)
            events = metrics.Counter("events", "What happened", ["event"], registry=registry)
            events.labels("none")
            for _ in range(3):
                events.labels("some").inc()
            texts.append(generate_latest(registry).decode())

        ours, theirs = ([line for line in text.splitlines() if "_created" not in line] for text in texts)
        assert ours == theirs
        assert 'times_bucket{le="1.0",outcome="found",verb="get"} 4.0' in ours

    def test_a_registry_takes_one_observer(self) -> None:
        """A second one would count beside the first."""
        registry, _ = registered()

        with pytest.raises(ValueError, match="Duplicated timeseries"):
            PrometheusObserver(registry)


class TestOpenTelemetry:
    """OpenTelemetryObserver."""

    async def test_a_request_has_spans_of_its_load_and_its_commit(self, serve: Serve) -> None:
        """As children of the span that the application is in, with what became of them."""
        exporter, provider = InMemorySpanExporter(), TracerProvider()
        provider.add_span_processor(SimpleSpanProcessor(exporter))

        class Traced(Page):
            """A page in a span of the application's own."""

            async def prepare(self) -> None:
                self.span = provider.get_tracer("the application").start_span("request")
                context.attach(trace.set_span_in_context(self.span))
                await super().prepare()

            def on_finish(self) -> None:
                self.span.end()

        site = await serve({"/": (Traced, count)}, observer=OpenTelemetryObserver(provider))
        browser = site.browser()
        await browser.fetch("/")
        exporter.clear()

        await browser.fetch("/")

        spans = {span.name: span for span in exporter.get_finished_spans()}
        request = spans.pop("request")
        assert {name: dict(span.attributes or {}) for name, span in spans.items()} == {
            "session.load": {"session.outcome": "found"},
            "session.commit": {"session.change": "update", "session.outcome": "done"},
        }
        assert {span.parent and span.parent.span_id for span in spans.values()} == {request.context.span_id}
        assert all(
            (request.start_time or 0) <= (span.start_time or 0) <= (span.end_time or 0) for span in spans.values()
        )

    async def test_a_store_that_is_away_is_a_span_of_an_error(self, serve: Serve) -> None:
        """Its status says so, and no text of an exception."""
        exporter, provider = InMemorySpanExporter(), TracerProvider()
        provider.add_span_processor(SimpleSpanProcessor(exporter))
        site = await serve(visit, observer=OpenTelemetryObserver(provider))
        site.store.fail(StoreUnavailable("away"))

        await site.browser().fetch()

        (span,) = exporter.get_finished_spans()
        assert (span.name, span.status.status_code, span.status.description) == (
            "session.commit",
            StatusCode.ERROR,
            "unavailable",
        )

    async def test_no_attribute_names_a_user_or_a_session(self, serve: Serve) -> None:
        """In the metrics of a sign-in and of a revocation."""
        reader = InMemoryMetricReader()
        observer = OpenTelemetryObserver(meter_provider=MeterProvider([reader]))
        site = await serve(sign_in, observer=observer, user_key="user")
        browser = site.browser()
        await browser.fetch()
        await site.manager.revoke_all(USER)
        for event in (
            Sweep(backlog=7, deleted=5, failed=False, seconds=2.0),
            Sockets(1),
            Batch("read", 2),
            Commit("update", "done", 0.1),
        ):
            observer(event)

        data = reader.get_metrics_data()

        text, sid = "" if data is None else data.to_json(), str(browser.sid)
        assert [name for name in OTEL_METRICS if f'"name": "{name}"' not in text] == []
        assert [each for each in (USER, sid, fingerprint(sid)) if each in text] == []


OTEL_METRICS = (
    "sessions.store.duration", "sessions.events", "sessions.commits", "sessions.batch.jobs", "sessions.store.ready",
    "sessions.open_sockets", "sessions.sweep.backlog", "sessions.sweep.deleted", "sessions.sweep.errors",
    "sessions.sweep.duration",
)  # fmt: skip


def test_an_observer_without_its_package_says_what_to_install() -> None:
    """At the import, with the extra that has it."""
    code = "import sys; sys.modules['prometheus_client'] = None; from sessions.observe import PrometheusObserver"

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)

    assert done.stderr.endswith(
        "ImportError: PrometheusObserver needs a package: pip install 'tornado-express-sessions[metrics]'\n"
    )
