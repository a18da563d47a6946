"""Rules: valid, tested firing and not firing, each alert with a runbook, all about real metrics."""

from __future__ import annotations

import functools
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from service.http.measure import SCORING
from telemetry import instruments
from tests.conftest import Running
from tools import yaml_text
from tools.build import require

ROOT = Path(__file__).parent.parent.parent
RULE_FILES = sorted((ROOT / "prometheus" / "rules").glob("*.yml"))
TEST_FILES = sorted((ROOT / "prometheus" / "tests").glob("*.yml"))
RUNBOOKS = (ROOT / "docs" / "runbooks.md").read_text("utf-8")


# Read once: each reading takes a second, and nearly every test here needs one.
@functools.cache
def _rules() -> list[dict[str, Any]]:
    return [
        rule
        for file in RULE_FILES
        for group in yaml_text.read(file)["groups"]
        for rule in group["rules"]
    ]


@functools.cache
def _tests() -> list[dict[str, Any]]:
    return [test for file in TEST_FILES for test in yaml_text.read(file)["tests"]]


ALERTS = [rule for rule in _rules() if "alert" in rule]
EACH_ALERT = pytest.mark.parametrize(
    "rule", ALERTS, ids=lambda r: "-".join([r["alert"], *map(str, r["labels"].values())])
)
RECORDS = {rule["record"]: rule for rule in _rules() if "record" in rule}


def _run(*arguments: str) -> None:
    done = subprocess.run(arguments, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.slow
def test_prometheus_takes_its_configuration() -> None:
    _run(str(require("promtool")), "check", "config", "prometheus/prometheus.yml")


@pytest.mark.slow
@pytest.mark.parametrize("name", ["consul", "dns", "kubernetes"])
def test_prometheus_takes_the_other_ways_to_find_instances(name: str) -> None:
    _run(str(require("promtool")), "check", "config", f"prometheus/discovery/{name}.yml")


@pytest.mark.slow
@pytest.mark.parametrize("file", TEST_FILES, ids=lambda file: file.stem)
def test_rules_fire_when_they_should_and_not_otherwise(file: Path) -> None:
    _run(str(require("promtool")), "test", "rules", str(file))


@pytest.mark.slow
def test_alertmanager_takes_its_configuration() -> None:
    _run(str(require("amtool")), "check-config", "alertmanager/alertmanager.yml")


def _fires(rule: dict[str, Any], check: dict[str, Any]) -> bool:
    """Whether a test expects just this rule: of those with one name, by its labels."""
    return any(rule["labels"].items() <= e["exp_labels"].items() for e in check["exp_alerts"])


@EACH_ALERT
def test_alert_is_tested_firing_and_not_firing(rule: dict[str, Any]) -> None:
    checks = [
        check
        for test in _tests()
        for check in test.get("alert_rule_test", ())
        if check["alertname"] == rule["alert"]
    ]
    assert any(_fires(rule, check) for check in checks), "no test sees it fire"
    if rule["alert"] != "MgeoWatchdog":  # which never stops
        assert not all(_fires(rule, check) for check in checks), "no test sees it silent"


@pytest.mark.parametrize("record", sorted(RECORDS))
def test_recording_is_tested_by_value(record: str) -> None:
    expressions = [c["expr"] for t in _tests() for c in t.get("promql_expr_test", ())]
    assert any(record in expression for expression in expressions)


def test_every_runbook_is_some_alerts() -> None:
    assert set(re.findall(r"^## (\w+)$", RUNBOOKS, re.MULTILINE)) == {r["alert"] for r in ALERTS}


def test_rules_read_metrics_that_exist() -> None:
    known = {instruments.prometheus_name(metric) for metric in instruments.METRICS}
    expressions = " ".join(rule["expr"] for rule in _rules())
    read = set(re.findall(r"(?<![:\w])(?:mgeo|nvidia|hw)_\w+", expressions))
    assert len(read) > 20
    assert {
        name for name in read if not {name, re.sub(r"_(bucket|count|sum)$", "", name)} & known
    } == set()


def test_rules_that_judge_requests_look_at_those_that_score(running: Running) -> None:
    routes = {rule.rule for rule in running.service.predictions.app.url_map.iter_rules()}
    chosen = {
        pattern for rule in _rules() for pattern in re.findall(r'endpoint=~"([^"]+)"', rule["expr"])
    }
    populations = {frozenset(r for r in routes if re.fullmatch(p, r)) for p in chosen}
    # All that score, and those that may hold many pairs.
    assert populations == {frozenset(SCORING), frozenset(SCORING) - {"/predict"}}


def test_bounds_that_rules_count_below_are_bucket_bounds() -> None:
    bounds = {
        float(bound) for rule in _rules() for bound in re.findall(r'\ble="([^"]+)"', rule["expr"])
    }
    assert bounds
    assert bounds <= set(instruments.LATENCY_SECONDS)
    # Prometheus 3 stores whole numbers as 1.0, Prometheus 2 as 1: rules use neither.
    assert not [bound for bound in bounds if bound.is_integer()]
