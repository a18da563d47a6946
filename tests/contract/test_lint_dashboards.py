"""Dashboards, by the rules of dashboard-linter: each finding is excluded with a reason, or gone."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Callable
from typing import Any

import pytest

from grafana.generator.__main__ import DASHBOARDS
from tests.lint import dashboards, pint, rules
from tests.lint import promql as trees
from tests.lint.dashboards import Place

BOARDS = [json.loads(file.read_text("utf-8")) for file in sorted(DASHBOARDS.glob("*.json"))]
FINDINGS = [finding for board in BOARDS for finding in dashboards.lint(board)]
EXCLUDED = dashboards.exclusions()


def _is_in(place: Place, entry: Place) -> bool:
    return (place.dashboard, place.panel) == (entry.dashboard, entry.panel) and (
        entry.target is None or int(entry.target) == place.target
    )


def test_each_finding_is_mended_or_excluded() -> None:
    left = [
        finding
        for finding in FINDINGS
        if not any(
            _is_in(finding.place, entry) for entry in EXCLUDED.get(finding.rule, ("", []))[1]
        )
    ]
    assert left == []


def test_each_exclusion_has_a_reason_and_is_needed() -> None:
    for rule, (reason, entries) in EXCLUDED.items():
        assert len(reason) > 20
        assert entries, "all dashboards would be excluded"
        for entry in entries:
            found = [f for f in FINDINGS if f.rule == rule and _is_in(f.place, entry)]
            assert found, f"{rule}: nothing to exclude at {entry}"


Change = Callable[[dict[str, Any]], None]


def _panel(board: dict[str, Any]) -> dict[str, Any]:
    return next(p for p in board["panels"] if p["type"] == "timeseries")


def _variable(board: dict[str, Any], name: str) -> dict[str, Any]:
    return next(v for v in board["templating"]["list"] if v["name"] == name)


def _ask(expr: str) -> Change:
    return lambda board: _panel(board)["targets"][0].update(expr=expr)


BAD: dict[str, list[Change]] = {
    "template-datasource-rule": [
        lambda b: _variable(b, "datasource").update(name="source"),
        lambda b: _variable(b, "datasource").update(label="Store"),
        lambda b: _variable(b, "datasource").update(type="custom"),
    ],
    "template-job-rule": [
        lambda b: _variable(b, "job").update(allValue=".*"),
        lambda b: _variable(b, "job").update(multi=False),
        lambda b: _variable(b, "job").update(label="Service"),
        lambda b: _variable(b, "job").update(datasource={"uid": "prometheus"}),
    ],
    "template-instance-rule": [lambda b: _variable(b, "instance").update(name="pod")],
    "template-label-promql-rule": [
        lambda b: _variable(b, "job").update(query="label_values(up{, job)")
    ],
    "template-on-time-change-reload-rule": [lambda b: _variable(b, "job").update(refresh=1)],
    "panel-datasource-rule": [lambda b: _panel(b)["datasource"].update(uid="prometheus")],
    "panel-title-description-rule": [
        lambda b: _panel(b).update(description=""),
        lambda b: _panel(b).update(title=""),
    ],
    "panel-units-rule": [lambda b: _panel(b)["fieldConfig"]["defaults"].update(unit="seconds")],
    "panel-no-targets-rule": [lambda b: _panel(b).update(targets=[])],
    "target-logql-auto-rule": [
        lambda b: _panel(b)["targets"][0].update(
            datasource={"type": "loki", "uid": "x"}, expr='rate({service_name="a"}[5m])'
        )
    ],
    "target-promql-rule": [_ask("sum(rate(a[$__rate_interval])")],
    "target-rate-interval-rule": [_ask('rate(a{job=~"$job", instance=~"$instance"}[5m])')],
    "target-job-rule": [
        _ask('max(a{instance=~"$instance"})'),
        _ask('max(a{instance=~"$instance", job="$job"})'),
    ],
    "target-instance-rule": [_ask('max(a{job=~"$job"})')],
    "target-counter-agg-rule": [
        _ask('sum(a_total{job=~"$job", instance=~"$instance"})'),
        _ask('max_over_time(a_total{job=~"$job", instance=~"$instance"}[$__rate_interval])'),
    ],
    "uneditable-dashboard": [lambda b: b.update(editable=True)],
}
"""Rule → changes of a dashboard in which it finds something."""


@pytest.mark.parametrize(
    ("rule", "change"), [(rule, change) for rule, changes in BAD.items() for change in changes]
)
def test_a_rule_finds_what_it_is_for(rule: str, change: Change) -> None:
    board = copy.deepcopy(next(b for b in BOARDS if b["uid"] == "mgeo-pipeline"))
    before = {f for f in dashboards.lint(board) if f.rule == rule}
    change(board)
    assert {f for f in dashboards.lint(board) if f.rule == rule} - before


def test_every_rule_is_seen_to_find_something() -> None:
    assert set(BAD) == set(dashboards.RULES)


SHIPPED = rules.shipped()
OF_PANELS = {
    *("promql/syntax", "promql/impossible", "promql/series", "promql/vector_matching"),
    *("promql/rate", "promql/features"),
}
"""Checks of rules that hold for what a panel asks as well."""


def _links(panel: dict[str, Any], legend: str) -> str:
    """What a result of that name leads to: the last setting of those that are for it."""
    links = ""
    for override in panel["fieldConfig"].get("overrides", ()):
        for setting in override["properties"]:
            if setting["id"] == "links" and override["matcher"]["options"] in {"/.*/", legend}:
                links = json.dumps(setting["value"])
    return links


def _asked() -> list[tuple[str, str, str, str]]:
    """Where, what is asked, the name that a result is given, and addresses that it leads to."""
    found = []
    for board in BOARDS:
        for panel in board["panels"]:
            for target in panel.get("targets", ()):
                if target["datasource"]["type"] == "prometheus":
                    legend = target.get("legendFormat", "")
                    place = f"{board['title']}: {panel['title']}"
                    found.append((place, target["expr"], legend, _links(panel, legend)))
        found += [
            (f"{board['title']}: {mark['name']}", mark["expr"], mark["titleFormat"], "")
            for mark in board["annotations"].get("list", ())
        ]
    return found


@pytest.mark.parametrize(("place", "expr", "legend", "links"), _asked())
def test_a_query_can_find_something_with_the_labels_that_are_shown(
    place: str, expr: str, legend: str, links: str
) -> None:
    tree = dashboards.parsed(expr)
    asked = rules.Rule("panels", place, None, {"record": "panel", "expr": tree.prettify()})
    found = [f.message for f in pint.lint_one(asked, SHIPPED) if f.check in OF_PANELS]
    assert found == []
    shown = set(re.findall(r"\{\{\s*(\w+)\s*\}\}", legend)) - {"__name__"}
    shown |= set(re.findall(r"__field\.labels\.(\w+)", links))
    for branch in trees.branches(tree, SHIPPED.known):
        assert {label for label in shown if not branch.may(label)} == set()
