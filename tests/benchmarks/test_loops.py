"""How bare loops cut blocks of pairs into batches."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from benchmarks import loops
from benchmarks.loops import Order
from benchmarks.pairs import Pair, pairs

COUNT = st.integers(1, 300)


def _length(pair: Pair) -> int:
    return len(pair[0]) + len(pair[1]) + 3


@given(COUNT, st.integers(20, 2000))
def test_batches_within_a_budget_hold_every_pair_once(count: int, budget: int) -> None:
    block = pairs(0, count)
    batches = loops.by_budget(budget)(block)
    assert sorted(pair for batch in batches for pair in batch) == sorted(block)
    for batch in batches:
        assert len(batch) == 1 or len(batch) * max(map(_length, batch)) <= budget


@given(COUNT, st.integers(1, 40))
def test_batches_of_a_size_are_sorted_by_length(count: int, size: int) -> None:
    batches = loops.by_count(size)(pairs(0, count))
    lengths = [_length(pair) for batch in batches for pair in batch]
    assert lengths == sorted(lengths)
    assert {len(batch) for batch in batches[:-1]} <= {size}


def test_a_lap_counts_what_it_scored() -> None:
    scored: list[Pair] = []
    run = loops.batched(loops.by_count(8), scored.extend, block=20)
    lap = run(Order(mode="", seconds=0.001, first=5))
    assert lap.pairs == len(scored) > 0
    assert lap.seconds == sum(lap.latencies)
