"""Rules as monitoring mixins write them: names, severities, annotations, links, levels, ranges."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.contract.test_rules import ALERTS, EACH_ALERT, RECORDS, ROOT, RULE_FILES, _rules, _tests
from tools import rules, timescale, yaml_text

LINKS = yaml_text.read(rules.LINKS)
SCRAPED_EVERY_MS = 15_000
SYMPTOMS = {
    "MgeoHighLatency": "callers wait",
    "MgeoLowSuccessRate": "callers get errors",
    "MgeoServiceUnavailable": "callers get no answer",
    "MgeoLoadBalancerDown": "callers get no connection",
    "MgeoNoInstance": "callers get 503 from the load balancer",
    "MgeoNoApiKeys": "callers get 401",
    "MgeoAvailabilityBudgetBurn": "callers get errors",
    "MgeoLatencyBudgetBurn": "callers wait",
}
"""What may wake somebody, and what callers notice of it."""


def _duration_ms(text: str) -> int:
    return int(timescale.duration(text, 1).removesuffix("ms"))


@EACH_ALERT
def test_names_have_one_prefix_and_severities_are_three(rule: dict[str, Any]) -> None:
    assert re.fullmatch(r"Mgeo([A-Z][a-z0-9]+)+", rule["alert"])
    severities = {"critical", "warning", "info"}
    # As everywhere: it goes to nobody but what listens for its silence.
    assert rule["labels"]["severity"] in (
        {"none"} if rule["alert"] == "MgeoWatchdog" else severities
    )


@EACH_ALERT
def test_summaries_are_static_and_descriptions_have_values(rule: dict[str, Any]) -> None:
    annotations = rule["annotations"]
    assert set(annotations) == {"summary", "description", "runbook_url", "dashboard_url"}
    assert "{{" not in annotations["summary"]
    assert annotations["summary"][0].isupper()
    assert annotations["summary"][-1].isalnum()
    assert "{{" in annotations["description"] or rule["alert"] == "MgeoWatchdog"


def test_rules_of_one_name_have_one_summary() -> None:
    for name in {rule["alert"] for rule in ALERTS}:
        of_name = [rule for rule in ALERTS if rule["alert"] == name]
        assert len({rule["annotations"]["summary"] for rule in of_name}) == 1
        assert len({str(rule["labels"]) for rule in of_name}) == len(of_name)


@EACH_ALERT
def test_links_lead_somewhere(rule: dict[str, Any]) -> None:
    base, _, anchor = rule["annotations"]["runbook_url"].partition("#")
    assert base == LINKS["runbooks"]
    assert base.startswith("http")
    assert anchor == rule["alert"].lower()  # as every renderer of Markdown makes it
    english, chinese = rules.RUNBOOKS.values()
    for source, other in ((english, chinese), (chinese, english)):
        assert f"\n## {rule['alert']}\n" in source.read_text("utf-8")
        shown = rules.served(source).read_text("utf-8")
        assert f'<h2 id="{anchor}">' in shown
        assert f'<a href="{rules.served(other).name}#{anchor}">' in shown
    base, _, uid = rule["annotations"]["dashboard_url"].partition("/d/")
    assert base == LINKS["dashboards"]
    boards = (ROOT / "grafana" / "dashboards").glob("*.json")
    assert uid in {json.loads(board.read_text("utf-8"))["uid"] for board in boards}


def test_what_is_made_of_the_rules_is_up_to_date() -> None:
    for path, content in rules.outputs():
        assert path.read_text("utf-8") == content, f"{path}: run `python -m tools.rules`"


def test_one_setting_moves_every_link(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(rules.SOURCE, tmp_path / "prometheus")
    bases = {
        "runbooks": "https://wiki.example.com/mgeo?a=1",
        "dashboards": "https://g.example.com/x",
    }
    (tmp_path / "prometheus" / "links.yml").write_text(yaml.safe_dump(bases), "utf-8")
    monkeypatch.setattr(rules, "SOURCE", tmp_path / "prometheus")
    monkeypatch.setattr(rules, "LINKS", tmp_path / "prometheus" / "links.yml")
    links = 0
    for path, content in rules.outputs():
        found = re.findall(r"(\w+)_url: (.*?)(?=#|/d/)", content)
        assert {(kind, base) for kind, base in found} <= {
            ("runbook", bases["runbooks"]), ("dashboard", bases["dashboards"]),
        }  # fmt: skip
        links += len(found)
        assert len(found) == len(re.findall("_url: ", content)), path
        if path.parent.name == "rules":
            yaml_text.parse(content)
    assert links >= 2 * len(ALERTS)


def test_only_symptoms_page() -> None:
    critical = {rule["alert"] for rule in ALERTS if rule["labels"]["severity"] == "critical"}
    assert critical == set(SYMPTOMS)


def test_no_page_is_about_one_instance_of_several() -> None:
    pages = [
        expected["exp_labels"]
        for test in _tests()
        for check in test.get("alert_rule_test", ())
        for expected in check["exp_alerts"]
        if expected["exp_labels"]["severity"] == "critical"
    ]
    assert pages
    assert not any("instance" in labels for labels in pages)


@pytest.mark.parametrize("record", RECORDS)
def test_a_recording_s_level_is_its_labels(record: str) -> None:
    """`level:metric:operations`, the level being the labels that its series have left."""
    level, metric, operations = record.split(":")
    assert metric
    assert operations
    rule = RECORDS[record]
    by = re.findall(r"\bby \(([^)]*)\)", rule["expr"])
    labels = {label.strip() for names in by for label in names.split(",")} - {"le"}
    if not by:  # made of other recordings, whose level it has
        labels = {
            name for source in re.findall(r"(\w+):\w+:\w+", rule["expr"]) for name in [source]
        }
        assert labels == {level}
    else:
        static = rule.get("labels", {})
        assert level == "_".join([*(x.strip() for x in by[0].split(",") if x != " le"), *static])
        assert labels | set(static) == set(_known(level))


def _known(level: str) -> list[str]:
    """A level's labels; two of them have an underscore of their own."""
    return re.findall("model_version|gpu_id|[a-z]+", level)


def test_no_rule_is_evaluated_more_often_than_there_is_something_new() -> None:
    for name in ("prometheus.yml", "kubernetes.yml"):
        settings = yaml_text.read(rules.SOURCE / name)["global"]
        assert _duration_ms(settings["scrape_interval"]) == SCRAPED_EVERY_MS
        assert _duration_ms(settings["evaluation_interval"]) >= SCRAPED_EVERY_MS
    for file in RULE_FILES:
        for group in yaml_text.read(file)["groups"]:
            assert _duration_ms(group.get("interval", "15s")) >= SCRAPED_EVERY_MS
            assert group["name"].startswith("mgeo-")


def test_ranges_hold_enough_samples() -> None:
    """A rate needs two, and one scrape may fail: four scrapes at least."""
    ranges = {text for rule in _rules() for text in re.findall(r"\[(\w+)(?::\w+)?\]", rule["expr"])}
    assert len(ranges) > 5
    assert {text for text in ranges if _duration_ms(text) < 4 * SCRAPED_EVERY_MS} == set()


def test_counters_are_not_compared_as_they_are() -> None:
    """Only their rates mean something; what appears is compared with its own past."""
    assert _bare_counters("sum by (job) (mgeo_a_total) > 5") == ["mgeo_a_total"]
    assert _bare_counters("sum by (job) (rate(mgeo_a_total{b='c'}[5m])) > 5") == []
    assert {rule["alert"] for rule in ALERTS if _bare_counters(rule["expr"])} == set()


def _bare_counters(expr: str) -> list[str]:
    bare = re.sub(r"(rate|increase|resets|changes)\([^()]*(\([^()]*\))?[^()]*\)", "", expr)
    bare = re.sub(r"count\([^)]*\)", "", bare)
    return re.findall(r"\b\w+_total\b", bare)


def test_aggregations_keep_the_job() -> None:
    """Or an alert would speak for everybody's services at once; `on ()` says that it is meant."""
    found = 0
    for rule in _rules():
        for operator in re.finditer(
            r"(?<![:\w])(?:sum|max|min|avg|count)\s*(by \(([^)]*)\))?\s*\(", rule["expr"]
        ):
            labels = (operator[2] or "").split(", ")
            before = rule["expr"][: operator.start()].rstrip()
            assert "job" in labels or before.endswith("on ()"), rule["expr"]
            found += 1
    assert found > 50


def retention(manifest: Mapping[str, Any]) -> list[str]:
    """Values of the flag for how long Prometheus keeps samples, in a compose file or manifest."""
    return re.findall(r"storage\.tsdb\.retention\.time=(\w+)", json.dumps(manifest))


def test_the_objective_s_window_is_kept() -> None:
    longest = max(
        _duration_ms(text)
        for rule in _rules()
        for text in re.findall(r"\[(\w+)(?::\w+)?\]", rule["expr"])
    )
    assert longest == _duration_ms("30d")
    compose = yaml_text.read(ROOT / "docker-compose.yml")
    manifests = yaml.safe_load_all(
        (ROOT / "deploy" / "kubernetes" / "prometheus" / "prometheus.yaml").read_text("utf-8")
    )
    kept = retention(compose) + [value for m in manifests for value in retention(m)]
    assert len(kept) == 2
    assert all(_duration_ms(value) > longest for value in kept)
