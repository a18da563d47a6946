"""Dashboards: as generated, readable by a newcomer, and about metrics that exist."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from grafana.generator import victorialogs
from grafana.generator.__main__ import DASHBOARDS, render
from grafana.generator.victorialogs import DATA_SOURCES
from telemetry import instruments
from tests.stack.grafana import (
    PLUGINS,
    data_sources,
    exemplar_links,
    line_links,
    opened,
    opened_in_grafana_9,
)

ROOT = Path(__file__).parent.parent.parent
BOARDS = {file.name: json.loads(file.read_text("utf-8")) for file in DASHBOARDS.glob("*.json")}
NOT_SHOWN = {
    "mgeo_model_load_duration_seconds": "one value per start, no course over time",
    "mgeo_start_time_seconds": "the same; alert Restarting counts its changes",
}
"""Metrics that no panel shows, and why."""


def _panels() -> list[tuple[str, dict[str, Any]]]:
    words = {"row", "text"}
    return [
        (n, p) for n, board in BOARDS.items() for p in board["panels"] if p["type"] not in words
    ]


PANELS = pytest.mark.parametrize(
    ("board", "panel"), _panels(), ids=[f"{n}: {p['title']}" for n, p in _panels()]
)


def test_committed_dashboards_are_as_generated() -> None:
    made = render()
    committed = {*DASHBOARDS.iterdir(), *victorialogs.FOLDER.glob("s*")}
    assert set(made) == committed
    for file, text in made.items():
        assert file.read_text("utf-8") == text, "run `make dashboards`"


@pytest.mark.parametrize("board", BOARDS.values(), ids=BOARDS)
def test_dashboard_has_a_name_and_variables(board: dict[str, Any]) -> None:
    assert board["title"].startswith("MGeo / ")
    assert board["uid"].startswith("mgeo-")
    assert board["description"]
    assert board["editable"] is False
    # `inControlsMenu`, which the SDK writes, hides the only way between the dashboards in a menu.
    assert not any("placement" in link for link in board["links"])
    names = [v["name"] for v in board["templating"]["list"]]
    assert names in (["datasource", "job", "instance"], ["datasource"])
    ids = [panel["id"] for panel in board["panels"]]
    assert len(ids) == len(set(ids))


@PANELS
def test_panel_explains_itself(board: str, panel: dict[str, Any]) -> None:
    assert panel["title"]
    assert len(panel["description"]) > 15
    assert panel["type"] == "logs" or panel["fieldConfig"]["defaults"]["unit"]
    assert panel["targets"]


@PANELS
def test_queries_follow_the_variables(board: str, panel: dict[str, Any]) -> None:
    for target in panel["targets"]:
        expr = target.get("expr", "")
        if target["datasource"]["type"] != "prometheus":
            assert target["datasource"]["uid"] in {"jaeger", "loki"}
            continue
        assert target["datasource"]["uid"] == "${datasource}"
        assert not re.search(r"rate\([^)]*\[\d", expr), "use $__rate_interval"
        assert not re.search(r'le="\d+(\.0)?"', expr), "Prometheus 2 and 3 write it differently"
        for selector in re.findall(r"(?<![:\w])(?:mgeo|nvidia|hw|process)_\w+(\{[^}]*\})?", expr):
            assert "$job" in selector
            assert "$instance" in selector


@PANELS
def test_a_figure_is_of_now(board: str, panel: dict[str, Any]) -> None:
    """Of a range, the last value would stay until the range has left it behind."""
    if panel["type"] == "stat":
        [target] = panel["targets"]
        assert (target["instant"], target["range"]) == (True, False)
        assert panel["options"]["graphMode"] == "none"


def test_a_figure_that_must_not_fail_silently_is_zero_without_series() -> None:
    figures = {p["title"]: p["targets"][0]["expr"] for _, p in _panels() if p["type"] == "stat"}
    for title in ("Instances ready", "In progress", "Watchdog", "Targets down", "Items lost"):
        assert figures[title].endswith(" or vector(0)")


@PANELS
def test_exemplars_are_asked_for_where_they_exist(board: str, panel: dict[str, Any]) -> None:
    for target in panel["targets"]:
        if target.get("exemplar"):
            assert "_bucket{" in target["expr"] or "_bucket[" in target["expr"]
            assert not re.search(r"\bjob:\w+", target["expr"]), "recordings have no exemplars"


def test_latency_panels_of_requests_have_exemplars() -> None:
    for name, panel in _panels():
        queries = [t for t in panel["targets"] if "mgeo_request_" in t.get("expr", "")]
        quantiles = [t for t in queries if "_bucket" in t["expr"]]
        if quantiles and panel["type"] in {"timeseries", "heatmap"}:
            assert any(t.get("exemplar") for t in quantiles), f"{name}: {panel['title']}"


def test_panels_read_metrics_that_exist() -> None:
    known = {instruments.prometheus_name(metric) for metric in instruments.METRICS}
    for _, panel in _panels():
        for target in panel["targets"]:
            for name in re.findall(r"(?<![:\w])(?:mgeo|nvidia|hw)_\w+", target.get("expr", "")):
                assert re.sub(r"_(bucket|count|sum)$", "", name) in known or name in known, name


def test_every_metric_is_on_a_panel() -> None:
    shown = json.dumps(BOARDS)
    names = {instruments.prometheus_name(metric) for metric in instruments.METRICS}
    assert {name for name in names if name not in shown} == set(NOT_SHOWN)


def test_recordings_that_panels_read_exist() -> None:
    recorded = {
        rule.get("record")
        for file in (ROOT / "prometheus" / "rules").glob("*.yml")
        for group in yaml.safe_load(file.read_text("utf-8"))["groups"]
        for rule in group["rules"]
    }
    for _, panel in _panels():
        for target in panel["targets"]:
            for name in re.findall(r"\b(?:job|gpu):\w+(?::\w+)?", target.get("expr", "")):
                assert name in recorded, name


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
    scrape = yaml.safe_load((ROOT / "prometheus" / "prometheus.yml").read_text("utf-8"))
    assert prometheus["timeInterval"] == scrape["global"]["scrape_interval"]
    compose = (ROOT / "docker-compose.yml").read_text("utf-8")
    assert f"prom/prometheus:v{prometheus['prometheusVersion']}\n" in compose


def test_documentation_names_the_plugins_whose_source_was_read() -> None:
    text = (ROOT / "docs" / "observability.md").read_text("utf-8")
    for name, version in PLUGINS.items():
        assert f"`{name}` {version}" in text
