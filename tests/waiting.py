"""Time for tests that wait or measure: a machine that stalls for a while must fail none of them."""

from __future__ import annotations

import threading
import time
from typing import Self


class RunningClock:
    """Counts the seconds in which this machine ran.

    If more than `longest` seconds pass between two calls of `seconds`, the machine stalled. Only
    `longest` count, because what a test waits for stood still too. So call it more often than that.
    """

    def __init__(self, longest: float = 1.0) -> None:
        self._longest = longest
        self._seen = time.monotonic()
        self._passed = 0.0

    def seconds(self) -> float:
        """Seconds since it was made."""
        now = time.monotonic()
        self._passed += min(now - self._seen, self._longest)
        self._seen = now
        return self._passed

    def sleep(self, seconds: float) -> None:
        """Sleep until so many more seconds are counted."""
        until = self.seconds() + seconds
        while (left := until - self.seconds()) > 0:
            time.sleep(min(left, 0.2))


class Stopwatch:
    """Measures how long a block takes, for an upper bound: stalls of the machine do not count.

    Attributes:
        seconds: How long it took.
    """

    seconds: float

    def __init__(self) -> None:
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)

    def __enter__(self) -> Self:
        self._clock = RunningClock(longest=0.25)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()
        self.seconds = self._clock.seconds()

    def _look(self) -> None:
        while not self._ended.wait(0.05):
            self._clock.seconds()
