from __future__ import annotations

import pytest

from benchmarks.soak import Sample, growth


def samples(memory: list[int], descriptors: list[int]) -> list[Sample]:
    return [
        Sample(float(minute), *both, threads=9)
        for minute, both in enumerate(zip(memory, descriptors, strict=True))
    ]


def test_growth_is_counted_from_the_settled_minute() -> None:
    found = growth(samples([100] * 10 + [200] * 40 + [210] * 10, [5] * 50 + [7] * 10), settled=10)

    assert found == (pytest.approx(0.05), 2)


def test_a_moment_is_no_growth() -> None:
    found = growth(samples([200] * 59 + [400], [5] * 59 + [50]), settled=10)

    assert found == (0, 0)
