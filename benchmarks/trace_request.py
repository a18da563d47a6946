"""Which project files and threads one `POST /predict` passes through.

`python -m benchmarks.trace_request` serves constants for a model, as `benchmarks.noop` does, and
sends requests of new addresses one after another. It notes each function of the project that runs
between a request's sending and the end of its telemetry. A *visit* is a step from one of its files
to another, in one thread. Printed is what most requests had in common; `--files` lists the files.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import threading
import time
from collections import Counter
from collections.abc import Sequence
from http.client import HTTPConnection
from pathlib import Path
from types import FrameType
from typing import Any

from benchmarks.noop import ConstantBackend
from benchmarks.pairs import pairs
from service.app import Service
from service.lifecycle import State
from service.scoring.backends import choose
from service.scoring.backends.choose import BackendChoice
from service.settings import Settings

_ROOT = Path(__file__).resolve().parents[1]
_PACKAGES = tuple(f"{_ROOT / name}/" for name in ("service", "telemetry"))
_REQUESTS = 21
_SETTLE_SECONDS = 0.2
"""For telemetry, which is recorded once an answer was sent."""


class Tracer:
    """Notes in which files of the project each thread runs, while it is on."""

    def __init__(self) -> None:
        self.on = False
        self.visits: list[tuple[str, str]] = []
        self._last: dict[int, str] = {}

    def __call__(self, frame: FrameType, event: str, _: Any) -> None:
        """As `threading.setprofile` calls it."""
        if not self.on or event != "call" or not frame.f_code.co_filename.startswith(_PACKAGES):
            return
        thread, file = threading.current_thread(), frame.f_code.co_filename
        if self._last.get(thread.native_id or 0) != file:
            self._last[thread.native_id or 0] = file
            self.visits.append((thread.name, str(Path(file).relative_to(_ROOT))))

    def begin(self) -> None:
        """Forget what was noted, and note."""
        self.visits, self._last, self.on = [], {}, True

    def end(self) -> list[tuple[str, str]]:
        """Note no more; returns what was: thread and file of each visit."""
        self.on = False
        return self.visits


def trace(requests: int) -> list[list[tuple[str, str]]]:
    """The visits of each of so many requests."""
    tracer = Tracer()
    threading.setprofile(tracer)  # before any thread of the service begins
    choose.build = lambda *_, **__: (
        ConstantBackend(), BackendChoice(ConstantBackend.name, "the benchmark's"),
    )  # fmt: skip
    service = Service(Settings(port=0, metrics_port=0))
    service.start()
    if service.lifecycle.wait_while(State.STARTING, timeout=60) is not State.READY:
        raise SystemExit("the service did not start")
    client = HTTPConnection(service.predictions.address, timeout=30)
    found = []
    for number in range(requests + 2):
        [(first, second)] = pairs(number, 1)
        body = json.dumps({"address1": first, "address2": second})
        tracer.begin()
        client.request("POST", "/predict", body, {"Content-Type": "application/json"})
        answer = client.getresponse()
        answer.read()
        time.sleep(_SETTLE_SECONDS)
        found.append(tracer.end())
        if answer.status != 200:
            raise SystemExit(f"answered {answer.status}")
    client.close()
    threading.setprofile(None)
    service.stop()
    return found[2:]  # the first ones import what they need


def main(arguments: Sequence[str] | None = None) -> int:
    """Trace, and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.trace_request", description=__doc__)
    parser.add_argument("--files", action="store_true", help="list the files, and their visits")
    asked = parser.parse_args(arguments)
    traced = trace(_REQUESTS)
    seen = Counter(visit for one in traced for visit in set(one))
    usual = {visit for visit, count in seen.items() if count > _REQUESTS / 2}
    files = sorted({file for _, file in usual})
    visits = statistics.median(sum(visit in usual for visit in one) for one in traced)
    threads = sorted({thread for thread, _ in usual if thread != "MainThread"})
    print(f"files {len(files)}, visits {visits:g}, threads {len(threads)}: {', '.join(threads)}")
    if asked.files:
        for file in files:
            times = statistics.median(sum(f == file for _, f in one) for one in traced)
            print(f"{times:5g}  {file}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
