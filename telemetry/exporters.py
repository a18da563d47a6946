"""The exporters that the standard variables ask for: the SDK's own, and those of plugins.

The SDK's modules for logs are `opentelemetry.sdk._logs` and `..._log_exporter`: named so while the
Python logs API is not called stable, and documented as the way to them all the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from importlib.metadata import entry_points
from typing import Any

from opentelemetry.metrics import MeterProvider

from telemetry import environment
from telemetry.environment import Signal

_MODULES = {
    "traces": ("trace_exporter", "OTLPSpanExporter"),
    "metrics": ("metric_exporter", "OTLPMetricExporter"),
    "logs": ("_log_exporter", "OTLPLogExporter"),
}
_DEFAULT_ENDPOINTS = {"grpc": "http://localhost:4317", "http/protobuf": "http://localhost:4318"}


def names(read: Mapping[str, str], signal: Signal) -> list[str]:
    """The exporters of a signal. Without a word about any it is pushed if an endpoint is given."""
    if read.get("OTEL_SDK_DISABLED") == "true":
        return []
    pushed = "otlp" if environment.endpoint(read, signal) else "none"
    asked = read.get(f"OTEL_{signal.upper()}_EXPORTER", pushed).split(",")
    return [name for name in asked if name not in ("none", "prometheus")]


def make(read: Mapping[str, str], signal: Signal, provider: MeterProvider | None) -> list[Any]:
    """The exporters of a signal.

    Args:
        read: The variables, as `environment.check` returns them.
        signal: Which.
        provider: Where they count what they send and lose; the meter provider has none yet for the
            exporters that it is made with.
    """
    return [
        _otlp(read, signal, provider) if name == "otlp" else _plugin(signal, name)
        for name in names(read, signal)
    ]


def _plugin(signal: Signal, name: str) -> Any:
    [point] = entry_points(group=f"opentelemetry_{signal}_exporter", name=name)
    return point.load()()


def _otlp(read: Mapping[str, str], signal: Signal, provider: MeterProvider | None) -> Any:
    protocol = environment.of_signal(read, signal, "PROTOCOL") or "grpc"
    with_default = {"OTEL_EXPORTER_OTLP_ENDPOINT": _DEFAULT_ENDPOINTS[protocol], **read}
    url, plain = environment.endpoint(with_default, signal) or ("", True)
    compression = environment.of_signal(read, signal, "COMPRESSION") or "none"
    options: dict[str, Any] = {
        "endpoint": url,
        # In seconds. Explicitly, for the SDK reads the variable in seconds too.
        "timeout": float(environment.of_signal(read, signal, "TIMEOUT")) / 1000,
    }
    if provider is not None:
        options["meter_provider"] = provider
    module, name = _MODULES[signal]
    # Imported only where needed: either takes a good part of the start's time.
    if protocol == "grpc":
        from grpc import Compression as GrpcCompression

        options["insecure"] = plain
        options["compression"] = {
            "none": GrpcCompression.NoCompression,
            "gzip": GrpcCompression.Gzip,
            "deflate": GrpcCompression.Deflate,
        }[compression]
        package = "opentelemetry.exporter.otlp.proto.grpc"
    else:
        from opentelemetry.exporter.otlp.proto.http import Compression as HttpCompression

        options["compression"] = HttpCompression(compression)
        package = "opentelemetry.exporter.otlp.proto.http"
    return getattr(import_module(f"{package}.{module}"), name)(**options)
