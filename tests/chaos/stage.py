"""The real stack, with six instances that can be made to misbehave and rules at any speed."""

from __future__ import annotations

import resource
import shutil
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest
import yaml

from tests.chaos.traffic import Client
from tests.faults.clock import Clock
from tests.stack.clients import Prometheus, eventually
from tests.stack.conftest import MODEL, prepare
from tests.telemetry.nvml import stub
from tools import native, timescale
from tools.compose import COMPOSE_FILE, REPOSITORY
from tools.processes import Managed

INSTANCES = tuple(f"mgeo-{number}" for number in range(1, 7))
"""The first three stand behind HAProxy."""

AROUND = (
    "haproxy", "otel-collector", "prometheus", "alertmanager", "jaeger", native.log_store(),
    "node-exporter",
)  # fmt: skip

EXPORT_SECONDS = 15.0
"""As docker-compose.yml sets it; divided by the scale like the rules' times."""

_DIRECT_RATE, _BALANCED_RATE = 2.0, 3.0
"""Requests a second. A pair takes 20 ms, so that ten times as slow is still enough."""

GPU = stub.ONE_GPU | {"0.used": 6 << 30, "0.total": 16 << 30}


class Stage:
    """What the faults act on.

    Attributes:
        stack: The processes.
        scale: By how much the rules' times, scrapes and exports are divided.
        clock: The wall clock of `mgeo-2`.
        clients: The load, by the address's name: each instance's, and `haproxy`.
    """

    def __init__(self, folder: Path, scale: float) -> None:
        self.scale, self._folder = scale, folder
        # Thousands of connections, and the instances inherit it.
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, 8192)), hard))
        timescale.write(scale, folder / "prometheus")
        libraries = stub.build(_made(folder / "nvml"))
        self.clock = Clock(_made(folder / "clock"))
        files = [
            REPOSITORY / "docker-compose.replicas.yml",
            self._write_compose(folder / "docker-compose.chaos.yml"),
        ]
        settings = {
            "MGEO_BACKEND": "openvino-f32",
            "MGEO_CPU_THREADS": "1",
            # Each request is to reach the model.
            "MGEO_CACHE_PAIRS": "0",
            "OTEL_METRIC_EXPORT_INTERVAL": f"{EXPORT_SECONDS * 1000 / scale:.0f}",
            "LD_LIBRARY_PATH": str(libraries),
        }
        self.stack = prepare(folder / "stack", settings, [*INSTANCES, *AROUND], files)
        for name in INSTANCES:
            self._make_faulty(name)
        self.process("mgeo-2").environment |= self.clock.variables
        self.clients = {
            name: Client(self.stack.layout.address(name, 5000), _DIRECT_RATE) for name in INSTANCES
        } | {"haproxy": Client(self.stack.layout.address("haproxy", 5080), _BALANCED_RATE)}

    def _write_compose(self, file: Path) -> Path:
        """A compose file with three more instances, and Prometheus on the rules at this speed."""
        more = {
            name: {
                "extends": {"file": str(COMPOSE_FILE), "service": "mgeo"},
                "environment": {"OTEL_RESOURCE_ATTRIBUTES": f"service.instance.id={name}"},
            }
            for name in INSTANCES[3:]
        }
        prometheus = self._folder / "prometheus"
        # The addresses in quotes, as in the project's own file: that is how they are found.
        lines = [f"- {{targets: ['{n}:8000'], labels: {{instance: {n}}}}}" for n in INSTANCES]
        (prometheus / "service-probe.yml").write_text("\n".join(lines) + "\n")
        mounts = {
            "prometheus.yml": "prometheus.yml",
            "rules": "rules",
            "service-probe.yml": "targets/service-probe.yml",
        }
        volumes = [f"{prometheus / k}:/etc/prometheus/{v}:ro" for k, v in mounts.items()]
        file.write_text(yaml.safe_dump({"services": {**more, "prometheus": {"volumes": volumes}}}))
        return file

    def _make_faulty(self, name: str) -> None:
        folder = _made(self._folder / name)
        shutil.copytree(MODEL, folder / "model")
        process = self.process(name)
        process.command = [sys.executable, "-m", "tests.chaos.faulty", "serve"]
        process.environment |= {
            "MGEO_MODEL": str(folder / "model"),
            "CHAOS_ORDERS": str(folder / "orders"),
            "NVML_STUB_STATE": str(folder / "gpu"),
        }
        self.order(name, "")
        self.gpu(name, {})

    def order(self, name: str, what: str) -> None:
        """Have an instance's model misbehave as `faulty` says; behave, if `what` is nothing."""
        file = self._folder / name / "orders"
        file.with_suffix(".new").write_text(what)
        file.with_suffix(".new").replace(file)

    @contextmanager
    def ordered(self, name: str, what: str) -> Iterator[None]:
        """Have an instance's model misbehave within the block."""
        self.order(name, what)
        try:
            yield
        finally:
            self.order(name, "")

    def gpu(self, name: str, state: Mapping[str, object]) -> None:
        """Have an instance's GPU differ from a healthy one in `state`."""
        stub.write_state(self._folder / name / "gpu", {**GPU, **state})

    def model(self, name: str) -> Path:
        """The directory that an instance has loaded its model from."""
        return self._folder / name / "model"

    def process(self, name: str) -> Managed:
        """A service's process."""
        return self.stack.process(name)

    def address(self, name: str) -> str:
        """`host:port` of an instance's prediction listener."""
        return self.clients[name].address

    @property
    def prometheus(self) -> Prometheus:
        return Prometheus(self.stack.url("prometheus", 9090))

    def start(self) -> None:
        """Start everything, and the load once everything is seen by Prometheus."""
        self.stack.start()
        eventually(
            "every instance's metrics in Prometheus",
            lambda: self.prometheus.value("sum(mgeo_ready)"),
            lambda ready: ready == len(INSTANCES),
            seconds=30 + 4 * EXPORT_SECONDS / self.scale,
        )
        for client in self.clients.values():
            client.start()

    def stop(self) -> None:
        for client in self.clients.values():
            client.stop()
        self.stack.stop()

    def recover(self, seconds: float = 60) -> None:
        """Wait until everything runs and answers again."""
        for name in (*INSTANCES, *AROUND):
            if not self.process(name).running:
                pytest.fail(f"{name} was not started again")
            self.process(name).wait_healthy(seconds)
        # Two evaluations of what is healthy again.
        time.sleep(2 * EXPORT_SECONDS / self.scale)


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True)
    return folder
