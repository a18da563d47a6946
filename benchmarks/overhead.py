"""Start-up, memory, and what HTTP adds to the bare model at concurrency 1.

`python -m benchmarks.overhead` starts the service as a process of its own several times, and then
sends it one request at a time, each followed by the same pair through the bare model here: the two
see the same machine, and medians are compared.
"""

from __future__ import annotations

import argparse
import http.client
import json
import re
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from benchmarks import machine
from benchmarks.processes import end_what_was_started

PAIRS = [
    ("杭州市西湖区文三路478号华星时代广场A座", "文三路478号华星时代广场"),
    ("栖霞区仙林街道文枢东路2号商住楼4楼", "栖霞区文枢东路2号书店"),
    ("朝阳区建国路88号现代城5号楼1203室", "建国路88号现代城(5号楼)"),
    ("金桥大道绿色新都116栋2单元", "金桥大道46号绿色新都120幢"),
]
"""Made up for this, at the length of real ones."""


@contextmanager
def service(model: str, *wrapper: str) -> Iterator[tuple[str, str, int]]:
    """A running `serve`: its two addresses and its process id.

    Args:
        model: As in `MGEO_MODEL`.
        wrapper: A command that becomes the service, such as `taskset -c 0`.
    """
    command = [*wrapper, sys.executable, "-m", "service", "serve", "--model", model, "--port", "0",
               "--metrics-port", "0"]  # fmt: skip
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)  # noqa: S603
    assert process.stderr is not None
    addresses: dict[str, str] = {}
    for line in process.stderr:
        entry = json.loads(line)
        if "listener" in entry:
            addresses[entry["listener"]] = entry["bound"]
        if len(addresses) == 2:
            break
    else:
        raise SystemExit("the service did not start")
    rest = threading.Thread(target=process.stderr.read, daemon=True)  # keep its pipe empty
    rest.start()
    try:
        yield addresses["predictions"], addresses["operations"], process.pid
    finally:
        process.terminate()
        process.wait(30)


def get(address: str, path: str) -> int:
    """Status of one GET."""
    connection = http.client.HTTPConnection(address, timeout=10)
    try:
        connection.request("GET", path)
        return connection.getresponse().status
    finally:
        connection.close()


def wait_ready(operations: str) -> None:
    """Return once the service answers predictions."""
    while get(operations, "/readyz") != 200:
        time.sleep(0.02)


def resident_mb(pid: int) -> int:
    """Resident memory of a process, in MB (10^6 bytes)."""
    status = Path(f"/proc/{pid}/status").read_text()
    match = re.search(r"VmRSS:\s+(\d+) kB", status)
    assert match
    return int(match[1]) * 1024 // 1_000_000


def startup(model: str, runs: int) -> None:
    """Time from the command to readiness, and memory after the first answers."""
    seconds, memory = [], []
    for _ in range(runs):
        begun = time.perf_counter()
        with service(model) as (predictions, operations, pid):
            wait_ready(operations)
            seconds.append(time.perf_counter() - begun)
            client = Client(predictions)
            for pair in PAIRS * 25:
                client.predict(pair)
            memory.append(resident_mb(pid))
    print(f"start to ready: median {statistics.median(seconds):.2f} s "
          f"(min {min(seconds):.2f}, max {max(seconds):.2f}, {runs} runs)")  # fmt: skip
    print(f"resident memory after 100 answers: median {statistics.median(memory):.0f} MB")


class Client:
    """One kept-alive connection."""

    def __init__(self, address: str) -> None:
        parts = urlsplit(f"//{address}")
        self._connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=30)

    def predict(self, pair: tuple[str, str]) -> float:
        """Score one pair; returns the seconds it took, the answer read and decoded."""
        body = json.dumps({"address1": pair[0], "address2": pair[1]})
        begun = time.perf_counter()
        self._connection.request("POST", "/predict", body, {"Content-Type": "application/json"})
        answer = self._connection.getresponse()
        json.loads(answer.read())
        if answer.status != 200:
            raise SystemExit(f"the service answered {answer.status}")
        return time.perf_counter() - begun


def overhead(model: str, rounds: int) -> None:
    """Median of a request over HTTP against the bare model, in turn."""
    from service.scoring.model import load
    from service.settings import Settings

    bare = load(Settings(model=model), lambda stage, progress: None)
    http_seconds, bare_seconds = [], []
    with service(model) as (predictions, operations, _):
        wait_ready(operations)
        client = Client(predictions)
        for turn in range(rounds + 50):
            pair = PAIRS[turn % len(PAIRS)]
            over_http = client.predict(pair)
            begun = time.perf_counter()
            bare.backend.predict(bare.tokenizer.encode([pair]))
            alone = time.perf_counter() - begun
            if turn >= 50:
                http_seconds.append(over_http)
                bare_seconds.append(alone)
    over, under = (statistics.median(s) * 1e3 for s in (http_seconds, bare_seconds))
    print(f"one pair over HTTP: median {over:.2f} ms; bare model, tokenising included: "
          f"{under:.2f} ms; overhead {over - under:.2f} ms ({rounds} rounds in turn)")  # fmt: skip


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="bundled")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--rounds", type=int, default=1000)
    arguments = parser.parse_args()
    end_what_was_started()
    print(machine.in_a_line())
    startup(arguments.model, arguments.runs)
    overhead(arguments.model, arguments.rounds)


if __name__ == "__main__":
    main()
