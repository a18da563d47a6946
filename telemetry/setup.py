"""Builds the OpenTelemetry providers from the standard `OTEL_*` variables, and shuts them down.

With `OTEL_EXPORTER_OTLP_ENDPOINT` set, traces, metrics and logs are pushed by OTLP over gRPC.
Without it nothing is pushed, and then nothing is sampled either: an exemplar on `/metrics` must
never name a trace that nobody has.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from typing import Literal

from opentelemetry.instrumentation.system_metrics import SystemMetricsInstrumentor
from opentelemetry.metrics import Meter
from opentelemetry.sdk._logs import LogRecordLimits, LogRecordProcessor, ReadWriteLogRecord
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
from opentelemetry.sdk.environment_variables import (
    OTEL_SDK_DISABLED,
    OTEL_TRACES_SAMPLER,
    OTEL_TRACES_SAMPLER_ARG,
)
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import MetricReader, PeriodicExportingMetricReader
from opentelemetry.sdk.metrics.view import ExplicitBucketHistogramAggregation, View
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import Tracer
from typing_extensions import override

from telemetry.gpu import GpuSampler
from telemetry.instruments import LATENCY_SECONDS, Instruments
from telemetry.logs import DiscreetHandler, exported
from telemetry.prometheus import PrometheusEndpoint
from telemetry.spans import StageSpans

log = logging.getLogger(__name__)

Signal = Literal["traces", "metrics", "logs"]

DEFAULTS = {
    # The HTTP semantic conventions, stable names. Read once, when the instrumentation is imported.
    "OTEL_SEMCONV_STABILITY_OPT_IN": "http",
    # A scrape interval, so that pushed and scraped metrics are equally fresh (the SDK's is 60 s).
    "OTEL_METRIC_EXPORT_INTERVAL": "15000",
    # Seconds, in this SDK (the specification says milliseconds; read in its gRPC exporter): what a
    # dead Collector may cost at shutdown (the SDK's default is 10 s).
    "OTEL_EXPORTER_OTLP_TIMEOUT": "3",
    # How long spans and log lines wait, in the background, for a Collector that is away. With 3 s
    # a restart of the Collector in 10 s lost 147 of 1,000 traces, with 60 s none.
    "OTEL_EXPORTER_OTLP_TRACES_TIMEOUT": "60",
    "OTEL_EXPORTER_OTLP_LOGS_TIMEOUT": "60",
    # Spans that wait for export; the SDK's 2,048 are one second of a busy service. Beyond it spans
    # are dropped, and exemplars would name traces that nobody has.
    "OTEL_BSP_MAX_QUEUE_SIZE": "16384",
    # What the exporters sent and lost, as otel.sdk.exporter.* metrics.
    "OTEL_PYTHON_SDK_INTERNAL_METRICS_ENABLED": "true",
}
"""Our defaults of standard variables; a value in the environment wins."""

SAMPLERS = tuple(
    f"{parent}{sampler}"
    for parent in ("", "parentbased_")
    for sampler in ("always_on", "always_off", "traceidratio")
)
"""The samplers that the SDK builds by itself from `OTEL_TRACES_SAMPLER`."""

PROCESS_METRICS: dict[str, list[str] | None] = {
    "process.cpu.time": ["user", "system"],
    "process.memory.usage": None,
    "process.open_file_descriptor.count": None,
    "process.thread.count": None,
}
"""The process's own figures; the host's belong to node-exporter."""


class TelemetryError(Exception):
    """An `OTEL_*` variable asks for something this service cannot do; the message is one line."""


@dataclass
class Telemetry:
    """The telemetry of one process.

    Attributes:
        tracer: Makes the batch spans.
        tracer_provider: For instrumentation libraries.
        span_processor: Where ended spans go.
        stage_spans: Makes the spans of a request's stages.
        meter: Makes instruments.
        instruments: All of this project's instruments.
        prometheus: Renders `/metrics`.
        gpu: The GPU sampler, on or off.
        pushes_traces: Whether spans leave the process.
    """

    tracer: Tracer
    tracer_provider: TracerProvider
    span_processor: SpanProcessor
    stage_spans: StageSpans
    meter: Meter
    instruments: Instruments
    prometheus: PrometheusEndpoint
    gpu: GpuSampler
    pushes_traces: bool
    _closers: list[Callable[[], None]] = field(default_factory=list)

    def shutdown(self, timeout: float) -> bool:
        """Flush and close everything at once, for at most `timeout` seconds.

        Returns:
            False if something was still being sent then; it is lost.
        """
        # In parallel: each exporter alone may wait for a dead Collector until its own timeout.
        threads = [
            threading.Thread(target=close, daemon=True, name="telemetry-shutdown")
            for close in (*self._closers, self.gpu.stop)
        ]
        for thread in threads:
            thread.start()
        deadline = time.monotonic() + timeout
        for thread in threads:
            thread.join(max(0.0, deadline - time.monotonic()))
        return not any(thread.is_alive() for thread in threads)


def apply_defaults() -> None:
    """Put our defaults of standard variables into the environment, where it has none.

    An empty variable counts as unset, as the specification has it; the SDK fails on some of them.
    """
    for name in [name for name in os.environ if name.startswith("OTEL_")]:
        if not os.environ[name].strip():
            del os.environ[name]
    # One timeout given for all signals is meant for all: ours for single ones must not undo it.
    for_all = os.environ.get("OTEL_EXPORTER_OTLP_TIMEOUT")
    for name, value in DEFAULTS.items():
        of_a_signal = name.startswith("OTEL_EXPORTER_OTLP_") and name.endswith("_TIMEOUT")
        os.environ.setdefault(name, for_all if for_all and of_a_signal else value)


def start(*, service_version: str, instance_id: str) -> Telemetry:
    """Build the providers and start exporting.

    Args:
        service_version: The `service.version` resource attribute.
        instance_id: The `service.instance.id`, stable over restarts of a replica, so that a
            restart continues its series.

    Raises:
        TelemetryError: An `OTEL_*` variable has a value that cannot be honoured.
    """
    apply_defaults()
    _refuse_unsupported()
    resource = Resource.create(
        {
            "service.name": "mgeo-inference",
            "service.version": service_version,
            "service.instance.id": instance_id,
        }
    ).merge(OTELResourceDetector().detect())  # again: what the user says wins over ours
    prometheus = PrometheusEndpoint()
    closers: list[Callable[[], None]] = []
    meter_provider = _meter_provider(resource, prometheus)
    closers.append(meter_provider.shutdown)
    tracer_provider, span_processor = _tracer_provider(resource, meter_provider)
    closers.append(tracer_provider.shutdown)
    if _pushes("logs"):
        closers.append(_push_logs(resource, meter_provider))
    process_metrics = SystemMetricsInstrumentor(config=PROCESS_METRICS)
    process_metrics.instrument(meter_provider=meter_provider)
    closers.append(process_metrics.uninstrument)

    meter = meter_provider.get_meter("mgeo", service_version)
    instruments = Instruments(meter)
    gpu = GpuSampler()
    gpu.start(instruments)
    return Telemetry(
        tracer=tracer_provider.get_tracer("mgeo", service_version),
        tracer_provider=tracer_provider,
        span_processor=span_processor,
        stage_spans=StageSpans(
            span_processor, tracer_provider, InstrumentationScope("mgeo", service_version)
        ),
        meter=meter,
        instruments=instruments,
        prometheus=prometheus,
        gpu=gpu,
        pushes_traces=_pushes("traces"),
        _closers=closers,
    )


def _pushes(signal: Signal) -> bool:
    if os.environ.get(OTEL_SDK_DISABLED, "").strip().lower() == "true":
        return False
    endpoint = os.environ.get("OTEL_EXPORTER_OTLP_ENDPOINT") or os.environ.get(
        f"OTEL_EXPORTER_OTLP_{signal.upper()}_ENDPOINT"
    )
    return bool(endpoint) and os.environ.get(f"OTEL_{signal.upper()}_EXPORTER", "otlp") == "otlp"


def _refuse_unsupported() -> None:
    """The SDK logs a warning and carries on with something else; an operator wants to know."""
    for signal in ("TRACES", "METRICS", "LOGS"):
        _refuse_unless_one_of(f"OTEL_{signal}_EXPORTER", ("otlp", "none"))
    for scope in ("", "TRACES_", "METRICS_", "LOGS_"):
        name = f"OTEL_EXPORTER_OTLP_{scope}PROTOCOL"
        if os.environ.get(name, "grpc") != "grpc":
            raise TelemetryError(
                f"{name}={os.environ[name]!r}: only 'grpc' is supported; "
                "point OTEL_EXPORTER_OTLP_ENDPOINT at the Collector's gRPC port (4317)"
            )
        name = f"OTEL_EXPORTER_OTLP_{scope}ENDPOINT"
        # Without a scheme the SDK takes TLS for granted and never gets through.
        if not os.environ.get(name, "http://").startswith(("http://", "https://")):
            raise TelemetryError(f"{name}={os.environ[name]!r}: begin it with http:// or https://")
        _refuse_unless_number("seconds", f"OTEL_EXPORTER_OTLP_{scope}TIMEOUT", 0.001, 3600)
    _refuse_unless_number("milliseconds", "OTEL_METRIC_EXPORT_INTERVAL", 1, 86_400_000)
    _refuse_unless_one_of(OTEL_TRACES_SAMPLER, SAMPLERS)
    if os.environ.get(OTEL_TRACES_SAMPLER, "").endswith("traceidratio"):
        # Of a share that it cannot read the SDK makes 1: everything.
        _refuse_unless_number("shares", OTEL_TRACES_SAMPLER_ARG, 0, 1)


def _refuse_unless_one_of(name: str, choices: tuple[str, ...]) -> None:
    value = os.environ.get(name, choices[0])
    if value not in choices:
        raise TelemetryError(f"{name}={value!r}: use one of {', '.join(choices)}")


def _refuse_unless_number(what: str, name: str, low: float, high: float) -> None:
    value = os.environ.get(name, str(high))
    try:
        accepted = low <= float(value) <= high
    except ValueError:
        accepted = False
    if not accepted:
        raise TelemetryError(f"{name}={value!r}: {what} from {low:g} to {high:.12g} are expected")


def _meter_provider(resource: Resource, prometheus: PrometheusEndpoint) -> MeterProvider:
    readers: list[MetricReader] = [prometheus.reader]
    if _pushes("metrics"):
        from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import OTLPMetricExporter

        readers.append(PeriodicExportingMetricReader(OTLPMetricExporter()))
    # The SDK's own durations are in seconds, in buckets made for milliseconds.
    in_seconds = View(
        instrument_name="otel.sdk.*.duration",
        aggregation=ExplicitBucketHistogramAggregation(LATENCY_SECONDS),
    )
    return MeterProvider(
        metric_readers=readers, resource=resource, views=[in_seconds], shutdown_on_exit=False
    )


def _tracer_provider(
    resource: Resource, meter_provider: MeterProvider
) -> tuple[TracerProvider, SpanProcessor]:
    """The provider, and where its ended spans go."""
    if not _pushes("traces"):
        if OTEL_TRACES_SAMPLER in os.environ:
            log.warning("traces go nowhere: a sampler is set but no OTLP endpoint for traces")
        off = TracerProvider(sampler=ALWAYS_OFF, resource=resource, shutdown_on_exit=False)
        return off, SpanProcessor()
    from telemetry.otlp import AllowListExporter

    provider = TracerProvider(resource=resource, shutdown_on_exit=False)
    exporter = AllowListExporter(resource, meter_provider)
    processor = BatchSpanProcessor(exporter, meter_provider=meter_provider)
    provider.add_span_processor(processor)
    return provider, processor


def _push_logs(resource: Resource, meter_provider: MeterProvider) -> Callable[[], None]:
    """Export all logs of the process; returns what flushes and ends that."""
    from telemetry.otlp import LogExporter

    exporter = LogExporter(resource, meter_provider)
    processor: LogRecordProcessor = BatchLogRecordProcessor(exporter, meter_provider=meter_provider)
    handler = _ExportingHandler(processor, resource)
    logging.getLogger().addHandler(handler)

    def close() -> None:
        logging.getLogger().removeHandler(handler)
        processor.shutdown()

    return close


class _ExportingHandler(DiscreetHandler):
    """Hands records to the SDK's processor.

    The usual way, by the handler of `opentelemetry-instrumentation-logging` and the SDK's logger,
    takes half as long again: among other things the logger is looked up under a lock each time.
    """

    def __init__(self, processor: LogRecordProcessor, resource: Resource) -> None:
        super().__init__()
        self._processor, self._resource = processor, resource
        self._limits = LogRecordLimits()
        self._scope = cache(InstrumentationScope)

    # Without the handler's lock: what a record ends in is a deque, and request threads would queue.
    @override
    def handle(self, record: logging.LogRecord) -> bool:
        if not self.filter(record):
            return False
        self.emit(record)
        return True

    @override
    def emit(self, record: logging.LogRecord) -> None:
        try:
            scope = self._scope(record.name)
            whole = ReadWriteLogRecord(exported(record), self._resource, scope, self._limits)
            self._processor.on_emit(whole)
        except Exception:
            self.handleError(record)
