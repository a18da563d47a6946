"""Whether the service grows: memory, descriptors and threads over an hour of steady load.

`python -m benchmarks.soak` serves the bundled model with full telemetry and every request sampled,
measures how many requests it answers as fast as it can, and then sends a share of that at an even
pace. No pair comes twice, so that the cache, too, fills up and turns over. Growth is counted from
the tenth minute on: what is kept on purpose (cache, recent requests, metrics' series) is full then.
The cache is smaller than the service's own: one of 32,768 pairs fills for half an hour at 16
requests a second, and what it keeps of each would look like a leak.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import psutil

from benchmarks.contenders import free_ports
from benchmarks.figures import percentile
from benchmarks.overhead import service, wait_ready
from benchmarks.processes import end_what_was_started
from tools import load

_CLIENTS = 16
_CAPACITY_SECONDS = 20.0


@dataclass(frozen=True, slots=True)
class Sample:
    """The process at one moment.

    Attributes:
        minute: Since the load began.
        memory: Resident bytes.
        descriptors: Open file descriptors.
        threads: Threads.
    """

    minute: float
    memory: int
    descriptors: int
    threads: int


def growth(samples: Sequence[Sample], settled: float) -> tuple[float, float]:
    """Growth of memory as a share, and of descriptors in number, since the minute `settled`.

    Both are medians of the last fifth of the time after it against the first fifth: one scrape more
    or less in the moment of a sample is no growth.
    """
    after = [sample for sample in samples if sample.minute >= settled]
    few = max(1, len(after) // 5)

    def change(values: list[int]) -> tuple[float, float]:
        return statistics.median(values[:few]), statistics.median(values[-few:])

    memory_before, memory_after = change([sample.memory for sample in after])
    open_before, open_after = change([sample.descriptors for sample in after])
    return memory_after / memory_before - 1, open_after - open_before


def watched(pid: int, minutes: float, every: float) -> list[Sample]:
    """Samples of a process, one each `every` seconds."""
    process, samples, begun = psutil.Process(pid), [], time.monotonic()
    while (passed := time.monotonic() - begun) < minutes * 60:
        samples.append(
            Sample(passed / 60, process.memory_info().rss, process.num_fds(), process.num_threads())
        )
        if len(samples) % 20 == 1:
            last = samples[-1]
            print(
                f"minute {last.minute:4.1f}: {last.memory / 1e6:.1f} MB, "
                f"{last.descriptors} descriptors, {last.threads} threads",
                flush=True,
            )
        time.sleep(every)
    return samples


def soak(model: str, minutes: float, settled: float, share: float, cache_pairs: int) -> bool:
    """Run it and print; whether it has not grown.

    Raises:
        SystemExit: The cache would not be full yet when growth begins to be counted.
    """
    [port] = free_ports(1)
    with subprocess.Popen(  # noqa: S603
        [sys.executable, "-m", "benchmarks.sink", str(port)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as sink:
        assert sink.stdout is not None
        sink.stdout.readline()
        environment = {
            "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{port}",
            "OTEL_TRACES_SAMPLER": "parentbased_always_on",
            "MGEO_CACHE_PAIRS": str(cache_pairs),
        }
        with service(model, "env", *(f"{k}={v}" for k, v in environment.items())) as running:
            predictions, operations, pid = running
            wait_ready(operations)
            url = f"http://{predictions}/predict"
            fast = load.run(url, requests=10**9, concurrency=_CLIENTS, seconds=_CAPACITY_SECONDS)
            rate = share * fast.answered / _CAPACITY_SECONDS
            print(f"capacity {fast.answered / _CAPACITY_SECONDS:.0f} requests/s, "
                  f"load {rate:.0f} requests/s for {minutes:g} minutes")  # fmt: skip
            if (by_then := fast.answered + rate * settled * 60) < cache_pairs:
                raise SystemExit(
                    f"only {by_then:.0f} pairs by minute {settled:g}, and the cache keeps "
                    f"{cache_pairs}: give a later --settled, or a smaller --cache-pairs"
                )
            results: list[load.LoadSummary] = []
            sender = threading.Thread(
                target=lambda: results.append(
                    load.run(url, requests=10**9, concurrency=_CLIENTS, rate=rate,
                             seconds=minutes * 60)
                )
            )  # fmt: skip
            sender.start()
            samples = watched(pid, minutes, every=3)
            sender.join()
        sink.communicate("", timeout=30)
    [result] = results
    memory, descriptors = growth(samples, settled)
    print(
        f"{result.answered} answers {dict(Counter(result.statuses))}, "
        f"P50 {percentile(result.seconds, 0.5) * 1e3:.1f} ms, "
        f"P99 {percentile(result.seconds, 0.99) * 1e3:.1f} ms\n"
        f"since minute {settled:g}: memory {memory:+.2%}, descriptors {descriptors:+.0f}; "
        f"largest {max(s.memory for s in samples) / 1e6:.1f} MB, "
        f"{max(s.threads for s in samples)} threads"
    )
    return memory <= 0.02 and descriptors <= 0 and set(result.statuses) == {200}


def main() -> int:
    """Measure; 0 if memory grew by at most 2 %, descriptors by none, and every request got 200."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="bundled")
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--settled", type=float, default=10, help="minutes left out of account")
    parser.add_argument("--share", type=float, default=0.7, help="of the capacity")
    parser.add_argument("--cache-pairs", type=int, default=4096, help="pairs that the cache keeps")
    options = parser.parse_args()
    end_what_was_started()
    return int(not soak(**vars(options)))


if __name__ == "__main__":
    sys.exit(main())
