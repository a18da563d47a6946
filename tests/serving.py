"""The service as a process of its own, on free ports, with the small random model."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from http.client import HTTPConnection
from pathlib import Path
from typing import Any, Self

from tests.conftest import TINY
from tests.telemetry.exposition import OPENMETRICS, Exposition
from tests.waiting import RunningClock

ROOT = Path(__file__).parents[1]

Address = tuple[str, int]


def _environment(variables: dict[str, str]) -> dict[str, str]:
    inherited = {k: v for k, v in os.environ.items() if not k.startswith(("OTEL_", "MGEO_"))}
    # Named, so that answers do not hang on what this machine computes fastest.
    return inherited | {"MGEO_BACKEND": "openvino-f32"} | variables


def run(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run a command of the service to its end."""
    return subprocess.run(
        [sys.executable, "-m", "service", *arguments],
        cwd=ROOT,
        env=_environment(variables),
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )


class Process:
    """One `serve` process, started and not waited for. Ended by its id when the block ends.

    Args:
        flags: Flags of `serve`.
        closed: Standard streams, by their numbers, that are closed when it starts.
        cwd: The folder that it starts in.
        variables: Its environment, beside this process's own.

    Attributes:
        command: What is started, before its flags.
        lines: What it has written, line by line.
    """

    command: tuple[str, ...] = (sys.executable, "-m", "service", "serve")

    def __init__(
        self, *flags: str, closed: Sequence[int] = (), cwd: Path = ROOT, **variables: str
    ) -> None:
        closing = " ".join(f"{number}>&-" for number in closed)
        self._process = subprocess.Popen(
            [
                *("sh", "-c", f'exec "$@" {closing}', "sh"),
                *(*self.command, "--model", str(TINY)),
                *("--port", "0", "--metrics-port", "0", "--cpu-threads", "1", *flags),
            ],
            cwd=cwd,
            env=_environment(variables),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.lines: list[str] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait(60)
        self._reader.join(60)
        if self._process.stdout:
            self._process.stdout.close()

    def address(self, listener: str) -> Address:
        """Host and port of a listener, once it is bound."""

        def found() -> list[str]:
            return [line["bound"] for line in self.log() if line.get("listener") == listener]

        self.wait_until(found, f"{listener} listener")
        host, port = found()[0].rsplit(":", 1)
        host = host.strip("[]")
        return host, int(port)

    def wait_until(self, condition: Callable[[], object], what: str) -> None:
        """Wait for a condition, for at most a minute, while the process lives."""
        clock = RunningClock()
        while not condition():
            assert self._process.poll() is None, "\n".join(self.lines)
            assert clock.seconds() < 60, f"no {what}: " + "\n".join(self.lines)
            time.sleep(0.05)

    def wait(self, timeout: float = 100) -> int:
        """Wait for its end; returns the exit status once all output is read."""
        status = self._process.wait(timeout)
        self._reader.join(60)
        return status

    @property
    def pid(self) -> int:
        """Its id."""
        return self._process.pid

    def handles(self, number: signal.Signals) -> bool:
        """Whether it ignores a signal or has a handler for it."""
        status = Path(f"/proc/{self.pid}/status").read_text()
        masks = [
            line.split()[1] for line in status.splitlines() if line[:6] in ("SigIgn", "SigCgt")
        ]
        return any(int(mask, 16) >> (number - 1) & 1 for mask in masks)

    def send(self, number: signal.Signals) -> None:
        """Send it a signal."""
        self._process.send_signal(number)

    def terminate(self, timeout: float = 60) -> int:
        """Send SIGTERM and wait for its end."""
        self.send(signal.SIGTERM)
        return self.wait(timeout)

    def log(self) -> list[dict[str, Any]]:
        """The lines that are log entries."""
        return [json.loads(line) for line in list(self.lines) if line.startswith("{")]

    def not_log(self) -> list[str]:
        """The lines that are something else."""
        return [line for line in list(self.lines) if not line.startswith("{")]

    def _read(self) -> None:
        assert self._process.stdout
        for line in self._process.stdout:
            self.lines.append(line.rstrip("\n"))


class Service(Process):
    """A service that is ready inside its `with` block.

    Attributes:
        predictions: Host and port of the prediction listener.
        operations: Host and port of the operations listener.
    """

    predictions: Address
    operations: Address

    def __enter__(self) -> Self:
        try:
            self.operations = self.address("operations")
            self.predictions = self.address("predictions")
            self.wait_until(lambda: self.get(self.operations, "/readyz")[0] == 200, "readiness")
        except BaseException:
            self.__exit__()
            raise
        return self

    def get(self, address: Address, path: str, **headers: str) -> tuple[int, bytes]:
        """The status and body of one GET."""
        connection = HTTPConnection(*address, timeout=60)
        try:
            connection.request("GET", path, headers=headers)
            response = connection.getresponse()
            return response.status, response.read()
        finally:
            connection.close()

    def scrape(self) -> Exposition:
        """One scrape, as Prometheus does it."""
        status, body = self.get(self.operations, "/metrics", Accept=OPENMETRICS)
        assert status == 200
        return Exposition(body)
