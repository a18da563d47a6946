"""What a run measured: cells, starts and failures, as written to the JSON file."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One contender under one load in one round.

    Attributes:
        section: Part of the benchmark.
        contender: Who.
        load: Which load, as in the report's columns: `c16`, `12.5/s`, `loop single`, ...
        round: Figures of one section and round are compared with each other.
        pairs_per_request: Of each request or call.
        offered: Requests a second that were due, in an open loop.
        pairs_per_second: Answered within the counted time.
        p50: Milliseconds.
        p95: Milliseconds.
        p99: Milliseconds.
        requests: Latencies that the percentiles are of.
        errors: Requests that were not answered 200, or not at all.
        cpu_ms_per_pair: Of the server with its children, user and system.
        load_cpu: Cores that the load generator took.
        sink_cpu: Cores that the OTLP receiver took.
        other_cpu: Cores that anything else on the machine took: should be near 0.
        late_ms: How late the generator itself sent, 99th percentile, in an open loop.
    """

    section: str
    contender: str
    load: str
    round: int
    pairs_per_request: int
    offered: float | None
    pairs_per_second: float
    p50: float
    p95: float
    p99: float
    requests: int
    errors: int
    cpu_ms_per_pair: float
    load_cpu: float
    sink_cpu: float
    other_cpu: float
    late_ms: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """One start of one contender.

    Attributes:
        contender: Who.
        seconds: From the command to the first answer.
        resident_mb: Resident memory of all its processes after its first load, 10^6 bytes.
        proportional_mb: The same with shared pages divided among those who share them.
    """

    contender: str
    seconds: float
    resident_mb: float
    proportional_mb: float


@dataclass(slots=True)
class Results:
    """One run.

    Attributes:
        machine: See `machine.describe`.
        options: What the run was asked to do.
        cells: All cells in the order of their measurement.
        starts: All starts.
        failures: Contenders that could not be measured, and why.
        backend: What the comparisons are made with, as in `MGEO_BACKEND`; LitServe got it, too.
        chosen: The backend that ran, by what `MGEO_BACKEND` said.
        seconds: How long the run took.
    """

    machine: dict[str, Any]
    options: dict[str, Any]
    cells: list[Cell] = field(default_factory=list)
    starts: list[Start] = field(default_factory=list)
    failures: dict[str, str] = field(default_factory=dict)
    backend: str = ""
    chosen: dict[str, str] = field(default_factory=dict)
    seconds: float = 0.0

    def of(self, section: str, contender: str, load: str) -> list[Cell]:
        """The cells of one contender under one load, by round."""
        wanted = (section, contender, load)
        return [c for c in self.cells if (c.section, c.contender, c.load) == wanted]

    def by_round(self, section: str, contender: str, load: str, figure: str) -> dict[int, float]:
        """One figure of those cells by round; the mean where a round has several."""
        found: dict[int, list[float]] = {}
        for cell in self.of(section, contender, load):
            found.setdefault(cell.round, []).append(getattr(cell, figure))
        return {number: sum(values) / len(values) for number, values in found.items()}

    def contenders(self, section: str) -> list[str]:
        """Those who were measured in a section, in the order of their first cell."""
        return _distinct(cell.contender for cell in self.cells if cell.section == section)

    def loads(self, section: str) -> list[str]:
        """The loads of a section, in the order of their first cell."""
        return _distinct(cell.load for cell in self.cells if cell.section == section)

    def write(self, path: Path) -> None:
        """Write everything as JSON."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(asdict(self), ensure_ascii=False, indent=1) + "\n", "utf-8")

    @classmethod
    def read(cls, path: Path) -> Results:
        """Read what `write` wrote."""
        document = json.loads(path.read_text("utf-8"))
        document["cells"] = [Cell(**cell) for cell in document["cells"]]
        document["starts"] = [Start(**start) for start in document["starts"]]
        return cls(**document)


def is_closed(load: str) -> bool:
    """Whether a load is a closed loop over HTTP: named `c` and the number of clients."""
    return load.startswith("c") and load[1:2].isdigit()


def _distinct(names: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(names))
