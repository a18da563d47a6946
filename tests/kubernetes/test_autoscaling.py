"""What the autoscaler asks: the same names on both sides, and PromQL that gives the number."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from benchmarks.autoscale import hpa, simulate
from tests.kubernetes.manifests import FOLDER, OVERLAYS, named, objects_of
from tools.build import require

REQUESTS, QUEUE = simulate.REQUESTS_METRIC, simulate.QUEUE_METRIC
JOB = 'job="mgeo-inference"'


def external_metrics(overlay: str = "overlays/cpu") -> dict[str, dict[str, str]]:
    """The external metrics that the autoscaler names, each with the labels that it selects by."""
    spec = named(objects_of(overlay), "HorizontalPodAutoscaler", "mgeo")["spec"]
    metrics = [entry["external"]["metric"] for entry in spec["metrics"]]
    return {metric["name"]: metric["selector"]["matchLabels"] for metric in metrics}


def queries(metric: str, labels: dict[str, str]) -> list[str]:
    """The PromQL that the adapter's own code makes of our rules for a metric."""
    selector = ",".join(f"{key}={value}" for key, value in labels.items())
    done = subprocess.run(
        [require("adapter-queries"), FOLDER / "adapter" / "rules.yaml", metric, "mgeo", selector],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def query(metric: str) -> str:
    """The one query for a metric as the autoscaler asks for it."""
    [found] = queries(metric, external_metrics()[metric])
    return found


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_the_autoscaler_scales_the_service_by_metrics_that_the_adapter_offers(overlay: str) -> None:
    objects = objects_of(overlay)
    spec = named(objects, "HorizontalPodAutoscaler", "mgeo")["spec"]
    target = spec["scaleTargetRef"]
    deployment = named(objects, target["kind"], target["name"])
    assert deployment["apiVersion"] == target["apiVersion"]
    assert "replicas" not in deployment["spec"], "an apply would undo the autoscaler's work"
    assert spec["minReplicas"] >= 2, "one pod at a time may be disrupted"
    assert set(external_metrics(overlay)) == {REQUESTS, QUEUE}
    for name, labels in external_metrics(overlay).items():
        assert len(queries(name, labels)) == 1


def test_the_autoscaler_may_read_these_metrics_and_no_others() -> None:
    objects = objects_of("adapter")
    [rule] = named(objects, "ClusterRole", "mgeo-external-metrics-reader")["rules"]
    assert set(rule["resources"]) == {REQUESTS, QUEUE}
    api = named(objects, "APIService", "v1beta1.external.metrics.k8s.io")["spec"]
    assert rule["apiGroups"] == [api["group"]]
    service = named(objects, "Service", api["service"]["name"])
    assert service["metadata"]["namespace"] == api["service"]["namespace"]
    assert api.get("port", 443) in {port["port"] for port in service["spec"]["ports"]}


def test_an_unknown_metric_is_refused() -> None:
    rules = FOLDER / "adapter" / "rules.yaml"
    command = [require("adapter-queries"), rules, "mgeo-nothing", "mgeo", ""]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "no rule offers mgeo-nothing" in done.stderr


def _promtool(tmp_path: Path, series: list[dict[str, str]], expected: dict[str, Any]) -> str:
    """Has promtool evaluate each query four minutes in; what it complains of."""
    checks = [
        {
            # Rounded: the last bits of a float are nobody's concern.
            "expr": f"round({expr}, 0.001)",
            "eval_time": "4m",
            "exp_samples": [] if value is None else [{"labels": "{}", "value": value}],
        }
        for expr, value in expected.items()
    ]
    test = {
        "evaluation_interval": "15s",
        "tests": [{"interval": "15s", "input_series": series, "promql_expr_test": checks}],
    }
    file = tmp_path / "test.yml"
    file.write_text(yaml.safe_dump(test), "utf-8")
    done = subprocess.run(
        [require("promtool"), "test", "rules", file], capture_output=True, text=True, check=False
    )
    return "" if done.returncode == 0 else done.stdout + done.stderr


def _series(name: str, labels: str, values: str) -> dict[str, str]:
    return {"series": f"{name}{{{labels}}}", "values": values}


def test_requests_are_counted_over_all_pods_refused_ones_too(tmp_path: Path) -> None:
    series = [
        _series("mgeo_ready", f'{JOB},instance="a"', "1x20"),
        _series("mgeo_request_total", f'{JOB},instance="a",status="200"', "0+600x20"),
        _series("mgeo_request_total", f'{JOB},instance="b",status="200"', "0+300x20"),
        _series("mgeo_request_total", f'{JOB},instance="b",status="429"', "0+15x20"),
        _series("mgeo_request_total", 'job="another",instance="c",status="200"', "0+900x20"),
    ]
    assert _promtool(tmp_path, series, {query(REQUESTS): 61}) == ""
    assert "6.1E+01" in _promtool(tmp_path, series, {query(REQUESTS): 60}), "promtool does compare"


def test_no_requests_yet_is_zero_and_no_telemetry_is_nothing(tmp_path: Path) -> None:
    ready = [_series("mgeo_ready", f'{JOB},instance="a"', "1x20")]
    assert _promtool(tmp_path, ready, {query(REQUESTS): 0}) == ""
    gone = [
        _series("mgeo_ready", f'{JOB},instance="a"', "1x4 stale"),
        _series("mgeo_request_total", f'{JOB},instance="a",status="200"', "0+600x4 stale"),
        _series("mgeo_queue_oldest_age_seconds", f'{JOB},instance="a"', "0.2x4 stale"),
    ]
    assert _promtool(tmp_path, gone, {query(REQUESTS): None, query(QUEUE): None}) == ""


def test_queue_age_is_averaged_over_a_minute_and_over_pods(tmp_path: Path) -> None:
    name = "mgeo_queue_oldest_age_seconds"
    series = [
        # The last four samples count: 0.1, 0.2, 0.3 and 0.4 of one pod, 0 of the other.
        _series(name, f'{JOB},instance="a"', "9x12 0.1 0.2 0.3 0.4"),
        _series(name, f'{JOB},instance="b"', "0x20"),
        _series(name, 'job="another",instance="c"', "5x20"),
    ]
    assert _promtool(tmp_path, series, {query(QUEUE): 0.125}) == ""


def test_without_telemetry_no_pod_is_taken_away() -> None:
    manifest = named(objects_of("overlays/cpu"), "HorizontalPodAutoscaler", "mgeo")
    autoscaler = hpa.from_manifest(manifest)
    for round_number in range(100):
        nothing = {REQUESTS: None, QUEUE: None}
        assert autoscaler.sync(15.0 * round_number, 12, 12, nothing) == 12
