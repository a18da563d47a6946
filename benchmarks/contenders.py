"""Who is measured, and how each is started and asked."""

from __future__ import annotations

import http.client
import json
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks.checkpoint import BERT, MGEO, ONE_LOGIT
from benchmarks.environments import program
from benchmarks.load import Measurement, Workload
from benchmarks.loops import Lap, Order
from benchmarks.pairs import Kind, body, pairs
from benchmarks.processes import BenchmarkError, Measured

OFF, ALL, SOME = "telemetry off", "telemetry on, 100 %", "telemetry on, 5 %"
FLASK_ALONE = "Flask alone"

_QUIET = {
    "HF_HUB_OFFLINE": "1",
    "DO_NOT_TRACK": "1",
    "BENTOML_DO_NOT_TRACK": "True",
    "INFINITY_ANONYMOUS_USAGE_STATS": "0",
}
"""No peer asks a hub or reports its use while it is measured."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Contender:
    """A server to measure.

    Attributes:
        name: As in the report.
        command: Command line; `{port}` and `{operations}` become free ports.
        environment: Variables.
        path: Route for predictions.
        kind: Form of its bodies.
    """

    name: str
    command: Sequence[str]
    environment: Mapping[str, str]
    path: str = "/predict"
    kind: Kind = "single"


@dataclass(frozen=True, slots=True, kw_only=True)
class Loop:
    """A bare loop to measure.

    Attributes:
        name: As in the report.
        command: Command line.
        modes: Its modes.
    """

    name: str
    command: Sequence[str]
    modes: Sequence[str]


class RunningServer:
    """A contender that runs.

    Attributes:
        ready_seconds: From the command to the first answer.
    """

    def __init__(self, contender: Contender, logs: Path) -> None:
        self.contender = contender
        self.port, operations = free_ports(2)
        ports = {"port": str(self.port), "operations": str(operations)}
        command = [part.format(**ports) for part in contender.command]
        begun = time.perf_counter()
        self.process = Measured(
            contender.name, command, {**_QUIET, **contender.environment},
            logs / f"{contender.name.replace(' ', '-').replace('/', '-')}.log",
        )  # fmt: skip
        try:
            self.process.wait_ready(self._answers)
        except BenchmarkError:
            self.process.end()
            raise
        self.ready_seconds = time.perf_counter() - begun

    def load(self, job: Workload) -> Measurement:
        """Run the load generator against it."""
        return finish(self.start_load(job), job)

    def start_load(self, job: Workload) -> subprocess.Popen[str]:
        """Start the load generator, and do not wait for it."""
        generator = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.load"], cwd=Path(__file__).parents[1],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert generator.stdin is not None
        generator.stdin.write(json.dumps(asdict(job)))
        generator.stdin.close()
        generator.stdin = None  # communicate() would flush it
        return generator

    def _answers(self) -> bool:
        """Whether it scores a pair. Readiness is the same question for all contenders."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        content = body(self.contender.kind, pairs(0, 1))
        try:
            connection.request(
                "POST", self.contender.path, content, {"Content-Type": "application/json"}
            )
            return connection.getresponse().status == 200
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()


class RunningLoop:
    """A bare loop that runs.

    Attributes:
        ready_seconds: From the command until it takes orders.
        note: What it said of itself: the backend that `auto` chose.
    """

    def __init__(self, loop: Loop, logs: Path) -> None:
        self.loop = loop
        begun = time.perf_counter()
        log = logs / f"{loop.name.replace(' ', '-')}.log"
        self.process = Measured(loop.name, loop.command, _QUIET, log, piped=True)
        ready, _, self.note = self._read().partition(" ")
        if ready != "ready":
            last = self.process
            last.wait_ready(lambda: False)  # it ended: raises with its last words
        self.ready_seconds = time.perf_counter() - begun

    def lap(self, order: Order) -> Lap:
        """Have it do one order."""
        assert self.process.process.stdin is not None
        self.process.process.stdin.write(json.dumps(asdict(order)).encode() + b"\n")
        self.process.process.stdin.flush()
        line = self._read()
        if not line:
            raise BenchmarkError(f"{self.loop.name} ended; see {self.process.log}")
        return Lap(**json.loads(line))

    def _read(self) -> str:
        assert self.process.process.stdout is not None
        return self.process.process.stdout.readline().decode().strip()


def finish(generator: subprocess.Popen[str], job: Workload) -> Measurement:
    """Wait for a load generator's result.

    Raises:
        BenchmarkError: It failed.
    """
    limit = job.ramp + 4 * job.seconds + job.drain + 50  # see Workload
    try:
        output, _ = generator.communicate(timeout=limit)
    except subprocess.TimeoutExpired:
        generator.kill()
        raise BenchmarkError(f"the load generator did not end within {limit:.0f} s") from None
    if generator.returncode:
        raise BenchmarkError("the load generator failed")
    return Measurement(**json.loads(output))


def free_ports(count: int) -> list[int]:
    """Ports of 127.0.0.1 that nobody listens on now."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]
    finally:
        for one in sockets:
            one.close()


def service(
    name: str,
    *flags: str,
    telemetry: Mapping[str, str] | None = None,
    module: Sequence[str] = ("service", "serve"),
    path: str = "/predict",
) -> Contender:
    """This service, with flags of `serve`."""
    return Contender(
        name=name,
        command=[
            *(sys.executable, "-m", *module, "--port", "{port}"),
            *("--metrics-port", "{operations}", *flags),
        ],
        environment=telemetry or {},
        path=path,
        kind="batch" if path.endswith("batch") else "single",
    )


def flask_alone() -> Contender:
    """Flask on waitress and nothing else."""
    return Contender(
        name=f"{FLASK_ALONE}, {OFF}",
        command=[sys.executable, "-m", "benchmarks.flask_alone", "{port}"],
        environment={},
    )


def telemetry(share: float, endpoint: str) -> dict[str, str]:
    """Variables for full telemetry with this share of requests sampled."""
    return {
        "OTEL_EXPORTER_OTLP_ENDPOINT": endpoint,
        "OTEL_TRACES_SAMPLER": "parentbased_traceidratio",
        "OTEL_TRACES_SAMPLER_ARG": str(share),
    }


def litserve(models: Path, device: str, backend: str | None = None) -> Contender:
    """LitServe; with one of this service's backends, or as its users run it."""
    script = str(Path(__file__).parent / "peers" / "litserve_server.py")
    directory = str(models / (MGEO if backend else BERT))
    arguments = [program("litserve"), script, "{port}", directory, device]
    return Contender(
        name=f"LitServe with {backend}" if backend else "LitServe",
        command=[*arguments, backend] if backend else arguments,
        environment={},
    )


def bentoml(models: Path, device: str) -> Contender:
    """BentoML."""
    return Contender(
        name="BentoML",
        command=[
            *(program("bentoml", "bentoml"), "serve", "benchmarks.peers.bentoml_server:Pairs"),
            *("--host", "127.0.0.1", "--port", "{port}"),
        ],
        environment={"BENCH_MODEL": str(models / BERT), "BENCH_DEVICE": device},
        kind="batch",
    )


def infinity(models: Path, device: str) -> Contender:
    """infinity's /rerank: one logit, for throughput alone."""
    return Contender(
        name="infinity",
        command=[
            *(program("infinity", "infinity_emb"), "v2", "--host", "127.0.0.1"),
            *("--port", "{port}", "--model-id", str(models / ONE_LOGIT), "--engine", "torch"),
            *("--device", device, "--batch-size", "16", "--log-level", "warning"),
        ],
        environment={},
        path="/rerank",
        kind="rerank",
    )


def torch_loop(models: Path, device: str) -> Loop:
    """transformers' BERT in torch, fp32, called from a loop."""
    return Loop(
        name="torch loop",
        command=[
            *(program("litserve"), "-m", "benchmarks.peers.torch_loop"),
            *(str(models / BERT), device),
        ],
        modes=("single", "batches of 32"),
    )


def modelscope_loop(models: Path, device: str) -> Loop:
    """ModelScope's pipeline, called from a loop."""
    return Loop(
        name="ModelScope",
        command=[
            *(program("modelscope"), "-m", "benchmarks.peers.modelscope_loop"),
            *(str(models / MGEO), device),
        ],
        modes=("default", "tuned", "tuned, batches of 16"),
    )


def backend_loop(models: Path, device: str, backend: str) -> Loop:
    """One of this service's backends, called from a loop."""
    return Loop(
        name=f"{backend} loop",
        command=[sys.executable, "-m", "benchmarks.loops", str(models / MGEO), backend, device],
        modes=("single", "batches of 32", "batches of its budget"),
    )
