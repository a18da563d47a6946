"""Writes the generated parts of the documentation from the code's own tables.

`python -m tools.reference` rewrites them; a contract test fails when they differ.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import cast

from flask import Flask

from benchmarks import capacity
from benchmarks.autoscale import report
from service import settings
from service.http import openapi, predict
from service.http.openapi import Operation
from service.scoring.scorer import Scorer
from service.settings import Settings
from telemetry import conventions, instruments
from telemetry.conventions import RECOMMENDED
from telemetry.environment import DEFAULTS, VARIABLES
from telemetry.recent import RecentRequests
from telemetry.recording import Instruments
from tools import registry, yaml_text

ROOT = Path(__file__).parent.parent

CHINESE: dict[str, str] = yaml_text.read(ROOT / "tools" / "chinese.yml")
"""The sentences of tables that have a Chinese page, and the same in Chinese."""

Language = Callable[[str], str]
"""From a sentence in English to what a table says."""


def english(sentence: str) -> str:
    """`sentence` as it is."""
    return sentence


def chinese(sentence: str) -> str:
    """`sentence` in Chinese; as it is where that is not known yet."""
    return CHINESE.get(sentence, sentence)


def _head(say: Language, *columns: str) -> list[str]:
    return [f"| {' | '.join(map(say, columns))} |", "|---" * len(columns) + "|"]


def settings_table(say: Language = english) -> str:
    """Every setting as a Markdown table."""
    lines = _head(say, "variable", "flag", "default", "what")
    for row in settings.rows():
        what = say(row.help)
        if row.low is not None:
            what += say(" ({low:,} to {high:,})").format(low=row.low, high=row.high)
        if row.choices:
            what += say(" ({choices})").format(choices=", ".join(row.choices))
        default = "" if row.default == "" else f"`{row.default}`"
        lines.append(f"| `{row.variable}` | `{row.flag}` | {default} | {what} |")
    return "\n".join(lines)


def otel_table() -> str:
    """Every standard OpenTelemetry variable that is looked at."""
    lines = ["| variable | default here | what is particular |", "|---|---|---|"]
    for name, variable in VARIABLES.items():
        of_all = re.sub("OTLP_(TRACES|METRICS|LOGS)_", "OTLP_", name)
        if of_all != name and of_all in VARIABLES and name not in DEFAULTS:
            continue
        default = f"`{DEFAULTS[name]}`" if name in DEFAULTS else ""
        by_signal = name.replace("OTLP_", "OTLP_LOGS_")
        also = "also by signal" if by_signal != name and by_signal in VARIABLES else ""
        note = "; ".join(filter(None, [also, variable.note]))
        lines.append(f"| `{name}` | {default} | {note} |")
    return "\n".join(lines)


def operations() -> list[Operation]:
    """Every route of the prediction listener, with the limits of the default settings."""
    api = openapi.Api(Flask("reference"))
    # No request is answered, so no scorer is needed.
    predict.add_routes(
        api,
        Settings(),
        cast(Scorer, None),
        lambda: False,
        RecentRequests(),
        None,
        cast(Instruments, None),
    )
    return api.operations


def routes_table() -> str:
    """Every route of the prediction listener as a Markdown table."""
    lines = ["| route | what |", "|---|---|"]
    lines += [
        f"| `{operation.method} {openapi.templated(operation.path)}` | {operation.summary} |"
        for operation in operations()
    ]
    return "\n".join(lines)


def metrics_table() -> str:
    """Every metric as a Markdown table."""
    lines = [
        "| Prometheus | OpenTelemetry | kind | unit | labels | what |",
        "|---|---|---|---|---|---|",
    ]
    for metric in instruments.METRICS:
        labels = ", ".join(f"`{key.replace('.', '_')}`" for key in metric.attributes)
        lines.append(
            f"| `{instruments.prometheus_name(metric)}` | `{metric.name}` | {metric.kind} "
            f"| `{metric.unit}` | {labels} | {metric.description} |"
        )
    return "\n".join(lines)


def spans_table() -> str:
    """Every span and its attributes as a Markdown table."""
    lines = ["| span | what | attributes |", "|---|---|---|"]
    for span in conventions.SPANS:
        keys = ", ".join(_conditional(key, span.conditions) for key in span.attributes)
        event = ", an event" if span.kind == "event" else ""
        lines.append(f"| `{span.name}`{event} | {span.brief} | {keys} |")
    return "\n".join(lines)


def _conditional(key: str, conditions: Mapping[str, str]) -> str:
    condition = conditions.get(key, RECOMMENDED)
    return f"`{key}`" + (f" (if {condition})" if condition else "")


def attributes_table() -> str:
    """Every attribute of the service's own as a Markdown table."""
    schema = registry.Schema()
    lines = ["| attribute | what | values |", "|---|---|---|"]
    for key, one in schema.attributes.items():
        if one.is_standard:
            continue
        values = schema.values(key)
        shown = ", ".join(f"`{value}`" for value in values or one.examples)
        told = shown if values else f"such as {shown}" if shown else "a whole number"
        lines.append(f"| `{key}` | {one.brief} | {told} |")
    return "\n".join(lines)


def alerts_table(say: Language = english) -> str:
    """Every alert as a Markdown table."""
    lines = _head(say, "alert", "severity", "after", "means")
    runbooks = "runbooks.md" if say is not chinese else "runbooks.zh-CN.md"
    for file in sorted((ROOT / "prometheus" / "rules").glob("*.yml")):
        rules = [r for g in yaml_text.read(file)["groups"] for r in g["rules"]]
        for rule in rules:
            if "alert" in rule:
                name = rule["alert"]
                window = rule["labels"].get("long")
                over = say(" (over {window})").format(window=window) if window else ""
                lines.append(
                    f"| [{name}]({runbooks}#{name.lower()}) | {rule['labels']['severity']} "
                    f"| {rule.get('for') or say('at once')} "
                    f"| {say(rule['annotations']['summary'])}{over} |"
                )
    return "\n".join(lines)


BLOCKS: dict[str, tuple[str, Callable[[], str]]] = {
    "settings": ("docs/settings.md", settings_table),
    "settings in Chinese": ("docs/settings.zh-CN.md", partial(settings_table, chinese)),
    "routes": ("docs/api.md", routes_table),
    "otel": ("docs/telemetry.md", otel_table),
    "metrics": ("docs/metrics.md", metrics_table),
    "spans": ("docs/schema.md", spans_table),
    "attributes": ("docs/schema.md", attributes_table),
    "alerts": ("docs/alerts.md", alerts_table),
    "alerts in Chinese": ("docs/alerts.zh-CN.md", partial(alerts_table, chinese)),
    "replica": ("docs/capacity.md", report.replica_table),
    "autoscale": ("docs/capacity.md", report.autoscale_table),
    "autoscaler": ("docs/capacity.md", report.controller_table),
    "volume": ("docs/capacity.md", capacity.volume_table),
    "capacity": ("docs/capacity.md", capacity.capacity_table),
}
"""Each generated block: the file that holds it between its markers, and what writes it."""


FILES: dict[str, Callable[[], bytes]] = {
    "docs/openapi.json": lambda: openapi.render(operations()),
    **{
        f"telemetry/registry/current/{name}": partial(registry.file, name)
        for name in ("manifest.yaml", "attributes.yaml", "metrics.yaml", "spans.yaml")
    },
}
"""Each file that is generated as a whole, and what writes it."""


def rendered(text: str, name: str, content: str) -> str:
    """`text` with the block `name` replaced by `content`.

    Raises:
        ValueError: The markers of the block are not in the text.
    """
    begin, end = f"<!-- generated: {name} -->", f"<!-- end: {name} -->"
    pattern = re.compile(re.escape(begin) + ".*?" + re.escape(end), re.DOTALL)
    if not pattern.search(text):
        raise ValueError(f"no markers for the generated block {name!r}")
    return pattern.sub(lambda _: f"{begin}\n{content}\n{end}", text)


def main() -> None:
    """Rewrite every generated block and file in place."""
    for name, (file, write) in BLOCKS.items():
        path = ROOT / file
        path.write_text(rendered(path.read_text("utf-8"), name, write()), "utf-8")
    for file, whole in FILES.items():
        (ROOT / file).write_bytes(whole())


if __name__ == "__main__":
    main()
