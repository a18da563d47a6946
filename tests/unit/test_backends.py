"""The backends: one architecture, one answer."""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file
from transformers import BertConfig, BertForSequenceClassification

from service.scoring import checkpoint as checkpoints
from service.scoring.architecture import tensor_shapes
from service.scoring.backends import CPU_STREAMS, OutOfMemory, choose
from service.scoring.backends.layout import Packed, packed, rounded
from service.scoring.backends.onnxruntime_backend import OnnxRuntimeBackend
from service.scoring.backends.openvino_backend import OpenVinoBackend
from service.scoring.tokens import TokenizedPair
from service.settings import Settings
from tests.conftest import TINY
from tests.unit.conftest import edit
from tests.waiting import RunningClock

SIZES = {
    "vocab_size": 30,
    "hidden_size": 24,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "intermediate_size": 40,
    "max_position_embeddings": 50,
    "type_vocab_size": 2,
}


def test_the_tensors_are_those_of_transformers() -> None:
    with torch.device("meta"):
        model = BertForSequenceClassification(BertConfig(**SIZES, num_labels=3))
    theirs = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    assert tensor_shapes(SIZES, labels=3) == theirs


# What rounding to integers may change of a probability, with these weights.
@pytest.mark.parametrize(
    ("backend", "tolerance"),
    [("openvino-f32", 1e-5), ("onnxruntime-int8", 0.05)],
)
@pytest.mark.parametrize(
    ("activation", "threads"),
    [
        # Each of either is quick, all of them together are not.
        pytest.param(
            activation, threads, marks=[pytest.mark.slow] * (activation != "gelu" and threads != 1)
        )
        for activation in ("gelu", "gelu_new", "relu", "silu")
        for threads in (1, 2, 4)
    ],
)
def test_a_cpu_computes_what_torch_does(
    tmp_path: Path, activation: str, threads: int, backend: str, tolerance: float
) -> None:
    random = np.random.default_rng(7)
    for name in ("config.json", "configuration.json", "vocab.txt"):
        (tmp_path / name).write_bytes((TINY / name).read_bytes())

    def change(config: dict[str, Any]) -> None:
        config.update(hidden_act=activation, num_hidden_layers=3, fusion_layer=3, hidden_size=48)
        config.update(layer_norm_eps=1e-5)

    edit(tmp_path / "config.json", change)
    bert = json.loads((tmp_path / "config.json").read_text())
    tensors = {
        name.replace("bert.", "bert.text_encoder.", 1): random.normal(0, 0.3, shape).astype("f4")
        for name, shape in tensor_shapes(bert, labels=3).items()
    }
    save_file(tensors, tmp_path / "model.safetensors")
    checkpoint = checkpoints.read(tmp_path)
    pairs = [
        TokenizedPair([2, *random.integers(5, 400, size).tolist(), 3], size // 2, False)
        for size in (3, 9, 30, 62)
    ]
    theirs, ours = (
        choose.build(
            checkpoint,
            Settings(backend=name, device="cpu", cpu_threads=threads),
            [],
            lambda stage, done: None,
        )[0].predict(pairs)
        for name in ("torch", backend)
    )
    assert ours == pytest.approx(theirs, abs=tolerance)
    assert len({round(float(row[0]), 3) for row in theirs}) > 1


class Failing:
    """An infer request whose result cannot be had."""

    def __init__(self, calls: list[str]) -> None:
        self.calls = calls

    def start_async(self, inputs: object) -> None:
        self.calls.append("started")

    def wait(self) -> None:
        self.calls.append("waited")
        raise RuntimeError("no memory")


def test_a_part_that_fails_fails_the_batch_and_leaves_none_under_way() -> None:
    settings = Settings(backend="openvino-f32", device="cpu", cpu_threads=2)
    backend, _ = choose.build(checkpoints.read(TINY), settings, [], lambda stage, done: None)
    assert isinstance(backend, OpenVinoBackend)
    pairs = [TokenizedPair([2, *range(5, 5 + size), 3], size // 2, False) for size in (3, 9, 8, 60)]
    expected = backend.predict(pairs)
    calls: list[str] = []
    for index in range(CPU_STREAMS):
        sound, backend._streams[index] = backend._streams[index], Failing(calls)
        with pytest.raises(RuntimeError, match="no memory"):
            backend.predict(pairs)
        backend._streams[index] = sound
        np.testing.assert_array_equal(backend.predict(pairs), expected)
    assert calls == ["started", "waited"] * CPU_STREAMS


# fp32's sums differ in their last bits by the rows that are computed together: by 1.6e-6 with AVX2.
@pytest.mark.parametrize(
    ("name", "tolerance"),
    [("openvino-f32", 2e-6), ("onnxruntime-int8", 1e-5)],
)
@pytest.mark.parametrize("cpu_threads", [2, pytest.param(4, marks=pytest.mark.slow)])
def test_streams_compute_side_by_side_what_the_whole_device_does(
    name: str, tolerance: float, cpu_threads: int
) -> None:
    settings = Settings(backend=name, device="cpu", cpu_threads=cpu_threads)
    backend, _ = choose.build(checkpoints.read(TINY), settings, [], lambda stage, done: None)
    assert backend.streams == CPU_STREAMS
    batches = [
        [TokenizedPair([2, *range(5, 5 + size), 3], size // 2, False) for size in range(n, n + 5)]
        for n in range(3, 30)
    ]
    expected = [backend.predict(batch) for batch in batches]
    with ThreadPoolExecutor(backend.streams) as threads:
        for got in threads.map(
            lambda stream: [backend.predict(batch, stream) for batch in batches],
            range(backend.streams),
        ):
            for mine, whole in zip(got, expected, strict=True):
                np.testing.assert_allclose(mine, whole, atol=tolerance)


@pytest.mark.parametrize(
    ("threads", "most"),
    [pytest.param(1, [512], id="no streams"), pytest.param(2, [128, 256], id="streams")],
)
def test_a_backend_that_serves_has_computed_every_size_before_the_first_request(
    monkeypatch: pytest.MonkeyPatch, threads: int, most: list[int]
) -> None:
    settings = Settings(device="cpu", backend="openvino-int8", cpu_threads=threads)
    backend, _ = choose.build(checkpoints.read(TINY), settings, [], lambda stage, done: None)
    seen: list[int] = []

    def watched(pairs: Sequence[TokenizedPair], pad: int) -> Packed:
        batch = packed(pairs, pad)
        seen.append(len(batch.ids))
        return batch

    monkeypatch.setattr("service.scoring.backends.openvino_backend.packed", watched)
    told: list[float] = []
    backend.warm_up(512, told.append)
    assert seen == [
        size for tokens in most for size in sorted({*map(rounded, range(1, tokens + 1))})
    ]
    assert told == sorted(told)
    assert 0 <= told[0] <= told[-1] <= 1


def test_integers_of_one_pair_do_not_depend_on_the_pairs_beside_it() -> None:
    settings = Settings(backend="onnxruntime-int8", device="cpu", cpu_threads=1)
    backend, _ = choose.build(checkpoints.read(TINY), settings, [], lambda stage, done: None)
    pairs = [TokenizedPair([2, *range(5, 5 + size), 3], size // 2, False) for size in range(3, 60)]
    together = backend.predict(pairs)
    for pair, row in zip(pairs, together, strict=True):
        np.testing.assert_allclose(backend.predict([pair])[0], row, atol=1e-5)


@pytest.mark.parametrize(
    ("raised", "told"),
    [
        (RuntimeError("Failed to allocate memory for requested buffer of size 9"), OutOfMemory),
        (RuntimeError("Got invalid dimensions for input"), RuntimeError),
    ],
)
def test_onnx_runtime_out_of_memory_is_said_in_our_word(
    monkeypatch: pytest.MonkeyPatch, raised: Exception, told: type[Exception]
) -> None:
    settings = Settings(backend="onnxruntime-int8", device="cpu", cpu_threads=2)
    backend, _ = choose.build(checkpoints.read(TINY), settings, [], lambda stage, done: None)
    assert isinstance(backend, OnnxRuntimeBackend)

    def run(*_: object) -> None:
        raise raised

    pairs = [TokenizedPair([2, 5, 3, 6, 3], 3, False)] * 5
    for session in (backend._whole, backend._streams[0]):
        monkeypatch.setattr(session, "run", run)
    for stream in (None, 0):
        with pytest.raises(told):
            backend.predict(pairs, stream)


def test_onnx_runtime_has_ended_every_part_before_it_says_that_one_failed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    settings = Settings(backend="onnxruntime-int8", device="cpu", cpu_threads=2)
    backend, _ = choose.build(checkpoints.read(TINY), settings, [], lambda stage, done: None)
    assert isinstance(backend, OnnxRuntimeBackend)
    sizes = iter((1, 2))
    ended: list[str] = []

    def by(*_: object) -> None:
        if next(sizes) == 1:
            raise OutOfMemory("the first part")
        time.sleep(0.2)
        ended.append("the second part")

    monkeypatch.setattr(backend, "_by", by)
    with pytest.raises(OutOfMemory):
        backend.predict([TokenizedPair([2, 5, 3, 6, 3], 3, False)] * 5)
    assert ended == ["the second part"]


@pytest.mark.parametrize(
    "raised",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
    ],
    ids=["torch", "cublas"],
)
def test_torch_out_of_memory_is_said_in_our_word_and_the_cache_is_emptied(
    monkeypatch: pytest.MonkeyPatch, raised: Exception
) -> None:
    backend, _ = choose.build(
        checkpoints.read(TINY),
        Settings(backend="torch", device="cpu"),
        [],
        lambda stage, done: None,
    )
    emptied: list[bool] = []
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: emptied.append(True))
    monkeypatch.setattr(backend, "device", "cuda:0")

    def fail(*_: object) -> None:
        raise raised

    monkeypatch.setattr(backend, "_forward", fail)
    with pytest.raises(OutOfMemory, match="a batch of 2 pairs") as caught:
        backend.predict([TokenizedPair([2, 5, 3], 2, False)] * 2)
    assert emptied == [True]
    # The first error's traceback would keep the tensors of the batch.
    assert caught.value.__context__ is None


def test_another_error_of_torch_is_not_taken_for_lack_of_memory(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    backend, _ = choose.build(
        checkpoints.read(TINY),
        Settings(backend="torch", device="cpu"),
        [],
        lambda stage, done: None,
    )

    def fail(*_: object) -> None:
        raise RuntimeError("device-side assert triggered")

    monkeypatch.setattr(backend, "_forward", fail)
    with pytest.raises(RuntimeError, match="device-side"):
        backend.predict([TokenizedPair([2, 5, 3], 2, False)])


def _policies() -> dict[int, int]:
    """The scheduling policy of each thread of this process."""
    found = {}
    for thread in Path("/proc/self/task").iterdir():
        with contextlib.suppress(ProcessLookupError):
            found[int(thread.name)] = os.sched_getscheduler(int(thread.name))
    return found


def _ticks(thread: int) -> int:
    """Processor time that a thread has used, in the system's ticks (10 ms); 0 if it has ended."""
    try:
        stat = Path(f"/proc/self/task/{thread}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    fields = stat.rsplit(")", 1)[1].split()
    return int(fields[11]) + int(fields[12])


@pytest.mark.skipif(not hasattr(os, "SCHED_IDLE"), reason="Linux has it")
def test_a_shadow_computes_the_same_on_threads_that_run_only_where_a_processor_is_idle() -> None:
    settings = Settings(backend="openvino-f32", device="cpu", cpu_threads=2)
    checkpoint = checkpoints.read(TINY)
    pairs = [TokenizedPair([2, *range(5, 5 + size), 3], size // 2, False) for size in (3, 30, 60)]
    urgent, _ = choose.build(checkpoint, settings, [], lambda stage, done: None)
    before = _policies()
    idle, _ = choose.build(checkpoint, settings, [], lambda stage, done: None, background=True)
    expected = urgent.predict(pairs)
    started = [thread for thread in _policies() if thread not in before]
    used = {thread: _ticks(thread) for thread in started}
    clock = RunningClock()
    while not any(_ticks(thread) > used[thread] for thread in started):
        np.testing.assert_allclose(idle.predict(pairs), expected, atol=1e-6)
        assert clock.seconds() < 60, "none of its threads computes"
    now = _policies()
    # Some only compile, and have ended.
    running = [thread for thread in started if thread in now]
    assert running
    assert all(now[thread] == os.SCHED_IDLE for thread in running)
    assert all(now.get(thread, policy) == policy for thread, policy in before.items())


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="Linux has it")
@pytest.mark.parametrize("threads", [pytest.param(1, marks=pytest.mark.slow), 2])
@pytest.mark.parametrize("name", ["torch", "openvino-f32", "onnxruntime-int8"])
def test_a_pass_may_run_on_every_processor(name: str, threads: int) -> None:
    """Bound to the first ones, the instances of a machine would share these and leave the others
    idle; a pod with a quota may run on all processors of its node, and so may its neighbours."""
    settings = Settings(backend=name, device="cpu", cpu_threads=threads)
    backend, _ = choose.build(checkpoints.read(TINY), settings, [], lambda stage, done: None)
    pairs = [TokenizedPair([2, *range(5, 65), 3], 30, False)] * 64
    everywhere = os.sched_getaffinity(0)
    with ThreadPoolExecutor(1) as caller:
        for _ in range(5):
            computing = caller.submit(backend.predict, pairs)
            while not computing.done():
                assert [*_bound(everywhere)] == []


def _bound(everywhere: set[int]) -> Iterator[int]:
    """The threads of this process that may not run everywhere."""
    for thread in Path("/proc/self/task").iterdir():
        with contextlib.suppress(ProcessLookupError):
            if os.sched_getaffinity(int(thread.name)) != everywhere:
                yield int(thread.name)
