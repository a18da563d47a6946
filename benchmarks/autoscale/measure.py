"""How fast one replica answers, measured: what the simulation's queueing model stands on.

One replica on one core, its client on the others: closed loop for the rate at which it is full
(answers a second of processor time, so that what else the machine does counts little), then open
loop (requests arrive at random, whether or not earlier ones are answered) at shares of
that rate, for the waiting that the model has to reproduce. Without the cache of results, but for
the last figure, which is the rate with everything in it: what HTTP alone allows.
"""

from __future__ import annotations

import http.client
import json
import os
import random
import re
import shutil
import statistics
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save_file

from benchmarks import machine, overhead
from benchmarks.figures import percentile
from benchmarks.processes import processor_seconds
from service.scoring.architecture import tensor_shapes
from service.scoring.weights import PREFIX
from tools.load import pair, run

PUBLISHED_SIZE = "published-size"
"""A model of the published MGeo's size with random weights: as fast, and of no use otherwise."""

BACKEND = "openvino-f32"
"""As in the Deployment."""

SHARES = (0.3, 0.5, 0.7, 0.85)
"""Of the full rate, at which waiting is measured."""

ROUNDS = 3
"""Of each such measurement; the median counts, so that one that something else disturbed does not.
"""

_BUNDLED = Path(__file__).parent.parent.parent / "service" / "models" / "default"
_PUBLISHED = {
    "vocab_size": 21128, "hidden_size": 768, "num_hidden_layers": 12, "num_attention_heads": 12,
    "intermediate_size": 3072, "max_position_embeddings": 512, "type_vocab_size": 2,
    "fusion_layer": 12, "encoder_width": 768,
}  # fmt: skip


@contextmanager
def directory(model: str) -> Iterator[str]:
    """What `MGEO_MODEL` is to be for `model`; one of the published size is made up and removed."""
    if model != PUBLISHED_SIZE:
        yield model
        return
    with tempfile.TemporaryDirectory(prefix="mgeo-size-") as folder:
        path = Path(folder)
        config = json.loads((_BUNDLED / "config.json").read_text("utf-8")) | _PUBLISHED
        (path / "config.json").write_text(json.dumps(config), "utf-8")
        shutil.copy(_BUNDLED / "configuration.json", path)
        words = (_BUNDLED / "vocab.txt").read_text("utf-8").splitlines()
        words += [f"[unused-{k}]" for k in range(_PUBLISHED["vocab_size"] - len(words))]
        (path / "vocab.txt").write_text("\n".join(words) + "\n", "utf-8")
        source = np.random.default_rng(0)
        tensors = {
            name.replace("bert.", PREFIX, 1): source.normal(0, 0.02, shape).astype(np.float32)
            for name, shape in tensor_shapes(_PUBLISHED, labels=3).items()
        }
        save_file(tensors, path / "model.safetensors")
        yield folder


@contextmanager
def _client_cores() -> Iterator[tuple[str, ...]]:
    """Keeps this process off one core; gives the command that puts another process there."""
    cores = os.sched_getaffinity(0)
    if len(cores) < 2:
        raise SystemExit("two cores are needed: one for the replica, one for its client")
    os.sched_setaffinity(0, sorted(cores)[1:])
    try:
        yield "taskset", "-c", str(min(cores))
    finally:
        os.sched_setaffinity(0, cores)


def measure(model: str, seconds: float) -> dict[str, Any]:
    """All figures of one model on one core of this machine.

    Args:
        model: As in `MGEO_MODEL`, or `published-size`.
        seconds: Length of each of the measurements.
    """
    with _client_cores() as pin, directory(model) as path:
        return _uncached(model, path, pin, seconds) | {
            "cached_requests_per_second": _cached(path, pin, seconds)
        }


def _uncached(model: str, path: str, pin: tuple[str, ...], seconds: float) -> dict[str, Any]:
    wrapper = ("env", "MGEO_CACHE_PAIRS=0", f"MGEO_BACKEND={BACKEND}", *pin)
    with overhead.service(path, *wrapper) as (predictions, operations, pid):
        overhead.wait_ready(operations)
        url = f"http://{predictions}/predict"
        run(url, requests=10**9, concurrency=8, seconds=min(3.0, seconds))
        alone = run(url, requests=10**9, concurrency=1, seconds=seconds)
        begun = processor_seconds(pid)
        full = run(url, requests=10**9, concurrency=32, seconds=seconds)
        rate = full.answered / (processor_seconds(pid) - begun)
        points = []
        for share in SHARES:
            rounds = [open_loop(predictions, share * rate, seconds, k) for k in range(ROUNDS)]
            points.append({
                "share": share,
                "requests_per_second": round(share * rate, 1),
                "p50_ms": statistics.median(_quantile(latencies, 0.5) for latencies in rounds),
                "p95_ms": statistics.median(_quantile(latencies, 0.95) for latencies in rounds),
            })  # fmt: skip
        exposed = _exposed(operations)
        tokens = _sum(exposed, 'mgeo_batch_tokens_total{kind="real"}')
        return {
            "model": model,
            "machine": _machine(),
            "cores_per_replica": 1,
            "backend": BACKEND,
            "requests_per_second": round(rate, 1),
            "alone_p50_ms": _quantile(alone.seconds, 0.5),
            "alone_p95_ms": _quantile(alone.seconds, 0.95),
            "tokens_per_pair": round(tokens / _sum(exposed, "mgeo_prediction_total"), 1),
            "memory_mb": overhead.resident_mb(pid),
            "load_seconds": round(_sum(exposed, "mgeo_model_load_duration_seconds"), 2),
            "open_loop": points,
        }


def _cached(path: str, pin: tuple[str, ...], seconds: float) -> float:
    """Requests a second when each is answered from the cache: the same few pairs all the time."""
    wrapper = ("env", f"MGEO_BACKEND={BACKEND}", *pin)
    with overhead.service(path, *wrapper) as (predictions, operations, pid):
        overhead.wait_ready(operations)
        answered = [0] * 32
        deadline = time.monotonic() + seconds

        def worker(number: int) -> None:
            client = overhead.Client(predictions)
            while time.monotonic() < deadline:
                client.predict(overhead.PAIRS[answered[number] % len(overhead.PAIRS)])
                answered[number] += 1

        begun = processor_seconds(pid)
        threads = [threading.Thread(target=worker, args=(n,)) for n in range(len(answered))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return round(sum(answered) / (processor_seconds(pid) - begun), 1)


def open_loop(
    address: str, rate: float, seconds: float, seed: int, connections: int = 48
) -> list[float]:
    """Latencies in seconds of requests that arrive at random, `rate` a second on average.

    Each is counted from the moment it was due, so that a client that is late hides no waiting.
    """
    source = random.Random(seed)  # noqa: S311 - arrivals, no secrets
    due, at = [], 0.0
    while at < seconds:
        at += source.expovariate(rate)
        due.append(at)
    tickets = iter(due)
    lock = threading.Lock()
    latencies: list[float] = []
    started = time.perf_counter()

    def worker(number: int) -> None:
        pairs = random.Random(1000 * seed + number)  # noqa: S311 - addresses, no secrets
        host, _, port = address.rpartition(":")
        connection = http.client.HTTPConnection(host, int(port), timeout=60)
        while True:
            with lock:
                ticket = next(tickets, None)
            if ticket is None:
                break
            body = json.dumps(pair(pairs))
            time.sleep(max(0.0, started + ticket - time.perf_counter()))
            connection.request("POST", "/predict", body, {"Content-Type": "application/json"})
            answer = connection.getresponse()
            answer.read()
            if answer.status != 200:
                raise SystemExit(f"the service answered {answer.status}")
            with lock:
                latencies.append(time.perf_counter() - started - ticket)
        connection.close()

    threads = [threading.Thread(target=worker, args=(n,)) for n in range(connections)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return latencies


def _quantile(seconds: list[float], share: float) -> float:
    """In milliseconds."""
    return round(percentile(seconds, share) * 1e3, 2)


def _exposed(operations: str) -> str:
    connection = http.client.HTTPConnection(operations, timeout=10)
    connection.request("GET", "/metrics")
    return connection.getresponse().read().decode()


def _sum(text: str, series: str) -> float:
    """The sum of the series that begin like `series`."""
    pattern = rf"^{re.escape(series)}(?:{{.*}})? (\S+)"
    return sum(float(value) for value in re.findall(pattern, text, re.MULTILINE))


def _machine() -> str:
    return f"{machine.cpu()}, one core of {os.cpu_count()}"
