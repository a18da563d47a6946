"""What a device gives at most: the engine alone, then by HTTP, and single requests at half load.

    python -m benchmarks.saturation --model DIRECTORY --device cuda

The engine is the service's own queue, batching and backend, in this process, with jobs of 256 pairs
that are tokenised before. The service then runs beside a load generator, with no telemetry pushed:
batches of 256 pairs, and single pairs at half the rate that a closed loop of them reached. No pair
is sent twice.

For a model of the published size: the weights do not matter, see benchmarks/checkpoint.py.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections import deque
from pathlib import Path

from benchmarks import machine
from benchmarks.contenders import RunningServer, service
from benchmarks.figures import percentile
from benchmarks.load import Measurement, Workload
from benchmarks.pairs import pairs
from benchmarks.processes import end_what_was_started
from service.lifecycle import Lifecycle, State
from service.recorder import Recorder
from service.scoring import model as models
from service.scoring.engine import Engine
from service.scoring.job import Job
from service.scoring.queue import PairQueue
from service.settings import Settings
from telemetry import setup

_PAIRS = 256
"""Of a job and of a request: the most that a request may hold."""

_JOBS = 16
"""Jobs that wait or are computed at any time."""

_DIFFERENT = 16_384
"""Pairs that the engine is given, again and again: it has no cache here."""

_START_SECONDS = 600.0


def engine(settings: Settings, seconds: float) -> str:
    """Pairs a second of the engine alone, after as long again to warm up."""
    os.environ["OTEL_SDK_DISABLED"] = "true"
    telemetry = setup.start(service_version="benchmark", instance_id="benchmark")
    queue = PairQueue(max_pairs=10**6, max_tokens=10**9)
    lifecycle = Lifecycle()
    subject = Engine(
        lambda progress: models.load(settings, progress, serves=True),
        queue,
        lifecycle,
        Recorder(telemetry),
    )
    subject.start()
    lifecycle.wait_while(State.STARTING, timeout=_START_SECONDS)
    model = subject.model
    if model is None:
        raise SystemExit(f"the model was not loaded: {lifecycle.error}")
    encoded = model.tokenizer.encode(pairs(0, _DIFFERENT))
    jobs: deque[Job] = deque()
    begun = counted_from = time.perf_counter()
    turn = done = 0
    while (now := time.perf_counter()) - begun < 2 * seconds:
        while len(jobs) < _JOBS:
            first = turn * _PAIRS % _DIFFERENT
            jobs.append(Job(encoded[first : first + _PAIRS]))
            queue.put(jobs[-1])
            turn += 1
        if not (jobs[0].wait(_START_SECONDS) and not jobs[0].errors):
            raise SystemExit("the engine did not score a job")
        jobs.popleft()
        if now - begun < seconds:
            counted_from, done = time.perf_counter(), 0
        else:
            done += _PAIRS
    rate = done / (time.perf_counter() - counted_from)
    subject.stop(_START_SECONDS)
    telemetry.shutdown(5.0)
    return f"engine alone, {model.backend.name} on {model.backend.device}: {rate:,.0f} pairs/s"


def by_http(server: RunningServer, seconds: float) -> list[str]:
    """The same by HTTP: batches at saturation, single requests at saturation and at half of it."""
    many = Workload(
        port=server.port, path="/predict/batch", kind="batch", pairs_per_request=_PAIRS, first=0,
        concurrency=8, rate=None, ramp=seconds / 4, seconds=seconds, drain=30.0,
    )  # fmt: skip
    batches = server.load(many)
    first = many.pairs_per_request * batches.sent
    closed = server.load(_single(server, first, None, seconds))
    rate = closed.completed / closed.counted
    half = server.load(_single(server, first + closed.sent, rate / 2, seconds))
    return [
        f"/predict/batch, 8 clients of {_PAIRS} pairs: "
        f"{_PAIRS * batches.completed / batches.counted:,.0f} pairs/s, {_ms(batches)}",
        f"/predict, 64 clients: {rate:,.0f} requests/s, {_ms(closed)}",
        f"/predict, {rate / 2:,.0f} requests/s: {_ms(half)}",
    ]


def _single(server: RunningServer, first: int, rate: float | None, seconds: float) -> Workload:
    return Workload(
        port=server.port, path="/predict", kind="single", pairs_per_request=1, first=first,
        concurrency=64, rate=rate, ramp=seconds / 4, seconds=seconds, drain=10.0,
    )  # fmt: skip


def _ms(result: Measurement) -> str:
    p50, p99 = (percentile(result.latencies, share) * 1e3 for share in (0.5, 0.99))
    return f"p50 {p50:.1f} ms, p99 {p99:.1f} ms, statuses {result.statuses}"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.saturation", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--model", default="bundled")
    parser.add_argument("--backend", default="auto")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--seconds", type=float, default=10.0, help="of each measurement")
    options = parser.parse_args()
    end_what_was_started()
    print(machine.in_a_line())
    how = {"model": options.model, "backend": options.backend, "device": options.device}
    with tempfile.TemporaryDirectory() as logs:
        flags = [part for name, value in how.items() for part in (f"--{name}", value)]
        server = RunningServer(service("service", *flags), Path(logs))
        try:
            print("\n".join(by_http(server, options.seconds)))
        finally:
            server.process.end()
    print(engine(Settings(**how), options.seconds))


if __name__ == "__main__":
    main()
