"""The service as a process of its own, on free ports, with the small random model."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from http.client import HTTPConnection
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.telemetry.exposition import OPENMETRICS, Exposition

ROOT = Path(__file__).parents[2]
MODEL = ROOT / "tests" / "data" / "tiny"

Address = tuple[str, int]


class Service:
    """One serving process. Use it in a `with` statement: it is ready inside.

    Attributes:
        predictions: Host and port of the prediction listener.
        operations: Host and port of the operations listener.
        lines: What it has written to standard error, line by line.
    """

    def __init__(self, *flags: str, **variables: str) -> None:
        inherited = {k: v for k, v in os.environ.items() if not k.startswith(("OTEL_", "MGEO_"))}
        self._process = subprocess.Popen(
            [
                *(sys.executable, "-m", "service", "serve", "--model", str(MODEL)),
                *("--port", "0", "--metrics-port", "0", *flags),
            ],
            cwd=ROOT,
            env=inherited | variables,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.lines: list[str] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def __enter__(self) -> Self:
        try:
            self.operations = self._address("operations")
            self.predictions = self._address("predictions")
            self._wait(lambda: self.get(self.operations, "/readyz")[0] == 200, "ready")
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        where: TracebackType | None,
    ) -> None:
        self._end()

    def get(self, address: Address, path: str, **headers: str) -> tuple[int, bytes]:
        """The status and body of one GET."""
        connection = HTTPConnection(*address, timeout=30)
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

    def terminate(self, timeout: float = 30) -> int:
        """Send SIGTERM; returns the exit code once all output is read."""
        self._process.send_signal(signal.SIGTERM)
        code = self._process.wait(timeout)
        self._reader.join(10)
        return code

    def log(self) -> list[dict[str, Any]]:
        """The lines that are log entries."""
        return [json.loads(line) for line in list(self.lines) if line.startswith("{")]

    def _address(self, listener: str) -> Address:
        def found() -> list[str]:
            return [line["address"] for line in self.log() if line.get("listener") == listener]

        self._wait(found, f"{listener} listener")
        host, port = found()[0].rsplit(":", 1)
        return host, int(port)

    def _wait(self, condition: Any, what: str) -> None:
        deadline = time.monotonic() + 60
        while not condition():
            assert self._process.poll() is None, "\n".join(self.lines)
            assert time.monotonic() < deadline, f"no {what}: " + "\n".join(self.lines)
            time.sleep(0.05)

    def _read(self) -> None:
        assert self._process.stderr
        for line in self._process.stderr:
            self.lines.append(line.rstrip("\n"))

    def _end(self) -> None:
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait(10)
        self._reader.join(10)
        if self._process.stderr:
            self._process.stderr.close()
