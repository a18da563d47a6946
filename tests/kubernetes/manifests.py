"""The manifests as `kubectl apply -k` would see them: built by kustomize, read back."""

from __future__ import annotations

import functools
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from tools.build import require

ROOT = Path(__file__).resolve().parent.parent.parent
FOLDER = ROOT / "deploy" / "kubernetes"
SCHEMAS = Path(__file__).parent / "schemas"

OVERLAYS = ("overlays/cpu", "overlays/gpu")
FOLDERS = (*OVERLAYS, "adapter", "prometheus-operator")

Object = dict[str, Any]


@functools.cache
def text_of(folder: str) -> str:
    """What `kustomize build deploy/kubernetes/FOLDER` prints."""
    return kustomize(FOLDER / folder)


def kustomize(path: Path) -> str:
    """What `kustomize build PATH` prints; a failure raises with kustomize's own words."""
    done = subprocess.run(
        [require("kustomize"), "build", path], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def objects_of(folder: str) -> list[Object]:
    """The objects of a folder of deploy/kubernetes."""
    return list(yaml.safe_load_all(text_of(folder)))


def everything(overlay: str = "overlays/cpu") -> list[Object]:
    """An overlay and the adapter: what runs together."""
    return objects_of(overlay) + objects_of("adapter")


def named(objects: list[Object], kind: str, name: str) -> Object:
    """The one object of that kind and name."""
    [found] = [o for o in objects if (o["kind"], o["metadata"]["name"]) == (kind, name)]
    return found


def of_kind(objects: list[Object], *kinds: str) -> list[Object]:
    """The objects of these kinds."""
    return [o for o in objects if o["kind"] in kinds]


def workloads(objects: list[Object]) -> list[Object]:
    """The objects that make pods."""
    return of_kind(objects, "Deployment", "StatefulSet", "Job")


def pod(workload: Object) -> Object:
    """The template of a workload's pods."""
    template: Object = workload["spec"]["template"]
    return template


def containers(workload: Object) -> Iterator[Object]:
    """The containers of a workload's pods."""
    spec = pod(workload)["spec"]
    yield from spec.get("initContainers", ())
    yield from spec["containers"]


def environment(container: Object) -> dict[str, str | None]:
    """Variables of a container; None for a value that the pod gives when it starts."""
    return {entry["name"]: entry.get("value") for entry in container.get("env", ())}


def selects(selector: Object, labels: Object) -> bool:
    """Whether a label selector, of a Service's form or with matchLabels, selects these labels."""
    wanted = selector.get("matchLabels", {}) if "matchLabels" in selector else selector
    return all(labels.get(key) == value for key, value in wanted.items())


def container_ports(workload: Object) -> dict[str, int]:
    """Name → number of the ports of a workload's pods."""
    return {
        port["name"]: port["containerPort"]
        for container in containers(workload)
        for port in container.get("ports", ())
    }
