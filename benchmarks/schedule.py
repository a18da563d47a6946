"""What is measured, in which order: each section's contenders take turns in every round."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from benchmarks import contenders
from benchmarks.bench import Bench
from benchmarks.checkpoint import MGEO
from benchmarks.contenders import ALL, OFF, SOME, RunningLoop, RunningServer
from benchmarks.processes import BenchmarkError

BATCH = "/predict/batch"


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How long everything takes.

    Attributes:
        rounds: Of the peers; each sees every contender once.
        seconds: Counted seconds by concurrency.
        loop_seconds: Of one lap of a bare loop.
        open_fractions: Rates of the open loop, as shares of this service's throughput.
        open_seconds: Counted seconds of each rate.
        turns: Times that telemetry off and on take turns.
        turn_seconds: Counted seconds of each turn.
        starts: Times that the service is started with the bundled model, and with each backend.
        bulk_rounds: Times that single requests are measured without and with bulk requests.
        bulk_seconds: Counted seconds of each.
    """

    rounds: int
    seconds: dict[int, float]
    loop_seconds: float
    open_fractions: Sequence[float]
    open_seconds: float
    turns: int
    turn_seconds: float
    starts: int
    bulk_rounds: int
    bulk_seconds: float


FULL = Plan(
    rounds=3, seconds={1: 3, 4: 3, 16: 5, 64: 5}, loop_seconds=3,
    open_fractions=(0.25, 0.5, 0.75, 0.9), open_seconds=10,
    turns=8, turn_seconds=3, starts=5, bulk_rounds=2, bulk_seconds=8,
)  # fmt: skip
"""At most half an hour on two cores."""

QUICK = Plan(
    rounds=1, seconds={1: 1.5, 16: 2}, loop_seconds=1,
    open_fractions=(0.5,), open_seconds=3,
    turns=2, turn_seconds=1, starts=1, bulk_rounds=1, bulk_seconds=3,
)  # fmt: skip
"""Proves the whole path in minutes; its figures are too short to quote."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """What of this service is measured.

    Attributes:
        backends: As in `MGEO_BACKEND`. The first is what comparisons are made with.
        device: As in `MGEO_DEVICE`.
        models: Directory of the random checkpoints.
        with_peers: Whether peers are measured too.
    """

    backends: Sequence[str]
    device: str
    models: Path
    with_peers: bool


class Schedule:
    """One run through the sections."""

    def __init__(self, bench: Bench, plan: Plan, subject: Subject) -> None:
        self._bench, self._plan, self._subject = bench, plan, subject

    def run(self, sections: Sequence[str]) -> None:
        """Measure the named sections, in their own order."""
        begun = time.monotonic()
        self._bench.results.backend = self._subject.backends[0]
        for name in SECTIONS:
            if name in sections:
                _SECTIONS[name](self)
        self._bench.results.seconds = round(time.monotonic() - begun)

    def peers(self) -> None:
        """Everyone by concurrency, and the bare loops; then everyone at given rates."""
        bench, plan, subject = self._bench, self._plan, self._subject
        with bench.running(), self._sink() as endpoint:
            loops = self._loops()
            servers = [
                bench.start(partial(self._service, name, endpoint)) for name in subject.backends
            ]
            if subject.with_peers:
                models, device = subject.models, subject.device
                servers += [
                    bench.start(make)
                    for make in (
                        partial(contenders.litserve, models, device),
                        partial(contenders.litserve, models, device, subject.backends[0]),
                        partial(contenders.bentoml, models, device),
                        partial(contenders.infinity, models, device),
                    )
                ]
            running = [server for server in servers if isinstance(server, RunningServer)]
            for turn in range(plan.rounds):
                self._round(turn, running, loops)
            self._open(running)
            started: list[RunningServer | RunningLoop] = [*running, *loops]
            for one in started:
                bench.remember_start(one)

    def _round(
        self, turn: int, servers: Sequence[RunningServer], loops: Sequence[RunningLoop]
    ) -> None:
        bench, plan = self._bench, self._plan
        steps: list[tuple[str, Callable[[], object]]] = []
        for loop in loops:
            for mode in loop.loop.modes:
                lap = partial(bench.lap, turn, loop, mode, plan.loop_seconds)
                steps.append((f"{loop.loop.name}, {mode}", lap))
        for server in servers:
            name = server.contender.name
            for concurrency, seconds in plan.seconds.items():
                single = partial(bench.closed, "peers", turn, server, concurrency, seconds)
                steps.append((f"{name}, {concurrency} clients", single))
            if name.startswith(OURS):
                batches = partial(self._batches, "peers", turn, server, clients=2, pairs=32)
                steps.append((f"{name}, {BATCH}", batches))
        # In another order each round: no one always follows the same neighbour.
        random.Random(turn).shuffle(steps)  # noqa: S311 - an order, no secret
        for name, step in steps:
            self._try(name, step)

    def _batches(
        self, section: str, turn: int, server: RunningServer, clients: int, pairs: int
    ) -> None:
        seconds = self._plan.seconds[16] if section == "peers" else self._plan.turn_seconds
        load = f"c{clients} {BATCH}"
        self._bench.closed(
            section, turn, server, clients, seconds, pairs_per_request=pairs, path=BATCH, load=load
        )

    def _open(self, servers: Sequence[RunningServer]) -> None:
        """Latency at constant rates, for this service, LitServe, and LitServe with its backend."""
        results, plan, backend = self._bench.results, self._plan, self._subject.backends[0]
        ours = results.by_round("peers", f"{OURS} {backend}", "c16", "pairs_per_second")
        if not ours:
            return
        rates = [share * max(ours.values()) for share in plan.open_fractions]
        wanted = (f"{OURS} {backend}", f"LitServe with {backend}", "LitServe", "BentoML")
        for rate, share in zip(rates, plan.open_fractions, strict=True):
            for server in servers:
                name = server.contender.name
                if name not in wanted:
                    continue
                capacity = results.by_round("peers", name, "c16", "pairs_per_second")
                if not capacity or rate > max(capacity.values()):
                    continue  # its queue would only grow: the report says so
                load = f"{share:.0%} ({rate:.1f}/s)"
                step = partial(self._bench.open, "open loop", 0, server, rate)
                self._try(f"{name}, {load}", partial(step, plan.open_seconds, load))

    def telemetry(self) -> None:
        """Off, 100 % and 5 % in turn: with BERT-base, the bundled model, and no model at all."""
        backend = self._subject.backends[0]
        device = ("--device", self._subject.device)
        for name, module, flags in (
            ("BERT-base", ("service", "serve"), (*self._bert(backend), *device)),
            ("bundled model", ("service", "serve"), device),
            ("no-op backend", ("benchmarks.noop",), device),
        ):
            self._telemetry_of(name, module, flags)

    def _telemetry_of(self, name: str, module: Sequence[str], flags: Sequence[str]) -> None:
        bench, plan = self._bench, self._plan
        no_op = name == "no-op backend"
        with bench.running(), self._sink() as endpoint:
            makers: list[Callable[[], contenders.Contender]] = [
                partial(contenders.service, f"{name}, {mode}", *flags, telemetry=on, module=module)
                for mode, on in (
                    (OFF, {}),
                    (ALL, contenders.telemetry(1.0, endpoint)),
                    (SOME, contenders.telemetry(0.05, endpoint)),
                )
            ]
            if no_op:
                makers.append(contenders.flask_alone)
            servers = [bench.start(make) for make in makers]
            running = [server for server in servers if isinstance(server, RunningServer)]
            # The cheaper a request, the more of them a turn has, and the fewer turns are needed.
            turns = plan.turns // 2 if no_op else plan.turns
            for turn in range(turns):
                for server in running if turn % 2 else reversed(running):
                    of = server.contender.name
                    single = partial(bench.closed, "telemetry", turn, server, 16)
                    self._try(of, partial(single, plan.turn_seconds))
                    if no_op:
                        batches = partial(
                            self._batches, "telemetry", turn, server, clients=4, pairs=64
                        )
                        self._try(f"{of}, {BATCH}", batches)

    def bulk(self) -> None:
        """Single requests without and with clients that send 256 pairs at a time, without end."""
        bench, plan = self._bench, self._plan
        backend = self._subject.backends[0]
        with bench.running(), self._sink() as endpoint:
            server = bench.start(partial(self._service, backend, endpoint))
            if not isinstance(server, RunningServer):
                return
            for turn in range(plan.bulk_rounds):
                for clients in (1, 16):
                    bench.closed("bulk", turn, server, clients, plan.bulk_seconds,
                                 load=f"c{clients} alone")  # fmt: skip
                # As long as both measurements, their ramps and a start of the load generator.
                seconds = 2 * plan.bulk_seconds + 4
                load = bench.job(server, 2, None, seconds, pairs_per_request=256, path=BATCH)
                with bench.beside(server, load):
                    time.sleep(1.5)
                    for clients in (1, 16):
                        bench.closed("bulk", turn, server, clients, plan.bulk_seconds,
                                     load=f"c{clients} beside bulk")  # fmt: skip

    def start(self) -> None:
        """From the command to the first answer: the bundled model, and BERT-base by backend."""
        bench, subject = self._bench, self._subject
        for _ in range(self._plan.starts):
            with bench.running():
                names = [
                    ("bundled model", ()),
                    *((f"BERT-base, {b}", self._bert(b)) for b in subject.backends),
                ]
                for name, flags in names:
                    make = partial(contenders.service, name, *flags, "--device", subject.device)
                    server = bench.start(make)
                    if isinstance(server, RunningServer):
                        bench.closed("start", 0, server, 4, 1.0)
                        bench.remember_start(server)
                        bench.end(server)

    def _bert(self, backend: str) -> tuple[str, ...]:
        # On a slow machine two requests of 256 pairs take more than the default 30 s.
        patience = ("--request-timeout", "120")
        return ("--model", str(self._subject.models / MGEO), "--backend", backend, *patience)

    def _service(self, backend: str, endpoint: str) -> contenders.Contender:
        """With BERT-base, and all its telemetry at 100 % sampling."""
        return contenders.service(
            f"{OURS} {backend}", *self._bert(backend), "--device", self._subject.device,
            telemetry=contenders.telemetry(1.0, endpoint),
        )  # fmt: skip

    def _loops(self) -> list[RunningLoop]:
        subject = self._subject
        models, device = subject.models, subject.device
        makers = [
            partial(contenders.backend_loop, models, device, name) for name in subject.backends
        ]
        if subject.with_peers:
            makers.append(partial(contenders.torch_loop, models, device))
            makers.append(partial(contenders.modelscope_loop, models, device))
        started = [self._bench.start(make) for make in makers]
        loops = [one for one in started if isinstance(one, RunningLoop)]
        for loop in loops:
            if loop.note:
                self._bench.results.chosen[loop.loop.name.removesuffix(" loop")] = loop.note
        return loops

    @contextmanager
    def _sink(self) -> Iterator[str]:
        """The OTLP receiver of one section; gives its address."""
        address = self._bench.start_sink()
        try:
            yield address
        finally:
            print(f"bench: the OTLP receiver got {self._bench.end_sink()}", flush=True)

    def _try(self, name: str, step: Callable[[], object]) -> None:
        """Take one step; if it fails the run goes on, and the report says so."""
        try:
            step()
        except BenchmarkError as error:
            print(f"bench: NOT MEASURED: {name}: {error}", flush=True)
            self._bench.results.failures[name] = str(error)


OURS = "this service,"
_SECTIONS: dict[str, Callable[[Schedule], None]] = {
    "start": Schedule.start,
    "peers": Schedule.peers,
    "telemetry": Schedule.telemetry,
    "bulk": Schedule.bulk,
}
SECTIONS = tuple(_SECTIONS)
