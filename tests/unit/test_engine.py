"""The engine's thread: what it does with batches that fail, and how it ends."""

from __future__ import annotations

import json
import math
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.errors import CheckpointError, EngineFailed
from service.lifecycle import State
from service.scoring.backends import OutOfMemory, Probabilities
from service.scoring.job import Job
from service.scoring.model import LoadedModel
from service.scoring.tokens import TokenizedPair
from telemetry.logs import JsonFormatter
from tests.conftest import eventually
from tests.unit.engines import ROW, Bench, Memory, is_poisoned, rows


@pytest.fixture
def bench() -> Iterator[Bench]:
    made = Bench()
    yield made
    assert made.engine.stop(10)


def test_results_reach_the_job_with_the_times_of_its_stages(bench: Bench) -> None:
    job = bench.score(pairs=3)
    assert rows(job) == [pytest.approx(ROW)] * 3
    assert job.submitted_ns <= job.started_ns <= job.finished_ns
    [batch] = job.batches
    assert (batch.pairs, batch.tokens, batch.computed_tokens) == (3, 15, 15)
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
def test_a_pair_that_fails_is_answered_and_the_engine_goes_on(
    bench: Bench, answer: Callable[[Any], Any]
) -> None:
    good = bench.backend.answer
    bench.backend.answer = lambda pairs: (answer if is_poisoned(pairs) else good)(pairs)
    assert isinstance(bench.score(poison={0}).errors[0], EngineFailed)
    assert bench.score().errors == {}
    assert bench.lifecycle.state is State.READY


@given(st.integers(1, 60), st.sets(st.integers(0, 59), max_size=2))
def test_only_the_pairs_at_fault_fail(pairs: int, poison: set[int]) -> None:
    bench = Bench()
    passes = bench.fail_on_poison()
    job = bench.score(pairs, poison=poison)
    assert bench.engine.stop(10)
    assert set(job.errors) == {index for index in poison if index < pairs}
    right = [index for index in range(pairs) if index not in poison]
    assert sorted(job.results) == right
    assert rows(job) == [pytest.approx(ROW)] * len(right)
    assert bench.lifecycle.state is State.READY
    assert len(passes) <= 4 * math.log2(pairs) + 7


def test_a_batch_in_parts_keeps_its_thread_until_the_last_and_only_successes_set_the_latency(
    bench: Bench,
) -> None:
    bench.score()
    eventually(bench.engine.idle)
    good, learnt = bench.backend.answer, bench.queue._admission.latency._batches
    computing: list[int] = []

    def answer(given: Sequence[TokenizedPair]) -> Probabilities:
        computing.append(len(bench.queue._admission.computing))
        if is_poisoned(given):
            raise RuntimeError
        return good(given)

    bench.backend.answer = answer
    bench.score(4, poison={0})
    eventually(bench.engine.idle)
    assert computing == [1] * 5  # of 4, of 2, of 1, and of what is left of both
    assert bench.queue._admission.latency._batches == learnt + 2
    assert not bench.queue._admission.computing


def test_a_batch_full_of_failures_costs_a_bounded_number_of_passes(bench: Bench) -> None:
    passes = bench.fail_on_poison()
    assert len(bench.score(64, poison=set(range(64))).errors) == 64
    assert len(passes) <= 2 * 2 * 6 + 2  # each split adds two, and the probe


def test_a_device_that_never_answers_again_fails_the_process(bench: Bench) -> None:
    """Never a process that answers health and no predictions."""

    def broken(_: Any) -> Probabilities:
        raise RuntimeError("CUDA error: device-side assert triggered")

    bench.backend.answer = broken
    assert isinstance(bench.score().errors[0], EngineFailed)
    assert bench.lifecycle.wait_while(State.READY, State.STARTING, timeout=60) is State.FAILED
    with pytest.raises(EngineFailed):
        bench.submit()


@pytest.mark.parametrize("error", [OutOfMemory, MemoryError])
@pytest.mark.parametrize("streams", [1, 2])
@pytest.mark.parametrize("fits", [1, 2, 3, 4, 7, 8])
def test_out_of_memory_makes_batches_smaller_and_fails_no_pair(
    error: type[Exception], streams: int, fits: int
) -> None:
    bench = Bench(streams=streams)
    memory = Memory(bench.backend, fits=fits, error=error)
    assert bench.score(64).errors == {}
    memory.sizes.clear()
    assert bench.score(64).errors == {}
    assert max(memory.sizes) <= fits
    assert bench.counted("prediction_failed") == [(0, {"model_version": bench.version})]
    assert bench.engine.stop(10)


def test_a_pair_that_is_too_long_for_the_memory_fails_alone_and_the_engine_stays(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.scoring.engine._MEMORY_PATIENCE_SECONDS", 0.0)
    good = bench.backend.answer

    def answer(given: Sequence[TokenizedPair]) -> Probabilities:
        if is_poisoned(given):
            raise OutOfMemory
        return good(given)

    bench.backend.answer = answer
    job = bench.score(8, poison={5})
    assert set(job.errors) == {5}
    assert set(bench.score(1, poison={0}).errors) == {0}
    assert bench.score(8).errors == {}
    assert bench.lifecycle.state is State.READY


def test_a_device_without_memory_for_one_pair_is_waited_for_and_then_ends_the_process(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    memory = Memory(bench.backend, fits=0, error=OutOfMemory)
    assert set(bench.score(4).errors) == {0, 1, 2, 3}
    assert bench.lifecycle.state is State.READY, "another process may give some back"
    memory.fits = 64
    assert bench.score(4).errors == {}
    memory.fits = 0
    monkeypatch.setattr("service.scoring.engine._MEMORY_PATIENCE_SECONDS", 0.05)
    # Since it could compute: the shortage before says nothing of this one.
    assert isinstance(bench.score().errors[0], EngineFailed)
    assert bench.lifecycle.state is State.READY
    eventually(bench.engine.idle)  # by now it knows since when
    time.sleep(0.06)
    assert bench.submit().wait(60)
    assert bench.lifecycle.wait_while(State.READY, timeout=60) is State.FAILED


def test_the_time_of_a_pass_is_not_that_of_handing_out_its_results(bench: Bench) -> None:
    finish, finishing, told = bench.queue.finish, list[float](), list[float]()

    def slow(*args: Any) -> None:
        finishing.append(time.perf_counter())
        time.sleep(0.2)
        finish(*args)

    bench.queue.finish = slow  # type: ignore[method-assign]
    bench.queue.computed = lambda tokens, seconds: told.append(seconds)  # type: ignore[method-assign]
    began = time.perf_counter()
    bench.score()
    eventually(lambda: told)
    assert told[0] < finishing[0] - began


def test_each_time_that_memory_runs_out_is_counted(bench: Bench) -> None:
    bench.score()
    [none] = bench.counted("batch_out_of_memory")
    assert none == (0, {"model_version": bench.version}), "there before the first one"
    Memory(bench.backend, fits=2, error=OutOfMemory)
    assert bench.score(8).errors == {}  # of 8, and of 4
    assert bench.counted("batch_out_of_memory") == [(2, none[1])]

    def broken(pairs: Sequence[TokenizedPair]) -> Probabilities:
        raise RuntimeError

    bench.backend.answer = broken
    bench.score(2)
    assert bench.counted("batch_out_of_memory") == [(2, none[1])], "of nothing else"


def test_an_engine_that_was_never_started_stops_at_once() -> None:
    assert Bench(start=False).engine.stop(0)


def test_a_model_that_does_not_load_fails_the_process_with_its_error() -> None:
    refusal = CheckpointError("no")

    def load(_: LoadedModel) -> LoadedModel:
        raise refusal

    bench = Bench(load)
    assert bench.lifecycle.wait_while(State.STARTING, timeout=60) is State.FAILED
    assert bench.lifecycle.error is refusal


def test_an_engine_that_dies_fails_the_process(bench: Bench) -> None:
    """Never a process that answers health and no predictions."""

    def die(_: Any) -> Probabilities:
        raise SystemExit

    good = bench.backend.answer
    release = threading.Event()

    def hold(pairs: Sequence[TokenizedPair]) -> Probabilities:
        assert release.wait(60)
        return good(pairs)

    bench.backend.answer = hold
    first = bench.submit()
    eventually(lambda: first.started_ns)
    held, waiting = bench.submit(3), bench.submit(20)
    bench.backend.answer = die
    release.set()
    # Whoever waits is told so, and does not wait for the end of its time.
    assert first.wait(60)
    for job in (held, waiting):
        assert job.wait(60)
        assert len(job.errors) == len(job.pairs)
    assert bench.lifecycle.wait_while(State.READY, State.STARTING, timeout=60) is State.FAILED


def test_what_an_engine_died_of_is_logged_with_its_place_and_no_address(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    address = "紫萱路363号"

    def die(_: Any) -> Probabilities:
        raise SystemExit(address)

    bench.backend.answer = die
    assert bench.submit().wait(60)
    assert bench.lifecycle.wait_while(State.READY, State.STARTING, timeout=60) is State.FAILED
    [record] = [one for one in caplog.records if one.levelname == "CRITICAL"]
    line = json.loads(JsonFormatter().format(record))
    assert (line["message"], line["exception"]) == ("engine failed", "SystemExit")
    assert line["model_version"] == bench.version
    assert "in die" in line["stack"][-1]
    assert address not in str(line)


def test_an_operators_error_is_no_defect_of_the_engine(caplog: pytest.LogCaptureFixture) -> None:
    """It is the last line on standard error, as of every command."""

    def load(_: LoadedModel) -> LoadedModel:
        raise CheckpointError("no")

    assert Bench(load).lifecycle.wait_while(State.STARTING, timeout=60) is State.FAILED
    assert "CRITICAL" not in [one.levelname for one in caplog.records]


def test_progress_age_is_zero_when_idle_and_grows_while_a_batch_hangs(bench: Bench) -> None:
    assert bench.engine.progress_age() == 0.0
    release = []

    def hang(pairs: Sequence[TokenizedPair]) -> Probabilities:
        eventually(lambda: release)
        return np.array([ROW] * len(pairs), dtype=np.float32)

    bench.backend.answer = hang
    job = Job([TokenizedPair([1, 2, 3, 4, 5], 3, False)])
    bench.queue.put(job)
    eventually(lambda: bench.engine.progress_age() > 0.05)
    release.append(True)
    assert job.wait(60)
    eventually(lambda: bench.engine.progress_age() == 0.0)


@pytest.mark.parametrize("waited", [0, 120])
def test_an_idle_hour_is_no_lack_of_progress_on_what_came_after_it(waited: int) -> None:
    bench = Bench(start=False)
    bench.engine._last_progress -= 3600
    assert bench.engine.progress_age() == 0.0
    job = Job([TokenizedPair([1], 1, False)])
    job.submitted_ns -= int(waited * 1e9)
    bench.queue.put(job)
    assert waited <= bench.engine.progress_age() < waited + 60
