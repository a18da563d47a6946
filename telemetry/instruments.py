"""Every metric of this project: name, unit, buckets, help. The only place.

Names follow OpenTelemetry; `prometheus_name` gives what `/metrics` and the Collector export.
Facts that semantic conventions name (`process.*`, `hw.*`) keep those names; the domain and the
original script's four metrics are `mgeo.*` and `nvidia.gpu.memory.used`. Beside these the Flask
instrumentation exports `http.server.request.duration` and `http.server.active_requests`, which
generic dashboards look for; they begin when a thread takes the request.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from types import MappingProxyType
from typing import Literal

from opentelemetry.metrics import CallbackOptions, Histogram, Meter, Observation

Kind = Literal["counter", "up_down_counter", "histogram", "gauge"]

LATENCY_SECONDS = (
    0.001, 0.002, 0.003, 0.005, 0.0075, 0.01, 0.015, 0.02, 0.03, 0.05, 0.075,
    0.1, 0.15, 0.25, 0.5, 1.0, 2.0, 2.5, 5.0, 10.0,
)  # fmt: skip
"""From a cached or tiny-model answer (1 ms) to a client's patience (10 s).

Each threshold that an alert or SLO uses (0.25, 0.5, 2) is a bound, so that the share above it is
counted and never interpolated.
"""

PAIRS = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0)
"""Powers of two up to the largest batch request."""

SHIFTS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5)
"""From a difference of precision (int8 against fp32: up to .026) to one of opinion."""


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric as declared: what the code records, the docs list and the tests check.

    Attributes:
        name: OpenTelemetry name.
        kind: Instrument kind; gauges are read by callback at each collection.
        unit: UCUM unit (`s`, `By`, `1`) or an annotation (`{request}`).
        description: One sentence for people reading a panel.
        attributes: Attribute keys; every one is bounded in its values.
        buckets: Upper bounds in `unit`, for histograms.
    """

    name: str
    kind: Kind
    unit: str
    description: str
    attributes: tuple[str, ...] = ()
    buckets: tuple[float, ...] | None = None


REQUEST = Metric(
    "mgeo.request", "counter", "{request}",
    "Requests answered by the prediction listener, health checks left out.",
    ("method", "endpoint", "status"),
)  # fmt: skip
REQUEST_DURATION = Metric(
    "mgeo.request.duration", "histogram", "s",
    "Time from the request's arrival to its finished response, the wait for a thread included. "
    "`status_class` is 2xx, 4xx, ...: an error at once is no fast answer. `model_version` is "
    "absent where a request came to no model.",
    ("method", "endpoint", "status_class", "model_version"), LATENCY_SECONDS,
)  # fmt: skip
REQUESTS_INPROGRESS = Metric(
    "mgeo.requests.inprogress", "up_down_counter", "{request}",
    "Requests being worked on now.",
)  # fmt: skip
REQUEST_SAMPLED = Metric(
    "mgeo.request.sampled", "counter", "{request}",
    "Requests whose trace is kept: as many traces should arrive. Divided by all requests it is the "
    "share that is sampled.",
)  # fmt: skip
REQUEST_ADMITTED = Metric(
    "mgeo.request.admitted", "counter", "{request}",
    "Requests that came with an API key, by the key's name and how they ended (2xx, 4xx, ...); "
    "none where no keys are required.",
    ("key", "status_class"),
)  # fmt: skip
API_KEYS = Metric(
    "mgeo.api_keys", "gauge", "{key}",
    "API keys that are admitted; 0 lets nobody in. None where no keys are required.",
)  # fmt: skip
API_KEYS_UNREADABLE_AGE = Metric(
    "mgeo.api_keys.unreadable.age", "gauge", "s",
    "Time since which the file of API keys cannot be read; 0 while it can.",
)  # fmt: skip
REQUESTS_WAITING = Metric(
    "mgeo.requests.waiting", "gauge", "{request}",
    "Requests that have arrived and wait for a thread; further ones are refused with 429.",
)  # fmt: skip
CONNECTIONS = Metric(
    "mgeo.connections", "gauge", "{connection}",
    "Open connections of clients.",
)  # fmt: skip
CONNECTION_LIMIT = Metric(
    "mgeo.connection.limit", "gauge", "{connection}",
    "Connections that may be open at once.",
)  # fmt: skip
CONNECTION_CLOSED = Metric(
    "mgeo.connection.closed", "counter", "{connection}",
    "Connections that the service ended: silent for minutes (idle), its request trickling in "
    "(slow), or silent longest when all were in use (full).",
    ("reason",),
)  # fmt: skip
REQUEST_PROBLEM = Metric(
    "mgeo.request.problem", "counter", "{request}",
    "Requests answered with a problem, by the last part of its type: why 429, why 400.",
    ("problem",),
)  # fmt: skip
STAGE_DURATION = Metric(
    "mgeo.request.stage.duration", "histogram", "s",
    "Time in each stage of a request; the stages of a request add up to its duration.",
    ("stage", "model_version"), LATENCY_SECONDS,
)  # fmt: skip
PREDICTION = Metric(
    "mgeo.prediction", "counter", "{prediction}",
    "Pairs scored, by the label that won.",
    ("label", "model_version"),
)  # fmt: skip
PREDICTION_SIMILARITY = Metric(
    "mgeo.prediction.similarity", "counter", "{prediction}",
    "Pairs scored, by the tenth that their similarity is in, which ends at `upper`.",
    ("upper", "model_version"),
)  # fmt: skip
PREDICTION_FAILED = Metric(
    "mgeo.prediction.failed", "counter", "{pair}",
    "Pairs that the model failed on, also when they were tried alone.",
    ("model_version",),
)  # fmt: skip
INPUT_TRUNCATED = Metric(
    "mgeo.input.truncated", "counter", "{pair}",
    "Pairs longer than the model's input, scored on what fits.",
)  # fmt: skip
INPUT_UNREAD = Metric(
    "mgeo.input.unread", "counter", "{pair}",
    "Pairs with characters that the model does not know, scored on the rest.",
)  # fmt: skip
INPUT_REFUSED = Metric(
    "mgeo.input.refused", "counter", "{pair}",
    "Pairs that were not scored, also within a batch: a placeholder such as N/A for an address "
    "(not-an-address), mostly unknown characters (unreadable), or none at all (missing-fields).",
    ("problem",),
)  # fmt: skip
MATCH = Metric(
    "mgeo.match", "counter", "{address}",
    "Addresses looked for in the register: its best entry may be the place (match) or is not "
    "(no_match), or no entry shares anything with it (nothing_found).",
    ("answer",),
)  # fmt: skip
MATCH_CANDIDATES = Metric(
    "mgeo.match.candidates", "counter", "{pair}",
    "Entries of the register that the model has looked at.",
)  # fmt: skip
REGISTER_ENTRIES = Metric(
    "mgeo.register.entries", "gauge", "{entry}",
    "Entries of the register that answers; absent without MGEO_REGISTER.",
    ("register_version",),
)  # fmt: skip
REGISTER_UNREADABLE_AGE = Metric(
    "mgeo.register.unreadable.age", "gauge", "s",
    "Time since which the register's files cannot be read, so that the last one answers; 0 while "
    "they can. Absent without MGEO_REGISTER.",
)  # fmt: skip
CACHE_LOOKUP = Metric(
    "mgeo.cache.lookup", "counter", "{pair}",
    "Pairs asked for: answered from the cache (hit), by another request's computation that was "
    "under way (coalesced), or computed (miss).",
    ("result",),
)  # fmt: skip
CACHE_SIZE = Metric(
    "mgeo.cache.size", "gauge", "{pair}",
    "Results in the cache.",
)  # fmt: skip
BATCH_SIZE = Metric(
    "mgeo.batch.size", "histogram", "{pair}",
    "Pairs in one forward pass of the model.",
    ("model_version",), PAIRS,
)  # fmt: skip
BATCH_TOKENS = Metric(
    "mgeo.batch.tokens", "counter", "{token}",
    "Tokens computed: real ones, and the padding that a batch of unequal pairs costs.",
    ("kind", "model_version"),
)  # fmt: skip
BATCH_DURATION = Metric(
    "mgeo.batch.duration", "histogram", "s",
    "Time of one forward pass of the model.",
    ("model_version",), LATENCY_SECONDS,
)  # fmt: skip
BATCH_FAILED = Metric(
    "mgeo.batch.failed", "counter", "{batch}",
    "Forward passes that raised; what they held was tried again in smaller ones.",
    ("error_type", "model_version"),
)  # fmt: skip
BATCH_OUT_OF_MEMORY = Metric(
    "mgeo.batch.out_of_memory", "counter", "{event}",
    "Times that memory ran out in a forward pass.",
    ("model_version",),
)  # fmt: skip
BATCH_TOKEN_LIMIT = Metric(
    "mgeo.batch.token_limit", "gauge", "{token}",
    "Tokens that may be computed at once now; halved when memory runs out.",
)  # fmt: skip
QUEUE_DEPTH = Metric(
    "mgeo.queue.depth", "gauge", "{pair}",
    "Pairs waiting for the model that somebody waits for.",
)  # fmt: skip
QUEUE_LIMIT = Metric(
    "mgeo.queue.limit", "gauge", "{pair}",
    "Pairs that may wait before requests are refused with 429.",
)  # fmt: skip
QUEUE_TOKENS = Metric(
    "mgeo.queue.tokens", "gauge", "{token}",
    "Tokens of all pairs waiting for the model.",
)  # fmt: skip
QUEUE_TOKEN_LIMIT = Metric(
    "mgeo.queue.token_limit", "gauge", "{token}",
    "Tokens that may wait before requests are refused with 429.",
)  # fmt: skip
QUEUE_DROPPED = Metric(
    "mgeo.queue.dropped", "counter", "{pair}",
    "Pairs taken out of the queue uncomputed: nobody waited for them, or would at their end.",
)  # fmt: skip
QUEUE_OLDEST_AGE = Metric(
    "mgeo.queue.oldest_age", "gauge", "s",
    "Age of the pair that has waited longest; 0 when none waits.",
)  # fmt: skip
ENGINE_PROGRESS_AGE = Metric(
    "mgeo.engine.last_progress_age", "gauge", "s",
    "Time since the engine last took or finished a batch while it had work; 0 when idle.",
)  # fmt: skip
READY = Metric(
    "mgeo.ready", "gauge", "{instance}",
    "1 while the service takes predictions, 0 while it starts, drains or has failed.",
)  # fmt: skip
START_TIME = Metric(
    "mgeo.start_time", "gauge", "s",
    "When the process started, in seconds since 1970; another value is another process.",
)  # fmt: skip
MEMORY_LIMIT = Metric(
    "mgeo.memory.limit", "gauge", "By",
    "Memory that the process may use: its container's limit, or the machine's.",
)  # fmt: skip
MODEL_LOAD_DURATION = Metric(
    "mgeo.model.load.duration", "gauge", "s",
    "Time from the start of loading to the first warm forward pass.",
    ("model", "model_version", "backend", "device"),
)  # fmt: skip
MODEL_SHARE = Metric(
    "mgeo.model.share", "gauge", "1",
    "Share of the traffic that goes to each model by its weight, under the name that "
    "it is declared with (variant); a shadow's is 0.",
    ("variant", "model_version", "role"),
)  # fmt: skip
MODEL_CALIBRATION = Metric(
    "mgeo.model.calibration", "gauge", "1",
    "Share of the calibration list's pairs whose similarity, by each model, is in the tenth that "
    "ends at `upper`: what drift is measured from. Absent without MGEO_MODELS_FILE.",
    ("upper", "model_version"),
)  # fmt: skip
SHADOW_PREDICTION = Metric(
    "mgeo.shadow.prediction", "counter", "{prediction}",
    "Pairs that a shadow scored too: its label, and the label that was answered by which version.",
    ("model_version", "label", "against", "against_label"),
)  # fmt: skip
SHADOW_SHIFT = Metric(
    "mgeo.shadow.shift", "histogram", "1",
    "How far the similarity of a shadow is from the one that was answered.",
    ("model_version", "against"), SHIFTS,
)  # fmt: skip
SHADOW_DROPPED = Metric(
    "mgeo.shadow.dropped", "counter", "{pair}",
    "Pairs that a shadow was not shown: too many waited for the machine to be idle.",
    ("model_version",),
)  # fmt: skip
GPU_MEMORY_USED = Metric(
    "nvidia.gpu.memory.used", "gauge", "By",
    "GPU memory in use by all processes, from NVML.",
    ("gpu_id", "model"),
)  # fmt: skip
GPU_MEMORY_LIMIT = Metric(
    "hw.gpu.memory.limit", "gauge", "By",
    "GPU memory installed, from NVML.",
    ("gpu_id", "hw.id"),
)  # fmt: skip
GPU_UTILIZATION = Metric(
    "hw.gpu.utilization", "gauge", "1",
    "Share of the last sample period in which a kernel ran, from NVML.",
    ("gpu_id", "hw.id"),
)  # fmt: skip
GPU_TEMPERATURE = Metric(
    "hw.temperature", "gauge", "Cel",
    "GPU core temperature, from NVML.",
    ("gpu_id", "hw.id", "hw.type"),
)  # fmt: skip
GPU_POWER = Metric(
    "hw.power", "gauge", "W",
    "GPU board power draw, from NVML.",
    ("gpu_id", "hw.id", "hw.type"),
)  # fmt: skip
GPU_SAMPLE_AGE = Metric(
    "mgeo.gpu.sample_age", "gauge", "s",
    "Time since NVML last answered; absent where there is no NVML.",
)  # fmt: skip

METRICS: tuple[Metric, ...] = tuple(
    value for value in dict(globals()).values() if isinstance(value, Metric)
)
"""All of the above, in the order of their declaration."""

Series = tuple[float, dict[str, str]]
"""A gauge's value and the attributes that it belongs to."""

Observe = Callable[[], Iterable[Series]]
"""Reads all series of a gauge. Must not block."""

# Translation table of the OpenTelemetry-to-Prometheus compatibility specification.
_UNIT_SUFFIX = {"s": "_seconds", "By": "_bytes", "Cel": "_celsius", "W": "_watts"}


def prometheus_name(metric: Metric) -> str:
    """The base name under which Prometheus knows a metric (histograms add `_bucket` and so on)."""
    name = metric.name.replace(".", "_") + _UNIT_SUFFIX.get(metric.unit, "")
    if metric.unit == "1" and metric.kind == "gauge":
        name += "_ratio"
    return name + "_total" if metric.kind == "counter" else name


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
    """The instruments that code records into, created once from the declarations above."""

    def __init__(self, meter: Meter) -> None:
        self._meter = meter
        self.request = self._counter(REQUEST)
        self.request_duration = self._histogram(REQUEST_DURATION)
        self.requests_inprogress = self._counter(REQUESTS_INPROGRESS)
        self.stage_duration = self._histogram(STAGE_DURATION)
        self.prediction = self._counter(PREDICTION)
        self.input_truncated = self._counter(INPUT_TRUNCATED)
        self.input_unread = self._counter(INPUT_UNREAD)
        self.input_refused = self._counter(INPUT_REFUSED)
        self.match = self._counter(MATCH)
        self.match_candidates = self._counter(MATCH_CANDIDATES)
        self.cache_lookup = self._counter(CACHE_LOOKUP)
        self.batch_size = self._histogram(BATCH_SIZE)
        self.batch_tokens = self._counter(BATCH_TOKENS)
        self.batch_duration = self._histogram(BATCH_DURATION)
        self.batch_failed = self._counter(BATCH_FAILED)
        self.batch_out_of_memory = self._counter(BATCH_OUT_OF_MEMORY)
        self.prediction_failed = self._counter(PREDICTION_FAILED)
        self.prediction_similarity = self._counter(PREDICTION_SIMILARITY)
        self.shadow_prediction = self._counter(SHADOW_PREDICTION)
        self.shadow_shift = self._histogram(SHADOW_SHIFT)
        self.shadow_dropped = self._counter(SHADOW_DROPPED)
        self.queue_dropped = self._counter(QUEUE_DROPPED)
        self.connection_closed = self._counter(CONNECTION_CLOSED)
        self.request_admitted = self._counter(REQUEST_ADMITTED)
        self.request_sampled = self._counter(REQUEST_SAMPLED)
        self.request_problem = self._counter(REQUEST_PROBLEM)
        # From the start at zero: a rate over the first one is not missing where it began.
        self.request_sampled.add(0)
        self.input_truncated.add(0)
        self.input_unread.add(0)
        for problem in ("not-an-address", "unreadable", "missing-fields"):
            self.input_refused.add(0, {"problem": problem})
        for answer in ("match", "no_match", "nothing_found"):
            self.match.add(0, {"answer": answer})
        self.match_candidates.add(0)
        self.requests_inprogress.add(0)
        self.queue_dropped.add(0)
        for reason in ("idle", "slow", "full"):
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
        for kind in ("real", "padding"):
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
        tally = ObservedCounter(metric.name)
        create = {
            "counter": self._meter.create_observable_counter,
            "up_down_counter": self._meter.create_observable_up_down_counter,
        }[metric.kind]
        create(metric.name, [tally.read], metric.unit, metric.description)
        return tally

    def _histogram(self, metric: Metric) -> Histogram:
        return self._meter.create_histogram(
            metric.name,
            metric.unit,
            metric.description,
            explicit_bucket_boundaries_advisory=metric.buckets,
        )
