"""The control plane, started once for all tests of this folder, with nodes that are played."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.cluster import plane as planes
from tests.cluster.nodes import Nodes
from tests.cluster.plane import Plane
from tools import cluster

SPEED = 10.0
"""How many times as fast as in a cluster the autoscaler and what it looks at are."""

SYNC_SECONDS = 15.0
"""Kubernetes' own `--horizontal-pod-autoscaler-sync-period`."""

START_SECONDS = 20.0
"""From a pod's binding to its being ready; docs/capacity.md reckons with as much."""


@pytest.fixture(scope="session")
def control(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Plane]:
    """The control plane, without nodes."""
    if reason := cluster.unavailable():
        pytest.skip(reason)
    with planes.running(tmp_path_factory.mktemp("plane"), SYNC_SECONDS / SPEED) as plane:
        for file in cluster.definitions():
            done = plane.kubectl("apply", "--server-side", "-f", str(file))
            assert done.returncode == 0, done.stderr
        yield plane
        plane.check()


@pytest.fixture(scope="session")
def nodes(control: Plane) -> Iterator[Nodes]:
    """Three nodes with room for all pods."""
    nodes = Nodes(control, ("node-1", "node-2", "node-3"), START_SECONDS / SPEED)
    nodes.start()
    try:
        yield nodes
    finally:
        nodes.stop()


@pytest.fixture(scope="session")
def plane(control: Plane, nodes: Nodes) -> Plane:
    """The control plane with its nodes."""
    return control
