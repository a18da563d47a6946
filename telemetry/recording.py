"""The instruments that code records into, made from the declarations of `instruments.py`."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import product
from types import MappingProxyType

from opentelemetry.metrics import CallbackOptions, Histogram, Meter, Observation

from telemetry import instruments as metrics
from telemetry.conventions import ATTRIBUTES
from telemetry.instruments import Metric, Observe


class ObservedCounter:
    """A counter, or an up-down counter, that is read at each collection.

    The SDK's own hashes the attributes and looks for an exemplar at each call, once for each
    reader: 16 microseconds, and a request has seven. This takes 1 (`python -m
    benchmarks.instruments`). It has no exemplars; those of the latency histograms lead to the same
    traces.

    Attributes:
        name: Of the metric.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self._lock = threading.Lock()
        self._counts: dict[frozenset[tuple[str, str]], float] = {}

    def add(self, amount: float, attributes: Mapping[str, str] = MappingProxyType({})) -> None:
        """Count. From the first call on the series exists, even when `amount` is 0."""
        key = frozenset(attributes.items())
        with self._lock:
            self._counts[key] = self._counts.get(key, 0) + amount

    def read(self, _: CallbackOptions) -> list[Observation]:
        """The sums so far."""
        with self._lock:
            counts = list(self._counts.items())
        return [Observation(count, dict(attributes)) for attributes, count in counts]


class Instruments:
    """The instruments that code records into, created once."""

    def __init__(self, meter: Meter) -> None:
        self._meter = meter
        self.request = self._counter(metrics.REQUEST)
        self.request_duration = self._histogram(metrics.REQUEST_DURATION)
        self.requests_inprogress = self._counter(metrics.REQUESTS_INPROGRESS)
        self.stage_duration = self._histogram(metrics.STAGE_DURATION)
        self.prediction = self._counter(metrics.PREDICTION)
        self.input_truncated = self._counter(metrics.INPUT_TRUNCATED)
        self.input_unread = self._counter(metrics.INPUT_UNREAD)
        self.input_refused = self._counter(metrics.INPUT_REFUSED)
        self.match = self._counter(metrics.MATCH)
        self.match_candidates = self._counter(metrics.MATCH_CANDIDATES)
        self.cache_lookup = self._counter(metrics.CACHE_LOOKUP)
        self.batch_size = self._histogram(metrics.BATCH_SIZE)
        self.batch_tokens = self._counter(metrics.BATCH_TOKENS)
        self.batch_duration = self._histogram(metrics.BATCH_DURATION)
        self.batch_failed = self._counter(metrics.BATCH_FAILED)
        self.batch_out_of_memory = self._counter(metrics.BATCH_OUT_OF_MEMORY)
        self.prediction_failed = self._counter(metrics.PREDICTION_FAILED)
        self.prediction_similarity = self._counter(metrics.PREDICTION_SIMILARITY)
        self.shadow_prediction = self._counter(metrics.SHADOW_PREDICTION)
        self.shadow_shift = self._histogram(metrics.SHADOW_SHIFT)
        self.shadow_dropped = self._counter(metrics.SHADOW_DROPPED)
        self.queue_dropped = self._counter(metrics.QUEUE_DROPPED)
        self.connection_closed = self._counter(metrics.CONNECTION_CLOSED)
        self.request_admitted = self._counter(metrics.REQUEST_ADMITTED)
        self.request_sampled = self._counter(metrics.REQUEST_SAMPLED)
        self.request_problem = self._counter(metrics.REQUEST_PROBLEM)
        # Series begin at 0, so that rate() sees the first increment.
        self.request_sampled.add(0)
        self.input_truncated.add(0)
        self.input_unread.add(0)
        for problem in ("not-an-address", "unreadable", "missing-fields"):
            self.input_refused.add(0, {"problem": problem})
        for answer in ATTRIBUTES["answer"].members:
            self.match.add(0, {"answer": answer})
        self.match_candidates.add(0)
        self.requests_inprogress.add(0)
        self.queue_dropped.add(0)
        for reason in ATTRIBUTES["reason"].members:
            self.connection_closed.add(0, {"reason": reason})

    def loaded(self, model_version: str, labels: Iterable[str], uppers: Iterable[str]) -> None:
        """Begin the series of a version that was loaded, likewise at zero."""
        of_version = {"model_version": model_version}
        for label in labels:
            self.prediction.add(0, {"label": label, **of_version})
        for upper in uppers:
            self.prediction_similarity.add(0, {"upper": upper, **of_version})
        self.prediction_failed.add(0, of_version)
        self.batch_out_of_memory.add(0, of_version)
        for kind in ATTRIBUTES["kind"].members:
            self.batch_tokens.add(0, {"kind": kind, **of_version})

    def compares(self, model_version: str, against: str, labels: Sequence[str]) -> None:
        """Begin the series of a shadow and a version that answers, likewise."""
        self.shadow_dropped.add(0, {"model_version": model_version})
        for label, other in product(labels, repeat=2):
            self.shadow_prediction.add(
                0,
                {
                    "model_version": model_version,
                    "label": label,
                    "against": against,
                    "against_label": other,
                },
            )

    def observe(self, metric: Metric, read: Observe) -> None:
        """Have `metric` read by `read` at each collection; a read that raises skips one sample."""

        def callback(_: CallbackOptions) -> Iterable[Observation]:
            # As a float: over a bool, or a number of numpy's, the OTLP exporter fails with all
            # metrics.
            return [Observation(float(value), attributes) for value, attributes in read()]

        self._meter.create_observable_gauge(
            metric.name, [callback], metric.unit, metric.description
        )

    def observe_value(self, metric: Metric, read: Callable[[], float]) -> None:
        """Have a metric of a single series read by `read` at each collection."""
        self.observe(metric, lambda: [(read(), {})])

    def _counter(self, metric: Metric) -> ObservedCounter:
        counter = ObservedCounter(metric.name)
        create = {
            "counter": self._meter.create_observable_counter,
            "up_down_counter": self._meter.create_observable_up_down_counter,
        }[metric.kind]
        create(metric.name, [counter.read], metric.unit, metric.description)
        return counter

    def _histogram(self, metric: Metric) -> Histogram:
        return self._meter.create_histogram(
            metric.name,
            metric.unit,
            metric.description,
            explicit_bucket_boundaries_advisory=metric.buckets,
        )
