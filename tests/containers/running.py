"""One container, started by podman as docker-compose.yml says, and removed when the block ends."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

from tests.waiting import RunningClock, Stopwatch
from tools import containers
from tools.compose import ComposeService, load_services

IMAGE = "mgeo-inference:local"
MGEO = load_services()["mgeo"]
_PORTS = {"predictions": 5000, "operations": 8000}


def memory_limit(service: ComposeService) -> int:
    """The `mem_limit` of a service, in bytes."""
    text = str(service.raw["mem_limit"])
    return int(text[:-1]) * {"m": 2**20, "g": 2**30}[text[-1]]


def flags_of(service: ComposeService) -> list[str]:
    """The flags of `podman run` that mean what a service of the compose file says of its rights.

    Its health command is the image's own too; a contract test holds the two together.
    """
    raw = service.raw
    flags = ["--memory", str(raw["mem_limit"]), "--stop-timeout", "30"]
    flags += [word for path in raw["tmpfs"] for word in ("--tmpfs", path)]
    flags += [word for name in raw["cap_drop"] for word in ("--cap-drop", name)]
    flags += [
        word for option in raw["security_opt"] for word in ("--security-opt", option.split(":")[0])
    ]
    return [*flags, "--read-only"] if raw["read_only"] else flags


class Container:
    """A container of the service's image; inside the block it runs, and may not be ready yet.

    Args:
        volumes: As `podman run --volume` has them.
        flags: More of its flags.
        variables: The process's environment, over the compose file's.
    """

    def __init__(
        self, *, volumes: Sequence[str] = (), flags: Sequence[str] = (), **variables: str
    ) -> None:
        environment = {
            **{k: v for k, v in MGEO.environment.items() if not k.startswith("OTEL_EXPORTER")},
            "OTEL_TRACES_EXPORTER": "none",
            "OTEL_LOGS_EXPORTER": "none",
            "OTEL_METRICS_EXPORTER": "none",
            "MGEO_CPU_THREADS": "1",
            **variables,
        }
        self.started = time.monotonic()
        self.id = containers.call(
            *("podman", "run", "--detach", *flags_of(MGEO), *flags),
            *(word for port in _PORTS.values() for word in ("--publish", f"127.0.0.1::{port}")),
            *(word for volume in volumes for word in ("--volume", volume)),
            *(word for pair in environment.items() for word in ("--env", "=".join(pair))),
            *(IMAGE, *MGEO.command),
        ).strip()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        containers.call("podman", "rm", "--force", "--time", "0", "--volumes", self.id)

    def url(self, listener: str, path: str) -> str:
        """A path of a listener, by the port that is published for it."""
        port = containers.call("podman", "port", self.id, f"{_PORTS[listener]}/tcp").strip()
        return f"http://{port}{path}"

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        """Run a command inside."""
        return subprocess.run(
            ["podman", "exec", self.id, *command],
            env=containers.environment(),
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    def is_healthy(self) -> bool:
        """Whether the health command says so now."""
        asked = subprocess.run(
            ["podman", "healthcheck", "run", self.id],
            env=containers.environment(),
            capture_output=True,
            timeout=120,
            check=False,
        )
        return asked.returncode == 0

    def wait_until_healthy(self, seconds: float = 120) -> float:
        """Wait, as long as the compose file's health check does (its start period and retries).

        Returns:
            Seconds since it was started.
        """
        clock = RunningClock()
        while not self.is_healthy():
            assert self.state()["Running"], self.output()
            assert clock.seconds() < seconds, self.output()
            time.sleep(0.2)
        return time.monotonic() - self.started

    def state(self) -> dict[str, Any]:
        """What podman knows of it."""
        [found] = json.loads(containers.call("podman", "inspect", self.id))
        state: dict[str, Any] = found["State"]
        return state

    def output(self) -> str:
        """What it has written to its standard streams."""
        return containers.output(self.id)

    def log(self) -> list[dict[str, Any]]:
        """The lines of the output that are log entries."""
        return [json.loads(line) for line in self.output().splitlines() if line.startswith("{")]

    def stop(self) -> tuple[float, int]:
        """SIGTERM, and the compose file's grace; the seconds it took, and the exit status."""
        with Stopwatch() as watch:
            containers.call("podman", "stop", self.id)
        return watch.seconds, self.state()["ExitCode"]

    def files(self) -> list[str]:
        """What has changed in its file system since it was made from the image, sorted."""
        changed = containers.call("podman", "diff", self.id).splitlines()
        return sorted(line.split(" ", 1)[1] for line in changed)


def owned(folder: Path) -> Path:
    """A folder of the host that the image's user may write to."""
    folder.mkdir()
    folder.chmod(0o777)
    return folder
