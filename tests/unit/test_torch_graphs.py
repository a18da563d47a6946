"""Captured graphs: on a GPU where there is one, and on a device that is as asynchronous as one."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from opentelemetry.metrics import CallbackOptions, NoOpMeterProvider
from opentelemetry.trace import NoOpTracer

from service.errors import OperatorError
from service.lifecycle import Lifecycle
from service.recorder import Recorder
from service.scoring import checkpoint as checkpoints
from service.scoring.backends import OutOfMemory, accuracy_check, choose
from service.scoring.backends.choose import BackendChoice
from service.scoring.backends.layout import grid
from service.scoring.backends.torch_backend import TorchBackend
from service.scoring.backends.torch_graphs import Cuda, Device, Graph, TorchGraphsBackend
from service.scoring.engine import Engine
from service.scoring.job import Job
from service.scoring.model import LoadedModel
from service.scoring.queue import PairQueue
from service.scoring.tokens import PairTokenizer, TokenizedPair
from service.settings import Settings
from telemetry.recording import Instruments
from tests.conftest import TINY
from tests.unit.conftest import edit

Run = Callable[[torch.Tensor], torch.Tensor]


class Later:
    """Computes on the CPU as a stream of a GPU does: on its own, later, and in order."""

    def __init__(self) -> None:
        self.captured: list[tuple[int, ...]] = []
        self.memory_left = 1_000_000
        self._thread = ThreadPoolExecutor(1)

    def memory(self, like: torch.Tensor) -> torch.Tensor:
        return torch.empty_like(like)

    def capture(self, run: Run, inputs: torch.Tensor) -> Graph:
        self.memory_left -= inputs[0].numel()
        if self.memory_left < 0:
            raise torch.OutOfMemoryError
        self.captured.append(tuple(inputs.shape[1:]))
        outputs = run(inputs)
        return Graph(inputs, outputs, lambda: outputs.copy_(run(inputs)))

    def ask(self, graph: Graph, given: torch.Tensor, wanted: torch.Tensor) -> Callable[[], None]:
        @torch.inference_mode()
        def work() -> None:
            time.sleep(0.0005)  # so that whoever does not wait sees that it should have
            graph.inputs.copy_(given)
            graph.replay()
            wanted.copy_(graph.outputs[: len(wanted)])

        return self._thread.submit(work).result

    def close(self) -> None:
        self._thread.shutdown()


class Counted(Cuda):
    """A GPU, and what was captured there."""

    def __init__(self) -> None:
        super().__init__()
        self.captured: list[tuple[int, ...]] = []

    def capture(self, run: Run, inputs: torch.Tensor) -> Graph:
        self.captured.append(tuple(inputs.shape[1:]))
        return super().capture(run, inputs)

    def close(self) -> None:
        torch.cuda.synchronize()


@pytest.fixture(
    params=[
        "cpu",
        pytest.param(
            "cuda",
            marks=pytest.mark.skipif(
                not torch.cuda.is_available(), reason="torch finds no GPU: graphs are not captured"
            ),
        ),
    ]
)
def device(request: pytest.FixtureRequest) -> Iterator[Later | Counted]:
    made = Later() if request.param == "cpu" else Counted()
    yield made
    made.close()


def _backend(device: Device, checkpoint: Path = TINY) -> TorchGraphsBackend:
    return TorchGraphsBackend(
        checkpoints.read(checkpoint),
        device="cpu" if isinstance(device, Later) else "cuda",
        threads=1,
        progress=lambda stage, done: None,
        on=lambda: device,
    )


def _batch(size: int, longest: int, first: int = 0) -> list[TokenizedPair]:
    """Pairs of unequal lengths and different tokens, others with another `first`."""
    lengths = [max(5, longest - index % 7) for index in range(size)]
    return [
        TokenizedPair(
            [2, *(5 + (first + n + i) % 400 for i in range(length - 2)), 3], length // 2, False
        )
        for n, length in enumerate(lengths)
    ]


def test_a_graph_answers_what_the_model_does(device: Later | Counted) -> None:
    backend = _backend(device)
    plain = TorchBackend(
        checkpoints.read(TINY),
        precision="f32", device=backend.device, threads=1, progress=lambda stage, done: None,
    )  # fmt: skip
    for size in (1, 2, 3, 5, 17):
        for longest in (5, 8, 20, 63, 64):
            batch = _batch(size, longest)
            found, expected = backend.predict(batch), plain.predict(batch)
            assert found.shape == expected.shape
            assert found == pytest.approx(expected, abs=accuracy_check.LARGEST_DIFFERENCE)
            assert len(np.unique(expected.round(3), axis=0)) > size // 2


def test_batches_staged_at_once_get_their_own_answers(device: Later | Counted) -> None:
    backend = _backend(device)
    # Of the same sizes at the same time, so that both want the same graph.
    shapes = [(size, longest) for size in (1, 4, 8) for longest in (9, 16, 40, 64)] * 3
    batches = [
        [_batch(size, longest, 7 * turn + 150 * stream)
         for turn, (size, longest) in enumerate(shapes)]
        for stream in range(backend.streams)
    ]  # fmt: skip
    alone = [[backend.predict(batch) for batch in own] for own in batches]
    together = threading.Barrier(backend.streams)

    def compute(stream: int) -> list[bool]:
        equal = []
        for batch, expected in zip(batches[stream], alone[stream], strict=True):
            together.wait(60)
            equal.append(bool((backend.predict(batch, stream) == expected).all()))
        return equal

    with ThreadPoolExecutor(backend.streams) as threads:
        for equal in threads.map(compute, range(backend.streams)):
            assert all(equal)


def test_a_length_of_the_grid_may_be_beyond_the_last_position(
    device: Later | Counted, tmp_path: Path
) -> None:
    for name in ("config.json", "configuration.json", "vocab.txt"):
        (tmp_path / name).write_bytes((TINY / name).read_bytes())
    edit(tmp_path / "config.json", lambda config: config.update(max_position_embeddings=60))
    tensors = torch.load(TINY / "pytorch_model.bin")
    [name] = [name for name in tensors if name.endswith("position_embeddings.weight")]
    tensors[name] = tensors[name][:60].clone()
    torch.save(tensors, tmp_path / "pytorch_model.bin")
    backend, whole = _backend(device, tmp_path), _backend(device)
    batch = _batch(2, 60)
    np.testing.assert_array_equal(backend.predict(batch), whole.predict(batch))


def test_after_the_warm_up_nothing_is_captured(device: Later | Counted) -> None:
    backend = _backend(device)
    seen: list[float] = []
    backend.warm_up(2 * 256, seen.append)
    shapes = grid(256, backend._longest)
    assert device.captured == shapes
    assert seen == sorted(seen)
    for size in (1, 3, 4, 7, 16):
        for longest in (5, 12, 16):
            backend.predict(_batch(size, longest))
    backend.predict(_batch(1, backend._longest))
    assert device.captured == shapes


@pytest.mark.slow
def test_the_engine_fills_graphs_from_both_its_threads(device: Later | Counted) -> None:
    backend = _backend(device)
    checkpoint = checkpoints.read(TINY)
    tokenizer = PairTokenizer(checkpoint.vocabulary, lower_case=True, max_tokens=128)
    model = LoadedModel(
        checkpoint, tokenizer, backend, BackendChoice(backend.name, "a test"), 2 * 512
    )
    instruments = Instruments(NoOpMeterProvider().get_meter("test"))
    queue = PairQueue(max_pairs=10_000, max_tokens=1_000_000)
    engine = Engine(
        lambda progress: model, queue, Lifecycle(),
        Recorder(SimpleNamespace(instruments=instruments, tracer=NoOpTracer())),  # type: ignore[arg-type]
    )  # fmt: skip
    given = [_batch(size, 5 + 11 * size % 60, 37 * size) for size in range(1, 60, 4)]
    alone = [backend.predict(pairs) for pairs in given]
    jobs = [Job(pairs) for pairs in given]
    for job in jobs:
        queue.put(job)
    engine.start()
    for job, expected in zip(jobs, alone, strict=True):
        assert job.wait(60)
        found = np.array([job.results[index].probabilities for index in range(len(expected))])
        assert found == pytest.approx(expected, abs=accuracy_check.LARGEST_DIFFERENCE)
    assert engine.stop(10)
    batches = {id(batch): batch for job in jobs for batch in job.batches}.values()
    computed = sum(batch.computed_tokens for batch in batches)
    real = sum(len(pair.ids) for pairs in given for pair in pairs)
    counted = {
        series.attributes["kind"]: series.value
        for series in instruments.batch_tokens.read(CallbackOptions())
    }
    assert counted == {"real": real, "padding": computed - real}
    for batch in batches:
        assert batch.computed_tokens <= 512
        assert any(rows * length == batch.computed_tokens for rows, length in grid(512, 128))


def test_what_does_not_fit_into_memory_is_said() -> None:
    device = Later()
    device.memory_left = 300
    backend = _backend(device)
    with pytest.raises(OperatorError, match=r"not hold 1 x 512 tokens: .* MGEO_BATCH_TOKENS"):
        backend.warm_up(2 * 256, lambda done: None)
    device.memory_left = 300
    with pytest.raises(OutOfMemory):
        backend.predict(_batch(8, 64))
    device.memory_left = 300
    assert backend.predict(_batch(1, 64)).shape == (1, 3)
    device.close()


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_there_are_no_graphs() -> None:
    with pytest.raises(OperatorError, match="needs a GPU, and torch finds none; use torch-bf16"):
        choose.build(
            checkpoints.read(TINY),
            Settings(backend="torch-bf16-graphs", cpu_threads=1),
            [],
            lambda stage, done: None,
        )
