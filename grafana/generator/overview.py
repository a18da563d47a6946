"""First screen of *Service*: is it well, and if not, where?"""

from grafana_foundation_sdk.builders import dashboard as dashboards
from grafana_foundation_sdk.builders import stat, table
from grafana_foundation_sdk.models import dashboard as model

from grafana.generator.boards import ALERTS
from grafana.generator.panels import Limits, lines, links_of, number, rows
from grafana.generator.queries import (
    ANSWERED,
    FAILED,
    HOST,
    RULE,
    SCORING,
    SLOW_TRACES,
    STAGE_LOG_LINES,
    Query,
    highest,
    matching,
    quantile,
    rate,
    ratio,
    seen,
)

DOTS = "Each dot is one request: click it to open its trace."
WHOLE = "whole request"
SINGLE = f'endpoint="/predict", {ANSWERED}'
"""Single predictions, as the latency objective has them: a batch of hundreds may take its time."""

SUCCESS = Limits(orange=0.995, red=0.95, falling=True)
LATENCY = Limits(orange=0.5, red=2)
FULL = Limits(orange=0.7, red=0.9)

_READY = f"mgeo_ready{matching()}"
_UP = f"up{matching()}"
_NOT_COUNTED = "The Collector repeats what an instance said last for two minutes, so `up` decides."


def answering(by: str = "") -> str:
    """Instances that say they are ready and, in a job that Prometheus asks, answer it."""
    asked = f"{_READY} and on (job, instance) {_UP} == 1"
    return f"sum{by} ({asked} or {_READY} unless on (job) {_UP})"


def expected(by: str = "") -> str:
    """Instances that Prometheus is told to ask, or, in a job that it does not ask, all that tell.

    What a replaced instance said last is left out so: it is repeated, but no longer asked.
    """
    return f"count{by} ({_UP} and on (job) {_READY} or {_READY} unless on (job) {_UP})"


def shares(measure: str, limit: str) -> str:
    """How much of its own limit each instance uses."""
    return f"{highest(measure)} / on (job, instance) max by (job, instance) ({limit}{matching()})"


SATURATION = {
    "queue, pairs": shares("mgeo_queue_depth", "mgeo_queue_limit"),
    "queue, tokens": shares("mgeo_queue_tokens", "mgeo_queue_token_limit"),
    "connections": shares("mgeo_connections", "mgeo_connection_limit"),
    "memory": shares("process_memory_usage_bytes", "mgeo_memory_limit_bytes"),
}
"""What is bounded → share of it in use, by job and instance."""


def fullest() -> str:
    """The one limit that is nearest, of any instance, with its name."""
    named = (
        f'label_replace({share}, "limit", "{name}", "", "")' for name, share in SATURATION.items()
    )
    return f"topk(1, {' or '.join(named)})"


def success_rate(by: str = "") -> str:
    """Share of the requests that score that did not fail."""
    whole = f"sum{by} ({rate('mgeo_request_total', SCORING)})"
    failed = f"sum{by} ({rate('mgeo_request_total', SCORING, FAILED)})"
    return f"1 - {ratio(failed, whole)}"


def add(board: dashboards.Dashboard) -> None:
    """Adds five figures, the alerts, and six panels that say where to look."""
    for panel in _figures():
        board.with_panel(panel)
    _second_line(board)
    _third_line(board)


def _figures() -> list[stat.Panel]:
    firing = f'count(ALERTS{{alertstate="firing", {ALERTS}, severity="%s"}}) or vector(0)'
    return [
        number(
            "Instances answering",
            "Share of the instances that take predictions; those that start, drain, failed or do "
            f"not answer Prometheus are missing. {_NOT_COUNTED}",
            "percentunit",
            Query(f"({answering()} / {expected()}) or vector(0)", "answering"),
            limits=Limits(orange=1, red=0.5, falling=True),
            width=5,
            decimals=0,
        ),
        number(
            "Success rate",
            "Share of scoring requests that did not fail: no 5xx, and not refused for load (429). "
            "A caller's own mistake counts as answered. Orange below the objective of 99.5 %, red "
            "below 95 %, where an alert is.",
            "percentunit",
            Query(success_rate(), "success"),
            limits=SUCCESS,
            width=5,
            decimals=2,
        ),
        number(
            "P95 latency of single predictions",
            "95 % of answered requests to /predict were faster than this. Orange from the "
            "objective of 0.5 s on, red from 2 s, where an alert is. Batches have a panel of "
            "their own.",
            "s",
            Query(quantile("0.95", "mgeo_request_duration_seconds", SINGLE), "P95"),
            limits=LATENCY,
            width=5,
            links=[SLOW_TRACES],
        ),
        number(
            "Nearest limit",
            "The highest share of its own limit that any instance uses, and which: pairs or "
            "tokens that wait, connections, memory. From 70 % on orange, from 90 % on red.",
            "percentunit",
            Query(fullest(), "{{instance}}: {{limit}}"),
            limits=FULL,
            width=5,
            decimals=0,
            named=True,
        ),
        number(
            "Alerts firing",
            "Of everything that the rules watch; the table below says which. `MgeoWatchdog`, "
            "which always fires, is not counted.",
            "short",
            Query(firing % "critical", "critical"),
            Query(firing % "warning", "warning"),
            limits=Limits(orange=1, red=1),
            width=4,
            named=True,
        ).override_by_name("warning", [_orange_from_one()]),
    ]


def _orange_from_one() -> model.DynamicConfigValue:
    steps = [{"value": None, "color": "green"}, {"value": 1, "color": "orange"}]
    return model.DynamicConfigValue(id_val="thresholds", value={"mode": "absolute", "steps": steps})


def firing_now(width: int = 8) -> table.Panel:
    """The alerts that fire, the gravest first: where, since when, and what to do."""
    since = (
        f"ALERTS_FOR_STATE{{{ALERTS}}} * 1000 and ignoring (alertstate) "
        f'ALERTS{{alertstate="firing", {ALERTS}}}'
    )
    columns = {"severity": "Severity", "alertname": "Alert", "job": "Job", "instance": "Instance"}
    organized = {
        "excludeByName": {"Time": True},
        "indexByName": {name: place for place, name in enumerate([*columns, "Value"])},
        "renameByName": {**columns, "Value": "Since"},
    }
    colours = {
        "critical": {"color": "red", "index": 0},
        "warning": {"color": "orange", "index": 1},
    }
    return (
        rows(
            "Firing now",
            "By severity. An alert's name leads to its rule and from there to its runbook. "
            "Empty: nothing fires.",
            f"max by ({', '.join(columns)}) ({since})",
            width=width,
        )
        .no_value("nothing fires")
        .with_transformation(model.DataTransformerConfig(id_val="organize", options=organized))
        .with_transformation(
            model.DataTransformerConfig(
                id_val="sortBy", options={"sort": [{"field": "Severity", "desc": False}]}
            )
        )
        .override_by_name(
            "Severity",
            [
                model.DynamicConfigValue(
                    id_val="mappings", value=[{"type": "value", "options": colours}]
                ),
                model.DynamicConfigValue(id_val="custom.cellOptions", value={"type": "color-text"}),
            ],
        )
        .override_by_name("Alert", [links_of([RULE])])
        .override_by_name(
            "Since", [model.DynamicConfigValue(id_val="unit", value="dateTimeFromNow")]
        )
    )


def _second_line(board: dashboards.Dashboard) -> None:
    board.with_panel(firing_now())
    outcomes = {
        "2xx": ('status=~"2.."', "green"),
        "4xx, the caller's": ('status=~"4..", status!="429"', "blue"),
        "429, refused for load": ('status="429"', "orange"),
        "5xx": ('status=~"5.."', "red"),
    }
    board.with_panel(
        lines(
            "Requests per second",
            "By outcome. 429 and 5xx are the failures of the success rate; which routes they are "
            "of is below.",
            "reqps",
            *(
                Query(f"sum({rate('mgeo_request_total', status)}) or vector(0)", name)
                for name, (status, _) in outcomes.items()
            ),
            width=8,
            colors={name: color for name, (_, color) in outcomes.items()},
        )
    )
    board.with_panel(
        lines(
            "P95 latency by instance",
            "Of single predictions. One line away from the others is a sick instance; all rising "
            f"together is load. {DOTS}",
            "s",
            Query(
                quantile("0.95", "mgeo_request_duration_seconds", SINGLE, by="le, job, instance"),
                "{{instance}}",
                exemplars=True,
            ),
            width=8,
            logarithmic=True,
            limits=LATENCY,
            links=[SLOW_TRACES, HOST],
        )
    )


def _third_line(board: dashboards.Dashboard) -> None:
    stage_sum = f"sum by (stage) ({rate('mgeo_request_stage_duration_seconds_sum')})"
    count = f"sum({rate('mgeo_request_duration_seconds_count')})"
    total = f"sum({rate('mgeo_request_duration_seconds_sum')}) / {count}"
    board.with_panel(
        lines(
            "Problems",
            "Why requests were not answered as asked. `queue-full`, `too-busy` and `too-late`: "
            "load. `timed-out`: taken, and not scored in time.",
            "reqps",
            Query(
                seen(
                    f"sum by (problem) ({rate('mgeo_request_problem_total')})",
                    "mgeo_request_problem_total",
                    "problem",
                ),
                "{{problem}}",
            ),
            width=8,
        )
    )
    board.with_panel(
        lines(
            "Mean time per request, by stage",
            "The stages of a request on top of each other; they add up to the whole, drawn as a "
            "line. A thick `queue` is load, a thick `compute` is the model, a thick `admit` is the "
            "wait for a thread.",
            "s",
            Query(f"{stage_sum} / scalar({count})", "{{stage}}"),
            Query(total, WHOLE),
            width=8,
            stacked=True,
            links=[STAGE_LOG_LINES],
        ).override_by_name(WHOLE, _line_over_areas())
    )
    board.with_panel(
        lines(
            "Saturation",
            "Share of its own limit that each instance uses; the figure above is the highest of "
            "them. At 100 % requests are refused, connections closed, or the process killed.",
            "percentunit",
            *(Query(share, "{{instance}} " + name) for name, share in SATURATION.items()),
            width=8,
            maximum=1,
            limits=FULL,
            links=[HOST],
        )
    )


def _line_over_areas() -> list[model.DynamicConfigValue]:
    """Takes a query out of the stack: the total is a line, not one more area, and no stage's."""
    return [
        links_of([SLOW_TRACES]),
        model.DynamicConfigValue(id_val="custom.stacking", value={"group": "B", "mode": "none"}),
        model.DynamicConfigValue(id_val="custom.fillOpacity", value=0),
        model.DynamicConfigValue(id_val="custom.lineWidth", value=2),
        model.DynamicConfigValue(id_val="color", value={"mode": "fixed", "fixedColor": "text"}),
    ]
