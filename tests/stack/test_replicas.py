"""Three instances behind HAProxy, through one Collector, found by Prometheus from files."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.stack.clients import Prometheus, eventually, exposed, get
from tests.stack.conftest import prepare
from tools.compose import REPOSITORY
from tools.load import LoadSummary, run
from tools.stack import Stack

pytestmark = [pytest.mark.slow, pytest.mark.timeout(700)]

FILES = [REPOSITORY / "docker-compose.replicas.yml"]
REPLICAS = ("mgeo-1", "mgeo-2", "mgeo-3")


@pytest.fixture(scope="module")
def replicas(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    only = [*REPLICAS, "haproxy", "otel-collector", "prometheus"]
    with prepare(tmp_path_factory.mktemp("replicas"), {}, only, FILES) as running:
        running.start()
        yield running


@pytest.fixture(scope="module")
def found(replicas: Stack) -> Prometheus:
    return Prometheus(replicas.url("prometheus", 9090))


@pytest.fixture(scope="module")
def sent(replicas: Stack) -> LoadSummary:
    url = replicas.url("haproxy", 5080, "/predict")
    eventually(
        "HAProxy finds the instances ready",
        lambda: run(url, requests=1).statuses,
        lambda statuses: statuses == {200: 1},
        seconds=60,
    )
    return run(url, requests=1500, concurrency=12, seconds=300)


def test_each_replica_has_an_address_of_its_own(replicas: Stack) -> None:
    hosts = {replicas.layout.hosts[name] for name in REPLICAS}
    assert hosts == {"127.0.0.2", "127.0.0.3", "127.0.0.4"}


def test_load_is_shared_and_counted_once(found: Prometheus, sent: LoadSummary) -> None:
    assert sent.statuses == {200: 1500}
    query = 'sum by (instance) (mgeo_request_total{status="200"})'

    def counts() -> dict[str, float]:
        return {s["metric"]["instance"]: float(s["value"][1]) for s in found.query(query)}

    # The one request that found HAProxy ready comes on top.
    by_instance = eventually(
        "all requests counted", counts, lambda c: sum(c.values()) >= 1501, seconds=60
    )
    assert sum(by_instance.values()) == 1501
    assert set(by_instance) == set(REPLICAS)
    # By open requests, not in turn: an instance that the machine slows down gets fewer.
    assert min(by_instance.values()) > 1501 / 3 / 2, f"unevenly shared: {by_instance}"


def test_mission_queries_tell_the_instances_apart(found: Prometheus, sent: LoadSummary) -> None:
    slowest = (
        "max(histogram_quantile(0.95, "
        "sum(rate(mgeo_request_duration_seconds_bucket[5m])) by (le,instance)))"
    )
    eventually(slowest, lambda: found.query(slowest), bool, seconds=60)
    up = 'up{job="mgeo-inference"} == 1'
    assert {s["metric"]["instance"] for s in found.query(up)} == set(REPLICAS)


def test_load_balancer_is_watched_too(found: Prometheus, sent: LoadSummary) -> None:
    query = 'sum(haproxy_server_http_responses_total{code="2xx"})'
    eventually(query, lambda: found.value(query), lambda answered: answered >= 1501, seconds=60)


def test_an_instance_that_dies_is_taken_out(
    replicas: Stack, found: Prometheus, sent: LoadSummary
) -> None:
    page = replicas.url("haproxy", 8404, "/metrics")
    is_up = r'haproxy_server_status\{proxy="instances",server="mgeo-2",state="UP"\}'
    assert exposed(page, is_up) == 1
    replicas.process("mgeo-2").kill()
    eventually("HAProxy has taken it out", lambda: exposed(page, is_up), lambda n: n == 0, 60)
    after = run(replicas.url("haproxy", 5080, "/predict"), requests=300, concurrency=4, seed=7)
    assert after.statuses == {200: 300}
    eventually(
        "mgeo-2 is down",
        lambda: found.value('up{job="mgeo-inference", instance="mgeo-2"}'),
        lambda up: up == 0,
        seconds=60,
    )


def test_prometheus_follows_its_target_files(replicas: Stack, found: Prometheus) -> None:
    file = replicas.directory / "prometheus/etc/prometheus/targets/service-probe.yml"
    lines = file.read_text().splitlines()
    kept = lines[: next(i for i, line in enumerate(lines) if "mgeo-3" in line) - 1]
    file.write_text("\n".join(kept) + "\n")

    def probed() -> set[str]:
        targets = get(f"{found.url}/api/v1/targets")["data"]["activeTargets"]
        return {t["labels"]["instance"] for t in targets if t["labels"]["job"] == "mgeo-inference"}

    eventually("mgeo-3 is no longer a target", probed, lambda t: "mgeo-3" not in t, seconds=60)
    assert "mgeo-1" in probed()
