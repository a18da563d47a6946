from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from opentelemetry import trace
from opentelemetry.exporter.prometheus import PrometheusMetricReader
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.view import (
    ExponentialBucketHistogramAggregation,
    View,
)
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF
from opentelemetry.trace import SpanContext

from telemetry import prometheus
from telemetry.instruments import METRICS, REQUEST_DURATION, prometheus_name
from telemetry.prometheus import PrometheusEndpoint
from telemetry.recording import Instruments
from tests.conftest import logged_here
from tests.telemetry.exposition import OPENMETRICS, PLAIN, Exposition

ROUTE = {"method": "POST", "endpoint": "/predict"}
UNITS = {"s": "seconds", "By": "bytes", "Cel": "celsius", "W": "watts"}


class Scraped:
    """A meter provider with our endpoint as its only reader."""

    def __init__(self, *views: View) -> None:
        self.endpoint = PrometheusEndpoint()
        self.provider = MeterProvider(
            metric_readers=[self.endpoint.reader], views=views, shutdown_on_exit=False
        )
        self.meter = self.provider.get_meter("mgeo", "1")
        self.tracer = TracerProvider(shutdown_on_exit=False).get_tracer("mgeo")

    def scrape(self) -> Exposition:
        return Exposition(self.endpoint.render(OPENMETRICS)[0])

    def in_span(self) -> SpanContext:
        return trace.get_current_span().get_span_context()


@pytest.fixture
def scraped() -> Iterator[Scraped]:
    one = Scraped()
    yield one
    one.provider.shutdown()


def named(context: SpanContext) -> dict[str, str]:
    return {
        "trace_id": format(context.trace_id, "032x"),
        "span_id": format(context.span_id, "016x"),
    }


def record_every_metric(instruments: Instruments) -> None:
    """One measurement in each declared metric, through the same doors as the code's own."""
    by_name = {
        instrument.name: instrument
        for instrument in vars(instruments).values()
        if hasattr(instrument, "name")
    }
    for metric in METRICS:
        attributes = dict.fromkeys(metric.attributes, "x")
        if metric.kind == "gauge":
            instruments.observe(metric, lambda attributes=attributes: [(0.5, attributes)])
        elif metric.kind == "histogram":
            by_name[metric.name].record(0.5, attributes)
        else:
            by_name[metric.name].add(1, attributes)


def test_every_declared_metric_has_its_name_type_unit_and_help(scraped: Scraped) -> None:
    record_every_metric(Instruments(scraped.meter))

    seen = scraped.scrape()

    exported = {
        family.name: (family.type, family.unit, family.documentation)
        for family in seen.families.values()
        if family.name != "target"
    }
    kinds = {"up_down_counter": "gauge"}
    assert exported == {
        prometheus_name(metric).removesuffix("_total"): (
            kinds.get(metric.kind, metric.kind),
            UNITS.get(metric.unit, ""),
            metric.description,
        )
        for metric in METRICS
    }


def test_declared_series_have_their_labels_and_no_scope(scraped: Scraped) -> None:
    record_every_metric(Instruments(scraped.meter))
    seen = scraped.scrape()

    for metric in METRICS:
        suffix = "_count" if metric.kind == "histogram" else ""
        labels = {key.replace(".", "_"): "x" for key in metric.attributes}
        assert seen.value(prometheus_name(metric) + suffix, **labels) > 0


def test_histogram_buckets_are_the_declared_ones(scraped: Scraped) -> None:
    Instruments(scraped.meter).request_duration.record(0.25, ROUTE)

    seen = scraped.scrape()

    buckets = {
        float(sample.labels["le"]): sample.value
        for sample in seen.samples
        if sample.name == "mgeo_request_duration_seconds_bucket"
    }
    bounds = (*REQUEST_DURATION.buckets, float("inf"))
    # A value on a bound belongs below it.
    assert buckets == {bound: float(bound >= 0.25) for bound in bounds}


def test_exemplar_is_on_the_bucket_that_holds_it(scraped: Scraped) -> None:
    duration = Instruments(scraped.meter).request_duration
    contexts = {}
    for value, le in ((0.0009, "0.001"), (0.01, "0.01"), (0.0101, "0.015"), (99.0, "+Inf")):
        with scraped.tracer.start_as_current_span("request"):
            duration.record(value, ROUTE)
            contexts[le] = (value, scraped.in_span())

    found = scraped.scrape().exemplars()

    assert {sample.labels["le"]: sample.exemplar.labels for sample in found} == {
        le: named(context) for le, (_, context) in contexts.items()
    }
    for sample in found:
        assert sample.exemplar.value == contexts[sample.labels["le"]][0]
        assert abs(float(sample.exemplar.timestamp) - time.time()) < 60
        assert sample.labels | {"le": ""} == {**ROUTE, "le": ""}


def test_exemplar_is_on_the_counter_of_its_labels(scraped: Scraped) -> None:
    request = scraped.meter.create_counter("mgeo.request")
    request.add(1, {**ROUTE, "status": "400"})
    with scraped.tracer.start_as_current_span("request"):
        request.add(1, {**ROUTE, "status": "200"})
        context = scraped.in_span()

    [sample] = scraped.scrape().exemplars()

    assert (sample.name, sample.labels["status"]) == ("mgeo_request_total", "200")
    assert sample.exemplar.labels == named(context)


@pytest.mark.parametrize("unit", ["", "1", "s", "By", "{pair}", "ms", "By/s"])
@pytest.mark.parametrize("name", ["a.b", "a.total", "a.seconds", "a.bytes.total", "a__b", "a.b_c"])
def test_exemplar_is_found_under_any_name_and_unit(scraped: Scraped, name: str, unit: str) -> None:
    counter = scraped.meter.create_counter(f"counter.{name}", unit)
    histogram = scraped.meter.create_histogram(f"histogram.{name}", unit)
    with scraped.tracer.start_as_current_span("request"):
        counter.add(1, {"x": "y"})
        histogram.record(1, {"x": "y"})

    [first, second] = scraped.scrape().exemplars()

    assert {first.name[-6:], second.name[-7:]} == {"_total", "_bucket"}


@pytest.mark.parametrize(
    "attributes",
    [
        {},
        {"flag": True},
        {"number": 3, "share": 0.5},
        {"list": ("a", "b")},
        {"empty": "", "full": "x"},
        {"a.dotted-key": "x"},
        {"9.lives": "x"},
        {"quote": 'say "hi"', "line": "one\ntwo", "slash": "C:\\temp\\n", "text": "杭州市"},
    ],
    ids=str,
)
def test_exemplar_is_found_under_any_labels(
    scraped: Scraped, attributes: dict[str, object]
) -> None:
    counter = scraped.meter.create_counter("things")
    counter.add(1, {"other": "series"})  # what one series lacks is exported as an empty label
    with scraped.tracer.start_as_current_span("request"):
        counter.add(1, attributes)

    [sample] = scraped.scrape().exemplars()

    assert sample.labels.get("other", "") == ""
    assert sample.value == 1


def test_label_values_arrive_as_they_are(scraped: Scraped) -> None:
    value = 'quote " newline \n backslash \\ both \\n 浙江省杭州市'
    scraped.meter.create_counter("things").add(2, {"of": value})

    assert scraped.scrape().value("things_total", of=value) == 2
    plain = Exposition(scraped.endpoint.render(PLAIN)[0], openmetrics=False)
    assert plain.value("things_total", of=value) == 2


def test_plain_text_has_no_exemplar(scraped: Scraped) -> None:
    with scraped.tracer.start_as_current_span("request"):
        Instruments(scraped.meter).request_duration.record(0.2, ROUTE)

    body, content_type = scraped.endpoint.render(PLAIN)

    assert content_type.startswith("text/plain; version=0.0.4")
    assert b"trace_id" not in body
    assert b" # {" not in body
    body, content_type = scraped.endpoint.render(OPENMETRICS)
    assert content_type.startswith("application/openmetrics-text; version=1.0.0")
    assert b" # {" in body
    assert b'trace_id="' in body
    assert body.endswith(b"# EOF\n")


@pytest.mark.parametrize(
    "accept", ["", "*/*", "nonsense", "application/openmetrics-text;version=x"]
)
def test_any_accept_header_is_answered(scraped: Scraped, accept: str) -> None:
    Instruments(scraped.meter).request.add(1, {**ROUTE, "status": "200"})

    body, content_type = scraped.endpoint.render(accept)

    assert content_type.startswith("text/plain")
    assert b"mgeo_request_total" in body


def test_a_second_scraper_sees_the_same_exemplars(scraped: Scraped) -> None:
    with scraped.tracer.start_as_current_span("request"):
        Instruments(scraped.meter).request_duration.record(0.2, ROUTE)

    first, second = scraped.scrape().exemplars(), scraped.scrape().exemplars()

    assert first
    assert [s.exemplar for s in first] == [s.exemplar for s in second]


def test_a_newer_exemplar_takes_the_bucket(scraped: Scraped) -> None:
    duration = Instruments(scraped.meter).request_duration
    for _ in range(2):
        with scraped.tracer.start_as_current_span("request"):
            duration.record(0.2, ROUTE)
            context = scraped.in_span()
        [sample] = scraped.scrape().exemplars()
        assert sample.exemplar.labels == named(context)


def test_an_old_exemplar_goes(scraped: Scraped, monkeypatch: pytest.MonkeyPatch) -> None:
    with scraped.tracer.start_as_current_span("request"):
        Instruments(scraped.meter).request_duration.record(0.2, ROUTE)
    assert scraped.scrape().exemplars()

    later = time.time() + prometheus.KEEP_EXEMPLAR_SECONDS + 1
    monkeypatch.setattr("telemetry.prometheus.time.time", lambda: later)

    assert not scraped.scrape().exemplars()
    assert not scraped.endpoint.reader.exemplars


def test_a_span_that_is_not_sampled_leaves_no_exemplar(scraped: Scraped) -> None:
    tracer = TracerProvider(sampler=ALWAYS_OFF, shutdown_on_exit=False).get_tracer("mgeo")
    with tracer.start_as_current_span("request"):
        Instruments(scraped.meter).request_duration.record(0.2, ROUTE)

    assert not scraped.scrape().exemplars()


def test_force_flush_leaves_nothing_for_the_next_scrape(scraped: Scraped) -> None:
    request = Instruments(scraped.meter).request
    request.add(1, {**ROUTE, "status": "200"})
    for _ in range(3):
        scraped.provider.force_flush()
    request.add(1, {**ROUTE, "status": "200"})

    seen = scraped.scrape()

    assert seen.repeated() == []
    assert seen.total("mgeo_request_total") == 2


def test_scrapes_at_once_repeat_no_series(
    scraped: Scraped, monkeypatch: pytest.MonkeyPatch
) -> None:
    # What the exporter has collected lies there for a moment, for any scrape to take.
    receive = PrometheusMetricReader._receive_metrics

    def receive_slowly(*arguments: object, **named: object) -> None:
        receive(*arguments, **named)
        time.sleep(0.002)

    monkeypatch.setattr(PrometheusMetricReader, "_receive_metrics", receive_slowly)
    instruments = Instruments(scraped.meter)
    record_every_metric(instruments)
    done = threading.Event()

    def disturb() -> None:
        while not done.wait(0.001):
            scraped.provider.force_flush()
            with scraped.tracer.start_as_current_span("request"):
                instruments.request_duration.record(0.2, ROUTE)

    disturber = threading.Thread(target=disturb)
    disturber.start()
    try:
        with ThreadPoolExecutor(16) as pool:
            bodies = list(pool.map(lambda _: scraped.endpoint.render(OPENMETRICS)[0], range(48)))
    finally:
        done.set()
        disturber.join(60)

    seen = [Exposition(body) for body in bodies]
    assert {len(one.families) for one in seen} == {len(METRICS) + 1}
    assert [one.repeated() for one in seen] == [[]] * len(bodies)


def test_only_gauges_of_unit_one_are_ratios(scraped: Scraped) -> None:
    """As the Collector names them."""
    scraped.meter.create_observable_gauge("busy", [lambda _: []], "1")
    scraped.meter.create_gauge("share", "1").set(0.5)
    scraped.meter.create_gauge("plain").set(0.5)
    scraped.meter.create_up_down_counter("level", "1").add(1)
    scraped.meter.create_counter("events", "1").add(1)

    names = {sample.name for sample in scraped.scrape().samples} - {"target_info"}

    assert names == {"share_ratio", "plain", "level", "events_total"}


def test_what_cannot_be_translated_fails_no_scrape(caplog: pytest.LogCaptureFixture) -> None:
    exponential = View(instrument_name="odd", aggregation=ExponentialBucketHistogramAggregation())
    scraped = Scraped(exponential)
    scraped.meter.create_histogram("odd").record(1)
    scraped.meter.create_counter("even").add(1)

    for _ in range(2):
        assert scraped.scrape().value("even_total") == 1

    assert [record.message for record in logged_here(caplog)] == ["not on /metrics"]


def test_a_gauge_that_raises_loses_its_series_alone(scraped: Scraped) -> None:
    instruments = Instruments(scraped.meter)
    instruments.request.add(1, {**ROUTE, "status": "200"})
    [gauge] = [metric for metric in METRICS if metric.name == "mgeo.ready"]
    instruments.observe_value(gauge, lambda: 1 // 0)

    seen = scraped.scrape()

    assert seen.total("mgeo_request_total") == 1
    assert "mgeo_ready" not in seen.families


def test_after_shutdown_a_scrape_is_empty_and_works(scraped: Scraped) -> None:
    Instruments(scraped.meter).request.add(1, {**ROUTE, "status": "200"})
    scraped.provider.shutdown()

    assert scraped.scrape().samples == []
    scraped.provider = MeterProvider(shutdown_on_exit=False)
