"""Ten times the load that the service can bear: what it still answers in time, and how it refuses.

    python -m benchmarks.overload --model DIRECTORY

A closed loop finds out how many pairs a second the service scores. An open loop then sends ten
times as many, whatever becomes of them, each with a deadline in its header. Single-pair requests;
no pair is sent twice. The load generator shares the machine with the service, and takes from it.

For a model of the published size: the weights do not matter, see benchmarks/checkpoint.py.
"""

from __future__ import annotations

import argparse
import tempfile
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.contenders import RunningServer, finish, service
from benchmarks.figures import percentile
from benchmarks.load import Measurement, Workload
from benchmarks.processes import Measured, end_what_was_started
from service.http.request_context import HEADER

_TIMES = 10
_CONCURRENCY = 32
_DRAIN_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Overload:
    """What came of it.

    Attributes:
        capacity: Pairs a second in a closed loop.
        result: Of the open loop.
        deadline: Seconds that each of its requests waited, by its header.
        memory: Resident bytes of the service, once a second while the open loop ran.
    """

    capacity: float
    result: Measurement
    deadline: float
    memory: Sequence[int]

    @property
    def goodput(self) -> float:
        """Answers a second that came within the deadline."""
        in_time = sum(seconds <= self.deadline for seconds in self.result.latencies)
        return in_time / self.result.counted

    def figures(self) -> str:
        """Everything, for people."""
        result = self.result
        settled = self.memory[len(self.memory) // 6 :]
        lines = [
            f"capacity: {self.capacity:.1f} pairs a second",
            f"sent: {result.sent / result.wall:.0f} a second, with a deadline of "
            f"{self.deadline:g} s: {result.statuses}, unanswered {result.unanswered}",
            f"in time: {self.goodput:.1f} a second, {self.goodput / self.capacity:.0%} of capacity",
            f"answered 200: p50 {_ms(result.latencies, 0.5)}, p99 {_ms(result.latencies, 0.99)}",
            f"refused 429: p50 {_ms(result.refusals, 0.5)}, p99 {_ms(result.refusals, 0.99)}",
            f"memory: {settled[0] / 1e6:.0f} MB after a sixth of the time, at most "
            f"{max(settled) / 1e6:.0f} MB, {settled[-1] / 1e6:.0f} MB at the end",
            f"load generator: {result.cpu / result.wall:.2f} cores, p99 of its own lateness "
            f"{result.late * 1e3:.1f} ms",
        ]
        return "\n".join(lines)


def _ms(values: Sequence[float], share: float) -> str:
    return f"{percentile(values, share) * 1e3:.1f} ms" if values else "none"


def measure(server: RunningServer, *, seconds: float, deadline: float) -> Overload:
    """Capacity first, then ten times that for `seconds`."""
    job = Workload(
        port=server.port, path="/predict", kind="single", pairs_per_request=1, first=0,
        concurrency=_CONCURRENCY, rate=None, ramp=5.0, seconds=min(20.0, seconds), drain=5.0,
    )  # fmt: skip
    closed = server.load(job)
    capacity = closed.completed / closed.counted
    flood = Workload(
        port=server.port, path="/predict", kind="single", pairs_per_request=1, first=closed.sent,
        concurrency=_CONCURRENCY, rate=_TIMES * capacity, ramp=5.0, seconds=seconds,
        drain=_DRAIN_SECONDS, headers={HEADER: str(round(deadline * 1000))},
    )  # fmt: skip
    with _Memory(server.process) as memory:
        result = finish(server.start_load(flood), flood)
    return Overload(capacity, result, deadline, memory.bytes)


class _Memory:
    """Reads a process's resident memory once a second, within its block."""

    def __init__(self, process: Measured) -> None:
        self._process = process
        self.bytes: list[int] = []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._read, daemon=True)

    def __enter__(self) -> _Memory:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _read(self) -> None:
        while True:
            self.bytes.append(self._process.memory()[0])
            if self._stop.wait(1.0):
                return


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.overload", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--model", required=True)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--deadline", type=float, default=1.0, help="of each request, in seconds")
    options = parser.parse_args()
    end_what_was_started()
    with tempfile.TemporaryDirectory() as logs:
        server = RunningServer(service("service", "--model", options.model), Path(logs))
        try:
            print(measure(server, seconds=options.seconds, deadline=options.deadline).figures())
        finally:
            server.process.end()


if __name__ == "__main__":
    main()
