"""Builds the stub of NVML, says what its GPUs do, and runs our telemetry on it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

from tests.telemetry.exposition import Exposition
from tests.waiting import RunningClock

SOURCE = Path(__file__).with_name("stub.c")
LIBRARY = "libnvidia-ml.so.1"

ONE_GPU = {
    "count": 1,
    "0.name": "NVIDIA H200",
    "0.uuid": "GPU-aaaa",
    "0.used": 1_234_567_890_123,
    "0.total": 150_754_820_096,
    "0.utilization": 37,
    "0.temperature": 61,
    "0.power": 301_500,
}
TWO_GPUS = ONE_GPU | {
    "count": 2,
    "1.name": 'NVIDIA "L4"',
    "1.uuid": "GPU-bbbb",
    "1.used": 0,
    "1.total": 24_152_899_584,
    "1.utilization": 100,
    "1.temperature": 0,
    "1.power": 72_001,
}

NOT_SUPPORTED, GPU_IS_LOST, UNKNOWN, DRIVER_NOT_LOADED = 3, 15, 999, 9


def build(folder: Path) -> Path:
    """Compile the stub; returns the folder to put on the library path."""
    command = ["cc", "-Wall", "-Wextra", "-Werror", "-O1", "-shared", "-fPIC"]
    subprocess.run([*command, "-o", folder / LIBRARY, SOURCE], check=True, timeout=60)
    return folder


def write_state(path: Path, state: dict[str, Any]) -> None:
    """Say what the GPUs do from now on."""
    written = path.with_suffix(".new")
    written.write_text("".join(f"{key} {value}\n" for key, value in state.items()))
    written.replace(path)


class Driver:
    """A process that runs our GPU telemetry on the library found in `libraries`."""

    def __init__(
        self, libraries: Path, state: Path, *, period: float = 0.05, stale_after: float = 15
    ) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.telemetry.nvml.driver", str(period), str(stale_after)],
            env=os.environ | {"LD_LIBRARY_PATH": str(libraries), "NVML_STUB_STATE": str(state)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.last: dict[str, Any] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._process.poll() is None:
            self._process.kill()
        self._process.communicate(timeout=60)

    def scrape(self) -> Exposition:
        """One scrape; its timing is in `last`."""
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write("scrape\n")
        self._process.stdin.flush()
        self.last = json.loads(self._process.stdout.readline())
        return Exposition(self.last["text"])

    def scrape_until(self, condition: Callable[[Exposition], object]) -> Exposition:
        """Scrape until the condition holds; fails after a minute."""
        clock = RunningClock()
        while not condition(seen := self.scrape()):
            assert clock.seconds() < 60, seen.text
            time.sleep(0.02)
        return seen

    def end(self) -> list[dict[str, Any]]:
        """End the process in good order; returns its log."""
        _, errors = self._process.communicate(timeout=60)
        assert self._process.returncode == 0, errors
        return [json.loads(line) for line in errors.splitlines()]
