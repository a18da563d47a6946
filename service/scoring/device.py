"""What a batch may use of the device: which part of it, and how many tokens at once.

One pair alone is answered soonest by the whole device. Of several pairs, more are answered in the
same time if each batch has a part of the device to itself.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator

_GOOD_BATCHES = 1000
"""Without running out of memory, before twice as much is tried again."""


class Streams:
    """Hands out the whole device to one pair that is alone, and its streams to all others."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._changed = threading.Condition(self._lock)
        self._computing = 0
        self._is_whole = False

    @contextlib.contextmanager
    def turn(self, own: int, *, is_alone: bool) -> Iterator[int | None]:
        """What to compute a batch on, as soon as it may be.

        Args:
            own: The stream of the thread that asks. No two have the same.
            is_alone: Whether it is of one pair, and none waits behind it.

        Yields:
            The stream, or None for the whole device.
        """
        with self._lock:
            has_waited = self._is_whole
            while self._is_whole:
                self._changed.wait()
            # A batch that had to wait gets one part: with all of them, the next one would wait too.
            self._is_whole = is_alone and not self._computing and not has_waited
            self._computing += 1
            stream = None if self._is_whole else own
        try:
            yield stream
        finally:
            with self._lock:
                self._computing -= 1
                if stream is None:
                    self._is_whole = False
                    self._changed.notify_all()


class Budget:
    """Tokens computed at once, padding counted; batches side by side share them.

    Another process may have taken the memory for a while, or for good. So the number is halved at
    once, and raised again slowly.

    Attributes:
        tokens: The number now.
    """

    def __init__(self, tokens: int) -> None:
        self.tokens = self._full = tokens
        self._good = 0

    def out_of_memory(self, tokens: int) -> None:
        """Note that a batch of `tokens` did not fit into memory."""
        self.tokens = max(1, min(self.tokens, tokens // 2))
        self._good = 0

    def computed(self) -> None:
        """Note that a batch was computed."""
        if self.tokens == self._full:
            return
        self._good += 1
        if self._good >= _GOOD_BATCHES:
            self.tokens = min(self._full, 2 * self.tokens)
            self._good = 0
