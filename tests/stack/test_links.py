"""From a dot to its trace, from there to its log lines and metrics, and back: as Grafana asks."""

from __future__ import annotations

import functools
import json
import time
from typing import Any

import pytest

from grafana.generator import victorialogs
from tests.stack import grafana
from tests.stack.clients import Prometheus
from tests.stack.conftest import Traffic
from tests.stack.logs import LogStore
from tests.stack.test_chain import SPANS
from tools import native
from tools.picture import fill
from tools.stack import Stack

pytestmark = [pytest.mark.slow, pytest.mark.timeout(700)]

DOTS = "histogram_quantile(0.95, sum by (le) (rate(mgeo_request_duration_seconds_bucket[1m])))"
BOARDS = {
    "loki": victorialogs.FOLDER.parent / "dashboards" / "service.json",
    "victorialogs": victorialogs.FOLDER / "service.json",
}
SOURCES = {"loki": victorialogs.DATA_SOURCES, "victorialogs": victorialogs.FOLDER / "stack.yaml"}


@pytest.fixture(scope="module")
def sources(stack: Stack) -> dict[str, dict[str, Any]]:
    """The provisioned data sources, with the addresses of the running stores."""
    jaeger = stack.url("jaeger", 16686)
    return grafana.data_sources(
        SOURCES[native.log_store()], {"JAEGER_URL": jaeger, "JAEGER_UI_URL": jaeger}
    )


@pytest.fixture(scope="module")
def dots(prometheus: Prometheus, traffic: Traffic) -> dict[str, dict[str, str]]:
    """Trace id → labels of the exemplars that a latency panel shows."""
    return {e["labels"]["trace_id"]: e["labels"] for e in prometheus.exemplars(DOTS)}


def test_every_dot_leads_to_its_trace_its_lines_and_back(
    sources: dict[str, dict[str, Any]],
    dots: dict[str, dict[str, str]],
    log_store: LogStore,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert len(dots) >= 50
    for dot in dots.values():
        grafana.round_trip(sources, dot, log_store, SPANS)
    with capsys.disabled():
        print(f"\n{len(dots)} dots led to their traces, their lines and back")


def test_a_span_leads_to_the_metrics_of_its_own_instance(
    sources: dict[str, dict[str, Any]], dots: dict[str, dict[str, str]], prometheus: Prometheus
) -> None:
    found = grafana.trace(sources["jaeger"]["url"], {"query": next(iter(dots))})
    queries = grafana.metrics_queries(sources["jaeger"], found, grafana.root(found))
    assert len(queries) == 3
    for query in queries.values():
        assert '{instance="mgeo-1"}' in query
        assert prometheus.range(fill(query))


def test_each_span_of_a_trace_has_its_instance(
    sources: dict[str, dict[str, Any]], dots: dict[str, dict[str, str]]
) -> None:
    """A link of a span without it would have a selector without labels, which Loki refuses."""
    found = grafana.trace(sources["jaeger"]["url"], {"query": next(iter(dots))})
    loki = grafana.data_sources(victorialogs.DATA_SOURCES, {})
    for span in found["spans"]:
        _, query = grafana.logs_query(loki["jaeger"], found, span)
        assert query.startswith('{service_instance_id="mgeo-1"} | trace_id = "')


def test_links_of_panels_find_what_they_say(
    sources: dict[str, dict[str, Any]], log_store: LogStore, traffic: Traffic
) -> None:
    """From a latency to traces as slow, from a stage to log lines with as much of it."""
    file = BOARDS[native.log_store()]
    urls = {
        setting["value"][0]["url"] if setting["id"] == "links" else ""
        for panel in json.loads(file.read_text("utf-8"))["panels"]
        for override in panel.get("fieldConfig", {}).get("overrides", ())
        for setting in override["properties"]
    }
    filled = {
        "${service}": "mgeo-inference",
        "${traces}": "jaeger",
        "${logs}": native.log_store(),
        "${__value.raw}": "0.0021",
        "${__field.labels.stage}": "compute",
        "${__from}": str(int(traffic.started * 1e3)),
        "${__to}": str(int(time.time() * 1e3)),
        ">= 50": ">= 1",
        ":>=50": ":>=1",
    }
    found = {"traces": 0, "lines": 0}
    for url in sorted(url for url in urls if url.startswith("/explore")):
        link = grafana.opened(functools.reduce(lambda u, k: u.replace(k, filled[k]), filled, url))
        assert isinstance(link, grafana.Explore)
        assert "$" not in json.dumps(link.query)
        if link.source == "jaeger":
            start, end = (int(float(filled[k]) * 1e3) for k in ("${__from}", "${__to}"))
            traces = grafana.search(sources["jaeger"]["url"], link.query, start, end)
            spans = [[span["duration"] for span in trace["spans"]] for trace in traces]
            assert all(max(durations) >= 2100 for durations in spans)
            found["traces"] += len(traces)
        else:
            assert link.source == sources[native.log_store()]["uid"]
            lines = log_store.ask(link.query["expr"])
            assert all(float(line.fields["compute_ms"]) >= 1 for line in lines)
            found["lines"] += len(lines)
    assert all(found.values()), found


def test_what_was_wrong_leads_nowhere(sources: dict[str, dict[str, Any]], traffic: Traffic) -> None:
    """The links that were shipped once, so that these tests are known to see it."""
    prometheus = {
        "jsonData": {
            "exemplarTraceIdDestinations": [{"name": "trace_id", "datasourceUid": "jaeger"}]
        }
    }
    [link] = grafana.exemplar_links(prometheus, {"trace_id": "0" * 32})
    assert isinstance(link, grafana.Explore)
    assert grafana.trace(sources["jaeger"]["url"], link.query) == {}
    by_name = json.loads(json.dumps(sources["jaeger"]))
    settings = by_name["jsonData"]["tracesToLogsV2"]
    settings |= {"query": "{${__tags}}", "tags": [{"key": "service.name", "value": "service_name"}]}
    start = int((traffic.started - 60) * 1e6)
    query = {"queryType": "search", "service": "mgeo-inference", "limit": 1}
    [found] = grafana.search(sources["jaeger"]["url"], query, start, start + 3_600_000_000)
    assert grafana.logs_query(by_name, found, found["spans"][0])[1] == "{}"
