"""What the tests of the engine share: an engine on a backend that does what a test says."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from types import SimpleNamespace

import numpy as np
from opentelemetry.metrics import CallbackOptions, NoOpMeterProvider
from opentelemetry.trace import NoOpTracer

from service.lifecycle import Lifecycle
from service.recorder import Recorder
from service.scoring import checkpoint as checkpoints
from service.scoring.backends import Probabilities
from service.scoring.backends.choose import BackendChoice
from service.scoring.backends.layout import Padding
from service.scoring.engine import Engine
from service.scoring.job import Job
from service.scoring.model import LoadedModel
from service.scoring.queue import PairQueue
from service.scoring.tokens import PairTokenizer, TokenizedPair
from telemetry.recording import Instruments
from tests.conftest import TINY

ROW = [0.2, 0.3, 0.5]
POISON = 99
"""A token that a test's model may fail on."""


def is_poisoned(pairs: Sequence[TokenizedPair]) -> bool:
    return any(POISON in pair.ids for pair in pairs)


class Backend:
    """Answers each pair with ROW, or does what the test says instead."""

    name, device, batch_tokens, padding = "test", "cpu", 1000, Padding.LONGEST

    def __init__(self, streams: int = 1) -> None:
        self.streams = streams
        self.streams_used: list[int | None] = []
        self.answer: Callable[[Sequence[TokenizedPair]], Probabilities] = lambda pairs: np.array(
            [ROW] * len(pairs), dtype=np.float32
        )

    def predict(self, pairs: Sequence[TokenizedPair], stream: int | None = None) -> Probabilities:
        self.streams_used.append(stream)
        return self.answer(pairs)


class Memory:
    """Lets a backend compute batches of at most `fits` pairs, and notes the size of each tried."""

    def __init__(self, backend: Backend, *, fits: int, error: type[Exception]) -> None:
        self.fits, self.sizes = fits, list[int]()
        good = backend.answer

        def answer(given: Sequence[TokenizedPair]) -> Probabilities:
            self.sizes.append(len(given))
            if len(given) > self.fits:
                raise error
            return good(given)

        backend.answer = answer


class Bench:
    """An engine on a test backend, and the parts around it."""

    def __init__(
        self,
        load: Callable[[LoadedModel], LoadedModel] = lambda model: model,
        *,
        start: bool = True,
        streams: int = 1,
    ) -> None:
        self.backend = Backend(streams)
        self.lifecycle = Lifecycle()
        self.queue = PairQueue(max_pairs=100, max_tokens=10_000)
        self.instruments = Instruments(NoOpMeterProvider().get_meter("test"))
        checkpoint = checkpoints.read(TINY)
        self.version = checkpoint.version
        tokenizer = PairTokenizer(checkpoint.vocabulary, lower_case=True, max_tokens=128)
        self.engine = Engine(
            lambda progress: load(
                LoadedModel(
                    checkpoint, tokenizer, self.backend, BackendChoice("test", "a test"), 1000
                )
            ),
            self.queue,
            self.lifecycle,
            Recorder(
                SimpleNamespace(  # type: ignore[arg-type]
                    instruments=self.instruments, tracer=NoOpTracer()
                )
            ),
        )
        if start:
            self.engine.start()

    def submit(self, pairs: int = 1, poison: Collection[int] = ()) -> Job:
        tokens = [[POISON if i in poison else 1, 2, 3, 4, 5] for i in range(pairs)]
        job = Job([TokenizedPair(ids, 3, False) for ids in tokens])
        self.queue.put(job)
        return job

    def fail_on_poison(self) -> list[int]:
        """Have batches with a poisoned pair fail. Returns the sizes of all batches from now on."""
        good, sizes = self.backend.answer, list[int]()

        def answer(given: Sequence[TokenizedPair]) -> Probabilities:
            sizes.append(len(given))
            if is_poisoned(given):
                raise RuntimeError
            return good(given)

        self.backend.answer = answer
        return sizes

    def counted(self, counter: str) -> list[tuple[float, dict[str, str]]]:
        """The series of a counter: what each has counted, and its attributes."""
        series = getattr(self.instruments, counter).read(CallbackOptions())
        return [(one.value, one.attributes) for one in series]

    def score(self, pairs: int = 1, poison: Collection[int] = ()) -> Job:
        job = self.submit(pairs, poison)
        assert job.wait(60)
        return job


def rows(job: Job) -> list[tuple[float, ...]]:
    """The probabilities of each pair that has a result."""
    return [result.probabilities for result in job.results.values()]
