"""Results of pairs that were scored lately, so that asking again costs nothing.

Addresses are personal data: the cache holds no address, only a digest of each pair, made with a key
that never leaves the process.
"""

from __future__ import annotations

import secrets
import threading
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import blake2b
from typing import Self

from service.scoring.tokens import TokenizedPair

_DIGEST_BYTES = 16
"""128 bits: with a million pairs the chance of any collision is below 1e-26."""


@dataclass(frozen=True, slots=True)
class PairResult:
    """What the model said of one pair.

    Attributes:
        probabilities: Of each label, in the checkpoint's order; they sum to 1.
        truncated: Whether the pair was longer than the model reads.
        unread: Share of an address that the model cannot read; see `TokenizedPair`.
        never_exact: Whether exact_match is ruled out because the addresses differ in that.
    """

    probabilities: tuple[float, ...]
    truncated: bool
    unread: float = 0.0
    never_exact: bool = False

    @classmethod
    def of(cls, row: Iterable[float], pair: TokenizedPair) -> Self:
        """What a row of probabilities says of a pair."""
        return cls(tuple(row), pair.truncated, pair.unread, pair.never_exact)


class ResultCache:
    """A bounded map from pairs to results that forgets what was used longest ago.

    Args:
        max_pairs: Results kept; about 400 bytes each.
    """

    def __init__(self, max_pairs: int) -> None:
        self.max_pairs = max_pairs
        self._secret = secrets.token_bytes(32)
        self._results: OrderedDict[bytes, PairResult] = OrderedDict()
        self._lock = threading.Lock()

    def key(self, version: str, pair: tuple[str, str]) -> bytes:
        """Digest of a pair under one version of the model."""
        first, second = pair
        # The lengths keep ("ab", "c") and ("a", "bc") apart.
        text = f"{version}\0{len(first)}\0{first}{second}"
        return blake2b(text.encode(), digest_size=_DIGEST_BYTES, key=self._secret).digest()

    def get(self, key: bytes) -> PairResult | None:
        """The result kept under `key`, if there is one."""
        with self._lock:
            result = self._results.get(key)
            if result is not None:
                self._results.move_to_end(key)
            return result

    def put(self, key: bytes, result: PairResult) -> None:
        """Keep a result, in the place of the one that was used longest ago if there is no room."""
        with self._lock:
            self._results[key] = result
            self._results.move_to_end(key)
            if len(self._results) > self.max_pairs:
                self._results.popitem(last=False)

    def __len__(self) -> int:
        return len(self._results)
