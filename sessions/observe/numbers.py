"""Owns counters and histograms that are plain numbers of one process: to count takes less than prometheus-client's do.

They are counted in one thread, and read in any. Several processes need the library's own, which count in its files.
This file must not know what is counted.
"""

from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from itertools import accumulate
from typing import Any, Generic, TypeVar

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily
from prometheus_client.utils import floatToGoString

Kept = TypeVar("Kept", bound="Count | Amounts")


class Count:
    """What a counter has under one set of label values."""

    def __init__(self) -> None:
        self.value: int = 0

    def inc(self) -> None:
        """Count one more."""
        self.value += 1

    def give(self, family: CounterMetricFamily, labels: Sequence[str]) -> None:
        """Add the value to what a registry gets."""
        family.add_metric(labels, self.value)


class Amounts:
    """What a histogram has under one set of label values."""

    def __init__(self, bounds: Sequence[float]) -> None:
        self._bounds = bounds
        self._counts = [0] * (len(bounds) + 1)
        self._sum: float = 0

    def observe(self, amount: float) -> None:
        """Count an amount in the bucket of the first bound that is not below it."""
        self._counts[bisect_left(self._bounds, amount)] += 1
        self._sum += amount

    def give(self, family: HistogramMetricFamily, labels: Sequence[str]) -> None:
        """Add to what a registry gets how many amounts are not above each bound."""
        bounds = map(floatToGoString, (*self._bounds, float("inf")))
        family.add_metric(labels, list(zip(bounds, accumulate(self._counts), strict=True)), self._sum)


class _Metric(Generic[Kept]):
    """Numbers by label values, which a registry collects."""

    def __init__(self, family: Callable[[], Any], made: Callable[[], Kept], registry: CollectorRegistry) -> None:
        self._family = family
        self._made = made
        self._kept: dict[tuple[str, ...], Kept] = {}
        registry.register(self)

    def labels(self, *values: str) -> Kept:
        """Return the numbers under these label values."""
        return self._kept.setdefault(values, self._made())

    def describe(self) -> Iterator[Any]:
        """Say the name, of which a registry takes each once."""
        yield self._family()

    def collect(self) -> Iterator[Any]:
        """Give a registry the numbers."""
        family = self._family()
        for values, kept in list(self._kept.items()):
            kept.give(family, values)
        yield family


class Counter(_Metric[Count]):
    """Made and used as prometheus-client's class of that name."""

    def __init__(self, name: str, documentation: str, labelnames: Sequence[str], registry: CollectorRegistry) -> None:
        super().__init__(lambda: CounterMetricFamily(name, documentation, labels=labelnames), Count, registry)


class Histogram(_Metric[Amounts]):
    """Made and used as prometheus-client's class of that name."""

    def __init__(
        self,
        name: str,
        documentation: str,
        labelnames: Sequence[str],
        registry: CollectorRegistry,
        buckets: Sequence[float],
    ) -> None:
        super().__init__(
            lambda: HistogramMetricFamily(name, documentation, labels=labelnames), lambda: Amounts(buckets), registry
        )
