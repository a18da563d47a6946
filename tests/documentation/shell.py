"""Runs what a page says, in a folder that looks like the repository, on free ports.

What is changed about a command, and nothing else:

- `127.0.0.1:PORT` and `localhost:PORT` become the address of the program that the page has started
  there, on a free port. `MGEO_PORT` and `MGEO_METRICS_PORT` tell a service its ports, and
  `make stack` gets `STACK=--free-ports`.
- `python`, and what `make` would install into `.venv`, is the interpreter of the tests, with
  everything installed already.
- `MGEO_BACKEND` is fp32, whose numbers the pages show, and `LOKI` says that there is none.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path

from tests.documentation.blocks import ROOT
from tests.waiting import RunningClock
from tools.native import free_ports

SERVES = re.compile(r"\bmake (?:run|stack)\b|\bpython -m service serve\b")
"""Commands that go on until they are stopped."""

SECONDS = 120.0
"""How long a command may take: a few on a quiet machine, a minute on one that is overrun."""

_PORTS = {"predictions": 5000, "Prometheus": 9090, "Alertmanager": 9093, "Jaeger": 16686,
          "VictoriaLogs": 9428, "OTLP": 4317}  # fmt: skip
"""What `make stack` prints an address of, and the port that pages name."""


def workspace(folder: Path) -> Path:
    """Make `folder` look like the repository: links to what is in it, and a `.venv`."""
    for path in ROOT.iterdir():
        if path.name not in {".git", ".venv", "build"} and not path.name.endswith("_cache"):
            (folder / path.name).symlink_to(path)
    venv = folder / ".venv"
    (venv / "bin").mkdir(parents=True)
    for name in ("python", "python3"):
        (venv / "bin" / name).write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
        (venv / "bin" / name).chmod(0o755)
    # As make leaves them when everything is installed.
    for stamp in (".uv", ".runtime", ".development"):
        (venv / stamp).touch()
    return folder


class Server:
    """A command that goes on, as a process group of its own. Ended when the block ends."""

    def __init__(self, command: str, folder: Path, variables: Mapping[str, str]) -> None:
        """Starts it on free ports; `wait` waits until it answers."""
        self.ports = free_ports((5000, 8000))
        self._stack = "make stack" in command
        self._log = folder / f"server-{self.ports[5000]}.log"
        given = {"MGEO_PORT": str(self.ports[5000]), "MGEO_METRICS_PORT": str(self.ports[8000])}
        if self._stack:
            given = {"STACK": "--free-ports"}
        with self._log.open("w") as log:
            self._process = subprocess.Popen(
                ["bash", "-c", command],
                cwd=folder,
                env={**variables, **given},
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def wait(self, seconds: float = 100.0) -> None:
        """Wait until it answers.

        Raises:
            AssertionError: It has ended, or did not answer in time; with what it printed.
        """
        clock = RunningClock()
        while not self._answers():
            told = self._log.read_text("utf-8")
            assert self._process.poll() is None, told
            assert clock.seconds() < seconds, told
            time.sleep(0.1)

    def _answers(self) -> bool:
        if self._stack:
            told = self._log.read_text("utf-8")
            for name, at in re.findall(r"^stack: (\w+): http://127\.0\.0\.1:(\d+)$", told, re.M):
                self.ports[_PORTS[name]] = int(at)
            return "Ctrl-C stops everything" in told
        try:
            url = f"http://127.0.0.1:{self.ports[8000]}/readyz"
            with urllib.request.urlopen(url, timeout=60):
                return True
        except (urllib.error.URLError, OSError):
            return False

    def stop(self) -> None:
        """Ctrl-C for all of the group, and the end of it in any case."""
        for number, seconds in ((signal.SIGINT, 40), (signal.SIGKILL, 10)):
            if self._process.poll() is None:
                os.killpg(self._process.pid, number)
                try:
                    self._process.wait(seconds)
                except subprocess.TimeoutExpired:
                    continue


class Shell:
    """One reader's shell: what a command assigns, and where it goes, the next one finds.

    Attributes:
        folder: Where it begins: a workspace.
    """

    def __init__(self, folder: Path, shared: Server | None = None) -> None:
        """Opens the shell beside `shared`, a service that runs already."""
        self.folder = folder
        self._servers: list[Server] = []
        self._shared = shared
        self._state = folder / ".state"
        self._state.write_text("")
        inherited = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("MGEO_", "OTEL_", "MAKE", "MFLAGS"))
        }
        self.variables = {
            **inherited,
            "PATH": f"{folder / '.venv' / 'bin'}:{os.environ['PATH']}",
            "MGEO_BACKEND": "openvino-f32",
            # In the place of `pip install ./packages/client`.
            "PYTHONPATH": str(ROOT / "packages" / "client"),
            # The pages ask VictoriaLogs for log lines.
            "LOKI": "",
        }

    def serve(self, command: str) -> None:
        """Start a command that goes on, and wait until it answers."""
        server = Server(command, self.folder, self.variables)
        self._servers.append(server)
        server.wait()

    def run(self, command: str, seconds: float = SECONDS) -> subprocess.CompletedProcess[str]:
        """Run one command or script to its end, in bash."""
        script = (
            f'set -a; . "{self._state}"; cd "${{PWD:-.}}"; set -euo pipefail\n'
            f"trap 'export -p > \"{self._state}\"' EXIT\n{self.addressed(command)}\n"
        )
        return self._finish(["bash", "-c", script], seconds)

    def program(self, text: str, seconds: float = SECONDS) -> subprocess.CompletedProcess[str]:
        """Run a Python program to its end."""
        return self._finish([sys.executable, "-W", "ignore", "-c", self.addressed(text)], seconds)

    def addressed(self, text: str) -> str:
        """`text` with the ports that the programs it speaks of have here."""
        ports = self._shared.ports if self._shared else {}
        for server in self._servers:
            ports = ports | server.ports
        return re.sub(
            r"(127\.0\.0\.1|localhost):(\d+)",
            lambda found: f"{found[1]}:{ports.get(int(found[2]), int(found[2]))}",
            text,
        )

    def close(self) -> None:
        """Stop what was started, last started first."""
        for server in reversed(self._servers):
            server.stop()

    def _finish(self, line: list[str], seconds: float) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            line,
            cwd=self.folder,
            env=self.variables,
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
        )
