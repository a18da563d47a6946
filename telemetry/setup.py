"""Builds the OpenTelemetry providers from the standard `OTEL_*` variables, and shuts them down.

Everything is the SDK's: providers, samplers, processors, exporters. Ours are the allow-list before
the exporters and `/metrics`. With an OTLP endpoint, traces, metrics and logs are pushed. Without
one nothing is pushed, and then nothing is sampled either, unless a sampler is asked for: an
exemplar on `/metrics` must never name a trace that nobody has.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import entry_points

from opentelemetry import metrics as metrics_api
from opentelemetry import propagate, trace
from opentelemetry.instrumentation.flask import FlaskInstrumentor
from opentelemetry.instrumentation.system_metrics import SystemMetricsInstrumentor
from opentelemetry.metrics import Meter, NoOpMeterProvider
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
from opentelemetry.sdk.metrics import (
    AlwaysOffExemplarFilter,
    AlwaysOnExemplarFilter,
    ExemplarFilter,
    MeterProvider,
    TraceBasedExemplarFilter,
)
from opentelemetry.sdk.metrics.export import MetricReader, PeriodicExportingMetricReader
from opentelemetry.sdk.metrics.view import ExplicitBucketHistogramAggregation, View
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF
from opentelemetry.semconv.schemas import Schemas
from opentelemetry.trace import Tracer
from typing_extensions import override

from telemetry import environment, exporters
from telemetry.environment import TelemetryError
from telemetry.gpu import GpuSampler
from telemetry.instruments import LATENCY_SECONDS
from telemetry.logs import ExportingHandler
from telemetry.privacy import AllowListExporter
from telemetry.prometheus import PrometheusEndpoint
from telemetry.propagation import NoPropagation
from telemetry.recording import Instruments
from telemetry.series import LivingSeries

__all__ = ["Telemetry", "TelemetryError", "start"]

log = logging.getLogger(__name__)

SCHEMA_URL = Schemas.V1_44_0.value
"""The version of the semantic conventions whose names are used."""

PROCESS_METRICS: dict[str, list[str] | None] = {
    "process.cpu.time": ["user", "system"],
    "process.memory.usage": None,
    "process.open_file_descriptor.count": None,
    "process.thread.count": None,
}
"""The process's own figures; the host's belong to node-exporter."""

_EXEMPLAR_FILTERS: dict[str, Callable[[], ExemplarFilter]] = {
    "trace_based": TraceBasedExemplarFilter,
    "always_on": AlwaysOnExemplarFilter,
    "always_off": AlwaysOffExemplarFilter,
}


@dataclass
class Telemetry:
    """The telemetry of one process.

    Attributes:
        tracer: Makes the spans of stages and batches.
        tracer_provider: For instrumentation libraries.
        meter_provider: For instrumentation libraries.
        meter: Makes instruments.
        instruments: All of this project's instruments.
        prometheus: Renders `/metrics`.
        series: Which series leave the process.
        gpu: The GPU sampler, on or off.
        pushes_traces: Whether spans leave the process.
    """

    tracer: Tracer
    tracer_provider: TracerProvider
    meter_provider: MeterProvider
    meter: Meter
    instruments: Instruments
    prometheus: PrometheusEndpoint
    series: LivingSeries
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


def start(*, service_version: str, instance_id: str) -> Telemetry:
    """Build all providers and start what runs in the background.

    Args:
        service_version: Becomes `service.version` unless the environment says otherwise.
        instance_id: Becomes `service.instance.id` unless the environment says otherwise.

    Raises:
        TelemetryError: An `OTEL_*` variable has a value that cannot be honoured.
    """
    read, notes = environment.apply()
    for note in notes:
        log.warning(note)
    if level := read.get("OTEL_LOG_LEVEL"):
        logging.getLogger("opentelemetry").setLevel(_LEVELS[level])
    if "none" in read.get("OTEL_PROPAGATORS", "").split(","):
        propagate.set_global_textmap(NoPropagation())
    identity = {
        "service.name": "mgeo-inference",
        "service.version": service_version,
        "service.instance.id": instance_id,
    }
    series = LivingSeries()
    prometheus = PrometheusEndpoint(series)
    made = _declared(read, identity, prometheus, series) or _from_variables(
        read, identity, prometheus, series
    )
    tracer_provider, meter_provider = made.tracer_provider, made.meter_provider
    closers: list[Callable[[], None]] = [
        meter_provider.shutdown,
        tracer_provider.shutdown,
        *(reader.shutdown for reader in made.readers),
    ]
    if made.logger_provider:
        closers.append(_export_logs(made.logger_provider))
    closers.append(_instrument_process(meter_provider))

    meter = meter_provider.get_meter("mgeo", service_version, SCHEMA_URL)
    instruments = Instruments(meter)
    gpu = GpuSampler()
    gpu.start(instruments)
    return Telemetry(
        tracer=tracer_provider.get_tracer("mgeo", service_version, SCHEMA_URL),
        tracer_provider=tracer_provider,
        meter_provider=meter_provider,
        meter=meter,
        instruments=instruments,
        prometheus=prometheus,
        series=series,
        gpu=gpu,
        pushes_traces=made.pushes_traces,
        _closers=closers,
    )


_LEVELS = {
    "trace": logging.DEBUG,
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warn": logging.WARNING,
    "error": logging.ERROR,
    "fatal": logging.CRITICAL,
}


class ResourceHashedOnce(Resource):
    """A resource that keeps its hash.

    The OTLP encoders look the resource up for each span and log record, and the SDK's own writes
    itself as JSON for each hash: docs/telemetry.md has the patch for upstream.
    """

    def __init__(self, resource: Resource) -> None:
        super().__init__(resource.attributes, resource.schema_url)
        self._hash = super().__hash__()

    @override
    def __hash__(self) -> int:
        return self._hash

    @override
    def __eq__(self, other: object) -> bool:
        return self is other or super().__eq__(other)


@dataclass(frozen=True)
class _Providers:
    tracer_provider: TracerProvider
    meter_provider: MeterProvider
    logger_provider: LoggerProvider | None
    pushes_traces: bool
    # Those that the meter provider was not made with: it does not shut them down.
    readers: Sequence[MetricReader] = ()


def _declared(
    read: dict[str, str],
    identity: dict[str, str],
    prometheus: PrometheusEndpoint,
    series: LivingSeries,
) -> _Providers | None:
    """What `OTEL_CONFIG_FILE` declares; None without one, and where it says `disabled`."""
    if "OTEL_CONFIG_FILE" not in read or read.get("OTEL_SDK_DISABLED") == "true":
        return None
    from telemetry.config_file import SdkConfiguration  # reads YAML and checks a large schema

    declared = SdkConfiguration(read["OTEL_CONFIG_FILE"], identity, SCHEMA_URL)
    if declared.disabled:
        read["OTEL_SDK_DISABLED"] = os.environ["OTEL_SDK_DISABLED"] = "true"
        return None
    tracers, meters = declared.providers(prometheus.reader)
    readers = declared.add_metric_readers(meters, series)
    declared.add_span_processors(tracers, meters)
    resource = ResourceHashedOnce(tracers.resource)
    logs = declared.logger_provider(resource, meters)
    return _Providers(tracers, meters, logs, declared.pushes_traces, readers)


def _from_variables(
    read: Mapping[str, str],
    identity: dict[str, str],
    prometheus: PrometheusEndpoint,
    series: LivingSeries,
) -> _Providers:
    created = Resource.create(identity, SCHEMA_URL)
    # Merged again, so that what the user sets wins over our identity.
    resource = ResourceHashedOnce(created.merge(OTELResourceDetector().detect()))
    meters = _meter_provider(read, resource, prometheus, series)
    tracers = _tracer_provider(read, resource, meters)
    logs = _logger_provider(read, resource, meters) if exporters.names(read, "logs") else None
    return _Providers(tracers, meters, logs, bool(exporters.names(read, "traces")))


class _OwnMeterProvider(MeterProvider):
    """One that `start` has made, and nobody before it."""


class _OwnTracerProvider(TracerProvider):
    """Likewise."""


def _meter_provider(
    read: Mapping[str, str],
    resource: Resource,
    prometheus: PrometheusEndpoint,
    series: LivingSeries,
) -> MeterProvider:
    readers: list[MetricReader] = [prometheus.reader]
    for exporter in exporters.make(read, "metrics", None):
        readers.append(PeriodicExportingMetricReader(series.only(exporter)))
    views = [
        # The SDK's own durations are in seconds, in buckets made for milliseconds.
        View(
            instrument_name="otel.sdk.*.duration",
            aggregation=ExplicitBucketHistogramAggregation(LATENCY_SECONDS),
        ),
        # The name that the conventions have given it since; the instrumentation has the old one.
        View(
            instrument_name="process.open_file_descriptor.count",
            name="process.unix.file_descriptor.count",
        ),
    ]
    kept = read.get("OTEL_METRICS_EXEMPLAR_FILTER", "trace_based")
    if kept == "always_on" and not read.get("OTEL_TRACES_SAMPLER", "").endswith("always_on"):
        log.warning(
            "OTEL_METRICS_EXEMPLAR_FILTER='always_on': exemplars of requests that are not sampled "
            "name traces that nobody has"
        )
    provider = _OwnMeterProvider(
        metric_readers=readers,
        resource=resource,
        exemplar_filter=_EXEMPLAR_FILTERS[kept](),
        views=views,
        shutdown_on_exit=False,
    )
    if not isinstance(metrics_api.get_meter_provider(), MeterProvider):
        metrics_api.set_meter_provider(provider)
    return provider


def _tracer_provider(
    read: Mapping[str, str], resource: Resource, meter_provider: MeterProvider
) -> TracerProvider:
    provider = _adopted() or _new_tracer_provider(read, resource)
    for exporter in exporters.make(read, "traces", meter_provider):
        provider.add_span_processor(
            BatchSpanProcessor(AllowListExporter(exporter, resource), meter_provider=meter_provider)
        )
    return provider


def _adopted() -> TracerProvider | None:
    """A provider that a profiler, say, has set before the start: its processors see our spans.

    That of `opentelemetry-instrument` with a distribution is not taken: it exports by the same
    variables as we do, but without the allow-list.
    """
    preset = trace.get_tracer_provider()
    if not isinstance(preset, TracerProvider) or isinstance(preset, _OwnTracerProvider):
        return None
    agent = "opentelemetry.instrumentation.auto_instrumentation" in sys.modules
    if agent and entry_points(group="opentelemetry_configurator"):
        log.info("the tracer provider of opentelemetry-instrument is replaced by the service's own")
        return None
    log.warning("spans go through the tracer provider that was set before the start")
    return preset


def _new_tracer_provider(read: Mapping[str, str], resource: Resource) -> TracerProvider:
    pushes = bool(exporters.names(read, "traces"))
    if not pushes and "OTEL_TRACES_SAMPLER" in read:
        log.warning("traces go nowhere: a sampler is set but no OTLP endpoint for traces")
    provider = _OwnTracerProvider(
        sampler=None if pushes or "OTEL_TRACES_SAMPLER" in read else ALWAYS_OFF,
        resource=resource,
        # Two counters for each span cost more than the span.
        meter_provider=NoOpMeterProvider(),
        shutdown_on_exit=False,
    )
    if isinstance(trace.get_tracer_provider(), trace.ProxyTracerProvider):
        trace.set_tracer_provider(provider)
    return provider


def _logger_provider(
    read: Mapping[str, str], resource: Resource, meter_provider: MeterProvider
) -> LoggerProvider:
    # Not the global one: records that others hand to that have passed no allow-list.
    provider = LoggerProvider(resource, shutdown_on_exit=False, meter_provider=NoOpMeterProvider())
    for exporter in exporters.make(read, "logs", meter_provider):
        provider.add_log_record_processor(
            BatchLogRecordProcessor(exporter, meter_provider=meter_provider)
        )
    return provider


def _export_logs(provider: LoggerProvider) -> Callable[[], None]:
    """Export all logs of the process; returns what flushes and ends that."""
    handler = ExportingHandler(provider)
    logging.getLogger().addHandler(handler)

    def close() -> None:
        logging.getLogger().removeHandler(handler)
        provider.shutdown()

    return close


def _instrument_process(meter_provider: MeterProvider) -> Callable[[], None]:
    """Measure the process, unless `opentelemetry-instrument` does already.

    Its instrumentation of Flask is taken back: the service's own leaves out probes, and begins when
    the request arrived.
    """
    flask = FlaskInstrumentor()
    if flask.is_instrumented_by_opentelemetry:
        flask.uninstrument()
    process = SystemMetricsInstrumentor(config=PROCESS_METRICS)
    if process.is_instrumented_by_opentelemetry:
        return lambda: None
    process.instrument(meter_provider=meter_provider)

    def close() -> None:
        process.uninstrument()

    return close
