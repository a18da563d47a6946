"""PromQL as a tree: what is inside an expression, and which labels its series have."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import promql_parser as promql

from telemetry import instruments

Tree = Any
"""A node of the parser, which has a class for each kind."""

SCRAPED = frozenset({"job", "instance"})
"""What Prometheus gives to every series that it scrapes."""

SETS = frozenset({"and", "or", "unless"})
COMPARISONS = frozenset({"==", "!=", ">", "<", ">=", "<="})
_OF_SERIES = re.compile(r"_(bucket|count|sum)$")


@dataclass(frozen=True, slots=True)
class Labels:
    """Of the series that one branch of an expression gives.

    Attributes:
        sure: Labels that each of them has.
        possible: Labels that they may have; None where nobody says which.
    """

    sure: frozenset[str]
    possible: frozenset[str] | None

    def may(self, label: str) -> bool:
        """Whether a series may have the label."""
        return self.possible is None or label in self.possible

    def without(self, labels: frozenset[str]) -> Labels:
        """The same with some labels gone."""
        possible = None if self.possible is None else self.possible - labels
        return Labels(self.sure - labels, possible)

    def only(self, labels: frozenset[str]) -> Labels:
        """The same with no others than these."""
        possible = labels if self.possible is None else labels & self.possible
        return Labels(self.sure & labels, possible)

    def plus(self, labels: frozenset[str]) -> Labels:
        """The same with more labels, for certain."""
        possible = None if self.possible is None else self.possible | labels
        return Labels(self.sure | labels, possible)


_NONE = Labels(frozenset(), frozenset())
_ANY = Labels(SCRAPED, None)


def children(tree: Tree) -> list[Tree]:
    """The nodes directly inside a node; a range's selector is one."""
    match tree:
        case promql.BinaryExpr():
            return [tree.lhs, tree.rhs]
        case promql.AggregateExpr():
            return [tree.expr] if tree.param is None else [tree.param, tree.expr]
        case promql.Call():
            return list(tree.args)
        case promql.MatrixSelector():
            return [tree.vector_selector]
        case promql.ParenExpr() | promql.UnaryExpr() | promql.SubqueryExpr():
            return [tree.expr]
    return []


def walk(tree: Tree, above: tuple[Tree, ...] = ()) -> Iterator[tuple[Tree, tuple[Tree, ...]]]:
    """Each node, with the nodes that it is in, the outermost first."""
    yield tree, above
    for inner in children(tree):
        yield from walk(inner, (*above, tree))


def bare(tree: Tree) -> Tree:
    """A node without the parentheses around it."""
    while isinstance(tree, promql.ParenExpr):
        tree = tree.expr
    return tree


def selectors(tree: Tree) -> list[Tree]:
    """Every selector inside."""
    return [node for node, _ in walk(tree) if isinstance(node, promql.VectorSelector)]


def kind(metric: str) -> str | None:
    """Whether it is a counter or a gauge, as far as its declaration or its name tells."""
    for own in instruments.METRICS:
        name = instruments.prometheus_name(own)
        if metric == name:
            return "counter" if own.kind in {"counter", "histogram"} else "gauge"
    if metric.endswith("_total") or _OF_SERIES.search(metric):
        return "counter"
    return None


def declared() -> dict[str, Labels]:
    """The service's own metrics, by name, with their labels.

    `collector` says which of two Collectors exposes a series.
    """
    made = {}
    for metric in instruments.METRICS:
        name = instruments.prometheus_name(metric)
        own = frozenset(key.replace(".", "_") for key in metric.attributes)
        labels = Labels(SCRAPED, SCRAPED | own | {"collector"})
        if metric.kind == "histogram":
            made |= {f"{name}_{part}": labels for part in ("sum", "count")}
            made[f"{name}_bucket"] = labels.plus(frozenset({"le"}))
        else:
            made[name] = labels
    return made


def is_scalar(tree: Tree) -> bool:
    """Whether it is a number and no series."""
    node = bare(tree)
    if isinstance(node, promql.BinaryExpr):
        return is_scalar(node.lhs) and is_scalar(node.rhs)
    if isinstance(node, promql.UnaryExpr):
        return is_scalar(node.expr)
    number = isinstance(node, promql.NumberLiteral | promql.StringLiteral)
    return number or (isinstance(node, promql.Call) and node.func.name in {"scalar", "time", "pi"})


def branches(tree: Tree, known: Mapping[str, Labels]) -> list[Labels]:
    """The labels of what an expression gives, one entry for each side of an `or`.

    Args:
        tree: The expression.
        known: Name of a metric or recording → its labels; others may have any.
    """
    match bare(tree):
        case promql.VectorSelector() as node:
            labels = known.get(node.name or "", _ANY)
            return [labels.plus(required(node) - {"__name__"})]
        case promql.MatrixSelector() as node:
            return branches(node.vector_selector, known)
        case promql.UnaryExpr() | promql.SubqueryExpr() as node:
            return branches(node.expr, known)
        case promql.AggregateExpr() as node:
            return [_aggregated(node, inner) for inner in branches(node.expr, known)]
        case promql.Call() as node:
            return _called(node, known)
        case promql.BinaryExpr() as node:
            return _combined(node, known)
    return [_NONE]


def required(selector: Tree) -> frozenset[str]:
    """Labels that a selector's series have, because a matcher refuses those without."""
    return frozenset(
        matcher.name for matcher in selector.matchers.matchers if not _matches_none(matcher)
    )


def _matches_none(matcher: Any) -> bool:
    """Whether series without the label match, which for PromQL have it empty."""
    if matcher.op == promql.MatchOp.Equal:
        return bool(matcher.value == "")
    if matcher.op == promql.MatchOp.NotEqual:
        return bool(matcher.value != "")
    found = re.fullmatch(matcher.value, "") is not None
    return found == (matcher.op == promql.MatchOp.Re)


def grouped(node: Tree) -> frozenset[str] | None:
    """The labels of `by`; None for `without`."""
    if node.modifier is None:
        return frozenset()
    if node.modifier.type == promql.AggModifierType.By:
        return frozenset(node.modifier.labels)
    return None


def _aggregated(node: Tree, inner: Labels) -> Labels:
    if str(node.op) in {"topk", "bottomk", "limitk", "limit_ratio"}:
        return inner
    by = grouped(node)
    made = inner.without(frozenset(node.modifier.labels)) if by is None else inner.only(by)
    if str(node.op) == "count_values":
        made = made.plus(frozenset({node.param.val}))
    return made


def _called(node: Tree, known: Mapping[str, Labels]) -> list[Labels]:
    name = node.func.name
    if name in {"vector", "time", "scalar", "pi"}:
        return [_NONE]
    series = next((x for x in node.args if not is_scalar(x)), None)
    inner = branches(series, known) if series is not None else [_NONE]
    if name in {"label_replace", "label_join"}:
        return [labels.plus(frozenset({node.args[1].val})) for labels in inner]
    if name == "histogram_quantile":
        return [labels.without(frozenset({"le"})) for labels in inner]
    if name in {"absent", "absent_over_time"}:
        equal = frozenset[str]().union(*(required(x) for x in selectors(node)))
        return [Labels(equal, equal)]
    return inner


def _combined(node: Tree, known: Mapping[str, Labels]) -> list[Labels]:
    left, right = branches(node.lhs, known), branches(node.rhs, known)
    if str(node.op) == "or":
        return left + right
    if str(node.op) in SETS or is_scalar(node.rhs):
        return left
    if is_scalar(node.lhs):
        return right
    modifier = node.modifier
    if modifier is None or modifier.card == promql.VectorMatchCardinality.OneToOne:
        return [matched(node, labels) for labels in left]
    many = left if modifier.card == promql.VectorMatchCardinality.ManyToOne else right
    return [labels.plus(frozenset(modifier.group_labels or ())) for labels in many]


def matched(node: Tree, labels: Labels) -> Labels:
    """Of one side of an operator, the labels by which it is matched with the other."""
    matching = node.modifier.matching if node.modifier else None
    if matching is None:
        return labels
    names = frozenset(matching.labels)
    if matching.type == promql.LabelModifierType.Include:
        return labels.only(names)
    return labels.without(names)


def meet(node: Tree, left: Labels, right: Labels) -> bool:
    """Whether series of both sides can have the same labels, as far as the operator asks."""
    one, other = matched(node, left), matched(node, right)
    return all(other.may(label) for label in one.sure) and all(
        one.may(label) for label in other.sure
    )


def inside(above: tuple[Tree, ...], which: Callable[[Tree], bool]) -> bool:
    """Whether one of the nodes around a node is such a one."""
    return any(which(node) for node in above)


def calls(*names: str) -> Callable[[Tree], bool]:
    """Whether a node is a call of one of these functions."""
    return lambda node: isinstance(node, promql.Call) and node.func.name in names
