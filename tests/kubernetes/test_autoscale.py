"""The simulation: its queue is a queue, its figures are reproducible, and what it says is shown."""

from __future__ import annotations

import re

import numpy as np
import pytest
import yaml

from benchmarks.autoscale import measure, report, scenarios
from benchmarks.autoscale.hpa import Autoscaler, MetricSpec, quantity
from benchmarks.autoscale.replica import (
    HTTP_THREADS,
    PLACES,
    Replica,
    admitted,
    departures,
    latencies,
)
from benchmarks.autoscale.simulate import QUEUE_METRIC, REQUESTS_METRIC, Load, simulate
from benchmarks.capacity import TARGET_SHARE
from service.settings import Settings
from tests.kubernetes.manifests import FOLDER, ROOT, containers, environment, named, objects_of

RUN_AGAIN = [
    ("spike", "as shipped"),
    pytest.param("ramp", "requests alone", marks=pytest.mark.slow),
]


@pytest.mark.slow
def test_the_deployment_runs_what_was_measured() -> None:
    deployment = named(objects_of("overlays/cpu"), "Deployment", "mgeo")
    [container] = containers(deployment)
    assert environment(container)["MGEO_BACKEND"] == measure.BACKEND
    assert {entry["backend"] for entry in report.measured()} == {measure.BACKEND}
    cores = {str(entry["cores_per_replica"]) for entry in report.measured()}
    assert cores == {container["resources"]["requests"]["cpu"]}


def test_departures_by_hand() -> None:
    arrivals, services = np.array([0.0, 1.0, 1.5, 9.0]), np.array([2.0, 1.0, 1.0, 0.5])
    assert departures(arrivals, services, 0.0).tolist() == [2.0, 3.0, 4.0, 9.5]
    assert departures(arrivals, services, 5.0).tolist() == [7.0, 8.0, 9.0, 9.5]


def test_a_request_that_finds_no_place_is_not_taken_and_costs_nothing() -> None:
    arrivals, services = np.zeros(5), np.ones(5)
    assert admitted(arrivals, services, 0.0, 2.0).tolist() == [True, True, True, False, False]
    later = np.array([0.0, 0.0, 0.0, 0.0, 1.5])
    assert admitted(later, services, 0.0, 2.0).tolist() == [True, True, True, False, True]
    assert admitted(arrivals, services, 0.0, 9.0).all()


@pytest.mark.parametrize(
    "load", [*(pytest.param(n, marks=pytest.mark.slow) for n in (0.3, 0.6)), 0.8]
)
@pytest.mark.parametrize("spread", [0.5, 1.0, 4.0])
def test_mean_waiting_is_what_pollaczek_and_khinchine_say(load: float, spread: float) -> None:
    replica = Replica(mean=0.01, spread=spread, base=0.0)
    expected = 0.01 + load * 0.01 * (1 + spread) / (2 * (1 - load))
    found = float(latencies(replica, load / 0.01, 2_000_000).mean())
    assert found == pytest.approx(expected, rel=0.06)


def test_the_queues_bounds_are_the_services() -> None:
    settings = Settings()
    assert settings.http_threads == HTTP_THREADS
    assert settings.http_threads + settings.max_waiting_requests == PLACES


def test_pods_come_after_sample_rate_and_start_and_the_rate_settles() -> None:
    """100 requests a second from the fifth minute on, at 10 a pod: ten pods in the end."""
    autoscaler = Autoscaler(1, 50, (MetricSpec(REQUESTS_METRIC, "AverageValue", 10),))
    load = Load((10.0,) * 20 + (100.0,) * 60, (1.0,) * 80)
    replica = Replica(mean=0.001, spread=1.0, base=0.0)
    course = simulate(load, replica, autoscaler, pods=1, start_seconds=20)
    assert course.replicas[20:22] == [1, 1], "the samples of 30 s ago do not show it yet"
    assert course.replicas[-1] in (9, 10, 11), "within the tolerance"
    assert course.refused == 0
    offered = sum(rate * 15 for rate in load.requests)
    assert course.all_latencies.size == pytest.approx(offered, rel=0.02)
    assert course.pod_seconds == sum(course.replicas) * 15


@pytest.mark.parametrize(("load", "setting"), RUN_AGAIN)
def test_recorded_figures_come_out_again(load: str, setting: str) -> None:
    course = scenarios.run(load, setting, report.model_of("bundled"))
    assert scenarios.as_document(course) == report.results()[load][setting], (
        "run `python -m benchmarks.autoscale`, then `make docs`"
    )


def test_all_that_is_compared_is_recorded() -> None:
    found = report.results()
    assert set(found) == set(scenarios.LOADS)
    assert all(set(courses) == set(scenarios.SETTINGS) for courses in found.values())


def test_the_picture_is_of_the_recorded_figures() -> None:
    assert report.PICTURE.read_text("utf-8") == report.picture()
    page = (ROOT / "docs" / "capacity.md").read_text("utf-8")
    assert f"]({report.PICTURE.name})" in page
    assert report.CONTROLLER_PICTURE.read_text("utf-8") == report.controller_picture()
    assert f"]({report.CONTROLLER_PICTURE.name})" in page


def _rates() -> dict[str, float]:
    """Target file → the measured rate of which its target is a share."""
    found = {m["model"]: m for m in report.measured()}
    return {
        "base": found["bundled"]["requests_per_second"],
        "components/model-volume": found["published-size"]["requests_per_second"],
        "components/gpu": max(m["cached_requests_per_second"] for m in found.values()),
    }


@pytest.mark.parametrize("folder", ["base", "components/model-volume", "components/gpu"])
def test_targets_are_the_share_of_a_measured_rate_that_the_page_reckons_with(folder: str) -> None:
    file = FOLDER / folder / "horizontalpodautoscaler.yaml"
    found = yaml.safe_load(file.read_text("utf-8"))["spec"]["metrics"]
    targets = {e["external"]["metric"]["name"]: e["external"]["target"] for e in found}
    rate = _rates()[folder]
    share = float(targets[REQUESTS_METRIC]["averageValue"]) / rate
    assert share == pytest.approx(TARGET_SHARE, abs=0.05)
    if folder != "components/gpu":
        # Of single pairs the queue shows no more than what the request threads hold.
        shown = HTTP_THREADS / rate
        assert 0.2 * shown < quantity(targets[QUEUE_METRIC]["value"]) < 0.9 * shown


def test_what_the_page_says_of_the_shipped_settings_is_what_came_out() -> None:
    page = (ROOT / "docs" / "capacity.md").read_text("utf-8")
    step = report.results()["step"]["as shipped"]["figures"]
    stated = re.search(r"([\d.]+) % of the hour's requests were refused", page)
    assert stated
    assert float(stated[1]) == pytest.approx(step["refused"] * 100, abs=0.05)
