"""Builds the OpenTelemetry providers from the standard `OTEL_*` variables, and shuts them down.

With `OTEL_EXPORTER_OTLP_ENDPOINT` set, traces, metrics and logs are pushed by OTLP over gRPC.
Without it nothing is pushed, and then nothing is sampled either: an exemplar on `/metrics` must
never name a trace that nobody has.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

from opentelemetry.instrumentation.logging.handler import LoggingHandler
from opentelemetry.instrumentation.system_metrics import SystemMetricsInstrumentor
from opentelemetry.metrics import Meter
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
from opentelemetry.sdk.environment_variables import OTEL_TRACES_SAMPLER
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import MetricReader, PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF
from opentelemetry.trace import Tracer

from telemetry.gpu import GpuSampler
from telemetry.instruments import Instruments
from telemetry.logs import without_exception_message
from telemetry.privacy import AllowListExporter
from telemetry.prometheus import PrometheusEndpoint

log = logging.getLogger(__name__)

Signal = Literal["traces", "metrics", "logs"]

DEFAULTS = {
    # The HTTP semantic conventions, stable names. Read once, when the instrumentation is imported.
    "OTEL_SEMCONV_STABILITY_OPT_IN": "http",
    # A scrape interval, so that pushed and scraped metrics are equally fresh (the SDK's is 60 s).
    "OTEL_METRIC_EXPORT_INTERVAL": "15000",
    # Seconds: what a dead Collector may cost at shutdown (the SDK's is 10 s).
    "OTEL_EXPORTER_OTLP_TIMEOUT": "3",
    # What the exporters sent and lost, as otel.sdk.exporter.* metrics.
    "OTEL_PYTHON_SDK_INTERNAL_METRICS_ENABLED": "true",
}
"""Our defaults of standard variables; a value in the environment wins."""

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
        tracer: Makes the stage and batch spans.
        tracer_provider: For instrumentation libraries.
        meter: Makes instruments.
        instruments: All of this project's instruments.
        prometheus: Renders `/metrics`.
        gpu: The GPU sampler, on or off.
        pushes_traces: Whether spans leave the process.
    """

    tracer: Tracer
    tracer_provider: TracerProvider
    meter: Meter
    instruments: Instruments
    prometheus: PrometheusEndpoint
    gpu: GpuSampler
    pushes_traces: bool
    _closers: list[Callable[[], None]] = field(default_factory=list)

    def shutdown(self, timeout: float) -> bool:
        """Flush and close everything at once, for at most `timeout` seconds.

        Returns:
            False if something was still unsent then; it is lost.
        """
        # In parallel: each exporter alone may wait for a dead Collector until its own timeout.
        threads = [
            threading.Thread(target=close, daemon=True, name="telemetry-shutdown")
            for close in (*self._closers, self.gpu.stop)
        ]
        for thread in threads:
            thread.start()
        deadline = threading.TIMEOUT_MAX if timeout < 0 else timeout
        for thread in threads:
            thread.join(deadline)
        return not any(thread.is_alive() for thread in threads)


def apply_defaults() -> None:
    """Put our defaults of standard variables into the environment, where it has none."""
    for name, value in DEFAULTS.items():
        os.environ.setdefault(name, value)


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
            **_named_by_user(),
        }
    )
    prometheus = PrometheusEndpoint()
    closers: list[Callable[[], None]] = []
    meter_provider = _meter_provider(resource, prometheus)
    closers.append(meter_provider.shutdown)
    tracer_provider = _tracer_provider(resource, meter_provider)
    closers.append(tracer_provider.shutdown)
    if _pushes("logs"):
        logger_provider = _logger_provider(resource, meter_provider)
        closers.append(logger_provider.shutdown)
    SystemMetricsInstrumentor(config=PROCESS_METRICS).instrument(meter_provider=meter_provider)

    meter = meter_provider.get_meter("mgeo", service_version)
    instruments = Instruments(meter)
    gpu = GpuSampler()
    gpu.start(instruments)
    return Telemetry(
        tracer=tracer_provider.get_tracer("mgeo", service_version),
        tracer_provider=tracer_provider,
        meter=meter,
        instruments=instruments,
        prometheus=prometheus,
        gpu=gpu,
        pushes_traces=_pushes("traces"),
        _closers=closers,
    )


def _pushes(signal: Signal) -> bool:
    endpoint = os.environ.get("OTEL_EXPORTER_OTLP_ENDPOINT") or os.environ.get(
        f"OTEL_EXPORTER_OTLP_{signal.upper()}_ENDPOINT"
    )
    return bool(endpoint) and os.environ.get(f"OTEL_{signal.upper()}_EXPORTER", "otlp") == "otlp"


def _refuse_unsupported() -> None:
    """The SDK logs a warning and carries on with something else; an operator wants to know."""
    for signal in ("traces", "metrics", "logs"):
        name = f"OTEL_{signal.upper()}_EXPORTER"
        if os.environ.get(name, "otlp") not in ("otlp", "none"):
            raise TelemetryError(f"{name}={os.environ[name]!r}: use 'otlp' or 'none'")
    for scope in ("", "TRACES_", "METRICS_", "LOGS_"):
        name = f"OTEL_EXPORTER_OTLP_{scope}PROTOCOL"
        if os.environ.get(name, "grpc") != "grpc":
            raise TelemetryError(
                f"{name}={os.environ[name]!r}: only 'grpc' is supported; "
                "point OTEL_EXPORTER_OTLP_ENDPOINT at the Collector's gRPC port (4317)"
            )


def _named_by_user() -> dict[str, str]:
    """Identity from the environment, which wins over ours (`Resource.create` merges otherwise)."""
    given = dict(
        pair.split("=", 1)
        for pair in os.environ.get("OTEL_RESOURCE_ATTRIBUTES", "").split(",")
        if "=" in pair
    )
    given = {key.strip(): value.strip() for key, value in given.items()}
    if name := os.environ.get("OTEL_SERVICE_NAME"):
        given["service.name"] = name
    return {key: value for key, value in given.items() if key.startswith("service.")}


def _meter_provider(resource: Resource, prometheus: PrometheusEndpoint) -> MeterProvider:
    readers: list[MetricReader] = [prometheus.reader]
    if _pushes("metrics"):
        from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import OTLPMetricExporter

        readers.append(PeriodicExportingMetricReader(OTLPMetricExporter()))
    return MeterProvider(metric_readers=readers, resource=resource, shutdown_on_exit=False)


def _tracer_provider(resource: Resource, meter_provider: MeterProvider) -> TracerProvider:
    if not _pushes("traces"):
        if OTEL_TRACES_SAMPLER in os.environ:
            log.warning("traces go nowhere: a sampler is set but no OTLP endpoint for traces")
        return TracerProvider(sampler=ALWAYS_OFF, resource=resource, shutdown_on_exit=False)
    from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter

    provider = TracerProvider(resource=resource, shutdown_on_exit=False)
    exporter = OTLPSpanExporter(meter_provider=meter_provider)
    provider.add_span_processor(
        BatchSpanProcessor(AllowListExporter(exporter), meter_provider=meter_provider)
    )
    return provider


def _logger_provider(resource: Resource, meter_provider: MeterProvider) -> LoggerProvider:
    from opentelemetry.exporter.otlp.proto.grpc._log_exporter import OTLPLogExporter

    provider = LoggerProvider(resource=resource, shutdown_on_exit=False)
    exporter = OTLPLogExporter(meter_provider=meter_provider)
    provider.add_log_record_processor(
        BatchLogRecordProcessor(exporter, meter_provider=meter_provider)
    )
    handler = LoggingHandler(logger_provider=provider)
    handler.addFilter(without_exception_message)
    logging.getLogger().addHandler(handler)
    return provider
