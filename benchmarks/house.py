"""What the service's house costs beside Flask on stock waitress: ratios of one run.

`python -m benchmarks.house` serves constants by this service, with telemetry off and with every
request sampled and exported, and by Flask alone; it loads each in turn, several rounds, the others
frozen meanwhile. Printed is the median over the rounds: of the service's share of Flask's requests
a second, for one client of how many times Flask's median latency its own is, and of how many times
Flask's processor time a request takes, which a busy machine bends least.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from benchmarks.contenders import (
    ALL,
    OFF,
    RunningServer,
    flask_alone,
    free_ports,
    service,
    telemetry,
)
from benchmarks.load import Measurement, Workload

_CASES = {
    "/predict, 16 clients": ("/predict", 1, 16),
    "/predict/batch of 16, 4 clients": ("/predict/batch", 16, 4),
    "/predict, 1 client": ("/predict", 1, 1),
}
_NOOP = ("benchmarks.noop",)


def _job(case: str, server: RunningServer, seconds: float, first: int) -> Workload:
    path, pairs, clients = _CASES[case]
    return Workload(
        port=server.port, path=path, kind="batch" if pairs > 1 else "single",
        pairs_per_request=pairs, first=first, concurrency=clients, rate=None, ramp=seconds / 4,
        seconds=seconds, drain=5,
    )  # fmt: skip


def _figure(case: str, result: Measurement) -> float:
    if case.endswith("1 client"):
        return statistics.median(result.latencies)
    return result.completed / result.counted


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.house", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=3.0, help="of each load")
    asked = parser.parse_args(arguments)
    [port] = free_ports(1)
    ratios: dict[tuple[str, str], list[float]] = {}
    sink = subprocess.Popen(  # noqa: S603
        [sys.executable, "-m", "benchmarks.sink", str(port)],
        stdin=subprocess.PIPE, stdout=subprocess.DEVNULL,
    )  # fmt: skip
    servers: dict[str, RunningServer] = {}
    with tempfile.TemporaryDirectory() as logs:
        try:
            exported = telemetry(1.0, f"http://127.0.0.1:{port}")
            for name, contender in (
                ("Flask", flask_alone()),
                (OFF, service("off", module=_NOOP)),
                (ALL, service("all", module=_NOOP, telemetry=exported)),
            ):
                servers[name] = RunningServer(contender, Path(logs))
                servers[name].process.freeze()
            for number in range(asked.rounds):
                for case in _CASES:
                    figures, costs = {}, {}
                    # In another order each time: whoever comes first finds a cooler machine.
                    for name in sorted(servers, reverse=bool(number % 2)):
                        server = servers[name]
                        server.process.thaw()
                        job = _job(case, server, asked.seconds, first=number * 100_000)
                        before = server.process.cpu()
                        result = server.load(job)
                        figures[name] = _figure(case, result)
                        costs[name] = (server.process.cpu() - before) / max(1, result.sent)
                        server.process.freeze()
                    for name in (OFF, ALL):
                        ratio = figures[name] / figures["Flask"]
                        ratios.setdefault((case, name), []).append(ratio)
                        cost = costs[name] / costs["Flask"]
                        ratios.setdefault((f"{case}, processor time", name), []).append(cost)
        finally:
            for server in servers.values():
                server.process.end()
            sink.terminate()
            sink.wait(10)
    for (case, name), found in ratios.items():
        low, high = min(found), max(found)
        print(f"{case}, {name}: {statistics.median(found):.2f} ({low:.2f} to {high:.2f})")
    return 0


if __name__ == "__main__":
    sys.exit(main())
