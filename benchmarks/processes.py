"""A measured process and its children: started, frozen while others are measured, accounted for."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import psutil

ROOT = Path(__file__).parents[1]

_START_SECONDS = 240.0
_STOP_SECONDS = 20.0


class BenchmarkError(Exception):
    """A contender cannot be measured; the message says why in one line."""


def end_what_was_started() -> None:
    """Have SIGTERM raise `SystemExit`, so that a command ends what it has started."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))


def processor_seconds(pid: int) -> float:
    """Processor time that a process has used."""
    # The command's name is in brackets, and may hold spaces.
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class Measured:
    """A process with all its descendants.

    While others are measured it is frozen by SIGSTOP: a server that polls or spins when idle
    costs its neighbours nothing, and none has to be started anew in each round.

    Args:
        name: For messages and the log file's name.
        command: Command line.
        environment: Added to this process's own, less all `OTEL_*` and `MGEO_*`.
        log: File that gets what it writes.
        piped: Whether its standard input and output are pipes to this process.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        environment: Mapping[str, str],
        log: Path,
        *,
        piped: bool = False,
    ) -> None:
        self.name, self.log = name, log
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("OTEL_", "MGEO_"))}
        with log.open("wb") as file:
            self.process = subprocess.Popen(  # noqa: S603
                command,
                cwd=ROOT,
                env={**kept, "PYTHONPATH": str(ROOT), **environment},
                stdin=subprocess.PIPE if piped else subprocess.DEVNULL,
                stdout=subprocess.PIPE if piped else file,
                stderr=file,
                start_new_session=True,
            )
        self._root = psutil.Process(self.process.pid)

    def wait_ready(self, ready: Callable[[], bool]) -> None:
        """Wait until `ready`.

        Raises:
            BenchmarkError: It ended before that, or took too long.
        """
        deadline = time.monotonic() + _START_SECONDS
        while not ready():
            if self.process.poll() is not None:
                raise BenchmarkError(f"{self.name} ended at its start: {self._last_words()}")
            if time.monotonic() > deadline:
                raise BenchmarkError(f"{self.name} was not ready within {_START_SECONDS:.0f} s")
            time.sleep(0.01)

    def tree(self) -> list[psutil.Process]:
        """The process and its descendants."""
        return [self._root, *self._root.children(recursive=True)]

    def cpu(self) -> float:
        """CPU seconds, user and system, of the tree and of its ended children."""
        total = 0.0
        for process in self.tree():
            try:
                times = process.cpu_times()
            except psutil.NoSuchProcess:
                continue
            total += times.user + times.system
            total += times.children_user + times.children_system
        return total

    def memory(self) -> tuple[int, int]:
        """Resident and proportional set size of the tree, in bytes."""
        resident = proportional = 0
        for process in self.tree():
            try:
                information = process.memory_full_info()
            except psutil.NoSuchProcess:
                continue
            resident += information.rss
            proportional += information.pss
        return resident, proportional

    def freeze(self) -> None:
        """Stop the tree from running."""
        for process in self.tree():
            process.suspend()

    def thaw(self) -> None:
        """Let the tree run again. Children first: a parent must not find them stopped."""
        for process in reversed(self.tree()):
            process.resume()

    def end(self) -> None:
        """End the tree at once: nobody needs its farewells, and some take minutes over them."""
        processes = self.tree() if self.process.poll() is None else []
        for process in processes:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        psutil.wait_procs(processes, _STOP_SECONDS)
        self.process.wait(_STOP_SECONDS)

    def _last_words(self) -> str:
        lines = self.log.read_text("utf-8", "replace").strip().splitlines()
        return (lines[-1] if lines else "it wrote nothing") + f" (all of it: {self.log})"


def busy_seconds() -> float:
    """CPU seconds that all processors together have spent on anything, stolen time included."""
    times = psutil.cpu_times()
    return float(sum(times) - times.idle - times.iowait - times.guest - times.guest_nice)
