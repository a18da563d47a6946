"""`OTEL_CONFIG_FILE`: the SDK as a file declares it, with this project's parts added.

`opentelemetry-configuration` reads the file and builds the providers. The exporters are built here
from what is declared: the allow-list stands before those of spans and log records, and the end of a
model's series before those of metrics. `/metrics`, our views and the service's identity are added.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from opentelemetry import metrics, trace
from opentelemetry.configuration import (
    ConfigurationError,
    OpenTelemetryConfiguration,
    configure_sdk,
    load_config_file,
    models,
)
from opentelemetry.metrics import NoOpMeterProvider
from opentelemetry.sdk._logs import LoggerProvider, LogRecordLimits
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor, SimpleLogRecordProcessor
from opentelemetry.sdk.metrics import (
    Counter,
    Histogram,
    MeterProvider,
    ObservableCounter,
    ObservableUpDownCounter,
    UpDownCounter,
)
from opentelemetry.sdk.metrics.export import (
    AggregationTemporality,
    MetricReader,
    PeriodicExportingMetricReader,
)
from opentelemetry.sdk.metrics.view import (
    ExplicitBucketHistogramAggregation,
    ExponentialBucketHistogramAggregation,
)
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SimpleSpanProcessor

from telemetry import exporters
from telemetry.environment import Signal, TelemetryError
from telemetry.exporters import DEFAULT_ENDPOINTS, Destination
from telemetry.instruments import LATENCY_SECONDS
from telemetry.privacy import AllowListExporter
from telemetry.series import LivingSeries

_DEFAULT_TIMEOUT_MS = 10_000
_METRICS_INTERVAL_MS, _METRICS_TIMEOUT_MS = 60_000, 30_000
_PATHS = {"grpc": "", "http/protobuf": "/v1/{}"}


class SdkConfiguration:
    """What a configuration file declares.

    Args:
        path: Of the file.
        identity: Resource attributes where the file declares none of the name.
        schema_url: Of the semantic conventions, likewise.

    Raises:
        TelemetryError: The file cannot be read, or declares what there is not.
    """

    def __init__(self, path: str, identity: Mapping[str, str], schema_url: str) -> None:
        self._path = path
        with self._errors():
            self._file = load_config_file(path)
            self.disabled = bool(self._file.disabled)
            self._add_identity(identity, schema_url)

    def providers(self, reader: MetricReader) -> tuple[TracerProvider, MeterProvider]:
        """The providers of spans and metrics, which become the global ones.

        Args:
            reader: Of `/metrics`.
        """
        if not isinstance(trace.get_tracer_provider(), trace.ProxyTracerProvider):
            raise TelemetryError(
                f"OTEL_CONFIG_FILE={self._path!r}: another part of the process, such as "
                "opentelemetry-instrument, has set up the SDK already; start without it"
            )
        file = self._file
        spans = file.tracer_provider or models.TracerProvider(processors=[])
        meters = file.meter_provider or models.MeterProvider(readers=[])
        off = models.Sampler(always_off={})
        with self._errors():
            configure_sdk(
                replace_in(
                    file,
                    tracer_provider=replace(
                        spans, processors=[], sampler=spans.sampler if spans.processors else off
                    ),
                    meter_provider=replace(
                        meters,
                        views=[*_our_views(), *(meters.views or [])],
                        readers=[one for one in meters.readers if not one.periodic],
                    ),
                    logger_provider=None,
                )
            )
        tracers, made = trace.get_tracer_provider(), metrics.get_meter_provider()
        if not isinstance(tracers, TracerProvider) or not isinstance(made, MeterProvider):
            raise TelemetryError(f"OTEL_CONFIG_FILE={self._path!r}: the SDK was not set up")
        made.add_metric_reader(reader)
        return tracers, made

    def add_metric_readers(
        self, provider: MeterProvider, series: LivingSeries
    ) -> list[MetricReader]:
        """Add what is declared for metrics that are pushed, without the series that have ended.

        Returns:
            What is to be shut down beside the provider.
        """
        declared = self._file.meter_provider
        readers: list[MetricReader] = []
        for one in declared.readers if declared else []:
            if one.periodic is None:
                continue
            with self._errors():
                exporter = self._exporter(one.periodic.exporter, "metrics", provider)
                reader = PeriodicExportingMetricReader(
                    series.only(exporter),
                    _first(one.periodic.interval, _METRICS_INTERVAL_MS),
                    _first(one.periodic.timeout, _METRICS_TIMEOUT_MS),
                )
            provider.add_metric_reader(reader)
            readers.append(reader)
        return readers

    @property
    def pushes_traces(self) -> bool:
        """Whether spans leave the process."""
        return bool(self._file.tracer_provider and self._file.tracer_provider.processors)

    def add_span_processors(self, provider: TracerProvider, meters: MeterProvider) -> None:
        """Add what is declared for spans, with the allow-list."""
        declared = self._file.tracer_provider
        for one in declared.processors if declared else []:
            with self._errors():
                exporter = AllowListExporter(
                    self._exporter_of(one, "traces", meters), provider.resource
                )
                provider.add_span_processor(
                    _processor(one, exporter, meters, BatchSpanProcessor, SimpleSpanProcessor)
                )

    def logger_provider(self, resource: Resource, meters: MeterProvider) -> LoggerProvider | None:
        """The provider of log records as declared. It does not become the global one: what others
        hand to that passes no allow-list."""
        declared = self._file.logger_provider
        if declared is None or not declared.processors:
            return None
        limits = declared.limits or models.LogRecordLimits()
        shared = self._file.attribute_limits or models.AttributeLimits()
        count = _first(limits.attribute_count_limit, shared.attribute_count_limit, 128)
        length = _first(
            limits.attribute_value_length_limit,
            shared.attribute_value_length_limit,
            LogRecordLimits.UNSET,
        )
        provider = LoggerProvider(
            resource,
            shutdown_on_exit=False,
            meter_provider=NoOpMeterProvider(),
            log_record_limits=LogRecordLimits(
                max_log_record_attributes=count, max_log_record_attribute_length=length
            ),
        )
        for one in declared.processors:
            with self._errors():
                provider.add_log_record_processor(
                    _processor(
                        one,
                        self._exporter_of(one, "logs", meters),
                        meters,
                        BatchLogRecordProcessor,
                        SimpleLogRecordProcessor,
                    )
                )
        return provider

    def _exporter_of(self, processor: Any, signal: Signal, meters: MeterProvider) -> Any:
        kind = processor.batch or processor.simple
        if kind is None:
            [name] = processor.additional_properties or ["of this kind"]
            raise ConfigurationError(f"the processor {name!r} of {signal}: use batch or simple")
        return self._exporter(kind.exporter, signal, meters)

    def _exporter(self, declared: Any, signal: Signal, meters: MeterProvider) -> Any:
        of_metrics = _preferred if signal == "metrics" else lambda _: {}
        if declared.console is not None:
            return exporters.plugin(signal, "console", **of_metrics(declared.console))
        for protocol, one in (("grpc", declared.otlp_grpc), ("http/protobuf", declared.otlp_http)):
            if one is not None:
                to = _destination(protocol, one, signal)
                return exporters.otlp(to, signal, meters, **of_metrics(one))
        for name, options in declared.additional_properties.items():
            return exporters.plugin(signal, name, **(options or {}))
        raise ConfigurationError(f"the exporter of {signal}: use otlp_grpc, otlp_http or console")

    def _add_identity(self, identity: Mapping[str, str], schema_url: str) -> None:
        declared = self._file.resource or models.Resource()
        listed = [
            item.partition("=")[0].strip() for item in (declared.attributes_list or "").split(",")
        ]
        given = {one.name for one in declared.attributes or []} | set(listed)
        ours = [
            models.AttributeNameValue(name=name, value=value)
            for name, value in identity.items()
            if name not in given
        ]
        self._file = replace_in(
            self._file,
            resource=replace(
                declared,
                attributes=[*ours, *(declared.attributes or [])],
                schema_url=declared.schema_url or schema_url,
            ),
        )

    @contextmanager
    def _errors(self) -> Iterator[None]:
        """Makes one line of an error, and silences the traceback that the library logs."""
        logger = logging.getLogger("opentelemetry.configuration")
        level = logger.level
        logger.setLevel(logging.CRITICAL)
        try:
            yield
        except (ConfigurationError, ImportError, OSError, TypeError, ValueError) as error:
            said = " ".join(str(error).split())
            raise TelemetryError(f"OTEL_CONFIG_FILE={self._path!r}: {said[:500]}") from None
        finally:
            logger.setLevel(level)


def replace_in(file: OpenTelemetryConfiguration, **changes: object) -> OpenTelemetryConfiguration:
    """A copy of a configuration with some parts replaced. Parts that the library does not know
    stay."""
    made = replace(file, **changes)  # type: ignore[arg-type]
    made.additional_properties = file.additional_properties  # type: ignore[misc]
    return made


def _first(*values: int | None) -> int | None:
    return next((value for value in values if value is not None), None)


def _our_views() -> list[models.View]:
    seconds = models.Aggregation(
        explicit_bucket_histogram=models.ExplicitBucketHistogramAggregation(
            boundaries=list(LATENCY_SECONDS)
        )
    )
    renamed = ("process.open_file_descriptor.count", "process.unix.file_descriptor.count")
    return [
        models.View(
            selector=models.ViewSelector(instrument_name="otel.sdk.*.duration"),
            stream=models.ViewStream(aggregation=seconds),
        ),
        models.View(
            selector=models.ViewSelector(instrument_name=renamed[0]),
            stream=models.ViewStream(name=renamed[1]),
        ),
    ]


_SUMS = (Counter, Histogram, ObservableCounter, UpDownCounter, ObservableUpDownCounter)
_DELTAS: dict[str, tuple[type, ...]] = {
    "cumulative": (),
    "delta": (Counter, Histogram, ObservableCounter),
    "low_memory": (Counter, Histogram),
}


def _preferred(declared: Any) -> dict[str, Any]:
    """The preferred temporality and aggregation of metrics, in full: else the SDK would read
    variables."""
    deltas = _DELTAS[getattr(declared.temporality_preference, "value", "cumulative")]
    bounds = getattr(declared.default_histogram_aggregation, "value", "explicit_bucket_histogram")
    explicit = bounds == "explicit_bucket_histogram"
    return {
        "preferred_temporality": {
            kind: AggregationTemporality.DELTA
            if kind in deltas
            else AggregationTemporality.CUMULATIVE
            for kind in _SUMS
        },
        "preferred_aggregation": {
            Histogram: ExplicitBucketHistogramAggregation()
            if explicit
            else ExponentialBucketHistogramAggregation()
        },
    }


def _destination(protocol: str, declared: Any, signal: Signal) -> Destination:
    path = _PATHS[protocol].format(signal)
    endpoint: str = declared.endpoint or DEFAULT_ENDPOINTS[protocol] + path
    tls, headers = declared.tls, {}
    for item in filter(None, (declared.headers_list or "").split(",")):
        name, _, value = item.partition("=")
        headers[name.strip().lower()] = value.strip()
    headers |= {one.name.lower(): one.value or "" for one in declared.headers or []}
    timeout = _DEFAULT_TIMEOUT_MS if declared.timeout is None else declared.timeout
    return Destination(
        protocol,
        endpoint,
        endpoint.startswith("http://") or bool(getattr(tls, "insecure", False)),
        timeout / 1000,
        (declared.compression or "none").lower(),
        headers,
        (tls.ca_file, tls.key_file, tls.cert_file) if tls else (None, None, None),
    )


def _processor(
    declared: Any,
    exporter: Any,
    meters: MeterProvider,
    batch: Callable[..., Any],
    simple: Callable[..., Any],
) -> Any:
    if declared.batch is None:
        return simple(exporter, meter_provider=meters)
    given = declared.batch
    return batch(
        exporter,
        # The specification's defaults: variables do not count beside a file.
        max_queue_size=given.max_queue_size or 2048,
        schedule_delay_millis=given.schedule_delay
        or (5000 if batch is BatchSpanProcessor else 1000),
        max_export_batch_size=given.max_export_batch_size or 512,
        export_timeout_millis=given.export_timeout or 30_000,
        meter_provider=meters,
    )
