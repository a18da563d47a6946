"""A counter for places where one of the SDK's would cost too much: kept here, read at collection.

Adding to a counter of the SDK takes some microseconds, which is much for something that is counted
for every pair of a request; adding here takes some tenths of one.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable


class Tally:
    """Counts by the values of its attributes, which are given in their declared order."""

    def __init__(self, attributes: tuple[str, ...]) -> None:
        self._attributes = attributes
        self._counts: dict[tuple[str, ...], int] = {}
        self._lock = threading.Lock()

    def add(self, values: tuple[str, ...], count: int = 1) -> None:
        """Count one thing, or several that are alike."""
        with self._lock:
            self._counts[values] = self._counts.get(values, 0) + count

    def add_each(self, values: Iterable[tuple[str, ...]]) -> None:
        """Count several things at once."""
        with self._lock:
            for one in values:
                self._counts[one] = self._counts.get(one, 0) + 1

    def series(self) -> list[tuple[float, dict[str, str]]]:
        """Each count with its attributes."""
        with self._lock:
            counts = list(self._counts.items())
        return [
            (count, dict(zip(self._attributes, values, strict=True))) for values, count in counts
        ]
