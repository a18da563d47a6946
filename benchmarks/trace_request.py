"""Which project files and threads one `POST /predict` passes through, and how many calls it takes.

`python -m benchmarks.trace_request` serves constants for a model, as `benchmarks.noop` does, and
sends requests of new addresses one after another. It notes each function that runs between a
request's sending and the end of its telemetry. A *visit* is a step from one file of the project to
another, in one thread. Printed is what most requests had in common; `--files` lists the files.

Calls of Python functions are counted by the library that has them. Their number is the same on a
busy machine, where processor time is not. Telemetry is as the `OTEL_*` variables say; what a batch
exporter does for many requests at once is mostly between two of them, and not counted.
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
from dataclasses import dataclass, field
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


@dataclass(slots=True)
class Way:
    """What one request passed through.

    Attributes:
        visits: Thread and file of each visit.
        files: How many functions were called of each file, of libraries too.
    """

    visits: list[tuple[str, str]] = field(default_factory=list)
    files: Counter[str] = field(default_factory=Counter)

    def calls(self) -> Counter[str]:
        """How many functions were called of each library, the project's own among them."""
        calls: Counter[str] = Counter()
        for file, count in self.files.items():
            calls[_library(file)] += count
        return calls


class Tracer:
    """Notes the functions that each thread calls, while it is on."""

    def __init__(self) -> None:
        self.on = False
        self._way = Way()
        self._last: dict[int, str] = {}

    def __call__(self, frame: FrameType, event: str, _: Any) -> None:
        """As `threading.setprofile` calls it."""
        if not self.on or event != "call":
            return
        file = frame.f_code.co_filename
        self._way.files[file] += 1
        if not file.startswith(_PACKAGES):
            return
        thread = threading.current_thread()
        if self._last.get(thread.native_id or 0) != file:
            self._last[thread.native_id or 0] = file
            self._way.visits.append((thread.name, str(Path(file).relative_to(_ROOT))))

    def begin(self) -> None:
        """Forget what was noted, and note."""
        self._way, self._last, self.on = Way(), {}, True

    def end(self) -> Way:
        """Note no more; returns what was noted."""
        self.on = False
        return self._way


def _library(file: str) -> str:
    """Which library a file belongs to."""
    if file.startswith(_PACKAGES):
        return "the project"
    _, _, installed = file.partition("site-packages/")
    return installed.partition("/")[0].removesuffix(".py") or "Python"


def trace(requests: int) -> list[Way]:
    """What each of so many requests passed through."""
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
    seen = Counter(visit for one in traced for visit in set(one.visits))
    usual = {visit for visit, count in seen.items() if count > _REQUESTS / 2}
    files = sorted({file for _, file in usual})
    visits = statistics.median(sum(visit in usual for visit in one.visits) for one in traced)
    threads = sorted({thread for thread, _ in usual if thread != "MainThread"})
    print(f"files {len(files)}, visits {visits:g}, threads {len(threads)}: {', '.join(threads)}")
    if asked.files:
        for file in files:
            times = statistics.median(sum(f == file for _, f in one.visits) for one in traced)
            print(f"{times:5g}  {file}")
    counted = [way.calls() for way in traced]
    median = {
        library: statistics.median(calls[library] for calls in counted)
        for library in sorted(set().union(*counted))
    }
    whole = statistics.median(calls.total() for calls in counted)
    parts = ", ".join(f"{library} {calls:g}" for library, calls in median.items() if calls)
    print(f"calls {whole:g}: {parts}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
