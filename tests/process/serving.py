"""Starts `python -m service` as a process of its own, and ends it by its id."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.conftest import TINY

ROOT = Path(__file__).parent.parent.parent


@dataclass
class Process:
    """A service process and the JSON lines that it has logged."""

    popen: subprocess.Popen[str]
    lines: list[str] = field(default_factory=list)

    def logged(self) -> list[dict[str, Any]]:
        """The log so far."""
        return [json.loads(line) for line in list(self.lines) if line.startswith("{")]

    def address(self, listener: str, seconds: float = 30) -> str:
        """The base URL of a listener, once it is bound."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline and self.popen.poll() is None:
            for entry in self.logged():
                if entry.get("listener") == listener:
                    return f"http://{entry['address']}"
            time.sleep(0.02)
        raise AssertionError(f"{listener} never listened: {self.lines[-20:]}")

    def end(self, seconds: float = 30) -> int:
        """Send SIGTERM and return the exit status."""
        self.popen.send_signal(signal.SIGTERM)
        return self.popen.wait(seconds)


@contextmanager
def serving(*flags: str, **environment: str) -> Iterator[Process]:
    """Run `serve` on free ports with the small random checkpoint, unless flags say otherwise."""
    command = [
        sys.executable, "-m", "service", "serve",
        *([] if "--model" in flags else ["--model", str(TINY)]),
        *([] if "--port" in flags else ["--port", "0"]),
        *([] if "--metrics-port" in flags else ["--metrics-port", "0"]),
        "--cpu-threads", "1", *flags,
    ]  # fmt: skip
    popen = subprocess.Popen(
        command,
        cwd=ROOT,
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    process = Process(popen)

    def read() -> None:
        assert popen.stdout is not None
        for line in popen.stdout:
            process.lines.append(line.rstrip("\n"))

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    try:
        yield process
    finally:
        if popen.poll() is None:
            popen.kill()
        popen.wait(10)
        reader.join(10)
        assert popen.stdout is not None
        popen.stdout.close()


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a command to its end."""
    return subprocess.run(
        [sys.executable, "-m", "service", *arguments],
        cwd=ROOT,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
