"""How many tokens may be computed at once: the model's own number, less after memory ran out."""

from __future__ import annotations

_GOOD_BATCHES = 1000
"""Without running out of memory, before twice as much is tried again."""


class Budget:
    """Tokens computed at once, padding counted; batches side by side share them.

    Another process may have taken the memory for a while, or for good: halved at once, and raised
    again slowly.

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
