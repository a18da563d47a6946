"""The whole stack on free ports, started once for all tests of this folder."""

import random
import shutil
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
import requests

from service.retrieval import files
from service.retrieval.register import Entry
from tests.stack import logs, names
from tests.stack.clients import Jaeger, Prometheus, eventually
from tests.telemetry.nvml import stub
from tools import native
from tools.build import BuildError
from tools.compose import REPOSITORY, load_services
from tools.load import LoadSummary, pair, run
from tools.stack import Stack

MODEL = REPOSITORY / "tests" / "data" / "tiny"


@pytest.fixture(scope="session")
def nvml(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Variables that give a process a stub of NVIDIA's management library, with one GPU."""
    if shutil.which("cc") is None:
        pytest.fail("cc is not installed: the NVML stub needs a C compiler (apt-get install gcc)")
    folder = stub.build(tmp_path_factory.mktemp("nvml"))
    state = folder / "state"
    stub.write_state(state, stub.ONE_GPU | {"0.used": 6 << 30, "0.total": 16 << 30})
    return {"LD_LIBRARY_PATH": str(folder), "NVML_STUB_STATE": str(state)}


@pytest.fixture(scope="module")
def name_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A name server that knows `names.NAME`, for programs started by `names.asking_only_it`."""
    with names.server(tmp_path_factory.mktemp("dns")):
        yield


def prepare(
    directory: Path,
    environment: dict[str, str],
    only: list[str] | None = None,
    further: Sequence[Path] = (),
) -> Stack:
    """The services of the compose files on free ports, not yet started.

    Args:
        directory: For data and logs.
        environment: Further settings of the service itself, and of each replica.
        only: Services to run; all that can by default.
        further: Compose files on top of what `make stack` reads.
    """
    settings = {"MGEO_MODEL": str(MODEL), "MGEO_DEVICE": "cpu", **environment}
    try:
        composed = native.compose_files(further)
        services = load_services(composed)
        return Stack(
            directory=directory,
            files=composed,
            only=only,
            ports=native.free_ports(native.ports_of(services.values())),
            extra_environment={
                name: settings for name in services if services[name].image == native.OWN_IMAGE
            },
        )
    except (BuildError, native.MissingProgramError) as error:
        pytest.fail(str(error))


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory, nvml: dict[str, str]) -> Iterator[Stack]:
    """The whole stack, with the tests' small model, a register and a stub GPU."""
    register = tmp_path_factory.mktemp("register")
    files.write(register, [Entry("R1", "文三路478号华星时代广场")])
    settings = nvml | {"MGEO_REGISTER": str(register)}
    with prepare(tmp_path_factory.mktemp("stack"), settings) as running:
        running.start()
        yield running


# Of a module: one may run a stack of its own, and override only the fixture `stack`.


@pytest.fixture(scope="module")
def prometheus(stack: Stack) -> Prometheus:
    return Prometheus(stack.url("prometheus", 9090))


@pytest.fixture(scope="module")
def jaeger(stack: Stack) -> Jaeger:
    return Jaeger(stack.url("jaeger", 16686))


@pytest.fixture(scope="module")
def log_store(stack: Stack) -> logs.LogStore:
    return logs.of(stack)


@pytest.fixture(scope="module")
def predict_url(stack: Stack) -> str:
    return stack.url("mgeo", 5000, "/predict")


@dataclass(frozen=True)
class Traffic:
    """What was sent before the tests look.

    Attributes:
        fast: 5,000 requests as fast as they are answered.
        steady: A minute and a half of requests at an even pace.
        started: When the first one was sent, in seconds since the epoch.
    """

    fast: LoadSummary
    steady: LoadSummary
    started: float

    @property
    def answered(self) -> int:
        """Requests that the client saw answered."""
        return self.fast.answered + self.steady.answered


@pytest.fixture(scope="session")
def traffic(stack: Stack) -> Traffic:
    """Requests through the whole chain, and their samples arrived in Prometheus."""
    url, prometheus = stack.url("mgeo", 5000, "/predict"), Prometheus(stack.url("prometheus", 9090))
    started = time.time()
    fast = run(url, requests=5000, concurrency=16, seconds=300)
    steady = run(url, requests=900, concurrency=6, rate=10, seconds=100, seed=1)
    done = Traffic(fast, steady, started)
    eventually(
        "the last request's sample in Prometheus",
        lambda: prometheus.value("mgeo_request_total"),
        lambda counted: counted >= done.answered,
        seconds=60,
    )
    return done


@pytest.fixture(scope="session")
def batches(stack: Stack, traffic: Traffic) -> None:
    """Batches of one to a hundred pairs, until a minute's dots are in Prometheus."""
    prometheus = Prometheus(stack.url("prometheus", 9090))
    source, http = random.Random(0), requests.Session()
    http.trust_env = False
    url = stack.url("mgeo", 5000, "/predict/batch")
    for number in range(300):
        body = {"pairs": [pair(source) for _ in range(1 + number % 100)]}
        assert http.post(url, json=body, timeout=60).status_code == 200
        time.sleep(0.1)
    dots = 'mgeo_request_duration_seconds_bucket{endpoint="/predict/batch"}'
    eventually("dots", lambda: prometheus.exemplars(dots), lambda d: len(d) >= 10, seconds=60)
