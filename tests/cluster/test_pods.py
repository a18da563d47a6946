"""What the controllers do with the service's pods: an update and a drain leave enough of them."""

from __future__ import annotations

import urllib.error
from typing import Any

import pytest

from tests.cluster.nodes import Nodes
from tests.cluster.plane import Plane
from tests.kubernetes.manifests import FOLDER, named, objects_of
from tests.stack.clients import eventually

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

DEPLOYMENT = "/apis/apps/v1/namespaces/mgeo/deployments/mgeo"
PODS = "/api/v1/namespaces/mgeo/pods?labelSelector=app.kubernetes.io%2Fname%3Dmgeo-inference"
REPLICAS = 4


def _deployment(plane: Plane) -> dict[str, Any]:
    found: dict[str, Any] = plane.get(DEPLOYMENT)
    return found


@pytest.fixture(scope="module")
def service(plane: Plane) -> Plane:
    """The control plane with the service on it, four pods of it ready."""
    done = plane.kubectl("apply", "--server-side", "-k", str(FOLDER / "overlays/cpu"))
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    # It may see the last load of other tests for some seconds yet, and would count pods itself.
    gone = plane.kubectl("delete", "horizontalpodautoscaler", "mgeo", "-n", "mgeo")
    assert gone.returncode == 0, gone.stderr
    plane.send(
        "PATCH", f"{DEPLOYMENT}/scale", {"spec": {"replicas": REPLICAS}},
        "application/merge-patch+json",
    )  # fmt: skip
    _all_ready(plane)
    return plane


def _all_ready(plane: Plane) -> None:
    def done(found: dict[str, Any]) -> bool:
        status = found["status"]
        counts = [status.get(k) for k in ("replicas", "readyReplicas", "updatedReplicas")]
        current = status.get("observedGeneration") == found["metadata"]["generation"]
        return current and counts == [REPLICAS] * 3

    eventually("all pods are ready", lambda: _deployment(plane), done, 60)


def test_an_update_leaves_as_many_pods_ready_as_the_deployment_says(service: Plane) -> None:
    strategy = _deployment(service)["spec"]["strategy"]["rollingUpdate"]
    assert strategy["maxUnavailable"] == 0
    change = {"spec": {"template": {"metadata": {"annotations": {"restarted": "now"}}}}}
    changed = service.send("PATCH", DEPLOYMENT, change, "application/merge-patch+json")
    least, most, updating = REPLICAS, 0, 0
    only = DEPLOYMENT.removesuffix("/mgeo") + "?fieldSelector=metadata.name%3Dmgeo"
    for found in service.changes(only, changed["metadata"]["resourceVersion"], seconds=300):
        status = found["status"]
        least = min(least, status.get("readyReplicas", 0))
        most = max(most, status["replicas"])
        updated = status.get("updatedReplicas", 0)
        updating += 0 < updated < REPLICAS
        if updating and updated == status["replicas"] == REPLICAS == status.get("readyReplicas"):
            break
    assert updating, "the update was not seen under way"
    assert least == REPLICAS
    assert most == REPLICAS + strategy["maxSurge"]
    _all_ready(service)


def test_a_drain_takes_one_pod_at_a_time(service: Plane, nodes: Nodes) -> None:
    budget = named(objects_of("overlays/cpu"), "PodDisruptionBudget", "mgeo")["spec"]
    assert budget["maxUnavailable"] == 1
    metadata = [pod["metadata"] for pod in service.get(PODS)["items"]]
    first, second, *_ = [m["name"] for m in metadata if "deletionTimestamp" not in m]
    with nodes.held():  # the pod in its place is not ready too soon
        eventually("one may go", lambda: _evict(service, first), lambda s: s == 201, 60)
        assert _evict(service, second) == 429
    _all_ready(service)
    eventually("the next may go", lambda: _evict(service, second), lambda s: s == 201, 60)
    _all_ready(service)


def _evict(plane: Plane, pod: str) -> int:
    path = f"/api/v1/namespaces/mgeo/pods/{pod}/eviction"
    body = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": pod}}
    try:
        plane.send("POST", path, body)
    except urllib.error.HTTPError as error:
        return error.code
    return 201
