from __future__ import annotations

import inspect
import re

import pytest
from opentelemetry.semconv._incubating.metrics import http_metrics, hw_metrics, process_metrics

from telemetry import setup
from telemetry.instruments import METRICS, Metric, prometheus_name

NAMES = {
    "mgeo.request": "mgeo_request_total",
    "mgeo.request.duration": "mgeo_request_duration_seconds",
    "mgeo.requests.inprogress": "mgeo_requests_inprogress",
    "nvidia.gpu.memory.used": "nvidia_gpu_memory_used_bytes",
    "hw.gpu.memory.limit": "hw_gpu_memory_limit_bytes",
    "hw.gpu.utilization": "hw_gpu_utilization_ratio",
    "hw.temperature": "hw_temperature_celsius",
    "hw.power": "hw_power_watts",
    "mgeo.gpu.sample_age": "mgeo_gpu_sample_age_seconds",
    "mgeo.ready": "mgeo_ready",
    "mgeo.batch.out_of_memory": "mgeo_batch_out_of_memory_total",
}


def declared(name: str) -> Metric:
    [metric] = [metric for metric in METRICS if metric.name == name]
    return metric


@pytest.mark.parametrize(("name", "exported"), NAMES.items())
def test_names_that_dashboards_and_alerts_stand_on(name: str, exported: str) -> None:
    assert prometheus_name(declared(name)) == exported


@pytest.mark.parametrize(
    ("name", "labels"),
    [
        ("mgeo.request", ("method", "endpoint", "status")),
        ("mgeo.request.duration", ("method", "endpoint", "status_class", "model_version")),
        ("mgeo.requests.inprogress", ()),
        ("nvidia.gpu.memory.used", ("gpu_id", "model")),
    ],
)
def test_labels_of_the_contract(name: str, labels: tuple[str, ...]) -> None:
    assert declared(name).attributes == labels


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.name)
def test_each_declaration_is_complete(metric: Metric) -> None:
    assert re.fullmatch(r"[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)+", metric.name)
    assert metric.description.endswith(".")
    assert metric.unit
    assert (metric.kind == "histogram") == (metric.buckets is not None)
    if metric.buckets:
        assert list(metric.buckets) == sorted(set(metric.buckets))


def test_no_two_metrics_share_a_name() -> None:
    assert len({prometheus_name(metric) for metric in METRICS}) == len(METRICS)


def test_latency_bounds_of_the_contract() -> None:
    assert declared("mgeo.request.duration").buckets == (
        0.001, 0.002, 0.003, 0.005, 0.0075, 0.01, 0.015, 0.02, 0.03, 0.05, 0.075,
        0.1, 0.15, 0.25, 0.5, 1, 2, 2.5, 5, 10,
    )  # fmt: skip


def test_names_of_the_conventions_are_those_of_today() -> None:
    """By the package that is generated from them; what is deprecated says so in its docstring."""
    known: dict[str, str] = {}
    for module in (hw_metrics, http_metrics, process_metrics):
        source = inspect.getsource(module)
        known |= dict(re.findall(r': Final = "([a-z_.]+)"\n"""\n(.*)', source))
    today = {name for name, about in known.items() if not about.startswith("Deprecated")}
    renamed = {"process.open_file_descriptor.count": "process.unix.file_descriptor.count"}
    used = {m.name for m in METRICS if m.name.startswith(("hw.", "process.", "http."))}
    used |= {renamed.get(name, name) for name in setup.PROCESS_METRICS}
    assert used <= today
    assert renamed.keys().isdisjoint(today)
