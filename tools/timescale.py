"""Writes Prometheus's configuration with every span of time in it divided by a factor.

    python -m tools.timescale 10 build/prometheus-10      ten times as fast

Alerts that wait for minutes cannot be tested by waiting for minutes. What is divided: the intervals
and timeouts of scrapes and evaluations, `for` and `keep_firing_for`, and in expressions the ranges
(`[5m]`, `[1h:5m]`) and `offset`s. What is not: anything that
a value is compared with, also where it is a number of seconds, and the horizon of `predict_linear`.
So an alert on 20 s without progress still needs 20 s, and fires sooner after them.
"""

from __future__ import annotations

import argparse
import re
import shutil
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import yaml

from tools import yaml_text
from tools.compose import REPOSITORY

SOURCE = REPOSITORY / "prometheus"

_MILLISECONDS = {
    "ms": 1,
    "s": 1_000,
    "m": 60_000,
    "h": 3_600_000,
    "d": 86_400_000,
    "w": 604_800_000,
    "y": 31_536_000_000,
}
"""As Prometheus counts them."""

_DURATION = re.compile(
    r"(?:(\d+)y)?(?:(\d+)w)?(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?(?:(\d+)ms)?"
)
_UNITS = ("y", "w", "d", "h", "m", "s", "ms")

_TOKEN = re.compile(
    r"""(?P<space>\s+|\#[^\n]*)
    |(?P<string>"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*'|`[^`]*`)
    |(?P<duration>(?:\d+(?:ms|[ywdhms]))+(?![\w.]))
    |(?P<number>(?:0[xX][0-9a-fA-F]+|(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)(?![\w.]))
    |(?P<name>[A-Za-z_][\w:]*)
    |(?P<symbol>[-+*/%^@(){},.]|=~|!~|==|!=|<=|>=|[<>=])
    |(?P<bracket>[][:])""",
    re.VERBOSE,
)
"""PromQL's words, all of them: what is none of these is refused."""

_CONFIGURED = ("scrape_interval", "scrape_timeout", "evaluation_interval", "rule_query_offset")
_OF_GROUPS = ("interval", "query_offset")
_OF_RULES = ("for", "keep_firing_for")


class TimescaleError(Exception):
    """Something that is to be divided cannot be read, or would become nothing."""


def duration(text: str, factor: float) -> str:
    """A duration as Prometheus writes it (`1h30m`), divided by `factor`, in whole milliseconds.

    Raises:
        TimescaleError: it is none, or shorter than a millisecond after that.
    """
    if text == "0":
        return text
    parts = _DURATION.fullmatch(text)
    if not text or parts is None:
        raise TimescaleError(f"{text!r} is no duration of Prometheus")
    whole = sum(
        int(count) * _MILLISECONDS[unit]
        for unit, count in zip(_UNITS, parts.groups(), strict=True)
        if count is not None
    )
    divided = round(whole / factor)
    if whole and not divided:
        raise TimescaleError(f"{text} divided by {factor:g} is shorter than a millisecond")
    return f"{divided}ms"


def expression(text: str, factor: float) -> str:
    """A PromQL expression with its ranges and offsets divided by `factor`; the rest as it is.

    Raises:
        TimescaleError: it holds something that is no PromQL.
    """
    result: list[str] = []
    depth, after_offset = 0, False
    for kind, word in _tokens(text):
        if kind == "bracket":
            depth += {"[": 1, "]": -1}.get(word, 0)
        of_time = depth > 0 or after_offset
        if kind == "number" and of_time:
            raise TimescaleError(f"{word} in {text!r}: a duration with its unit is expected")
        result.append(duration(word, factor) if kind == "duration" and of_time else word)
        if kind != "space" and not (after_offset and word == "-"):
            after_offset = kind == "name" and word.lower() == "offset"
    return "".join(result)


def _tokens(text: str) -> Iterator[tuple[str, str]]:
    position = 0
    while position < len(text):
        found = _TOKEN.match(text, position)
        if found is None or found.lastgroup is None:
            raise TimescaleError(f"{text[position : position + 20]!r} in {text!r} is no PromQL")
        yield found.lastgroup, found.group()
        position = found.end()


def rules(document: dict[str, Any], factor: float) -> dict[str, Any]:
    """A rule file's content with its times divided by `factor`. Raises TimescaleError."""
    groups = []
    for group in document["groups"]:
        scaled = [
            _divided(rule, _OF_RULES, factor) | {"expr": expression(str(rule["expr"]), factor)}
            for rule in group["rules"]
        ]
        groups.append(_divided(group, _OF_GROUPS, factor) | {"rules": scaled})
    return {**document, "groups": groups}


def configuration(document: dict[str, Any], factor: float) -> dict[str, Any]:
    """Prometheus's own configuration with its times divided by `factor`. Raises TimescaleError."""
    jobs = [_divided(job, _CONFIGURED, factor) for job in document["scrape_configs"]]
    return {
        **document,
        "global": _divided(document["global"], _CONFIGURED, factor),
        "scrape_configs": jobs,
    }


def _divided(given: dict[str, Any], names: Sequence[str], factor: float) -> dict[str, Any]:
    return {k: duration(v, factor) if k in names else v for k, v in given.items()}


def write(factor: float, target: Path, source: Path = SOURCE) -> None:
    """Write `prometheus.yml` and `rules` of `source` into `target`, the targets as they are.

    Raises:
        TimescaleError: a time cannot be divided; the message names it.
        OSError: the folder cannot be written.
    """
    _rewrite(source / "prometheus.yml", target / "prometheus.yml", configuration, factor)
    for file in sorted((source / "rules").glob("*.yml")):
        _rewrite(file, target / "rules" / file.name, rules, factor)
    shutil.copytree(source / "targets", target / "targets", dirs_exist_ok=True)


def _rewrite(
    source: Path,
    target: Path,
    change: Callable[[dict[str, Any], float], dict[str, Any]],
    factor: float,
) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    changed = change(yaml_text.read(source), factor)
    target.write_text(yaml.safe_dump(changed, allow_unicode=True, sort_keys=False), "utf-8")


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the files; 0 when they are written, 1 with one line otherwise."""
    parser = argparse.ArgumentParser(prog="python -m tools.timescale", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("factor", type=float, help="10 makes ten seconds of a hundred")
    parser.add_argument("target", type=Path, metavar="DIR")
    options = parser.parse_args(arguments)
    if not 0.001 <= options.factor <= 1000:
        parser.error("a factor is between 0.001 and 1000")
    try:
        write(options.factor, options.target)
    except (TimescaleError, OSError) as error:
        print(f"timescale: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
