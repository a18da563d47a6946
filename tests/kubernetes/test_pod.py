"""The service in what the Deployment makes for it: settings, a read-only file system, no rights.

Without containers: a mount namespace of its own in which everything but one folder is read-only,
and a process without capabilities. The image and its user are not part of this.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from tests.conftest import eventually
from tests.kubernetes.manifests import containers, environment, named, objects_of, pod
from tests.telemetry.collector import Collector
from tests.waiting import RunningClock
from tools import native
from tools.compose import REPOSITORY
from tools.processes import Managed

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]

DEPLOYMENT = named(objects_of("overlays/cpu"), "Deployment", "mgeo")
[CONTAINER] = containers(DEPLOYMENT)
POD = {"POD_NAME": "mgeo-5f6d-x2x4z", "POD_NAMESPACE": "mgeo", "NODE_NAME": "node-1"}


class Pod:
    """The running process and its addresses."""

    def __init__(self, folder: Path, collector: Collector) -> None:
        ports = native.free_ports([5000, 8000])
        given = {key: value for key, value in environment(CONTAINER).items() if value is not None}
        for name, value in POD.items():
            given = {key: text.replace(f"$({name})", value) for key, text in given.items()}
        given |= POD | {
            "MGEO_CPU_THREADS": CONTAINER["resources"]["requests"]["cpu"],
            "OTEL_EXPORTER_OTLP_ENDPOINT": collector.endpoint,
            "MGEO_HOST": "127.0.0.1",
            "MGEO_METRICS_HOST": "127.0.0.1",
            "MGEO_PORT": str(ports[5000]),
            "MGEO_METRICS_PORT": str(ports[8000]),
            "HOME": "/nonexistent",
            "TMPDIR": str(folder / "tmp"),
        }
        (folder / "tmp").mkdir()
        script = (
            'mount -t tmpfs -o size=256m tmpfs "$TMPDIR" && mount -o remount,bind,ro / && exec "$@"'
        )
        no_rights = ["setpriv", "--bounding-set=-all", "--inh-caps=-all", "--no-new-privs"]
        command = ["unshare", "--mount", "sh", "-c", script, "sh", *no_rights]
        self.predictions = f"http://127.0.0.1:{ports[5000]}"
        self.operations = f"http://127.0.0.1:{ports[8000]}"
        self.process = Managed(
            "mgeo",
            [*command, sys.executable, "-B", "-m", "service", "serve"],
            given,
            REPOSITORY,
            folder / "log",
            self.operations + CONTAINER["readinessProbe"]["httpGet"]["path"],
        )


@pytest.fixture
def collector() -> Iterator[Collector]:
    with Collector() as running:
        yield running


@pytest.fixture
def running(tmp_path: Path, collector: Collector) -> Iterator[Pod]:
    if os.geteuid() != 0 or not shutil.which("unshare") or not shutil.which("setpriv"):
        pytest.skip("needs root, unshare and setpriv: a mount namespace of its own")
    found = Pod(tmp_path, collector)
    found.process.start()
    found.process.wait_healthy(60)
    yield found
    found.process.stop()


def _status(url: str) -> int:
    return requests.get(url, timeout=60).status_code


def test_it_starts_answers_and_stops_as_the_manifest_asks(
    running: Pod, collector: Collector
) -> None:
    for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
        assert _status(running.operations + CONTAINER[probe]["httpGet"]["path"]) == 200
    # Nearly the largest body: held in memory, of which the manifest must grant enough.
    pairs = [{"address1": "杭" * 250, "address2": "州" * 250}] * 256
    answer = requests.post(
        f"{running.predictions}/predict/batch", json={"pairs": pairs}, timeout=60
    )
    assert answer.status_code == 200
    clock = RunningClock()
    running.process.signal(signal.SIGTERM)
    readiness = running.operations + CONTAINER["readinessProbe"]["httpGet"]["path"]
    eventually(lambda: _status(readiness) == 503)
    # During MGEO_SHUTDOWN_DELAY, clients that have not noticed yet are still served.
    assert _status(running.operations + CONTAINER["livenessProbe"]["httpGet"]["path"]) == 200
    late = {"address1": "文三路478号", "address2": "文三路478号华星大厦"}
    assert requests.post(f"{running.predictions}/predict", json=late, timeout=60).status_code == 200
    grace = pod(DEPLOYMENT)["spec"]["terminationGracePeriodSeconds"]
    while running.process.running:
        assert clock.seconds() < grace
        time.sleep(0.1)
    resource = collector.metrics["mgeo.request"].resource
    assert resource["service.instance.id"] == POD["POD_NAME"]
    assert resource["k8s.node.name"] == POD["NODE_NAME"]
    assert {span.resource["service.instance.id"] for span in collector.spans} == {POD["POD_NAME"]}


def test_nothing_else_can_be_written(running: Pod) -> None:
    """The test of the test: the process really is confined."""
    status = Path(f"/proc/{running.process.pid}/status").read_text()
    assert "CapBnd:\t0000000000000000" in status
    assert "CapEff:\t0000000000000000" in status
    assert "NoNewPrivs:\t1" in status
    mounts = Path(f"/proc/{running.process.pid}/mounts").read_text().splitlines()
    [options] = [line.split()[3] for line in mounts if line.split()[1] == "/"]
    assert "ro" in options.split(",")
