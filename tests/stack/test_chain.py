"""From a request to its sample, its exemplar, its trace and its log line, on the real programs."""

import random
import re
import urllib.parse
import urllib.request
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.stack.clients import Jaeger, Prometheus, eventually, exposed, get
from tests.stack.conftest import Traffic
from tests.stack.logs import LogStore
from tools import native, rules
from tools.load import address
from tools.stack import Stack

pytestmark = [pytest.mark.slow, pytest.mark.timeout(700)]

LINKS = yaml.safe_load(rules.LINKS.read_text("utf-8"))
SPANS = {"POST /predict", "admit", "tokenize", "queue", "compute", "respond"}
"""What every answered request's trace holds; the first of a batch also has the `batch`."""


def test_every_program_is_scraped_and_up(prometheus: Prometheus, traffic: Traffic) -> None:
    def targets() -> list[dict[str, Any]]:
        return list(get(f"{prometheus.url}/api/v1/targets")["data"]["activeTargets"])

    eventually(
        "all targets up",
        lambda: {t["scrapeUrl"]: t["lastError"] for t in targets() if t["health"] != "up"},
        lambda down: down == {},
        seconds=60,
    )
    assert {t["labels"]["job"] for t in targets()} == {
        "mgeo-inference",
        "mgeo-inference-otlp",
        "otel-collector",
        "prometheus",
        "alertmanager",
        "jaeger",
        native.log_store(),
        "node",
    }


def test_all_counts_agree_exactly(stack: Stack, prometheus: Prometheus, traffic: Traffic) -> None:
    assert traffic.fast.statuses == {200: 5000}
    counts = {
        "client": traffic.answered,
        "service": exposed(stack.url("mgeo", 8000, "/metrics"), "mgeo_request_total"),
        "collector": exposed(stack.url("otel-collector", 8889, "/metrics"), "mgeo_request_total"),
        "prometheus": prometheus.value("mgeo_request_total"),
        "histogram": prometheus.value("mgeo_request_duration_seconds_count"),
    }
    assert set(counts.values()) == {traffic.answered}, counts


def test_identity_is_the_services_own(prometheus: Prometheus, traffic: Traffic) -> None:
    found = prometheus.query("mgeo_request_total")
    assert found
    for series in found:
        assert series["metric"]["job"] == "mgeo-inference"
        assert series["metric"]["instance"] == "mgeo-1"
        assert not any(label.startswith(("exported_", "otel_scope")) for label in series["metric"])


def test_probe_adds_no_series(prometheus: Prometheus, traffic: Traffic) -> None:
    # The service is asked for /metrics to see whether it is up; counting from there, too, would
    # double everything.
    assert prometheus.value('scrape_samples_post_metric_relabeling{job="mgeo-inference"}') == 0
    up = 'up{job="mgeo-inference"}'
    eventually(up, lambda: prometheus.value(up), lambda found: found == 1, seconds=60)


def test_no_span_is_lost_under_load(stack: Stack, prometheus: Prometheus, traffic: Traffic) -> None:
    page = stack.url("mgeo", 8000, "/metrics")
    made = exposed(page, "otel_sdk_processor_span_processed_total")
    assert made >= traffic.answered * len(SPANS)
    eventually(
        "the service has exported all spans",
        lambda: exposed(page, "otel_sdk_exporter_span_exported_total"),
        lambda exported: exported == made,
        seconds=60,
    )
    assert prometheus.value('otel_sdk_processor_span_processed_total{error_type!=""}') == 0
    # Other senders' spans do not count here.
    calls = 'traces_span_metrics_calls_total{service_name="mgeo-inference"}'
    received = eventually(
        "the Collector has received all spans",
        lambda: prometheus.value(calls),
        lambda spans: spans >= made,
        seconds=60,
    )
    assert received == made
    eventually(
        "Jaeger has stored all that the Collector received",
        lambda: prometheus.value(
            'sum(otelcol_receiver_accepted_spans_total{job="otel-collector"}) '
            '- sum(otelcol_exporter_sent_spans_total{exporter="otlp_http/jaeger"})'
        ),
        lambda waiting: waiting == 0,
        seconds=90,
    )


def test_every_exemplar_leads_to_a_complete_trace_and_its_log_lines(
    prometheus: Prometheus, jaeger: Jaeger, log_store: LogStore, traffic: Traffic
) -> None:
    exemplars = prometheus.exemplars("mgeo_request_duration_seconds_bucket")
    ids = {exemplar["labels"]["trace_id"] for exemplar in exemplars}
    assert len(ids) >= 20
    for trace_id in ids:
        spans = eventually(
            f"trace {trace_id}",
            partial(jaeger.trace, trace_id),
            lambda found: {span.name for span in found} >= SPANS,
            60,
        )
        assert {span.name for span in spans} - {"batch"} == SPANS
        known = {span.span_id for span in spans}
        parents = {span.parent_id for span in spans if span.parent_id}
        assert parents, "no span has a parent"
        assert parents <= known, "a span's parent is missing"
        eventually(
            f"a log line of trace {trace_id}",
            partial(log_store.lines, "mgeo-inference", trace_id=trace_id),
            bool,
            60,
        )


def test_an_exemplar_names_the_request_that_it_measured(
    prometheus: Prometheus, jaeger: Jaeger, traffic: Traffic
) -> None:
    exemplars = prometheus.exemplars("mgeo_request_duration_seconds_bucket")[:20]
    assert exemplars
    for exemplar in exemplars:
        spans = jaeger.trace(exemplar["labels"]["trace_id"])
        root = next(span for span in spans if span.span_id == exemplar["labels"]["span_id"])
        # The span encloses what the metric measured.
        assert root.seconds >= float(exemplar["value"]) * 0.999


def test_a_runbook_link_leads_to_its_heading(stack: Stack) -> None:
    """By the address that the rules have, with this stack's port in place of the shipped one."""
    link = urllib.parse.urlsplit(LINKS["runbooks"])
    for path in (link.path, link.path.replace(".html", ".zh-CN.html")):
        with urllib.request.urlopen(stack.url("prometheus", 9090, path), timeout=60) as answer:
            assert answer.headers["Content-Type"].startswith("text/html")
            assert '<h2 id="mgeohighlatency">' in answer.read().decode()


def test_watchdog_reaches_alertmanager(stack: Stack, traffic: Traffic) -> None:
    url = stack.url("alertmanager", 9093, "/api/v2/alerts")
    eventually(
        "the MgeoWatchdog alert in Alertmanager",
        lambda: {alert["labels"]["alertname"] for alert in get(url)},
        lambda names: "MgeoWatchdog" in names,
        seconds=60,
    )


def test_no_address_is_in_any_store(
    stack: Stack, prometheus: Prometheus, jaeger: Jaeger, log_store: LogStore, traffic: Traffic
) -> None:
    chinese = re.compile(r"[\u4e00-\u9fff]")
    # The check can fail: what was sent would be found.
    assert chinese.search(address(random.Random(0)))
    traces = str(jaeger.search("mgeo-inference", limit=500))
    assert "POST /predict" in traces
    assert not chinese.search(traces)
    lines = str(log_store.lines())
    assert "mgeo-inference" in lines
    assert not chinese.search(lines)
    values: list[str] = []
    for label in get(f"{prometheus.url}/api/v1/labels")["data"]:
        values += get(f"{prometheus.url}/api/v1/label/{label}/values")["data"]
    assert not chinese.search(str(values))
    for service in ("mgeo", "otel-collector", "jaeger", native.log_store()):
        log: Path = stack.process(service).log
        assert not chinese.search(log.read_text(errors="replace")), f"{log} holds an address"
