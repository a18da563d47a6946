"""dashboard-linter's rules for dashboards, by its own names, and its file of exceptions.

`target-logql-rule` is held by tests/contract/test_logql.py, on the parser of Grafana's editor.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import promql_parser as promql
from grafana_foundation_sdk.models import units

from tests.lint.promql import calls, selectors, walk
from tools import yaml_text

Board = Mapping[str, Any]

CONFIGURATION = Path(__file__).parent.parent.parent / "grafana" / "dashboards" / ".lint"
UNITS = {value for name, value in vars(units).items() if name[0].isupper()}
"""Grafana's units, as its SDK has them."""

_DRAWN = frozenset({"stat", "table", "timeseries", "gauge"})
_NO_DATA = frozenset({"row", "text", "news"})
_STANDING_FOR = {"$__rate_interval": "7m", "$__range": "11m", "$__interval": "13m"}
_RATE_INTERVAL = 7 * 60.0
_RATES = calls("rate", "irate")
_COUNTED = calls("rate", "irate", "increase")


@dataclass(frozen=True)
class Place:
    """Where something was found: a dashboard, perhaps one of its panels, perhaps a query of it."""

    dashboard: str
    panel: str | None = None
    target: int | None = None


@dataclass(frozen=True)
class Finding:
    """What a rule has to say."""

    rule: str
    place: Place
    message: str


Rule = Callable[[Board], Iterator[tuple[Place, str]]]


def _panels(board: Board) -> Iterator[tuple[Place, Mapping[str, Any]]]:
    for panel in board["panels"]:
        for one in (panel, *panel.get("panels", ())):
            if one["type"] not in _NO_DATA:
                yield Place(board["title"], one["title"]), one


def _targets(board: Board, kind: str) -> Iterator[tuple[Place, Mapping[str, Any]]]:
    for place, panel in _panels(board):
        for number, target in enumerate(panel.get("targets", ())):
            if target.get("datasource", {}).get("type") == kind:
                yield Place(place.dashboard, place.panel, number), target


def parsed(expr: str) -> Any:
    """A panel's query as a tree; intervals that Grafana fills in are made up. Raises ValueError."""
    for variable, duration in _STANDING_FOR.items():
        expr = expr.replace(variable, duration)
    return promql.parse(expr)


def _trees(board: Board) -> Iterator[tuple[Place, Any]]:
    for place, target in _targets(board, "prometheus"):
        try:
            yield place, parsed(target["expr"])
        except ValueError:
            continue  # told by its own rule


def _variables(board: Board, kind: str) -> list[Mapping[str, Any]]:
    return [one for one in board["templating"]["list"] if one["type"] == kind]


def _template_datasource(board: Board) -> Iterator[tuple[Place, str]]:
    place, sources = Place(board["title"]), _variables(board, "datasource")
    if not sources:
        yield place, "no data source can be chosen"
    for source in sources:
        kind = source["query"]
        names = {f"{kind}_datasource"} | ({"datasource"} if len(sources) == 1 else set())
        label = f"{kind.capitalize()} data source"
        labels = {label} | ({"Data source"} if len(sources) == 1 else set())
        if source["name"] not in names:
            yield place, f"{source['name']} should be called {' or '.join(sorted(names))}"
        if source["label"] not in labels:
            yield place, f"{source['label']} should be labelled {' or '.join(sorted(labels))}"


def _template(name: str) -> Rule:
    def rule(board: Board) -> Iterator[tuple[Place, str]]:
        place = Place(board["title"])
        found = [one for one in _variables(board, "query") if one["name"] == name]
        if not found:
            yield place, f"no {name} can be chosen"
        for one in found:
            asked = one["datasource"]["uid"]
            if asked not in {"${datasource}", "${prometheus_datasource}"}:
                yield place, f"{name} is asked of {asked}"
            if one["label"] != name.capitalize():
                yield place, f"{name} is labelled {one['label']}"
            if not one.get("multi"):
                yield place, f"only one {name} can be chosen"
            if one.get("allValue") != ".+":
                yield place, f"all is not .+ for {name}"

    return rule


def _template_promql(board: Board) -> Iterator[tuple[Place, str]]:
    for one in _variables(board, "query"):
        found = re.fullmatch(r"label_values\((.*), \w+\)", one["query"])
        try:
            promql.parse(found[1] if found else one["query"])
        except ValueError as error:
            yield Place(board["title"]), f"{one['name']}: {error}"


def _template_reload(board: Board) -> Iterator[tuple[Place, str]]:
    for one in _variables(board, "query"):
        if one.get("refresh") != 2:
            yield Place(board["title"]), f"{one['name']} does not follow the time range"


def _panel_datasource(board: Board) -> Iterator[tuple[Place, str]]:
    chosen = {f"${{{one['name']}}}" for one in _variables(board, "datasource")}
    for place, panel in _panels(board):
        if panel["datasource"]["uid"] not in chosen:
            yield place, f"{panel['datasource']['uid']} is fixed"


def _panel_words(board: Board) -> Iterator[tuple[Place, str]]:
    for place, panel in _panels(board):
        if not panel.get("title") or not panel.get("description"):
            yield place, "has no title or no description"


def _panel_units(board: Board) -> Iterator[tuple[Place, str]]:
    for place, panel in _panels(board):
        unit = panel.get("fieldConfig", {}).get("defaults", {}).get("unit", "")
        if panel["type"] in _DRAWN and unit not in UNITS:
            yield place, f"{unit!r} is no unit"


def _panel_targets(board: Board) -> Iterator[tuple[Place, str]]:
    for place, panel in _panels(board):
        if not panel.get("targets"):
            yield place, "asks nothing"


def _target_logql_auto(board: Board) -> Iterator[tuple[Place, str]]:
    for place, target in _targets(board, "loki"):
        if re.search(r"\[(?!\$__auto\])[^]]*\]", target["expr"]):
            yield place, "has an interval other than $__auto"


def _target_promql(board: Board) -> Iterator[tuple[Place, str]]:
    for place, target in _targets(board, "prometheus"):
        try:
            parsed(target["expr"])
        except ValueError as error:
            yield place, str(error)


def _target_rate_interval(board: Board) -> Iterator[tuple[Place, str]]:
    for place, tree in _trees(board):
        for node, above in walk(tree):
            rated = isinstance(node, promql.MatrixSelector) and above and _RATES(above[-1])
            if rated and node.range.total_seconds() != _RATE_INTERVAL:
                yield place, "has a rate over another interval than $__rate_interval"


def _target_matcher(label: str) -> Rule:
    def rule(board: Board) -> Iterator[tuple[Place, str]]:
        for place, tree in _trees(board):
            for selector in selectors(tree):
                if not any(
                    (m.name, m.op, m.value) == (label, promql.MatchOp.Re, f"${label}")
                    for m in selector.matchers.matchers
                ):
                    yield place, f"{selector.name} is not of the chosen {label}"

    return rule


def _target_counter(board: Board) -> Iterator[tuple[Place, str]]:
    for place, tree in _trees(board):
        for node, above in walk(tree):
            name = getattr(node, "name", None) if isinstance(node, promql.VectorSelector) else None
            ranged = len(above) > 1 and _COUNTED(above[-2])
            if name and name.endswith("_total") and not ranged:
                yield place, f"{name} is a counter without a rate"


def _uneditable(board: Board) -> Iterator[tuple[Place, str]]:
    if board["editable"]:
        yield Place(board["title"]), "can be edited"


RULES: dict[str, Rule] = {
    "template-datasource-rule": _template_datasource,
    "template-job-rule": _template("job"),
    "template-instance-rule": _template("instance"),
    "template-label-promql-rule": _template_promql,
    "template-on-time-change-reload-rule": _template_reload,
    "panel-datasource-rule": _panel_datasource,
    "panel-title-description-rule": _panel_words,
    "panel-units-rule": _panel_units,
    "panel-no-targets-rule": _panel_targets,
    "target-logql-auto-rule": _target_logql_auto,
    "target-promql-rule": _target_promql,
    "target-rate-interval-rule": _target_rate_interval,
    "target-job-rule": _target_matcher("job"),
    "target-instance-rule": _target_matcher("instance"),
    "target-counter-agg-rule": _target_counter,
    "uneditable-dashboard": _uneditable,
}
"""Name → rule."""


def lint(board: Board) -> list[Finding]:
    """What the rules find in a dashboard, excluded or not."""
    found = [Finding(name, *one) for name, rule in RULES.items() for one in rule(board)]
    return list(dict.fromkeys(found))


def exclusions() -> dict[str, tuple[str, list[Place]]]:
    """The file of exceptions: rule → its reason, and where it is not to be followed."""
    content = yaml_text.read(CONFIGURATION)["exclusions"]
    return {
        name: (
            given["reason"],
            [Place(e["dashboard"], e.get("panel"), e.get("targetIdx")) for e in given["entries"]],
        )
        for name, given in content.items()
    }
