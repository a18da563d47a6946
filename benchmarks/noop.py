"""The service with a backend that computes nothing: what HTTP, queue and telemetry alone can do.

`python -m benchmarks.noop [flags of serve]` serves the bundled model's tokenizer before constant
probabilities. Only here: the service itself has no such backend.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from service.__main__ import main
from service.scoring.backends import CPU_BATCH_TOKENS, Probabilities, choose
from service.scoring.backends.choose import BackendChoice
from service.scoring.backends.layout import Padding
from service.scoring.tokens import TokenizedPair


class ConstantBackend:
    """The same answer for every pair."""

    name = "no-op"
    device = "cpu"
    padding = Padding.ROUNDED
    batch_tokens = CPU_BATCH_TOKENS
    streams = 1

    def predict(self, pairs: Sequence[TokenizedPair], stream: int | None = None) -> Probabilities:
        """Three constants for each pair."""
        row = np.array([0.25, 0.25, 0.5], dtype=np.float32)
        return np.tile(row, (len(pairs), 1))

    def warm_up(self, tokens: int, progress: Callable[[float], None]) -> None:
        """Nothing."""


def _build(*_: Any, **__: Any) -> tuple[ConstantBackend, BackendChoice]:
    return ConstantBackend(), BackendChoice(ConstantBackend.name, "the benchmark's")


if __name__ == "__main__":
    choose.build = _build
    sys.exit(main(["serve", *sys.argv[1:]]))
