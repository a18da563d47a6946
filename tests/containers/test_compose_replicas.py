"""docker-compose.replicas.yml in containers: three instances behind HAProxy, and the load."""

from __future__ import annotations

import os
import re
import signal
from collections import Counter
from collections.abc import Iterator

import pytest
import requests

from tests.containers.composed import Composed
from tests.stack.clients import Prometheus, eventually, exposed
from tools import containers
from tools.compose import COMPOSE_FILE, REPOSITORY

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

PAIR = {"address1": "紫萱路363号人力社保局", "address2": "紫萱路363号市人社局"}
REPLICAS = {"mgeo-1", "mgeo-2", "mgeo-3"}
SECONDS = 240


@pytest.fixture(scope="module")
def composed(front_end: None, image: str) -> Iterator[Composed]:
    """HAProxy with its instances, the load's container, and Prometheus, which counts."""
    with Composed(
        [COMPOSE_FILE, REPOSITORY / "docker-compose.replicas.yml"],
        [*sorted(REPLICAS), "haproxy", "otel-collector", "prometheus"],
        profiles=["load"],
    ) as stack:
        print(f"up to all healthy: {stack.seconds:.1f} s")
        stack.start_load()
        yield stack


def statuses(composed: Composed, requests_sent: int) -> Counter[int]:
    """What HAProxy answers from outside, on the port that is published for it."""
    url = composed.url("haproxy", 5080) + "/predict"
    answers = (requests.post(url, json=PAIR, timeout=60) for _ in range(requests_sent))
    return Counter(answer.status_code for answer in answers)


def growing(composed: Composed) -> set[str]:
    """Instances whose count of answered requests has grown within a minute."""
    prometheus = Prometheus(composed.url("prometheus", 9090))
    found = prometheus.query('increase(mgeo_request_total{status="200"}[1m]) > 0')
    return {series["metric"]["instance"] for series in found}


def test_the_files_own_load_reaches_every_instance(composed: Composed) -> None:
    assert statuses(composed, 6) == {200: 6}
    eventually("load on all three", lambda: growing(composed), lambda g: g == REPLICAS, SECONDS)


def test_one_that_is_stopped_costs_nothing_and_is_used_again(composed: Composed) -> None:
    composed.compose("stop", "mgeo-1")
    assert composed.inspect("mgeo-1")[0]["State"]["ExitCode"] == 0
    assert statuses(composed, 20) == {200: 20}
    # Made anew it has another address under its name.
    composed.compose("up", "--detach", "--no-build", "--force-recreate", "--no-deps", "mgeo-1")
    eventually("all are healthy", composed.not_healthy, lambda waiting: not waiting, SECONDS)
    page = composed.url("mgeo-1", 8000, "/metrics")
    eventually("load on it", lambda: exposed(page, "mgeo_request_total"), bool, SECONDS)


def test_the_load_says_that_each_request_was_answered(composed: Composed) -> None:
    """Before one is killed: what that one was working on is lost, and the load would say so."""
    composed.compose("stop", "load")
    [load] = composed.inspect("load")
    told = containers.output(load["Id"])
    assert load["State"]["ExitCode"] == 0, told
    assert re.search(r"^load: \d+ answers \{200: \d+\}, ", told, re.MULTILINE), told
    composed.compose("rm", "--force", "load")


def test_one_that_is_killed_comes_back_by_itself(composed: Composed) -> None:
    before = composed.pid("mgeo-2")
    os.kill(before, signal.SIGKILL)
    assert statuses(composed, 20) == {200: 20}
    composed.wait_until_it_runs_again("mgeo-2", before)
    assert statuses(composed, 20) == {200: 20}
