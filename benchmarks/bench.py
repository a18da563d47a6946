"""Measures one cell after another, and keeps what runs frozen in between."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import resource
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TypedDict

from benchmarks.contenders import (
    Contender,
    Loop,
    RunningLoop,
    RunningServer,
    finish,
    free_ports,
)
from benchmarks.figures import percentile
from benchmarks.load import Workload
from benchmarks.loops import Order
from benchmarks.processes import BenchmarkError, Measured, busy_seconds
from benchmarks.results import Cell, Results, Start

_LARGEST_BLOCK = 256
_BULK_NUMBERS = 8_000_000
"""Pairs of a load beside the measured one are numbered from here, so that the two share none."""


class Bench:
    """A run in progress.

    Args:
        results: What is measured goes here.
        logs: Directory for what the contenders write.
    """

    def __init__(self, results: Results, logs: Path) -> None:
        self.results, self._logs = results, logs
        self._number, self._number_beside = 0, _BULK_NUMBERS
        self._sink: Measured | None = None
        self._running: dict[str, RunningServer | RunningLoop] = {}
        self._begun = time.monotonic()
        logs.mkdir(parents=True, exist_ok=True)

    @contextmanager
    def running(self) -> Iterator[None]:
        """Ends what was started inside, whatever happens."""
        try:
            yield
        finally:
            for one in self._running.values():
                one.process.end()
            self._running.clear()

    def start(self, make: Callable[[], Contender | Loop]) -> RunningServer | RunningLoop | None:
        """Start a contender and freeze it; one that cannot run is noted with the reason."""
        name = "a contender"
        try:
            contender = make()
            name = contender.name
            print(f"bench: starting {name}", flush=True)
            one: RunningServer | RunningLoop = (
                RunningServer(contender, self._logs)
                if isinstance(contender, Contender)
                else RunningLoop(contender, self._logs)
            )
        except BenchmarkError as error:
            print(f"bench: NOT MEASURED: {error}", flush=True)
            self.results.failures[name] = str(error)
            return None
        self._running[name] = one
        one.process.freeze()
        return one

    def end(self, one: RunningServer | RunningLoop) -> None:
        """End a contender before the others."""
        one.process.end()
        self._running = {name: other for name, other in self._running.items() if other is not one}

    def start_sink(self) -> str:
        """Start the OTLP receiver once; returns its endpoint."""
        [port] = free_ports(1)
        self._sink = Measured(
            "sink", [sys.executable, "-m", "benchmarks.sink", str(port)], {},
            self._logs / "sink.log", piped=True,
        )  # fmt: skip
        assert self._sink.process.stdout is not None
        if self._sink.process.stdout.readline().strip() != b"ready":
            raise BenchmarkError(f"the OTLP receiver did not start; see {self._sink.log}")
        return f"http://127.0.0.1:{port}"

    def end_sink(self) -> dict[str, int]:
        """End the receiver; returns what it counted."""
        if self._sink is None:
            return {}
        process = self._sink.process
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(b"\n")
        process.stdin.flush()
        totals: dict[str, int] = json.loads(process.stdout.readline())
        self._sink.end()
        self._sink = None
        return totals

    def remember_start(self, one: RunningServer | RunningLoop) -> None:
        """Note a contender's start and its memory now."""
        resident, proportional = one.process.memory()
        self.results.starts.append(
            Start(
                contender=one.process.name,
                seconds=round(one.ready_seconds, 3),
                resident_mb=round(resident / 1e6),
                proportional_mb=round(proportional / 1e6),
            )
        )

    def closed(
        self, section: str, turn: int, server: RunningServer, concurrency: int, seconds: float,
        *, pairs_per_request: int = 1, path: str | None = None, load: str | None = None,
    ) -> Cell:  # fmt: skip
        """Measure a closed loop.

        Raises:
            BenchmarkError: Not one request was answered.
        """
        job = self.job(server, concurrency, None, seconds, pairs_per_request, path)
        named = load or f"c{concurrency}"
        return self._cell(section, turn, server, job, named)

    def open(
        self, section: str, turn: int, server: RunningServer, rate: float, seconds: float, load: str
    ) -> Cell:
        """Measure an open loop."""
        return self._cell(section, turn, server, self.job(server, 1, rate, seconds), load)

    def job(
        self, server: RunningServer, concurrency: int, rate: float | None, seconds: float,
        pairs_per_request: int = 1, path: str | None = None,
    ) -> Workload:  # fmt: skip
        """The load generator's job."""
        return Workload(
            port=server.port,
            path=path or server.contender.path,
            kind="batch" if path and path.endswith("batch") else server.contender.kind,
            pairs_per_request=pairs_per_request,
            first=self._number,
            concurrency=concurrency,
            rate=rate,
            # Longer for many clients: their first answers come all at once.
            ramp=0.3 + min(1.2, concurrency / 40),
            seconds=seconds,
            drain=30.0,
        )

    def _cell(
        self, section: str, turn: int, server: RunningServer, job: Workload, load: str
    ) -> Cell:
        server.process.thaw()
        with contextlib.ExitStack() as stack:
            stack.callback(server.process.freeze)
            meter = _Meter(server.process, self._sink)
            result = server.load(job)
            self._number += result.sent * job.pairs_per_request
            scored = result.statuses.get("200", 0) * job.pairs_per_request
            cell = Cell(
                section=section,
                contender=server.contender.name,
                load=load,
                round=turn,
                pairs_per_request=job.pairs_per_request,
                offered=job.rate,
                pairs_per_second=result.completed * job.pairs_per_request / result.counted,
                **_percentiles(result.latencies),
                errors=result.sent - result.statuses.get("200", 0),
                cpu_ms_per_pair=meter.server() / scored * 1e3 if scored else 0.0,
                load_cpu=result.cpu / result.wall,
                sink_cpu=meter.sink(),
                other_cpu=meter.other(),
                late_ms=result.late * 1e3,
            )
        return self._keep(cell)

    def lap(self, turn: int, loop: RunningLoop, mode: str, seconds: float) -> Cell:
        """Measure one mode of a bare loop."""
        loop.process.thaw()
        meter = _Meter(loop.process, None)
        lap = loop.lap(Order(mode=mode, seconds=seconds, first=self._number))
        self._number += lap.pairs + _LARGEST_BLOCK
        cell = Cell(
            section="peers",
            contender=loop.loop.name,
            load=mode,
            round=turn,
            pairs_per_request=round(lap.pairs / len(lap.latencies)),
            offered=None,
            pairs_per_second=lap.pairs / lap.seconds,
            **_percentiles(lap.latencies),
            errors=0,
            cpu_ms_per_pair=meter.server() / lap.pairs * 1e3,
            load_cpu=0.0,
            sink_cpu=0.0,
            other_cpu=meter.other(),
            late_ms=0.0,
        )
        loop.process.freeze()
        return self._keep(cell)

    @contextmanager
    def beside(self, server: RunningServer, job: Workload) -> Iterator[None]:
        """A second load on a server while another is measured; its figures are not kept."""
        mine = dataclasses.replace(job, first=self._number_beside)
        server.process.thaw()
        generator = server.start_load(mine)
        try:
            yield
        finally:
            server.process.thaw()
            result = finish(generator, mine)
            self._number_beside += result.sent * mine.pairs_per_request

    def _keep(self, cell: Cell) -> Cell:
        self.results.cells.append(cell)
        trouble = f"  {cell.errors} ERRORS" if cell.errors else ""
        print(
            f"bench: {time.monotonic() - self._begun:5.0f} s {cell.section:9} {cell.round} "
            f"{cell.contender:28} {cell.load:22} "
            f"{cell.pairs_per_second:9.1f} pairs/s  p50 {cell.p50:8.1f}  p95 {cell.p95:8.1f} ms  "
            f"{cell.cpu_ms_per_pair:7.2f} CPU ms/pair  other {cell.other_cpu:.2f}{trouble}",
            flush=True,
        )
        return cell


class _Meter:
    """CPU seconds from its making on: of a server, of the sink, and of anything else."""

    def __init__(self, server: Measured, sink: Measured | None) -> None:
        self._server, self._sink = server, sink
        self._begun = time.perf_counter()
        self._at_start = self._read()

    def _read(self) -> tuple[float, float, float, float]:
        ours = sum(
            usage.ru_utime + usage.ru_stime
            for usage in map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
        )
        sink = self._sink.cpu() if self._sink else 0.0
        return self._server.cpu(), sink, ours, busy_seconds()

    def server(self) -> float:
        """Seconds of the server."""
        return self._read()[0] - self._at_start[0]

    def sink(self) -> float:
        """Cores of the sink."""
        return (self._read()[1] - self._at_start[1]) / (time.perf_counter() - self._begun)

    def other(self) -> float:
        """Cores of whatever is neither server, sink, load generator nor this process."""
        server, sink, ours, busy = (
            now - then for now, then in zip(self._read(), self._at_start, strict=True)
        )
        return max(0.0, busy - server - sink - ours) / (time.perf_counter() - self._begun)


class _Percentiles(TypedDict):
    p50: float
    p95: float
    p99: float
    requests: int


def _percentiles(latencies: Sequence[float]) -> _Percentiles:
    if not latencies:
        raise BenchmarkError("not one request was answered")
    return {
        "p50": percentile(latencies, 0.5) * 1e3,
        "p95": percentile(latencies, 0.95) * 1e3,
        "p99": percentile(latencies, 0.99) * 1e3,
        "requests": len(latencies),
    }
