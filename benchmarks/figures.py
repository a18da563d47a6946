"""The arithmetic of the benchmark: percentiles, ratios, and when requests are due."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass


def percentile(values: Sequence[float], share: float) -> float:
    """The value that `share` (0 to 1) of all values do not exceed, interpolated as numpy does.

    Args:
        values: At least one, in any order.
        share: .5 for the median.
    """
    ordered = sorted(values)
    position = share * (len(ordered) - 1)
    below = int(position)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (ordered[above] - ordered[below]) * (position - below)


@dataclass(frozen=True, slots=True)
class Spread:
    """A figure measured several times."""

    median: float
    low: float
    high: float
    count: int

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        """Of at least one value."""
        return cls(statistics.median(values), min(values), max(values), len(values))


def paired_ratio(upper: Mapping[int, float], lower: Mapping[int, float]) -> Spread | None:
    """The ratio of two figures, taken within each round that has both.

    The machine drifts over minutes; within a round the two see nearly the same machine. So the
    ratio is formed in each round, and never from two medians.

    Args:
        upper: The first figure by round.
        lower: The second.

    Returns:
        None if no round has both, or one is zero.
    """
    ratios = [upper[key] / lower[key] for key in upper.keys() & lower.keys() if lower[key]]
    return Spread.of(ratios) if ratios else None


def due_times(rate: float, seconds: float) -> Iterator[float]:
    """When each request of an open loop is due: seconds from the start, at a constant rate."""
    for number in range(max(1, round(rate * seconds))):
        yield number / rate
