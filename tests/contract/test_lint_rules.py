"""Rules, by the checks of pint: each finding is answered or gone, and each check can find one."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from tests.lint import pint, rules

SHIPPED = rules.shipped()
FINDINGS = list(pint.lint(SHIPPED))

ANSWERED = {
    ("recording", "promql/counter"): "mgeo_request_.* is a counter, .*",
    ("recording", "promql/rate"): "job_instance_collector.*:mgeo_request_.*:sum is a sum of .*",
    ("recording", "promql/regexp"): "endpoint=~.* takes a label's value to pieces",
    ("service", "promql/regexp"): "endpoint=~.* takes a label's value to pieces",
    ("stack", "alerts/comparison"): "fires whenever there is a series",
}
"""What each answer is to, so that it hides nothing else that the check may find one day."""


def test_each_finding_is_mended_or_answered() -> None:
    assert [str(finding) for finding in FINDINGS if not finding.answered] == []


def test_answers_hide_what_they_speak_of_and_nothing_else() -> None:
    hidden = [finding for finding in FINDINGS if finding.answered]
    assert {(finding.rule.file, finding.check) for finding in hidden} == set(ANSWERED)
    for finding in hidden:
        assert re.fullmatch(ANSWERED[finding.rule.file, finding.check], finding.message), finding


@pytest.mark.parametrize("file", ["recording", "service", "stack"])
def test_each_answer_has_a_reason(file: str) -> None:
    lines = (rules.ROOT / "prometheus" / "rules" / f"{file}.yml").read_text("utf-8").splitlines()
    comments = [line.strip() if line.strip().startswith("#") else "" for line in lines]
    places = [n for n, line in enumerate(comments) if line.startswith("# pint ")]
    assert places
    for place in places:
        while comments[place].startswith("# pint "):
            place -= 1
        assert len(comments[place]) > 20, f"{file}: line {place + 1}"


def test_each_answer_is_to_something() -> None:
    for rule in SHIPPED.rules:
        found = {f.check for f in FINDINGS if f.rule is rule}
        assert set(rule.disabled) <= found, f"{rule.name}: an answer to nothing"


def test_recordings_read_no_other_group_but_its_counters() -> None:
    bare = replace(SHIPPED, other_groups=())
    found = [f for f in pint.lint(bare) if f.check == "rule/dependency"]
    assert found
    assert {f.rule.group for f in found} == {"mgeo-objectives"}


BAD = {
    "promql/syntax": "sum by (job (mgeo_ready) > 0",
    "alerts/absent": "absent(mgeo_ready)",
    "alerts/comparison": "mgeo_ready == bool 0",
    "promql/counter": "mgeo_request_total > 5",
    "promql/features": "mad_over_time(mgeo_ready[5m]) > 1",
    "promql/fragile": "topk(1, mgeo_ready) > 0",
    "promql/impossible": "mgeo_ready == 0 unless sum(mgeo_ready)",
    "promql/nan": "sum by (job, instance) (mgeo_queue_depth / mgeo_queue_limit) > 0.5",
    "promql/offset": "mgeo_ready offset 33d > 0",
    "promql/performance": "2 * sum by (job) (rate(mgeo_request_total[5m])) > 5",
    "promql/range_query": "max_over_time(mgeo_ready[33d]) > 0",
    "promql/rate": "rate(mgeo_request_total[20s]) > 5",
    "promql/regexp": 'mgeo_ready{instance=~"mgeo"} == 0',
    "promql/series": "mgeo_reddy == 0",
    "promql/vector_matching": "rate(mgeo_request_total[5m]) / mgeo_queue_limit > 1",
}
"""Check → an alert's expression in which it finds something."""

MORE = [
    ("alerts/comparison", 'mgeo_ready == 0 or up{job="x"}'),
    ("alerts/comparison", 'up{job="x"} unless mgeo_ready == 0'),
    ("promql/counter", "sum by (job) (mgeo_request_duration_seconds_count) > 5"),
    ("promql/fragile", "sum(mgeo_queue_depth) / sum(mgeo_queue_limit) > 0.9"),
    ("promql/impossible", "sum by (key) (rate(mgeo_request_total[5m])) > 1"),
    ("promql/impossible", "sum(mgeo_ready) / on (job) count(mgeo_ready) < 1"),
    ("promql/impossible", "max by (job) (max by (instance) (mgeo_ready)) == 0"),
    ("promql/range_query", "max_over_time(mgeo_ready[40d:1h]) > 0"),
    ("promql/rate", "rate(mgeo_queue_depth[5m]) > 5"),
    ("promql/rate", "increase(job_instance_collector:mgeo_request_scoring:sum[5m]) > 5"),
    ("promql/regexp", 'up{job=~"^a|b"} == 0'),
    ("promql/regexp", 'up{job=~"mgeo-.+-eu"} == 0'),
    ("promql/series", 'mgeo_ready{key="a"} == 0'),
    ("promql/series", "job:mgeo_nothing:rate5m > 0"),
]

GOOD = [
    "mgeo_ready == 0",
    "absent(mgeo_ready) == 1",
    "sum by (job) (increase(mgeo_request_total[5m])) > 5",
    'up{job=~"a|b"} == 0',
    "sum by (job) (rate(mgeo_request_total[1m])) / sum by (job) (rate(mgeo_request_total[9m])) > 2",
    "sum by (job, instance) (mgeo_queue_depth / (mgeo_queue_limit > 0)) > 0.5",
    "max_over_time(mgeo_ready[30d]) > 0",
    "count(mgeo_request_total) by (job) > 500",
    "mgeo_ready == 0 unless on (job) sum by (job) (mgeo_ready) > 0",
    'mgeo_ready == 0 or absent(up{job="x"})',
]


def _with(**rule: object) -> rules.RuleSet:
    """The shipped rules and one more."""
    body = {"alert": "MgeoTried", **rule}
    if "record" in rule:
        del body["alert"]
    tried = rules.Rule("tried", "tried", None, body)
    return replace(SHIPPED, rules=[*SHIPPED.rules, tried])


def _found(of: rules.RuleSet) -> set[str]:
    return {finding.check for finding in pint.lint_one(of.rules[-1], of)}


@pytest.mark.parametrize(("check", "expression"), [*BAD.items(), *MORE])
def test_a_check_finds_what_it_is_for(check: str, expression: str) -> None:
    assert check in _found(_with(expr=expression))


@pytest.mark.parametrize("expression", GOOD)
def test_checks_find_nothing_where_nothing_is(expression: str) -> None:
    assert _found(_with(expr=expression, **{"for": "1m"})) == set()


@pytest.mark.parametrize(
    ("check", "rule"),
    [
        ("alerts/for", {"expr": "mgeo_ready == 0", "for": "0s"}),
        ("alerts/for", {"expr": "mgeo_ready == 0", "keep_firing_for": "soon"}),
        ("alerts/template", {"expr": "mgeo_ready == 0", "labels": {"now": "{{ $value }}"}}),
        (
            "alerts/template",
            {
                "expr": "max by (job) (mgeo_ready) == 0",
                "annotations": {"description": "{{ $labels.instance }}"},
            },
        ),
        ("labels/conflict", {"expr": "mgeo_ready == 0", "labels": {"cluster": "a"}}),
        ("rule/duplicate", {"expr": "mgeo_ready", "record": "job:mgeo_request:rate5m"}),
        ("rule/dependency", {"expr": "job:mgeo_request:rate5m * 2", "record": "job:mgeo_x:y"}),
    ],
)
def test_a_check_of_a_whole_rule_finds_what_it_is_for(check: str, rule: dict[str, object]) -> None:
    of = _with(**rule)
    assert check in _found(replace(of, external=frozenset({"cluster"})))


def test_a_group_is_evaluated_as_often_as_its_samples_live() -> None:
    slow = replace(SHIPPED.rules[0], interval=600.0)
    assert "group/interval" in _found(replace(SHIPPED, rules=[slow]))


def test_every_check_is_seen_to_find_something() -> None:
    whole = {"alerts/for", "alerts/template", "labels/conflict", "group/interval"}
    assert set(pint.CHECKS) == {*BAD, *whole, "rule/duplicate", "rule/dependency"} - {
        "promql/syntax"
    }


def test_comments_turn_off_a_check_for_their_own_rule_or_for_the_file() -> None:
    text = """
# pint file/disable promql/rate
groups:
  - name: one
    rules:
      # Because.
      # pint disable promql/regexp
      - record: a
        expr: b
      - record: c
        # pint disable promql/counter
        expr: d
  # Of the next group.
  - name: two
    interval: 1m
    rules:
      - record: e
        expr: f
"""
    one, two, three = rules.read(text)
    assert (one.disabled, two.disabled, three.disabled) == (
        ["promql/regexp"],
        ["promql/counter"],
        [],
    )
    assert {tuple(rule.disabled_in_file) for rule in (one, two, three)} == {("promql/rate",)}
    assert (two.group, three.group, three.interval) == ("one", "two", 60.0)
