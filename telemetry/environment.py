"""The standard `OTEL_*` variables: what each may be, our defaults, and their reading.

Values are checked before the OpenTelemetry SDK is imported, which fails on some of them as it is
imported. A value with a standard meaning gets that meaning; any other stops the start with one line
that names the variable, the value and the way out.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import permutations
from typing import Literal

from telemetry import checks
from telemetry.checks import Check

Signal = Literal["traces", "metrics", "logs"]
SIGNALS: tuple[Signal, ...] = ("traces", "metrics", "logs")

DEFAULTS = {
    # The HTTP semantic conventions, stable names. Read once, when the instrumentation is imported.
    "OTEL_SEMCONV_STABILITY_OPT_IN": "http",
    # The specification leaves the choice between grpc and http/protobuf; this is the SDK's.
    "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc",
    # A scrape interval, so that pushed and scraped metrics are equally fresh (the SDK's is 60 s).
    "OTEL_METRIC_EXPORT_INTERVAL": "15000",
    # What a dead Collector may cost at shutdown (the specification's default is 10 s).
    "OTEL_EXPORTER_OTLP_TIMEOUT": "3000",
    # How long spans and log lines wait, in the background, for a Collector that is away. With 3 s
    # a restart of the Collector in 10 s lost 147 of 1,000 traces, with 60 s none.
    "OTEL_EXPORTER_OTLP_TRACES_TIMEOUT": "60000",
    "OTEL_EXPORTER_OTLP_LOGS_TIMEOUT": "60000",
    # Spans that wait for export; the SDK's 2,048 are one second of a busy service. Beyond it spans
    # are dropped, and exemplars would name traces that nobody has.
    "OTEL_BSP_MAX_QUEUE_SIZE": "16384",
    # What the exporters sent and lost, as otel.sdk.exporter.* metrics.
    "OTEL_PYTHON_SDK_INTERNAL_METRICS_ENABLED": "true",
}
"""Our defaults of standard variables; a value in the environment wins."""


class TelemetryError(Exception):
    """An `OTEL_*` variable asks for something this service cannot do; the message is one line."""


@dataclass(frozen=True, slots=True)
class Variable:
    """One standard variable.

    Attributes:
        name: Of the variable.
        check: Takes its value, stripped, and returns it as the SDK is to read it.
        note: What is particular here, for the documentation.
        ignored: It has no effect here. If it is set, a warning says so.
        secret: The value may be quoted in no message.
    """

    name: str
    check: Check
    note: str = ""
    ignored: bool = False
    secret: bool = False


def _otlp(name: str, check: Check, note: str = "", *, secret: bool = False) -> list[Variable]:
    """A variable of the exporters: for all signals, and for each."""
    return [
        Variable(f"OTEL_EXPORTER_OTLP_{scope}{name}", check, note, secret=secret)
        for scope in ("", "TRACES_", "METRICS_", "LOGS_")
    ]


def _batches(prefix: str) -> list[Variable]:
    return [
        Variable(f"OTEL_{prefix}_SCHEDULE_DELAY", checks.whole(1, 86_400_000)),
        Variable(f"OTEL_{prefix}_EXPORT_TIMEOUT", checks.whole(0, 86_400_000), "unused by the SDK"),
        Variable(f"OTEL_{prefix}_MAX_QUEUE_SIZE", checks.whole(1, 10_000_000)),
        Variable(
            f"OTEL_{prefix}_MAX_EXPORT_BATCH_SIZE",
            checks.whole(1, 10_000_000),
            "at most the queue's size; without a value, the smaller of 512 and that",
        ),
    ]


_TIMEOUT = "milliseconds, as the specification says; the SDK itself would take them for seconds"
_HEADERS_STAY = "no effect: headers are a client's text, and never leave the process"

VARIABLES: dict[str, Variable] = {
    variable.name: variable
    for variable in (
        Variable("OTEL_SDK_DISABLED", checks.boolean),
        Variable("OTEL_RESOURCE_ATTRIBUTES", checks.attributes),
        Variable("OTEL_SERVICE_NAME", checks.anything),
        Variable("OTEL_LOG_LEVEL", checks.one_of(*checks.LEVELS), "of the SDK's own messages"),
        Variable(
            "OTEL_PROPAGATORS",
            checks.plugins("opentelemetry_propagator", "none", named="opentelemetry-propagator-{}"),
        ),
        Variable("OTEL_TRACES_SAMPLER", checks.one_of(*checks.SAMPLERS)),
        Variable("OTEL_TRACES_SAMPLER_ARG", checks.anything, "a share, for the two ratio samplers"),
        *_batches("BSP"),
        *_batches("BLRP"),
        *(
            Variable(name, checks.whole(0, 2**31 - 1))
            for name in (
                "OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT",
                "OTEL_ATTRIBUTE_COUNT_LIMIT",
                "OTEL_SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT",
                "OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT",
                "OTEL_SPAN_EVENT_COUNT_LIMIT",
                "OTEL_SPAN_LINK_COUNT_LIMIT",
                "OTEL_EVENT_ATTRIBUTE_COUNT_LIMIT",
                "OTEL_LINK_ATTRIBUTE_COUNT_LIMIT",
                "OTEL_LOGRECORD_ATTRIBUTE_VALUE_LENGTH_LIMIT",
                "OTEL_LOGRECORD_ATTRIBUTE_COUNT_LIMIT",
            )
        ),
        Variable("OTEL_TRACES_EXPORTER", checks.exporters("traces")),
        Variable(
            "OTEL_METRICS_EXPORTER",
            checks.exporters("metrics", "prometheus"),
            "`prometheus` adds nothing: `/metrics` is always there",
        ),
        Variable("OTEL_LOGS_EXPORTER", checks.exporters("logs")),
        Variable("OTEL_METRICS_EXEMPLAR_FILTER", checks.one_of(*checks.EXEMPLAR_FILTERS)),
        Variable("OTEL_METRIC_EXPORT_INTERVAL", checks.whole(1, 86_400_000)),
        Variable("OTEL_METRIC_EXPORT_TIMEOUT", checks.whole(1, 86_400_000)),
        *_otlp("ENDPOINT", checks.anything, "without a scheme only together with `..._INSECURE`"),
        *_otlp("INSECURE", checks.boolean, "for an endpoint without a scheme, over gRPC"),
        *_otlp("PROTOCOL", checks.protocol),
        *_otlp("HEADERS", checks.headers, "ASCII", secret=True),
        *_otlp("COMPRESSION", checks.one_of("none", "gzip", "deflate")),
        *_otlp("TIMEOUT", checks.milliseconds, _TIMEOUT),
        *_otlp("CERTIFICATE", checks.pem),
        *_otlp("CLIENT_KEY", checks.pem),
        *_otlp("CLIENT_CERTIFICATE", checks.pem),
        Variable(
            "OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE",
            checks.one_of("cumulative", "delta", "lowmemory", upper=True),
        ),
        Variable(
            "OTEL_EXPORTER_OTLP_METRICS_DEFAULT_HISTOGRAM_AGGREGATION",
            checks.one_of("explicit_bucket_histogram", "base2_exponential_bucket_histogram"),
        ),
        *(
            Variable(
                f"OTEL_EXPORTER_PROMETHEUS_{name}",
                checks.anything,
                f"no effect: use `MGEO_METRICS_{name}`",
                ignored=True,
            )
            for name in ("HOST", "PORT")
        ),
        *(
            Variable(f"OTEL_EXPORTER_ZIPKIN_{name}", checks.anything, note, ignored=True)
            for name in ("ENDPOINT", "TIMEOUT")
            for note in ("no effect: there is no Zipkin exporter; the Collector has one",)
        ),
        Variable(
            "OTEL_CONFIG_FILE",
            checks.readable,
            "declares the SDK instead of these variables; [below](#a-file-instead-of-variables)",
        ),
        Variable(
            "OTEL_EXPERIMENTAL_CONFIG_FILE",
            checks.refused("is called OTEL_CONFIG_FILE now"),
            "refused: it is `OTEL_CONFIG_FILE` now",
        ),
        Variable("OTEL_SEMCONV_STABILITY_OPT_IN", checks.stable_http, "`http` is added to it"),
        Variable("OTEL_EXPERIMENTAL_RESOURCE_DETECTORS", checks.detectors),
        Variable("OTEL_PYTHON_ID_GENERATOR", checks.plugins("opentelemetry_id_generator")),
        Variable("OTEL_PYTHON_TRACER_PROVIDER", checks.plugins("opentelemetry_tracer_provider")),
        Variable("OTEL_PYTHON_METER_PROVIDER", checks.plugins("opentelemetry_meter_provider")),
        Variable("OTEL_PYTHON_CONTEXT", checks.plugins("opentelemetry_context")),
        Variable("OTEL_PYTHON_SDK_INTERNAL_METRICS_ENABLED", checks.boolean),
        Variable("OTEL_PYTHON_EXCLUDED_URLS", checks.patterns),
        Variable("OTEL_PYTHON_FLASK_EXCLUDED_URLS", checks.patterns),
        *(
            Variable(
                f"OTEL_INSTRUMENTATION_HTTP_CAPTURE_HEADERS_{name}",
                checks.anything,
                _HEADERS_STAY,
                ignored=True,
            )
            for name in ("SERVER_REQUEST", "SERVER_RESPONSE", "SANITIZE_FIELDS")
        ),
        Variable(
            "OTEL_PYTHON_INSTRUMENTATION_HTTP_CAPTURE_ALL_METHODS",
            checks.anything,
            "no effect: methods that HTTP does not have are `_OTHER`, or clients could make series",
            ignored=True,
        ),
    )
}
"""Every variable that is looked at, in the order of the documentation."""


def check(environment: Mapping[str, str] | None = None) -> dict[str, str]:
    """Check every standard variable, without importing OpenTelemetry.

    Args:
        environment: Instead of the process's.

    Returns:
        Those that are set and have an effect, as the SDK is to read them, with our defaults. An
        empty variable counts as unset, as the specification has it.

    Raises:
        TelemetryError: One of them cannot be honoured.
    """
    given = os.environ if environment is None else environment
    read: dict[str, str] = {}
    for name, variable in VARIABLES.items():
        value = given.get(name, "").strip()
        if not value or variable.ignored:
            continue
        try:
            read[name] = variable.check(value)
        except ValueError as error:
            quoted = name if variable.secret else f"{name}={value!r}"
            raise TelemetryError(f"{quoted}: {error}") from None
    _check_together(read)
    # A timeout that is given for all signals counts for all: our defaults of single ones must not
    # undo it.
    for_all = read.get("OTEL_EXPORTER_OTLP_TIMEOUT")
    for name, value in DEFAULTS.items():
        read.setdefault(name, for_all if for_all and name.endswith("_TIMEOUT") else value)
    for prefix, queue in (("BSP", 16384), ("BLRP", 2048)):
        size = min(512, int(read.get(f"OTEL_{prefix}_MAX_QUEUE_SIZE", queue)))
        read.setdefault(f"OTEL_{prefix}_MAX_EXPORT_BATCH_SIZE", str(size))
    return read


def apply() -> tuple[dict[str, str], list[str]]:
    """Check every standard variable, and write into the environment what the SDK is to read.

    Returns:
        What `check` returns; and a line for each variable that is set and has no effect.

    Raises:
        TelemetryError: One of them cannot be honoured.
    """
    read = check()
    notes = []
    for name in [name for name in os.environ if name.startswith("OTEL_")]:
        value, variable = os.environ[name].strip(), VARIABLES.get(name)
        if not value or (variable and variable.ignored):
            del os.environ[name]
        if not value or variable is None:
            continue
        if variable.ignored:
            notes.append(f"{name}={value!r} has {variable.note}")
        elif variable.check is checks.boolean and not checks.is_boolean(value):
            notes.append(f"{name}={value!r} is neither true nor false, and is taken for false")
    # Not the timeouts, which the SDK takes for seconds: they are handed to the exporters.
    os.environ.update({name: read[name] for name in read if not name.endswith("_TIMEOUT")})
    return read, notes


def begin_again_under_agent() -> None:
    """Under `opentelemetry-instrument`, begin the process anew if it has other HTTP conventions.

    The agent's instrumentations read the variable once, before any code of the service runs, and
    without it they use the names of 2021. The process keeps its id.
    """
    name = "OTEL_SEMCONV_STABILITY_OPT_IN"
    given = os.environ.get(name, "")
    stable = checks.stable_http(given)
    if "opentelemetry.instrumentation.auto_instrumentation" in sys.modules and given != stable:
        os.environ[name] = stable
        os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])  # noqa: S606  # itself


def _check_together(read: Mapping[str, str]) -> None:
    """Refuse values that are right alone and wrong beside another variable."""
    sampler, share = "OTEL_TRACES_SAMPLER", "OTEL_TRACES_SAMPLER_ARG"
    if read.get(sampler, "").endswith("traceidratio") and share in read:
        _refuse_unless(checks.share, share, read[share])
    for prefix in ("BSP", "BLRP"):
        size, queue = f"OTEL_{prefix}_MAX_EXPORT_BATCH_SIZE", f"OTEL_{prefix}_MAX_QUEUE_SIZE"
        room = int(read.get(queue, DEFAULTS.get(queue, "2048")))
        if size in read and int(read[size]) > room:
            raise TelemetryError(
                f"{size}={read[size]!r}: must be at most {queue}, which is {room}; lower it, or "
                f"raise {queue}"
            )
    for signal in SIGNALS:
        endpoint(read, signal)
        for one, other in permutations(("CLIENT_KEY", "CLIENT_CERTIFICATE")):
            if of_signal(read, signal, one) and not of_signal(read, signal, other):
                name, missing = f"OTEL_EXPORTER_OTLP_{one}", f"OTEL_EXPORTER_OTLP_{other}"
                raise TelemetryError(f"{name} is set without {missing}: set both, or neither")


def endpoint(read: Mapping[str, str], signal: Signal) -> tuple[str, bool] | None:
    """Where a signal is sent, and whether without TLS; None if no variable says where.

    Raises:
        TelemetryError: The address cannot be one.
    """
    for scope in (f"{signal.upper()}_", ""):
        name = f"OTEL_EXPORTER_OTLP_{scope}ENDPOINT"
        if name in read:
            break
    else:
        return None
    insecure = of_signal(read, signal, "INSECURE")
    grpc = of_signal(read, signal, "PROTOCOL") in ("", "grpc")
    try:
        url, plain = checks.endpoint(read[name], insecure, grpc=grpc)
    except ValueError as error:
        raise TelemetryError(f"{name}={read[name]!r}: {error}") from None
    if not grpc and not scope:
        url = f"{url.rstrip('/')}/v1/{signal}"
    return url, plain


def of_signal(read: Mapping[str, str], signal: Signal, name: str) -> str:
    """A variable of the exporters: the signal's own, else that for all signals, else empty."""
    own = read.get(f"OTEL_EXPORTER_OTLP_{signal.upper()}_{name}")
    return own or read.get(f"OTEL_EXPORTER_OTLP_{name}", "")


def _refuse_unless(check: Check, name: str, value: str) -> None:
    try:
        check(value)
    except ValueError as error:
        raise TelemetryError(f"{name}={value!r}: {error}") from None
