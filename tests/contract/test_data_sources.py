"""Data sources of Grafana: tied together by links that the plugins' versions in use can follow."""

from __future__ import annotations

from pathlib import Path

import pytest

from grafana.generator import victorialogs
from grafana.generator.victorialogs import DATA_SOURCES
from tests.stack.grafana import (
    PLUGINS,
    data_sources,
    exemplar_links,
    line_links,
    opened,
    opened_in_grafana_9,
)
from tools import yaml_text

ROOT = Path(__file__).parent.parent.parent


@pytest.mark.parametrize("file", [DATA_SOURCES, victorialogs.FOLDER / "stack.yaml"], ids=str)
def test_data_sources_are_linked_both_ways(file: Path) -> None:
    """Which requests the links make, and what they find: tests/stack/test_links.py."""
    given = {"JAEGER_UI_URL": "http://j"}
    sources = data_sources(file, given)
    [logs] = [s for s in sources.values() if s["type"] in {"loki", victorialogs.TYPE}]
    trace = {"trace_id": "0" * 32}
    for links in exemplar_links(sources["prometheus"], trace), line_links(logs, trace):
        explore, page = links
        # A query type is one that Jaeger's data source ignores (grafana/grafana#111448).
        assert explore.source == "jaeger"
        assert explore.query["query"] == "0" * 32
        assert not explore.query.get("queryType")
        assert page.url == f"http://j/trace/{'0' * 32}"
    jaeger = sources["jaeger"]["jsonData"]
    assert jaeger["tracesToLogsV2"]["datasourceUid"] == logs["uid"]
    assert "tracesToLogs" not in jaeger, "Grafana 10 and later do not read it"
    assert jaeger["tracesToMetrics"]["datasourceUid"] == "prometheus"


def test_explore_of_grafana_9_opens_the_same_trace() -> None:
    [first, _] = data_sources(DATA_SOURCES, {})["prometheus"]["jsonData"][
        "exemplarTraceIdDestinations"
    ]
    assert opened_in_grafana_9(first["url"]) == opened(first["url"])


def test_prometheus_is_described_as_it_runs() -> None:
    prometheus = data_sources(DATA_SOURCES, {})["prometheus"]["jsonData"]
    scrape = yaml_text.read(ROOT / "prometheus" / "prometheus.yml")
    assert prometheus["timeInterval"] == scrape["global"]["scrape_interval"]
    compose = (ROOT / "docker-compose.yml").read_text("utf-8")
    assert f"prom/prometheus:v{prometheus['prometheusVersion']}\n" in compose


def test_documentation_names_the_plugins_whose_source_was_read() -> None:
    text = (ROOT / "docs" / "observability.md").read_text("utf-8")
    for name, version in PLUGINS.items():
        assert f"`{name}` {version}" in text
