"""An engine whose device computes two batches side by side."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence

import pytest

from service.lifecycle import State
from service.scoring.backends import OutOfMemory, Probabilities
from service.scoring.tokens import TokenizedPair
from tests.conftest import eventually
from tests.unit.engines import ROW, Bench, Memory, is_poisoned, rows


@pytest.fixture
def two() -> Iterator[Bench]:
    """An engine whose device computes two batches side by side."""
    made = Bench(streams=2)
    yield made
    made.engine.stop(10)


def test_batches_are_computed_side_by_side(two: Bench) -> None:
    both = threading.Barrier(2, timeout=60)
    good = two.backend.answer

    def meet(pairs: Sequence[TokenizedPair]) -> Probabilities:
        both.wait()  # breaks, and fails the batch, unless two are here at once
        return good(pairs)

    two.backend.answer = meet
    job = two.score(pairs=8)
    assert job.errors == {}
    assert rows(job) == [pytest.approx(ROW)] * 8
    assert sorted(batch.pairs for batch in job.batches) == [4, 4]
    assert sorted(two.backend.streams_used, key=str) == [0, 1]


def test_one_pair_alone_is_computed_by_the_whole_device(two: Bench) -> None:
    for _ in range(5):
        two.score()
        eventually(two.engine.idle)
    assert two.backend.streams_used == [None] * 5


def test_a_batch_that_hangs_is_seen_while_others_are_computed(two: Bench) -> None:
    release, good = threading.Event(), two.backend.answer

    def hang(pairs: Sequence[TokenizedPair]) -> Probabilities:
        assert not is_poisoned(pairs) or release.wait(60)
        return good(pairs)

    two.backend.answer = hang
    stuck = two.submit(pairs=2, poison=[0])
    eventually(lambda: len(stuck.batches) == 2 and len(two.engine._busy) == 1)
    began = two.engine.progress_age()
    for _ in range(3):
        two.score(pairs=2)
    assert two.engine.progress_age() > began > 0
    release.set()
    assert stuck.wait(60)
    eventually(lambda: two.engine.progress_age() == 0.0)


def test_no_thread_of_an_engine_goes_on_without_the_others(two: Bench) -> None:
    def die(pairs: Sequence[TokenizedPair]) -> Probabilities:
        raise SystemExit

    two.backend.answer = die
    job = two.submit(pairs=2)
    assert job.wait(60)
    assert len(job.errors) == 2
    assert two.lifecycle.wait_while(State.READY, State.STARTING, timeout=60) is State.FAILED
    assert two.engine.stop(10)


def test_out_of_memory_halves_what_each_stream_takes(two: Bench) -> None:
    memory = Memory(two.backend, fits=8, error=OutOfMemory)
    assert two.score(64).errors == {}
    memory.sizes.clear()
    assert two.score(64).errors == {}
    assert memory.fits // 2 <= max(memory.sizes) <= memory.fits, (
        "small enough, and no smaller than it must be"
    )
