"""Marks and panels that a quiet stack has nothing for, by Prometheus's engine on made-up series."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
import yaml

from grafana.generator.__main__ import DASHBOARDS
from tools.build import require
from tools.picture import fill

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parent.parent.parent
BOARDS = {file.stem: json.loads(file.read_text("utf-8")) for file in DASHBOARDS.glob("*.json")}
ONE = 'job="mgeo-inference", instance="mgeo-1"'
TWO = 'job="mgeo-inference", instance="mgeo-2"'

Series = dict[str, str]
Results = dict[str, dict[str, float]]
"""Moment → series in PromQL's notation → value."""


def _mark(name: str) -> str:
    return next(
        str(mark["expr"])
        for mark in BOARDS["service"]["annotations"]["list"]
        if mark["name"] == name
    )


def _panel(board: str, title: str, number: int = 0) -> str:
    panel = next(p for p in BOARDS[board]["panels"] if p["title"] == title and p["type"] != "row")
    return str(panel["targets"][number]["expr"])


def _evaluated(folder: Path, expr: str, series: Series, results: Results) -> None:
    """Fails unless Prometheus's own engine gives `results`, a sample every 15 s."""
    content = {
        "rule_files": [],
        "evaluation_interval": "15s",
        "fuzzy_compare": True,  # of floating-point numbers
        "tests": [
            {
                "interval": "15s",
                "input_series": [{"series": s, "values": v} for s, v in series.items()],
                "promql_expr_test": [
                    {
                        "expr": expr,
                        "eval_time": moment,
                        "exp_samples": [{"labels": s, "value": v} for s, v in expected.items()],
                    }
                    for moment, expected in results.items()
                ],
            }
        ],
    }
    file = folder / "queries.yml"
    file.write_text(yaml.safe_dump(content), "utf-8")
    command = [str(require("promtool")), "test", "rules", str(file)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_start_is_marked_at_its_moment(tmp_path: Path) -> None:
    series = {f"mgeo_start_time_seconds{{{ONE}}}": "1000x8 1130x20"}
    at = {"1m": {f"{{{ONE}}}": 1_000_000.0}, "5m": {f"{{{ONE}}}": 1_130_000.0}}
    _evaluated(tmp_path, fill(_mark("Start")), series, at)


def test_an_instance_is_marked_while_it_is_not_ready(tmp_path: Path) -> None:
    """It drains from 1m until it ends at 2m, and starts from 3m to 4m."""
    series = {
        f"mgeo_ready{{{ONE}}}": "1x3 0x3 stale _x3 0x3 1x20",
        f"mgeo_ready{{{TWO}}}": "1x60",
    }
    marked = {f"{{{ONE}}}": 1.0}
    at: Results = {"30s": {}, "1m30s": marked, "2m30s": {}, "3m30s": marked, "5m": {}}
    _evaluated(tmp_path, fill(_mark("Not ready")), series, at)


def _share(labels: str, version: str, role: str = "current") -> str:
    return f'mgeo_model_share_ratio{{{labels}, model_version="{version}", role="{role}"}}'


def _answers(version: str, instances: int = 1) -> dict[str, float]:
    return {f'{{job="mgeo-inference", model_version="{version}"}}': float(instances)}


def test_a_version_is_marked_when_it_begins_to_answer(tmp_path: Path) -> None:
    """B from 10m on, on both instances; A again from 20m on. C is a shadow, D has no share."""
    series = {
        _share(labels, version, role): values
        for labels in (ONE, TWO)
        for version, role, values in (
            ("a", "current", "1x39 0x39 1x60"),
            ("b", "current", "0x39 1x39 0x60"),
            ("c", "shadow", "_x39 1x100"),
            ("d", "current", "_x39 0x100"),
        )
    }
    at: Results = {
        "9m45s": {},
        "10m": _answers("b", 2),
        "11m": _answers("b", 2),
        "13m": {},
        "19m45s": {},
        "20m": _answers("a", 2),
        "21m": _answers("a", 2),
        "23m": {},
        "28m": {},
    }
    _evaluated(tmp_path, fill(_mark("Model version")), series, at)


def test_a_version_that_restarts_is_not_taken_for_a_new_one(tmp_path: Path) -> None:
    """The only instance is away for 45 s, and Prometheus has nothing of it meanwhile."""
    series = {_share(ONE, "a"): "1x39 stale _x2 1x60"}
    quiet: Results = {f"{m}m{s}s": {} for m in range(8, 20) for s in (0, 15, 30, 45)}
    _evaluated(tmp_path, fill(_mark("Model version")), series, quiet)


def test_a_roll_out_is_marked_once_whichever_instance_is_first(tmp_path: Path) -> None:
    """The second instance follows two minutes later; A goes on where it is until then."""
    series = {
        _share(ONE, "a"): "1x39 stale",
        _share(TWO, "a"): "1x47 stale",
        _share(ONE, "b"): "_x40 1x60",
        _share(TWO, "b"): "_x48 1x52",
    }
    at: Results = {"9m": {}, "10m15s": _answers("b"), "12m30s": {}, "14m": {}, "20m": {}}
    _evaluated(tmp_path, fill(_mark("Model version")), series, at)


def _alert(name: str, state: str, severity: str, labels: str = ONE) -> str:
    return f'ALERTS{{alertname="{name}", alertstate="{state}", severity="{severity}", {labels}}}'


ALERTS = {
    _alert("MgeoNotReady", "pending", "warning"): "1x7 stale",
    _alert("MgeoNotReady", "firing", "warning"): "_x8 1x60",
    _alert("MgeoWatchdog", "firing", "none"): "1x60",
    _alert("MgeoHostCpuHigh", "firing", "info"): "1x60",
    _alert("NodeDown", "firing", "critical"): "1x60",
    f'ALERTS_FOR_STATE{{alertname="MgeoNotReady", severity="warning", {ONE}}}': "30x60",
    f'ALERTS_FOR_STATE{{alertname="MgeoHostCpuHigh", severity="info", {ONE}}}': "15x60",
}
"""One of ours is pending, and fires from 2m on; others are no matter for somebody now."""


@pytest.mark.parametrize(
    ("expr", "before", "after"),
    [
        (
            _mark("Alert"),
            {},
            {'{alertname="MgeoNotReady", severity="warning", instance="mgeo-1"}': 1.0},
        ),
        (_panel("service", "Alerts firing", 0), {"{}": 0.0}, {"{}": 0.0}),
        (_panel("service", "Alerts firing", 1), {"{}": 0.0}, {"{}": 1.0}),
        (
            _panel("service", "Firing now"),
            {},
            {f'{{alertname="MgeoNotReady", severity="warning", {ONE}}}': 30_000.0},
        ),
        (
            _panel("slo", "Alerts over time"),
            {'{alertname="MgeoNotReady", instance="mgeo-1"}': 1.0},
            {'{alertname="MgeoNotReady", instance="mgeo-1"}': 2.0},
        ),
    ],
    ids=["mark", "critical ones", "warnings", "table", "over time"],
)
def test_an_alert_is_shown_from_when_it_fires(
    tmp_path: Path, expr: str, before: dict[str, float], after: dict[str, float]
) -> None:
    _evaluated(tmp_path, fill(expr), ALERTS, {"1m": before, "4m": after})


AUTOSCALER = "kube_horizontalpodautoscaler"


def test_the_autoscaler_s_wish_state_and_limit_are_its_own(tmp_path: Path) -> None:
    """Not another's; and once, though two tell of it while kube-state-metrics is replaced."""
    metrics = {"status_desired_replicas": 4, "status_current_replicas": 3, "spec_max_replicas": 10}
    [name] = {
        manifest["metadata"]["name"]
        for file in (ROOT / "deploy" / "kubernetes").rglob("*.yaml")
        for manifest in yaml.safe_load_all(file.read_text("utf-8"))
        if manifest and manifest.get("kind") == "HorizontalPodAutoscaler"
    }
    told = f'namespace="mgeo", horizontalpodautoscaler="{name}", job="kube-state-metrics"'
    other = told.replace(f'"{name}"', '"web"')
    series = {
        f'{AUTOSCALER}_{metric}{{{of}, instance="{instance}"}}': f"{value + more}x20"
        for metric, value in metrics.items()
        for of, more in ((told, 0), (other, 50))
        for instance in ("a", "b")
    }
    for number, value in enumerate(metrics.values(), start=2):
        expr = fill(_panel("service", "Instances", number))
        _evaluated(tmp_path, expr, series, {"2m": {"{}": float(value)}})


def test_the_load_balancer_s_servers_are_counted(tmp_path: Path) -> None:
    scraped = 'job="haproxy", instance="haproxy:8404"'
    series = {
        f'haproxy_backend_active_servers{{{scraped}, proxy="instances"}}': "2x8 0x20",
        f'haproxy_backend_active_servers{{{scraped}, proxy="operations"}}': "1x30",
    }
    always = {'{proxy="operations"}': 1.0}
    at = {
        "1m": {'{proxy="instances"}': 2.0} | always,
        "4m": {'{proxy="instances"}': 0.0} | always,
    }
    title = "Servers that the load balancer uses"
    _evaluated(tmp_path, fill(_panel("pipeline", title)), series, at)


@pytest.mark.parametrize(
    ("series", "left"),
    [({"30d": 0.0025, "1h": 0.5}, 0.5), ({"30d": 0.08}, -1.0), ({"1h": 0.005}, 0.0)],
    ids=["half", "spent many times", "younger than an hour"],
)
def test_a_budget_is_untouched_or_spent_or_spent_twice(
    tmp_path: Path, series: dict[str, float], left: float
) -> None:
    recorded = {
        f'job:mgeo_request_failed:ratio_rate{window}{{job="mgeo-inference"}}': f"{value}x20"
        for window, value in series.items()
    }
    expr = fill(_panel("slo", "Availability, budget left"))
    _evaluated(tmp_path, expr, recorded, {"2m": {"{}": left}})


@pytest.mark.parametrize(("number", "window"), [(5, "1d"), (6, "3d")])
def test_a_burn_rate_is_of_its_window(tmp_path: Path, number: int, window: str) -> None:
    expr = fill(_panel("slo", "Latency burn rate", number))
    series = {f'job:mgeo_request_slow:ratio_rate{window}{{job="mgeo-inference"}}': "0.04x20"}
    _evaluated(tmp_path, expr, series, {"2m": {"{}": 4.0}})


@pytest.mark.parametrize("number", range(3))
@pytest.mark.parametrize(
    ("title", "metric"), [("Accepted", "receiver_accepted"), ("Sent", "exporter_sent")]
)
def test_jaeger_s_own_counts_are_not_the_collector_s(
    tmp_path: Path, title: str, metric: str, number: int
) -> None:
    """Jaeger is a Collector as well, and what arrives there would count twice."""
    item = ("spans", "metric_points", "log_records")[number]
    series = {
        f'otelcol_{metric}_{item}_total{{job="{job}", instance="a"}}': f"0+{more}x20"
        for job, more in (("otel-collector", 30), ("jaeger", 300))
    }
    expr = fill(_panel("pipeline", title, number))
    _evaluated(tmp_path, expr, series, {"3m": {"{}": 2.0}})


@pytest.mark.parametrize(("number", "kind"), [(0, "span"), (1, "log")])
def test_what_instances_gave_up_is_counted_whoever_lost_it(
    tmp_path: Path, number: int, kind: str
) -> None:
    """The exporter or the queue, of this kind; and 0 as long as neither has lost anything."""
    series = {}
    for part, done in (("exporter", "exported"), ("processor", "processed")):
        for of in ("span", "log"):
            name = f"otel_sdk_{part}_{of}_{done}_total"
            own = f'{ONE}, otel_component_type="{of} {part}"'
            series[f"{name}{{{own}}}"] = "0+150x30"
            lost = f"_x7 0+{15 if of == kind else 1500}x20"
            series[f'{name}{{{own}, error_type="timeout"}}'] = lost
    expr = fill(_panel("pipeline", "Spans and log lines that instances lost", number))
    _evaluated(tmp_path, expr, series, {"1m": {"{}": 0.0}, "5m": {"{}": 2.0}})


def test_an_instance_that_does_not_answer_is_missing_though_its_word_is_repeated(
    tmp_path: Path,
) -> None:
    """The first is frozen from 1m on. One of another job pushes only, and nobody asks it."""
    series = {
        f"up{{{ONE}}}": "1x3 0x20",
        f"up{{{TWO}}}": "1x30",
        f"mgeo_ready{{{ONE}}}": "1x30",
        f"mgeo_ready{{{TWO}}}": "1x30",
        'mgeo_ready{job="pushing", instance="mgeo-3"}': "1x30",
    }
    expr = fill(_panel("service", "Instances answering"))
    at = {"30s": {"{}": 1.0}, "2m": {"{}": 2 / 3}}
    _evaluated(tmp_path, expr, series, at)


def test_the_nearest_limit_is_of_an_instance_s_own(tmp_path: Path) -> None:
    """The first one's queue is full, and only half of the other's limit."""
    series = {
        f"mgeo_queue_depth{{{ONE}}}": "4096x20",
        f"mgeo_queue_limit{{{ONE}}}": "4096x20",
        f"mgeo_queue_depth{{{TWO}}}": "4096x20",
        f"mgeo_queue_limit{{{TWO}}}": "8192x20",
        f"mgeo_connections{{{TWO}}}": "700x20",
        f"mgeo_connection_limit{{{TWO}}}": "1000x20",
    }
    expr = fill(_panel("service", "Nearest limit"))
    nearest = f'{{{ONE}, limit="queue, pairs"}}'
    _evaluated(tmp_path, expr, series, {"2m": {nearest: 1.0}})


def test_a_slow_model_is_seen_beside_its_last_hour(tmp_path: Path) -> None:
    recorded = "job_instance_model_version:mgeo_batch_duration_seconds"
    series = {
        f'{recorded}:{mean}{{{ONE}, model_version="a"}}': f"{value}x20"
        for mean, value in (("mean1m", 0.4), ("mean1h", 0.1))
    }
    expr = fill(_panel("service", "Forward pass, beside the last hour"))
    _evaluated(tmp_path, expr, series, {"2m": {f'{{{ONE}, model_version="a"}}': 4.0}})
