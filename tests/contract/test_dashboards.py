"""Dashboards: as generated, readable by a newcomer, and about metrics that exist."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from grafana.generator import imported, victorialogs
from grafana.generator.__main__ import DASHBOARDS, render
from grafana.generator.boards import STORES
from grafana.generator.panels import QUIET
from grafana.generator.queries import FAILED, SCORING
from telemetry import instruments
from tests.stack.grafana import Explore, opened
from tools import yaml_text

ROOT = Path(__file__).parent.parent.parent
BOARDS = {file.name: json.loads(file.read_text("utf-8")) for file in DASHBOARDS.glob("*.json")}
NOT_SHOWN = {"mgeo_model_load_duration_seconds": "one value per start, no course over time"}
"""Metrics that no panel shows, and why."""

VARIABLES = {
    "mgeo-service": ["datasource", "traces", "logs", "job", "instance", "service"],
    "mgeo-gpu-host": ["datasource", "job", "instance", "host"],
    "mgeo-slo": ["datasource", "job"],
    "mgeo-pipeline": ["datasource", "job", "instance"],
    "mgeo-versions": ["datasource", "job", "instance"],
}
FIRST_SCREEN = 20
"""Rows of Grafana's grid that 900 pixels below its own head show."""


def _panels() -> list[tuple[str, dict[str, Any]]]:
    words = {"row", "text"}
    return [
        (n, p) for n, board in BOARDS.items() for p in board["panels"] if p["type"] not in words
    ]


def _queries() -> str:
    """All that panels ask Prometheus."""
    return "\n".join(t.get("expr", "") for _, panel in _panels() for t in panel["targets"])


_SELECTOR = (
    r"(?<![:\w])(?:up|(?:mgeo|nvidia|hw|process|otelcol|prometheus|scrape|traces|haproxy|otel)_\w+)"
    r"(?![\w(])(\{[^}]*\})?"
)
"""A metric with what stands behind it; `hw` and the like inside of words left out."""

PANELS = pytest.mark.parametrize(
    ("board", "panel"), _panels(), ids=[f"{n}: {p['title']}" for n, p in _panels()]
)
FIGURES = pytest.mark.parametrize(
    "panel", [pytest.param(p, id=f"{n}: {p['title']}") for n, p in _panels() if p["type"] == "stat"]
)


def test_committed_dashboards_are_as_generated() -> None:
    made = render()
    committed = {*DASHBOARDS.glob("*.json"), *victorialogs.FOLDER.glob("s*"), imported.FILE}
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
    variables = board["templating"]["list"]
    assert [v["name"] for v in variables] == VARIABLES[board["uid"]]
    assert all(v["allValue"] == ".+" for v in variables if v.get("includeAll"))
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
    names = VARIABLES[BOARDS[board]["uid"]]
    for target in panel["targets"]:
        expr = target.get("expr", "")
        assert target["datasource"] == panel["datasource"]
        assert target["datasource"]["uid"] in {"${datasource}", "${traces}", "${logs}"}
        if target["datasource"]["type"] != "prometheus":
            continue
        assert not re.search(r"\[\d", expr), "use $__rate_interval"
        assert not re.search(r"/ ?(15|60|1000|1024)\b", expr), "a unit or an interval as a number"
        assert not re.search(r'le="\d+(\.0)?"', expr), "Prometheus 2 and 3 write it differently"
        for selector in re.findall(_SELECTOR, expr):
            assert "$job" in selector
            assert ("$instance" in selector) == ("instance" in names)
        for selector in re.findall(r"(?<![:\w])node_\w+(\{[^}]*\})?", expr):
            assert "$host" in selector


def test_selectors_are_found() -> None:
    """Of each kind that the test above looks at."""
    found = re.findall(_SELECTOR, _queries())
    assert len(found) > 100
    assert re.search(r"\bnode_\w+\{[^}]*\$host", _queries())


@PANELS
def test_variables_of_a_query_exist(board: str, panel: dict[str, Any]) -> None:
    known = {*VARIABLES[BOARDS[board]["uid"]], "__rate_interval", "__range"}
    asked = json.dumps([panel["targets"], panel["datasource"]])
    assert set(re.findall(r"\$\{?(\w+)", asked)) <= known


@pytest.mark.parametrize("board", BOARDS.values(), ids=BOARDS)
def test_each_variable_is_asked_for(board: dict[str, Any]) -> None:
    variables = board["templating"]["list"]
    texts = [json.dumps([board["panels"], board["annotations"]])]
    texts += [json.dumps([v.get("query"), v.get("datasource")]) for v in variables]
    used = set(re.findall(r"\$\{?(\w+)", "".join(texts)))
    assert {v["name"] for v in variables} <= used


def _on_axes() -> list[dict[str, Any]]:
    return [panel for _, panel in _panels() if panel["type"] == "timeseries"]


def test_lines_that_are_all_zero_lie_on_an_axis_that_is_not_high() -> None:
    """Grafana would draw it up to 100, which of shares is 10,000 %."""
    found = []
    for panel in _on_axes():
        settings = panel["fieldConfig"]["defaults"]
        if settings.get("min") == 0 and settings["unit"] in {
            "percentunit",
            "reqps",
            "cps",
            "short",
        }:
            found.append("max" in settings or "axisSoftMax" in settings["custom"])
    assert len(found) > 20
    assert all(found)


def test_dots_have_an_axis_that_reaches_them() -> None:
    """Grafana draws those above the axis at its end, far below the slowest request."""
    dotted = [panel for panel in _on_axes() if any(t.get("exemplar") for t in panel["targets"])]
    scales = [p["fieldConfig"]["defaults"]["custom"]["scaleDistribution"] for p in dotted]
    assert len(scales) > 5
    assert all(scale == {"type": "log", "log": 10} for scale in scales)


@FIGURES
def test_a_figure_is_of_now(panel: dict[str, Any]) -> None:
    """Of a range, the last value would stay until the range has left it behind."""
    assert {(t["instant"], t["range"]) for t in panel["targets"]} == {(True, False)}
    assert panel["options"]["graphMode"] == "none"


@FIGURES
def test_a_figure_without_data_is_neither_green_nor_red(panel: dict[str, Any]) -> None:
    mappings = panel["fieldConfig"]["defaults"]["mappings"]
    quiet = [m["options"]["result"] for m in mappings if m["type"] == "special"]
    assert [q["color"] for q in quiet] == [QUIET] or any(m["type"] == "value" for m in mappings)
    assert "no data" in panel["fieldConfig"]["defaults"]["noValue"]


def test_a_figure_that_must_not_fail_silently_is_zero_without_series() -> None:
    figures = {p["title"]: p["targets"] for _, p in _panels() if p["type"] == "stat"}
    for title in ("Instances answering", "Alerts firing", "Watchdog", "Targets down", "Items lost"):
        assert all(target["expr"].endswith(" or vector(0)") for target in figures[title])


@pytest.mark.parametrize("board", BOARDS.values(), ids=BOARDS)
def test_layout_has_no_holes(board: dict[str, Any]) -> None:
    places = [(p["title"], p["gridPos"]) for p in board["panels"]]
    cells: dict[tuple[int, int], str] = {}
    for title, place in places:
        assert place["x"] + place["w"] <= 24, title
        for row in range(place["y"], place["y"] + place["h"]):
            for column in range(place["x"], place["x"] + place["w"]):
                assert (row, column) not in cells, (title, cells[row, column])
                cells[row, column] = title
    height = max(row for row, _ in cells) + 1
    assert len(cells) == 24 * height, "a hole"


def test_the_first_screen_says_whether_all_is_well_and_where_it_is_not() -> None:
    panels = BOARDS["service.json"]["panels"]
    first = [p for p in panels if p["gridPos"]["y"] + p["gridPos"]["h"] <= FIRST_SCREEN]
    assert [p["title"] for p in first[:5]] == [
        "Instances answering",
        "Success rate",
        "P95 latency of single predictions",
        "Nearest limit",
        "Alerts firing",
    ]
    for figure in first[:5]:
        colors = [s["color"] for s in figure["fieldConfig"]["defaults"]["thresholds"]["steps"]]
        assert {"green", "red"} <= set(colors)
    assert {p["title"] for p in first[5:]} == {
        "Firing now",
        "Requests per second",
        "P95 latency by instance",
        "Problems",
        "Mean time per request, by stage",
        "Saturation",
    }


@pytest.mark.parametrize("name", ["service.json", "versions.json", "gpu-host.json"])
def test_a_dashboard_marks_what_changed(name: str) -> None:
    marks = BOARDS[name]["annotations"]["list"]
    assert [m["name"] for m in marks] == ["Start", "Not ready", "Model version", "Alert"]
    assert all(m["datasource"]["uid"] == "${datasource}" and m["enable"] for m in marks)


def _links() -> list[tuple[str, str]]:
    return [
        (name, link["url"])
        for name, panel in _panels()
        for override in panel.get("fieldConfig", {}).get("overrides", ())
        for setting in override["properties"]
        if setting["id"] == "links"
        for link in setting["value"]
    ]


def test_links_lead_to_traces_log_lines_hosts_and_rules() -> None:
    leads = {"search": 0, "range": 0, "/d/mgeo-gpu-host": 0, "/alerting/": 0}
    built_in = {"__value", "__field", "__from", "__to", "__url_time_range"}
    for board, url in _links():
        used = set(re.findall(r"\$\{(\w+)", url))
        assert used <= {*VARIABLES[BOARDS[board]["uid"]], *built_in}
        target = opened(url)
        if isinstance(target, Explore):
            assert target.source in {"${traces}", "${logs}"}
            leads[target.query["queryType"]] += 1
        else:
            leads[next(start for start in leads if url.startswith(start))] += 1
    assert all(leads.values()), leads


def test_figures_and_rules_mean_the_same_requests() -> None:
    rules = (ROOT / "prometheus" / "rules" / "recording.yml").read_text("utf-8")
    assert SCORING in rules
    assert FAILED in rules


def test_the_dashboard_for_import_asks_for_its_data_sources() -> None:
    board = json.loads(imported.FILE.read_text("utf-8"))
    inputs = {i["name"]: i["pluginId"] for i in board["__inputs"]}
    assert inputs == {"DS_PROMETHEUS": "prometheus", "DS_JAEGER": "jaeger", "DS_LOKI": "loki"}
    chosen = {v["query"]: v["current"]["value"] for v in board["templating"]["list"][:3]}
    assert chosen == {kind: f"${{DS_{kind.upper()}}}" for kind in STORES}
    assert {p["type"] for p in board["panels"]} - {"row"} == {
        r["id"] for r in board["__requires"] if r["type"] == "panel"
    }
    assert board["panels"] == BOARDS["service.json"]["panels"]


def test_exemplars_are_asked_for_where_they_exist() -> None:
    asked = [t["expr"] for _, panel in _panels() for t in panel["targets"] if t.get("exemplar")]
    assert asked
    for expr in asked:
        assert "_bucket{" in expr or "_bucket[" in expr
        assert not re.search(r"\bjob:\w+", expr), "recordings have no exemplars"


def test_latency_panels_of_requests_have_exemplars() -> None:
    found = 0
    for name, panel in _panels():
        queries = [t for t in panel["targets"] if "mgeo_request_" in t.get("expr", "")]
        quantiles = [t for t in queries if "_bucket" in t["expr"]]
        if quantiles and panel["type"] in {"timeseries", "heatmap"}:
            assert any(t.get("exemplar") for t in quantiles), f"{name}: {panel['title']}"
            found += 1
    assert found >= 3


def test_panels_read_metrics_that_exist() -> None:
    known = {instruments.prometheus_name(metric) for metric in instruments.METRICS}
    read = set(re.findall(r"(?<![:\w])(?:mgeo|nvidia|hw)_\w+", _queries()))
    assert len(read) > 50
    assert {
        name for name in read if not {name, re.sub(r"_(bucket|count|sum)$", "", name)} & known
    } == set()


def test_every_metric_is_on_a_panel() -> None:
    shown = json.dumps(BOARDS)
    names = {instruments.prometheus_name(metric) for metric in instruments.METRICS}
    assert {name for name in names if name not in shown} == set(NOT_SHOWN)


def test_recordings_that_panels_read_exist() -> None:
    recorded = {
        rule.get("record")
        for file in (ROOT / "prometheus" / "rules").glob("*.yml")
        for group in yaml_text.read(file)["groups"]
        for rule in group["rules"]
    }
    read = set(re.findall(r"\b\w+:\w+:\w+", _queries()))
    assert len(read) > 10
    assert read <= recorded
