"""The engine's thread: what it does with batches that fail, and how it ends."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from opentelemetry.metrics import NoOpMeterProvider
from opentelemetry.trace import NoOpTracer

from service.errors import CheckpointError, EngineFailed
from service.lifecycle import Lifecycle, State
from service.scoring import checkpoint as checkpoints
from service.scoring.backends import Probabilities
from service.scoring.engine import Engine
from service.scoring.job import Job
from service.scoring.model import Model
from service.scoring.queue import PairQueue
from service.scoring.tokens import PairTokenizer, TokenizedPair
from telemetry.instruments import Instruments
from tests.conftest import TINY, eventually

ROW = [0.2, 0.3, 0.5]


class Backend:
    """Answers each pair with ROW, or does what the test says instead."""

    name, device, batch_tokens = "test", "cpu", 1000

    def __init__(self) -> None:
        self.answer: Callable[[Sequence[TokenizedPair]], Probabilities] = lambda pairs: np.array(
            [ROW] * len(pairs), dtype=np.float32
        )

    def predict(self, pairs: Sequence[TokenizedPair]) -> Probabilities:
        return self.answer(pairs)


class Bench:
    """An engine on a test backend, and the parts around it."""

    def __init__(self, load: Callable[[Model], Model] = lambda model: model) -> None:
        self.backend = Backend()
        self.lifecycle = Lifecycle()
        self.queue = PairQueue(max_pairs=100, max_tokens=10_000)
        checkpoint = checkpoints.read(TINY)
        tokenizer = PairTokenizer(checkpoint.vocabulary, lower_case=True, max_tokens=128)
        self.engine = Engine(
            lambda progress: load(Model(checkpoint, tokenizer, self.backend, 1000)),
            self.queue,
            self.lifecycle,
            SimpleNamespace(  # type: ignore[arg-type]
                instruments=Instruments(NoOpMeterProvider().get_meter("test")),
                tracer=NoOpTracer(),
            ),
        )
        self.engine.start()

    def score(self, pairs: int = 1) -> Job:
        job = Job([TokenizedPair([1, 2, 3, 4, 5], 3, False)] * pairs, labels=3)
        self.queue.put(job)
        assert job.wait(10)
        return job


@pytest.fixture
def bench() -> Iterator[Bench]:
    made = Bench()
    yield made
    assert made.engine.stop(10)


def test_results_reach_the_job_with_the_times_of_its_stages(bench: Bench) -> None:
    job = bench.score(pairs=3)
    assert job.probabilities == pytest.approx(np.array([ROW] * 3))
    assert job.submitted_ns <= job.started_ns <= job.finished_ns
    [batch] = job.batches
    assert batch.shape == {"size": 3, "tokens": 15, "padded_tokens": 15}
    assert bench.lifecycle.state is State.READY
    assert bench.engine.load_seconds >= 0


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(lambda pairs: 1 / 0, id="raises"),
        pytest.param(lambda pairs: np.array([[float("nan")] * 3]), id="not numbers"),
        pytest.param(lambda pairs: np.zeros((0, 3)), id="too few rows"),
    ],
)
def test_a_batch_that_fails_is_answered_and_the_engine_goes_on(
    bench: Bench, answer: Callable[[Any], Any]
) -> None:
    good, bench.backend.answer = bench.backend.answer, answer
    assert isinstance(bench.score().error, EngineFailed)
    bench.backend.answer = good
    assert bench.score().error is None
    assert bench.lifecycle.state is State.READY


def test_a_model_that_does_not_load_fails_the_process_with_its_error() -> None:
    refusal = CheckpointError("no")

    def load(_: Model) -> Model:
        raise refusal

    bench = Bench(load)
    assert bench.lifecycle.wait_while(State.STARTING, timeout=10) is State.FAILED
    assert bench.lifecycle.error is refusal


def test_an_engine_that_dies_fails_the_process(bench: Bench) -> None:
    """Never a process that answers health and no predictions."""

    def die(_: Any) -> Probabilities:
        raise SystemExit

    bench.backend.answer = die
    bench.queue.put(Job([TokenizedPair([1, 2, 3, 4, 5], 3, False)], labels=3))
    assert bench.lifecycle.wait_while(State.READY, State.STARTING, timeout=10) is State.FAILED


def test_progress_age_is_zero_when_idle_and_grows_while_a_batch_hangs(bench: Bench) -> None:
    assert bench.engine.progress_age() == 0.0
    release = []

    def hang(pairs: Sequence[TokenizedPair]) -> Probabilities:
        eventually(lambda: release, 10)
        return np.array([ROW] * len(pairs), dtype=np.float32)

    bench.backend.answer = hang
    job = Job([TokenizedPair([1, 2, 3, 4, 5], 3, False)], labels=3)
    bench.queue.put(job)
    eventually(lambda: bench.engine.progress_age() > 0.05)
    release.append(True)
    assert job.wait(10)
    eventually(lambda: bench.engine.progress_age() == 0.0)
