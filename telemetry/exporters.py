"""The exporters that the standard variables, or a configuration file, ask for: the SDK's own.

The SDK's modules for logs are `opentelemetry.sdk._logs` and `..._log_exporter`. The underscore says
that the Python logs API is not stable yet. Its documentation uses these names.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

from opentelemetry.metrics import MeterProvider

from telemetry import environment
from telemetry.environment import Signal

_MODULES = {
    "traces": ("trace_exporter", "OTLPSpanExporter"),
    "metrics": ("metric_exporter", "OTLPMetricExporter"),
    "logs": ("_log_exporter", "OTLPLogExporter"),
}
DEFAULT_ENDPOINTS = {"grpc": "http://localhost:4317", "http/protobuf": "http://localhost:4318"}


@dataclass(frozen=True, slots=True)
class Destination:
    """Where and how OTLP is sent.

    Attributes:
        protocol: `grpc` or `http/protobuf`.
        endpoint: With its scheme; of HTTP with its path.
        plain: Without TLS.
        timeout: Of an export with all its retries, in seconds.
        compression: `none`, `gzip` or `deflate`.
        headers: Beside those of the environment.
        certificates: Files of the authorities' certificates, the client's key and its certificate;
            by default those that the environment names.
    """

    protocol: str
    endpoint: str
    plain: bool
    timeout: float
    compression: str = "none"
    headers: dict[str, str] | None = None
    certificates: tuple[str | None, str | None, str | None] = (None, None, None)


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
        otlp(_destination(read, signal), signal, provider)
        if name == "otlp"
        else plugin(signal, name)
        for name in names(read, signal)
    ]


def plugin(signal: Signal, name: str, **options: Any) -> Any:
    """An exporter of an installed package; the SDK's `console` is one too.

    Raises:
        ValueError: There is none of the name.
    """
    for point in entry_points(group=f"opentelemetry_{signal}_exporter", name=name):
        return point.load()(**options)
    raise ValueError(f"the exporter {name!r} of {signal} is not installed")


def otlp(to: Destination, signal: Signal, provider: MeterProvider | None, **preferred: Any) -> Any:
    """An exporter of OTLP, with what is preferred of metrics."""
    # The time-out explicitly: the SDK reads the variable too, in seconds.
    options: dict[str, Any] = {**preferred, "endpoint": to.endpoint, "timeout": to.timeout}
    if to.headers:
        options["headers"] = to.headers
    if provider is not None:
        options["meter_provider"] = provider
    module, name = _MODULES[signal]
    # Imported only where needed: either takes a good part of the start's time.
    if to.protocol == "grpc":
        import grpc

        options["insecure"] = to.plain
        options["compression"] = {
            "none": grpc.Compression.NoCompression,
            "gzip": grpc.Compression.Gzip,
            "deflate": grpc.Compression.Deflate,
        }[to.compression]
        if any(to.certificates) and not to.plain:
            pem = [Path(file).read_bytes() if file else None for file in to.certificates]
            options["credentials"] = grpc.ssl_channel_credentials(*pem)
        package = "opentelemetry.exporter.otlp.proto.grpc"
    else:
        from opentelemetry.exporter.otlp.proto.http import Compression

        options["compression"] = Compression(to.compression)
        files = ("certificate_file", "client_key_file", "client_certificate_file")
        options |= dict(zip(files, to.certificates, strict=True))
        package = "opentelemetry.exporter.otlp.proto.http"
    return getattr(import_module(f"{package}.{module}"), name)(**options)


def _destination(read: Mapping[str, str], signal: Signal) -> Destination:
    protocol = environment.of_signal(read, signal, "PROTOCOL") or "grpc"
    with_default = {"OTEL_EXPORTER_OTLP_ENDPOINT": DEFAULT_ENDPOINTS[protocol], **read}
    url, plain = environment.endpoint(with_default, signal) or ("", True)
    return Destination(
        protocol,
        url,
        plain,
        float(environment.of_signal(read, signal, "TIMEOUT")) / 1000,
        environment.of_signal(read, signal, "COMPRESSION") or "none",
    )
