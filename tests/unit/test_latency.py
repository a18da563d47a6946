"""What the model's pace is taken for, from the batches it has computed."""

from __future__ import annotations

import math
from itertools import cycle, islice

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.scoring.admission import LatencyModel


def _latency(*batches: tuple[int, float]) -> LatencyModel:
    pace = LatencyModel()
    for tokens, seconds in batches:
        pace.observe(tokens, seconds)
    return pace


def test_nothing_is_expected_before_the_first_batch() -> None:
    assert _latency().seconds(1_000_000, 512) == 0.0


@pytest.mark.parametrize(
    ("fixed", "per_token"), [(0.0, 0.001), (0.005, 0.0), (0.002, 0.0001)], ids=["cpu", "gpu", "mix"]
)
def test_single_pairs_and_full_batches_tell_what_a_queue_takes(
    fixed: float, per_token: float
) -> None:
    sizes = islice(cycle([40, 60, 512]), 60)
    pace = _latency(*((size, fixed + per_token * size) for size in sizes))
    assert pace.seconds(5120, 512) == pytest.approx(10 * fixed + 5120 * per_token, rel=1e-6)


def test_a_gpu_known_from_single_pairs_is_not_taken_for_a_slow_one() -> None:
    pace = _latency(*[(50, 0.005)] * 20)
    assert pace.seconds(8192, 8192) == pytest.approx(0.005)


@pytest.mark.parametrize("budget", [0, 1])
def test_of_a_stream_without_a_budget_a_batch_is_one_token(budget: int) -> None:
    """As where the device's budget is less than it has streams."""
    assert _latency((1, 2.0)).seconds(3, budget) == 6.0


def test_a_machine_that_became_slow_is_known_after_a_few_batches() -> None:
    pace = _latency(*[(512, 0.05)] * 50, *[(512, 0.5)] * 30)
    assert pace.seconds(5120, 512) == pytest.approx(5, rel=0.1)


@given(
    st.lists(st.tuples(st.integers(1, 10_000), st.floats(0, 100)), min_size=1, max_size=40),
    st.integers(0, 10_000),
    st.integers(0, 10_000),
    st.integers(1, 10_000),
)
def test_more_work_never_takes_less_time(
    batches: list[tuple[int, float]], tokens: int, more: int, budget: int
) -> None:
    pace = _latency(*batches)
    less = pace.seconds(tokens, budget)
    assert 0 <= less <= pace.seconds(tokens + more, budget) * (1 + 1e-9)
    assert math.isfinite(less)
