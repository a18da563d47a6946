"""Rules of Prometheus as linters read them: with their comments, and the settings beside them."""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import promql_parser as promql
import yaml

from tests.lint import promql as trees
from tests.lint.promql import Labels, Tree
from tools import yaml_text

ROOT = Path(__file__).parent.parent.parent
CONFIGURATION = ROOT / ".pint.hcl"
RETENTION = 32 * 86400.0
"""Seconds that Prometheus keeps: tests/contract/test_rule_conventions.py holds it to the flags."""

_DISABLED = re.compile(r"# pint (file/)?disable ([a-z]+/[a-z_]+)$")


class NotPromQLError(Exception):
    """An expression that cannot be parsed; the message is the parser's."""


@dataclass(frozen=True)
class Rule:
    """One rule as it stands in its file.

    Attributes:
        file: Name of its file, without suffix.
        group: Name of its group.
        interval: Seconds between evaluations, where the group has its own.
        body: The rule, as YAML has it.
        comments: Lines of comment in front of it or within.
        disabled_in_file: Checks that are turned off for its whole file.
    """

    file: str
    group: str
    interval: float | None
    body: Mapping[str, Any]
    comments: Sequence[str] = ()
    disabled_in_file: Sequence[str] = ()

    @property
    def name(self) -> str:
        """Of the alert or the recording."""
        return str(self.body.get("alert") or self.body.get("record"))

    @property
    def is_alert(self) -> bool:
        """Whether it is an alert, and no recording."""
        return "alert" in self.body

    @functools.cached_property
    def tree(self) -> Tree:
        """Its expression. Raises NotPromQLError."""
        try:
            return promql.parse(self.body["expr"])
        except ValueError as error:
            raise NotPromQLError(str(error)) from None

    @property
    def disabled(self) -> list[str]:
        """Checks that its own comments turn off for it."""
        return disabled(self.comments)

    def seconds(self, key: str) -> float | None:
        """A duration of the rule, such as `for`; None where it has none that is one."""
        try:
            return seconds(str(self.body[key]))
        except (KeyError, ValueError):
            return None


@dataclass(frozen=True)
class RuleSet:
    """All rules that are evaluated together.

    Attributes:
        rules: In the order of their files and places.
        scrape: Seconds between two samples of a series.
        external: Labels that Prometheus gives to everything that it sends on.
        other_groups: Recordings that may be read by recordings of another group.
    """

    rules: Sequence[Rule]
    scrape: float = 15.0
    external: frozenset[str] = frozenset()
    other_groups: Sequence[str] = ()

    @functools.cached_property
    def recordings(self) -> dict[str, list[Rule]]:
        """Name → the rules that record under it."""
        found: dict[str, list[Rule]] = {}
        for rule in self.rules:
            if not rule.is_alert:
                found.setdefault(rule.name, []).append(rule)
        return found

    @functools.cached_property
    def known(self) -> dict[str, Labels]:
        """Labels of the service's metrics and of recordings, by name."""
        known = trees.declared()
        for name, rules in self.recordings.items():
            labels = trees.branches(rules[0].tree, known)[0]
            known[name] = labels.plus(frozenset(rules[0].body.get("labels", {})))
        return known

    @functools.cached_property
    def recorded(self) -> dict[str, str]:
        """Expression → the recording that has it, of those that nothing is added to."""
        return {
            rule.tree.prettify(): name
            for name, rules in self.recordings.items()
            for rule in rules
            if not rule.body.get("labels")
        }


def seconds(text: str) -> float:
    """A duration such as `5m`, in seconds; 0 is 0 without a unit. Raises ValueError."""
    return 0.0 if text.strip() == "0" else promql.parse_duration(text).total_seconds()


def disabled(comments: Sequence[str], file: bool = False) -> list[str]:
    """Checks that comments turn off, for a rule or for the whole file."""
    found = [_DISABLED.match(line) for line in comments]
    return [one[2] for one in found if one and bool(one[1]) == file]


def read(text: str, file: str = "") -> list[Rule]:
    """The rules of a file, each with its comments."""
    root = yaml.compose(text, Loader=yaml.CSafeLoader)
    content = yaml_text.parse(text)
    lines = text.splitlines()
    places = [
        place
        for group in _value(root, "groups").value
        for place in (rule.start_mark.line for rule in _value(group, "rules").value)
    ]
    everywhere = disabled([line.strip() for line in lines], file=True)
    made: list[Rule] = []
    for group in content["groups"]:
        interval = seconds(group["interval"]) if "interval" in group else None
        for body in group["rules"]:
            start = places[len(made)]
            end = places[len(made) + 1] if len(made) + 1 < len(places) else len(lines)
            inner = [line.strip() for line in lines[start:end]]
            while inner and (not inner[-1] or inner[-1].startswith(("#", "- name:", "rules:"))):
                inner.pop()
            front = start
            while front and lines[front - 1].strip().startswith("#"):
                front -= 1
            said = [line.strip() for line in lines[front:start]] + inner
            comments = [line for line in said if line.startswith("#")]
            made.append(Rule(file, group["name"], interval, body, comments, everywhere))
    return made


def _value(node: Any, key: str) -> Any:
    return next(value for name, value in node.value if name.value == key)


def shipped() -> RuleSet:
    """The rules of this repository, with the settings that they are evaluated under."""
    settings = yaml_text.read(ROOT / "prometheus" / "prometheus.yml")["global"]
    files = sorted((ROOT / "prometheus" / "rules").glob("*.yml"))
    return RuleSet(
        [rule for file in files for rule in read(file.read_text("utf-8"), file.stem)],
        seconds(settings["scrape_interval"]),
        frozenset(settings.get("external_labels", {})),
        other_groups(CONFIGURATION.read_text("utf-8")),
    )


def other_groups(configuration: str) -> list[str]:
    """What pint's configuration has as `ignoreGroupMismatch`."""
    found = re.search(r'^\s*ignoreGroupMismatch = \[((?:"[^"]*",? ?)*)\]$', configuration, re.M)
    return re.findall(r'"([^"]*)"', found[1]) if found else []
