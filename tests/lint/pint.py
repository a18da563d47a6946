"""pint's checks, those that it makes without configuration, by its own names.

Not `alerts/count`, which asks a Prometheus how often an alert would have fired: docs/chaos.md says
it for ours. `promql/series` knows the service's own metrics and recordings, and no others.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import promql_parser as promql

from tests.lint import promql as trees
from tests.lint.promql import COMPARISONS, Tree, bare, calls, inside, selectors, walk
from tests.lint.rules import RETENTION, NotPromQLError, Rule, RuleSet

_ARITHMETIC = frozenset("+-*/%^")
_COUNTER_SAFE = calls(
    *("rate", "irate", "increase", "resets", "changes", "timestamp"),
    *("absent", "absent_over_time", "present_over_time", "count_over_time"),
)
_SAMPLING = frozenset({"topk", "bottomk", "limitk", "limit_ratio"})
_SPOILT_BY_NAN = frozenset({"sum", "avg", "stddev", "stdvar"})
_EXPERIMENTAL = frozenset(
    {
        *("mad_over_time", "sort_by_label", "sort_by_label_desc", "info", "limitk"),
        *("limit_ratio", "double_exponential_smoothing"),
    }
)
_LONGEST_INTERVAL = 300.0
"""Seconds for which Prometheus takes a sample for the present value."""

Check = Callable[[Rule, RuleSet], Iterator[str]]


@dataclass(frozen=True)
class Finding:
    """What a check has to say of a rule.

    Attributes:
        rule: The rule.
        check: The check's name.
        message: What is wrong.
    """

    rule: Rule
    check: str
    message: str

    @property
    def answered(self) -> bool:
        """Whether a comment says why it may be so."""
        return self.check in self.rule.disabled or self.check in self.rule.disabled_in_file

    def __str__(self) -> str:
        return f"{self.rule.file}: {self.rule.name}: {self.check}: {self.message}"


def _absent(rule: Rule, of: RuleSet) -> Iterator[str]:
    used = any(calls("absent", "absent_over_time")(node) for node, _ in walk(rule.tree))
    if rule.is_alert and used and (rule.seconds("for") or 0) < 2 * of.scrape:
        yield "absent() without `for` of two scrapes fires after Prometheus's own start"


def _comparison(rule: Rule, of: RuleSet) -> Iterator[str]:
    if rule.is_alert and not _conditional(rule.tree):
        yield "fires whenever there is a series"


def _conditional(tree: Tree) -> bool:
    node = bare(tree)
    if isinstance(node, promql.BinaryExpr):
        operator = str(node.op)
        if operator in COMPARISONS:
            return not (node.modifier and node.modifier.return_bool)
        if operator == "or":
            return _conditional(node.lhs) and _conditional(node.rhs)
        if operator == "unless":
            return _conditional(node.lhs)
        return _conditional(node.lhs) or _conditional(node.rhs)
    if calls("absent", "absent_over_time")(node):
        return True
    return any(_conditional(inner) for inner in trees.children(node))


def _for(rule: Rule, of: RuleSet) -> Iterator[str]:
    for key in ("for", "keep_firing_for"):
        if key in rule.body and not rule.seconds(key):
            yield f"{key}: {rule.body[key]} is no duration, or the default"


def _template(rule: Rule, of: RuleSet) -> Iterator[str]:
    if not rule.is_alert:
        return
    static = rule.body.get("labels", {})
    for name, value in static.items():
        if re.search(r"\$value|\.Value", str(value)):
            yield f"label {name} is another alert with each value"
    found = trees.branches(rule.tree, of.known)
    for name, text in rule.body.get("annotations", {}).items():
        chosen = "{{ with" in text or "{{ if" in text
        for label in sorted(set(re.findall(r"\$labels\.(\w+)", text)) - set(static)):
            has = [branch.may(label) for branch in found]
            if not (any(has) if chosen else all(has)):
                yield f"{name} shows {label}, which the result does not have"


def _interval(rule: Rule, of: RuleSet) -> Iterator[str]:
    if (rule.interval or 0) > max(_LONGEST_INTERVAL, rule.seconds("keep_firing_for") or 0):
        yield "the group is evaluated more seldom than a sample is taken for the present"


def _conflict(rule: Rule, of: RuleSet) -> Iterator[str]:
    for label in sorted(of.external & set(rule.body.get("labels", {}))):
        yield f"label {label} is an external one of Prometheus too"


def _counter(rule: Rule, of: RuleSet) -> Iterator[str]:
    for node, above in walk(rule.tree):
        if isinstance(node, promql.VectorSelector) and _is_counter(node.name, of):
            counted = any(
                isinstance(a, promql.AggregateExpr) and str(a.op) in {"count", "group"}
                for a in above
            )
            if not counted and not inside(above, _COUNTER_SAFE):
                yield f"{node.name} is a counter, whose value means nothing by itself"


def _is_counter(name: str | None, of: RuleSet) -> bool:
    return bool(name) and name not in of.recordings and trees.kind(str(name)) == "counter"


def _features(rule: Rule, of: RuleSet) -> Iterator[str]:
    for node, _ in walk(rule.tree):
        name = node.func.name if isinstance(node, promql.Call) else str(getattr(node, "op", ""))
        if name in _EXPERIMENTAL:
            yield f"{name} needs a feature flag of Prometheus"


def _fragile(rule: Rule, of: RuleSet) -> Iterator[str]:
    if not rule.is_alert:
        return
    for node, _ in walk(rule.tree):
        if isinstance(node, promql.AggregateExpr) and str(node.op) in _SAMPLING:
            yield f"{node.op} gives other series each time"
        if isinstance(node, promql.BinaryExpr) and str(node.op) in _ARITHMETIC:
            sides = [bare(node.lhs), bare(node.rhs)]
            both = all(isinstance(side, promql.AggregateExpr) for side in sides)
            names = [{s.name for s in selectors(side)} for side in sides]
            if both and names[0] != names[1] and rule.seconds("for") is None:
                yield "after a start of Prometheus one sum may have more targets than the other"


def _impossible(rule: Rule, of: RuleSet) -> Iterator[str]:
    for node, _ in walk(rule.tree):
        if isinstance(node, promql.AggregateExpr):
            for label in sorted(trees.grouped(node) or ()):
                if not any(b.may(label) for b in trees.branches(node.expr, of.known)):
                    yield f"by ({label}): {node.expr.prettify()} does not have it"
        elif isinstance(node, promql.BinaryExpr) and _two_vectors(node) and str(node.op) != "or":
            left = trees.branches(node.lhs, of.known)
            right = trees.branches(node.rhs, of.known)
            for one, others in [(b, right) for b in left] + [(b, left) for b in right]:
                if not any(trees.meet(node, one, other) for other in others):
                    yield f"the sides of `{node.op}` never match: {node.prettify()}"
                    break
            matching = node.modifier.matching if node.modifier else None
            on = matching and matching.type == promql.LabelModifierType.Include
            for label in matching.labels if matching and on else ():
                if not all(any(b.may(label) for b in side) for side in (left, right)):
                    yield f"on ({label}): one side does not have it"


def _two_vectors(node: Tree) -> bool:
    return not trees.is_scalar(node.lhs) and not trees.is_scalar(node.rhs)


def _vector_matching(rule: Rule, of: RuleSet) -> Iterator[str]:
    for node, _ in walk(rule.tree):
        if not isinstance(node, promql.BinaryExpr) or not _two_vectors(node):
            continue
        if str(node.op) == "or" or (node.modifier and node.modifier.matching):
            continue
        for one in trees.branches(node.lhs, of.known):
            for other in trees.branches(node.rhs, of.known):
                told = one.possible is not None and other.possible is not None
                if told and one.possible != other.possible:
                    yield f"without `on`, labels differ: {node.prettify()}"


def _nan(rule: Rule, of: RuleSet) -> Iterator[str]:
    for node, above in walk(rule.tree):
        if not isinstance(node, promql.BinaryExpr) or str(node.op) not in {"/", "%"}:
            continue
        spoils = inside(
            above, lambda a: isinstance(a, promql.AggregateExpr) and str(a.op) in _SPOILT_BY_NAN
        )
        if spoils and not _never_zero(node.rhs):
            yield f"a division by 0 spoils the whole: {node.prettify()}"


def _never_zero(tree: Tree) -> bool:
    node = bare(tree)
    compared = isinstance(node, promql.BinaryExpr) and str(node.op) in {">", "<", "!="}
    number = isinstance(node, promql.NumberLiteral) and node.val != 0
    return compared or number or calls("clamp", "clamp_min", "clamp_max")(node)


def _kept(attribute: str, kind: type[object]) -> Check:
    def check(rule: Rule, of: RuleSet) -> Iterator[str]:
        for node, _ in walk(rule.tree):
            if isinstance(node, kind):
                given = getattr(node, attribute)
                if given and given.total_seconds() > RETENTION:
                    yield f"{node.prettify()} is longer than Prometheus keeps samples"

    return check


def _range(rule: Rule, of: RuleSet) -> Iterator[str]:
    for kind in (promql.MatrixSelector, promql.SubqueryExpr):
        yield from _kept("range", kind)(rule, of)


def _performance(rule: Rule, of: RuleSet) -> Iterator[str]:
    for node, _ in walk(rule.tree):
        name = of.recorded.get(node.prettify()) if trees.children(node) else None
        if name and name != rule.name:
            yield f"{name} has it already: {node.prettify()}"


def _rate(rule: Rule, of: RuleSet) -> Iterator[str]:
    for node, above in walk(rule.tree):
        if not isinstance(node, promql.MatrixSelector) or not above:
            continue
        if not calls("rate", "irate", "increase")(above[-1]):
            continue
        name = node.vector_selector.name
        if node.range.total_seconds() < 2 * of.scrape:
            yield f"{node.prettify()} may hold a single sample"
        if name and name not in of.recordings and trees.kind(name) == "gauge":
            yield f"{name} is a gauge"
        for source in of.recordings.get(name, ()):
            if any(_sums_counters(inner, of) for inner, _ in walk(source.tree)):
                yield f"{name} is a sum of counters"
                break


def _sums_counters(node: Tree, of: RuleSet) -> bool:
    if not isinstance(node, promql.AggregateExpr) or str(node.op) != "sum":
        return False
    return any(
        isinstance(inner, promql.VectorSelector)
        and _is_counter(inner.name, of)
        and not inside(above, _COUNTER_SAFE)
        for inner, above in walk(node.expr)
    )


def _regexp(rule: Rule, of: RuleSet) -> Iterator[str]:
    for selector in selectors(rule.tree):
        for matcher in selector.matchers.matchers:
            if matcher.op not in (promql.MatchOp.Re, promql.MatchOp.NotRe):
                continue
            if re.escape(matcher.value) == matcher.value:
                yield f"{matcher}: is no pattern"
            if matcher.value.startswith("^") or matcher.value.endswith("$"):
                yield f"{matcher}: is anchored anyway"
            if any(re.search(r"\w.*\.[*+]|\.[*+].*\w", p) for p in matcher.value.split("|")):
                yield f"{matcher}: takes a label's value to pieces"


def _series(rule: Rule, of: RuleSet) -> Iterator[str]:
    for selector in selectors(rule.tree):
        name = selector.name or ""
        if re.match(r"mgeo_|.*:", name) and name not in of.known:
            yield f"there is no {name}"
        elif name in of.known:
            for label in sorted(trees.required(selector) - {"__name__"}):
                if not of.known[name].may(label):
                    yield f"{name} has no label {label}"


def _dependency(rule: Rule, of: RuleSet) -> Iterator[str]:
    if rule.is_alert:
        return
    for name in sorted({s.name or "" for s in selectors(rule.tree)}):
        groups = {source.group for source in of.recordings.get(name, ())}
        if groups - {rule.group} and not any(re.fullmatch(p, name) for p in of.other_groups):
            yield f"{name} is of another group, and up to an interval old"


def _duplicate(rule: Rule, of: RuleSet) -> Iterator[str]:
    for other in of.recordings.get(rule.name, ()) if not rule.is_alert else ():
        if other is not rule and other.body.get("labels") == rule.body.get("labels"):
            yield "is recorded twice"


CHECKS: dict[str, Check] = {
    "alerts/absent": _absent,
    "alerts/comparison": _comparison,
    "alerts/for": _for,
    "alerts/template": _template,
    "group/interval": _interval,
    "labels/conflict": _conflict,
    "promql/counter": _counter,
    "promql/features": _features,
    "promql/fragile": _fragile,
    "promql/impossible": _impossible,
    "promql/nan": _nan,
    "promql/offset": _kept("offset", promql.VectorSelector),
    "promql/performance": _performance,
    "promql/range_query": _range,
    "promql/rate": _rate,
    "promql/regexp": _regexp,
    "promql/series": _series,
    "promql/vector_matching": _vector_matching,
    "rule/dependency": _dependency,
    "rule/duplicate": _duplicate,
}
"""Name → check. `promql/syntax` is made before all others."""


def lint(of: RuleSet) -> Iterator[Finding]:
    """What the checks find in all rules, answered or not."""
    for rule in of.rules:
        yield from lint_one(rule, of)


def lint_one(rule: Rule, of: RuleSet) -> Iterator[Finding]:
    """What the checks find in one of the rules."""
    try:
        rule.tree  # noqa: B018
    except NotPromQLError as error:
        yield Finding(rule, "promql/syntax", str(error))
        return
    for name, check in CHECKS.items():
        yield from (Finding(rule, name, message) for message in check(rule, of))
