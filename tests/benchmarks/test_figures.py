"""Percentiles, ratios and due times, by value."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.figures import Spread, due_times, paired_ratio, percentile


@given(st.lists(st.floats(0, 1e6), min_size=1), st.floats(0, 1))
def test_a_percentile_is_numpys(values: list[float], share: float) -> None:
    assert percentile(values, share) == pytest.approx(float(np.quantile(values, share)))


def test_a_ratio_is_formed_within_each_round() -> None:
    """The machine halves its speed between rounds: a ratio of medians would show 2 and 1/2."""
    ratio = paired_ratio({0: 30.0, 1: 15.0, 2: 60.0}, {0: 10.0, 1: 5.0, 2: 20.0})
    assert ratio == Spread(median=3.0, low=3.0, high=3.0, count=3)


def test_a_round_that_lacks_one_of_the_two_is_left_out() -> None:
    ratio = paired_ratio({0: 30.0, 1: 15.0, 2: 7.0}, {0: 10.0, 2: 0.0, 3: 1.0})
    assert ratio == Spread(3.0, 3.0, 3.0, 1)
    assert paired_ratio({0: 1.0}, {1: 1.0}) is None


def test_requests_of_an_open_loop_are_due_at_equal_intervals() -> None:
    assert list(due_times(4.0, 1.5)) == [0.0, 0.25, 0.5, 0.75, 1.0, 1.25]


def test_even_a_slow_open_loop_sends_one() -> None:
    assert list(due_times(0.1, 1.0)) == [0.0]
