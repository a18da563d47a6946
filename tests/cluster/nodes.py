"""Plays the kubelets: nodes that are ready, and pods that start, become ready and end.

A pod counts as ready some seconds after it was bound, and is gone as soon as it is deleted. No
container runs.
"""

from __future__ import annotations

import contextlib
import threading
import time
import urllib.error
from collections.abc import Iterator
from typing import Any

from tests.cluster.plane import Plane

_PERIOD_SECONDS = 0.2
_MERGE = "application/merge-patch+json"


class Nodes:
    """Nodes whose pods start by themselves."""

    def __init__(self, plane: Plane, names: tuple[str, ...], start_seconds: float) -> None:
        """Makes the nodes; `start` plays their kubelets.

        Args:
            plane: To which they belong.
            names: Of the nodes.
            start_seconds: From a pod's binding to its being ready.
        """
        self._plane = plane
        self._start_seconds = start_seconds
        self._bound: dict[str, float] = {}
        self._held = False
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._play, daemon=True)
        for name in names:
            self._add(name)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        self._thread.join()

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Pods that are new within the block become ready after it, however long it takes."""
        self._held = True
        try:
            yield
        finally:
            self._held = False

    def _add(self, name: str) -> None:
        labels = {"kubernetes.io/hostname": name, "kubernetes.io/os": "linux"}
        node = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "labels": labels}}
        self._plane.send("POST", "/api/v1/nodes", node)
        room = {"cpu": "64", "memory": "256Gi", "pods": "200", "nvidia.com/gpu": "16"}
        status = {
            "capacity": room,
            "allocatable": room,
            "conditions": [{"type": "Ready", "status": "True", "reason": "KubeletReady"}],
        }
        self._plane.send("PATCH", f"/api/v1/nodes/{name}/status", {"status": status}, _MERGE)
        # Admission marks a new node as not ready; the controller that takes the mark away is off.
        self._plane.send("PATCH", f"/api/v1/nodes/{name}", {"spec": {"taints": None}}, _MERGE)

    def _play(self) -> None:
        while not self._stop.wait(_PERIOD_SECONDS):
            with contextlib.suppress(OSError):  # a pod may go between look and word
                for pod in self._plane.get("/api/v1/pods")["items"]:
                    self._tend(pod)

    def _tend(self, pod: dict[str, Any]) -> None:
        meta, spec = pod["metadata"], pod["spec"]
        if "nodeName" not in spec:
            return
        path = f"/api/v1/namespaces/{meta['namespace']}/pods/{meta['name']}"
        with contextlib.suppress(urllib.error.HTTPError):
            if "deletionTimestamp" in meta:
                gone = {"gracePeriodSeconds": 0, "preconditions": {"uid": meta["uid"]}}
                self._plane.send("DELETE", path, gone)
                return
            bound = self._bound.setdefault(meta["uid"], time.monotonic())
            ready = time.monotonic() - bound >= self._start_seconds and not self._held
            if ready and pod["status"].get("phase") != "Running":
                self._plane.send("PATCH", f"{path}/status", {"status": _running(spec)}, _MERGE)


def _running(spec: dict[str, Any]) -> dict[str, Any]:
    now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    conditions = ("Initialized", "Ready", "ContainersReady", "PodScheduled")
    return {
        "phase": "Running",
        "conditions": [
            {"type": kind, "status": "True", "lastTransitionTime": now} for kind in conditions
        ],
        "containerStatuses": [
            {
                "name": container["name"],
                "image": container["image"],
                "imageID": container["image"],
                "ready": True,
                "started": True,
                "restartCount": 0,
                "state": {"running": {"startedAt": now}},
            }
            for container in spec["containers"]
        ],
    }
