"""A Kubernetes control plane for tests: its programs, and whether they are there.

    python -m tools.cluster    compiles them from their pinned Go modules, once

Kubernetes' own API server, controllers, scheduler and kubectl, the Prometheus adapter, and the
custom resource definitions of the Prometheus operator. etcd is Debian's. What is missing of a
cluster are its nodes: `tests/cluster/nodes.py` plays them.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from tools.binaries import CONTROL_PLANE
from tools.build import BuildError, build, cache_dir, path_of
from tools.schemas import OPERATOR, module

PROGRAMS = ("etcd", "openssl")
"""What must be on the PATH; tools/apt-cluster.txt has the packages."""

RESOURCES = ("podmonitors", "prometheusrules")
"""The operator's resources that deploy/kubernetes uses."""


def unavailable() -> str | None:
    """Why no control plane can be run here, in one line; None where it can."""
    absent = [name for name in PROGRAMS if shutil.which(name) is None]
    absent += [binary.name for binary in CONTROL_PLANE if not path_of(binary).is_file()]
    absent += [file.name for file in definitions() if not file.is_file()]
    return f"cluster: {', '.join(absent)} not found: run `make cluster-build`" if absent else None


def definitions() -> list[Path]:
    """The operator's custom resource definitions, as it publishes them."""
    folder = cache_dir() / "crds" / OPERATOR.rpartition("@")[2]
    return [folder / f"monitoring.coreos.com_{resource}.yaml" for resource in RESOURCES]


def main() -> int:
    """Make what is missing; 0 when all is there."""
    try:
        for binary in CONTROL_PLANE:
            build(binary)
    except BuildError as error:
        print(f"cluster: {error}", file=sys.stderr)
        return 1
    source = module(OPERATOR) / "example" / "prometheus-operator-crd"
    for file in definitions():
        file.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source / file.name, file)
    return 0


if __name__ == "__main__":
    sys.exit(main())
