"""The real autoscaler, fed by the real adapter and Prometheus, follows a load and its rules.

Everything that lasts is a tenth as long: the load, the scrapes, the rules' ranges, the periods and
windows of the autoscaler's behaviour and its rounds. Pods are counted by the API server's own
scale. What it decides is compared with the port of its algorithm (benchmarks/autoscale/hpa.py) by
which docs/capacity.md compares settings.
`CLUSTER_REPORT=1` keeps the course for docs/capacity.md: run `make docs` afterwards.
"""

from __future__ import annotations

import copy
import dataclasses
import json
import os
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import yaml

from benchmarks.autoscale import report
from benchmarks.autoscale.hpa import from_manifest
from benchmarks.autoscale.simulate import QUEUE_METRIC, REQUESTS_METRIC
from tests.cluster.conftest import SPEED, SYNC_SECONDS
from tests.cluster.load import CURVE, Telemetry, prometheus_configuration, requests_per_second
from tests.cluster.plane import Plane
from tests.kubernetes.manifests import FOLDER, containers, named, objects_of
from tests.stack.clients import eventually
from tools import native
from tools.build import require
from tools.timescale import expression

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1500)]

_HPA = "/apis/autoscaling/v2/namespaces/mgeo/horizontalpodautoscalers/mgeo"
_DEPLOYMENT = "/apis/apps/v1/namespaces/mgeo/deployments/mgeo"
_LENGTH = CURVE[-1][0]
_LOOK_SECONDS = 0.25

_STALL_SECONDS = 2 * SYNC_SECONDS / SPEED
"""Two of the autoscaler's rounds. A machine that stood still for as long has shown another curve
than the one that is meant, so the curve begins anew."""
_ATTEMPTS = 4


@dataclasses.dataclass(frozen=True)
class Look:
    """One look at the autoscaler.

    Attributes:
        second: Of the load's curve.
        wanted: Pods that the deployment asks for.
        ready: Pods that are ready.
        values: Each metric's value as the autoscaler last saw it.
    """

    second: float
    wanted: int
    ready: int
    values: dict[str, float]


def _faster(autoscaler: dict[str, Any]) -> dict[str, Any]:
    """The manifest with its periods and windows divided."""
    found = copy.deepcopy(autoscaler)
    for rules in found["spec"]["behavior"].values():
        rules["stabilizationWindowSeconds"] = int(rules["stabilizationWindowSeconds"] / SPEED)
        for policy in rules["policies"]:
            policy["periodSeconds"] = int(policy["periodSeconds"] / SPEED)
    return found


def _faster_rules() -> str:
    text = (FOLDER / "adapter" / "rules.yaml").read_text("utf-8")
    document = yaml.safe_load(text)
    for rule in document["externalRules"]:
        rule["metricsQuery"] = expression(rule["metricsQuery"], SPEED)
    return yaml.safe_dump(document)


def _start_adapter(plane: Plane, prometheus: str) -> None:
    """Starts the adapter as its manifest says, with its own account, and registers it."""
    applied = plane.kubectl("apply", "--server-side", "-k", str(FOLDER / "adapter"))
    assert applied.returncode == 0, applied.stderr
    token = plane.kubectl("create", "token", "prometheus-adapter", "-n", "mgeo").stdout.strip()
    account = str(plane.write_kubeconfig(plane.folder / "adapter.kubeconfig", token))
    rules = plane.folder / "rules.yaml"
    rules.write_text(_faster_rules(), "utf-8")
    [port] = native.free_ports([6443]).values()
    [container] = containers(named(objects_of("adapter"), "Deployment", "prometheus-adapter"))
    here = {
        "--config": str(rules),
        "--prometheus-url": prometheus,
        "--metrics-relist-interval": "6s",
        "--secure-port": str(port),
        "--cert-dir": str(plane.folder / "adapter"),
    }
    shipped = {argument.partition("=")[0] for argument in container["args"]}
    assert shipped == here.keys()
    accounts = ("lister", "authentication", "authorization")
    plane.run("prometheus-adapter", [
        str(require("prometheus-adapter")), "--bind-address=127.0.0.1",
        *(f"{flag}={value}" for flag, value in here.items()),
        *(f"--{use}-kubeconfig={account}" for use in accounts),
    ])  # fmt: skip
    # No pod network: the Service leads to this machine instead.
    plane.kubectl("delete", "service", "prometheus-adapter", "-n", "mgeo")
    outside = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "prometheus-adapter", "namespace": "mgeo"},
        "spec": {"type": "ExternalName", "externalName": "localhost"},
    }
    plane.send("POST", "/api/v1/namespaces/mgeo/services", outside)
    api = "/apis/apiregistration.k8s.io/v1/apiservices/v1beta1.external.metrics.k8s.io"
    there = {"spec": {"service": {"port": port}}}
    plane.send("PATCH", api, there, "application/merge-patch+json")

    def available() -> Any:
        conditions = plane.get(api).get("status", {}).get("conditions", [])
        return [c for c in conditions if c["type"] == "Available"]

    eventually(
        "the API server reaches the adapter",
        available,
        lambda found: bool(found) and found[0]["status"] == "True",
        60,
    )


@pytest.fixture(scope="module")
def course(plane: Plane, tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Look]]:
    """What the autoscaler did, from the curve's beginning to its end."""
    folder = tmp_path_factory.mktemp("prometheus")
    done = plane.kubectl("apply", "--server-side", "-k", str(FOLDER / "overlays/cpu"))
    assert done.returncode == 0, done.stderr

    def ready() -> int:
        return int(plane.get(_DEPLOYMENT)["status"].get("readyReplicas", 0))

    telemetry = Telemetry(SPEED, ready)
    try:
        [port] = native.free_ports([9090]).values()
        configuration = prometheus_configuration(folder, telemetry.port, SPEED)
        plane.run("prometheus", [
            str(require("prometheus")), f"--config.file={configuration}",
            f"--storage.tsdb.path={folder / 'data'}", f"--web.listen-address=127.0.0.1:{port}",
        ])  # fmt: skip
        _start_adapter(plane, f"http://127.0.0.1:{port}/")
        for _ in range(_ATTEMPTS):
            looks, stood_still = _follow(plane, telemetry, ready)
            if stood_still < _STALL_SECONDS:
                break
            print(f"the machine stood still for {stood_still:.1f} s: once more")
            plane.kubectl("delete", "horizontalpodautoscaler", "mgeo", "-n", "mgeo")
            time.sleep(_STALL_SECONDS)  # the controller forgets what it has seen
        if os.environ.get("CLUSTER_REPORT"):
            _keep(looks)
        yield looks
    finally:
        telemetry.stop()


def _follow(
    plane: Plane, telemetry: Telemetry, ready: Callable[[], int]
) -> tuple[list[Look], float]:
    """The looks from the curve's beginning to its end, and the longest time without one."""
    telemetry.rest()
    shipped = named(objects_of("overlays/cpu"), "HorizontalPodAutoscaler", "mgeo")
    faster = yaml.safe_dump(_faster(shipped))
    applied = plane.kubectl(
        "apply", "--server-side", "--force-conflicts", "-f", "-", standard_input=faster
    )
    assert applied.returncode == 0, applied.stderr
    eventually("the autoscaler sees both metrics, and no load", lambda: _values(plane), _idle, 120)
    low = shipped["spec"]["minReplicas"]
    scale = f"{_DEPLOYMENT}/scale"
    plane.send("PATCH", scale, {"spec": {"replicas": low}}, "application/merge-patch+json")
    eventually("the least number of pods is ready", ready, lambda n: n == low, 120)
    telemetry.begin()
    looks: list[Look] = []
    looked, stood_still = time.monotonic(), 0.0
    while (second := telemetry.second) < _LENGTH:
        wanted = int(plane.get(_DEPLOYMENT)["spec"]["replicas"])
        looks.append(Look(second, wanted, ready(), _values(plane)))
        time.sleep(_LOOK_SECONDS)
        stood_still = max(stood_still, time.monotonic() - looked)
        looked = time.monotonic()
    return looks, max(stood_still, telemetry.longest_pause)


def _values(plane: Plane) -> dict[str, float]:
    found = {}
    status = plane.get(_HPA).get("status", {})
    for entry in status.get("currentMetrics") or []:
        metric = entry.get("external", {})
        current = metric.get("current", {})
        text = current.get("value") or current.get("averageValue")
        if text:
            number = float(text[:-1]) / 1000 if text.endswith("m") else float(text)
            # An average is told over the pods that there were.
            pods = 1 if current.get("value") else status["currentReplicas"]
            found[metric["metric"]["name"]] = number * pods
    return found


def _idle(values: dict[str, float]) -> bool:
    return values.keys() == {REQUESTS_METRIC, QUEUE_METRIC} and values[REQUESTS_METRIC] < 1


def test_pods_follow_the_load_up(course: list[Look]) -> None:
    """1,500 requests a second at 200 a pod: eight pods, before the spike."""
    before_the_spike = [look.wanted for look in course if 480 < look.second < 540]
    assert set(before_the_spike) <= {7, 8}
    assert max(look.wanted for look in course) > 8, "the spike asks for more"


def test_bounds_are_kept(course: list[Look]) -> None:
    assert min(look.wanted for look in course) >= 2
    assert max(look.wanted for look in course) <= 20


def test_no_pod_goes_while_the_load_may_come_back(course: list[Look]) -> None:
    """Down only when five minutes have passed, then a quarter of the pods a minute."""
    most = max(look.wanted for look in course)
    last = max(look.second for look in course if look.wanted == most)
    assert last >= 570 + 300 - 2 * SYNC_SECONDS
    rising = [look.wanted for look in course if look.second <= last]
    assert rising == sorted(rising), "no pod was taken away before"
    after = [look for look in course if look.second > last]
    assert after, "pods do go in the end"
    assert after[-1].wanted < most
    for early in course:
        window = [look for look in course if early.second <= look.second < early.second + 55]
        assert min(look.wanted for look in window) >= int(early.wanted * 0.75) - 1


def test_it_decides_as_the_port_of_its_algorithm_does(course: list[Look]) -> None:
    expected = _ported(course)
    apart = []
    for look in course:
        near = [n for at, n in expected if abs(at - look.second) <= 3 * SYNC_SECONDS]
        apart.append(min(abs(n - look.wanted) for n in near))
    assert max(apart) <= 2
    assert sum(distance == 0 for distance in apart) >= 0.8 * len(apart)


def _ported(course: list[Look]) -> list[tuple[float, int]]:
    """(second, pods) that the port asks for, round by round, of the values that were seen."""
    autoscaler = from_manifest(named(objects_of("overlays/cpu"), "HorizontalPodAutoscaler", "mgeo"))
    pods = course[0].wanted
    result = []
    for number in range(int(_LENGTH / SYNC_SECONDS)):
        second = number * SYNC_SECONDS
        look = next(look for look in reversed(course) if look.second <= second or look is course[0])
        values: dict[str, float | None] = {**look.values}
        pods = autoscaler.sync(second, pods, look.ready, values)
        result.append((second, pods))
    return result


def _keep(course: list[Look]) -> None:
    rows = []
    for second, ported in _ported(course):
        look = next(look for look in reversed(course) if look.second <= second or look is course[0])
        offered = round(requests_per_second(second))
        row = {"second": second, "requests": offered, "pods": look.wanted, "ported": ported}
        rows.append(json.dumps(row))
    report.CONTROLLER.write_text("[\n" + ",\n".join(rows) + "\n]\n", "utf-8")
    report.CONTROLLER_PICTURE.write_text(report.controller_picture(), "utf-8")
