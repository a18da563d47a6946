"""Every metric of this project: name, unit, buckets, help. The only place; what the attributes mean
is in `conventions.py`.

Names follow OpenTelemetry; `prometheus_name` gives what `/metrics` and the Collector export.
Facts that semantic conventions name (`process.*`, `hw.*`) keep those names; the domain and the
original script's four metrics are `mgeo.*` and `nvidia.gpu.memory.used`. Beside these the Flask
instrumentation exports `http.server.request.duration` and `http.server.active_requests`, which
generic dashboards look for; they begin when a thread takes the request.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal

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
        conditions: Attributes that are not always there, and when they are.
        is_stable: Whether name, unit and attributes are a promise: those of the original script.
    """

    name: str
    kind: Kind
    unit: str
    description: str
    attributes: tuple[str, ...] = ()
    buckets: tuple[float, ...] | None = None
    conditions: Mapping[str, str] = field(default_factory=dict, hash=False)
    is_stable: bool = False


_OF_A_MODEL = {"model_version": "the request came to a model"}

REQUEST = Metric(
    "mgeo.request", "counter", "{request}",
    "Requests answered by the prediction listener, without health checks.",
    ("method", "endpoint", "status"), is_stable=True,
)  # fmt: skip
REQUEST_DURATION = Metric(
    "mgeo.request.duration", "histogram", "s",
    "Time from the request's arrival to its finished response, the wait for a thread included. "
    "`status_class` is 2xx, 4xx, ...: an error at once is no fast answer. `model_version` is "
    "absent where a request came to no model.",
    ("method", "endpoint", "status_class", "model_version"), LATENCY_SECONDS,
    _OF_A_MODEL, is_stable=True,
)  # fmt: skip
REQUESTS_INPROGRESS = Metric(
    "mgeo.requests.inprogress", "up_down_counter", "{request}",
    "Requests being worked on now.", is_stable=True,
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
    "API keys that are admitted; 0 admits nobody. Absent if no keys are required.",
)  # fmt: skip
API_KEYS_UNREADABLE_AGE = Metric(
    "mgeo.api_keys.unreadable.age", "gauge", "s",
    "Time for which the file of API keys has been unreadable; 0 while it can be read.",
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
    ("stage", "model_version"), LATENCY_SECONDS, _OF_A_MODEL,
)  # fmt: skip
PREDICTION = Metric(
    "mgeo.prediction", "counter", "{prediction}",
    "Pairs scored, by their label.",
    ("label", "model_version"),
)  # fmt: skip
PREDICTION_SIMILARITY = Metric(
    "mgeo.prediction.similarity", "counter", "{prediction}",
    "Pairs scored, by tenths of similarity; `upper` is the end of the tenth.",
    ("upper", "model_version"),
)  # fmt: skip
PREDICTION_FAILED = Metric(
    "mgeo.prediction.failed", "counter", "{pair}",
    "Pairs on which the model failed even when they were tried alone.",
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
    "Entries of the register that the model has compared.",
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
    "Forward passes that failed; their pairs were tried again in smaller batches.",
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
    "Pairs waiting for the model whose client still waits.",
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
    "Pairs dropped from the queue because the client had gone or the deadline would be missed.",
)  # fmt: skip
QUEUE_OLDEST_AGE = Metric(
    "mgeo.queue.oldest_age", "gauge", "s",
    "Age of the pair that has waited longest; 0 when none waits.",
)  # fmt: skip
ENGINE_PROGRESS_AGE = Metric(
    "mgeo.engine.last_progress_age", "gauge", "s",
    "Time since the engine last began or finished a batch while work waits; 0 when idle.",
)  # fmt: skip
READY = Metric(
    "mgeo.ready", "gauge", "{instance}",
    "1 while the service takes predictions, 0 while it starts, drains or has failed.",
)  # fmt: skip
START_TIME = Metric(
    "mgeo.start_time", "gauge", "s",
    "Start of the process, in seconds since 1970; another value means another process.",
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
    "Pairs scored by a shadow too: its label, and the label and version of the answer.",
    ("model_version", "label", "against", "against_label"),
)  # fmt: skip
SHADOW_SHIFT = Metric(
    "mgeo.shadow.shift", "histogram", "1",
    "Distance of a shadow's similarity from that of the answer.",
    ("model_version", "against"), SHIFTS,
)  # fmt: skip
SHADOW_DROPPED = Metric(
    "mgeo.shadow.dropped", "counter", "{pair}",
    "Pairs that a shadow did not get, because too many waited for the machine to be idle.",
    ("model_version",),
)  # fmt: skip
GPU_MEMORY_USED = Metric(
    "nvidia.gpu.memory.used", "gauge", "By",
    "GPU memory in use by all processes, from NVML.",
    ("gpu_id", "model"), is_stable=True,
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
