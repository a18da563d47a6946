"""`service serve` with a model that misbehaves when told to.

    CHAOS_ORDERS=FILE python -m tests.chaos.faulty serve

The shipped code knows nothing of this: the backend's forward pass, and the reading of the memory
limit, are replaced before the command line is run. What a pass does stands in the file and is read
anew at each; it costs time by the token, so that capacity is known and the same everywhere.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path

import psutil

from service import memory
from service.__main__ import main
from service.lifecycle import Lifecycle, State
from service.scoring.backends import Probabilities
from service.scoring.backends.openvino_backend import OpenVinoBackend
from service.scoring.tokens import TokenizedPair

ORDERS = Path(os.environ.get("CHAOS_ORDERS", ""))
SECONDS_PER_TOKEN = 0.0005
MEMORY_LIMIT = 512 << 20
LONGEST_GOOD_PAIR = 100
"""Tokens; the load's pairs have fewer, the poisonous one has more."""

_SHORT = 15
"""Tokens; the engine's own probe has fewer, every address pair has more."""

compute = OpenVinoBackend.predict
serving = threading.Event()


def order() -> str:
    """What the model is to do now."""
    return ORDERS.read_text("utf-8") if serving.is_set() else ""


def predict(
    self: OpenVinoBackend, pairs: Sequence[TokenizedPair], stream: int | None = None
) -> Probabilities:
    """A forward pass, as it is ordered."""
    tokens = [len(pair.ids) for pair in pairs]
    ordered = order()
    while ordered == "loop":
        sum(range(10_000))
        ordered = order()
    if ordered == "die" or (ordered == "raise" and max(tokens) > _SHORT):
        raise RuntimeError("ordered to fail")
    if ordered == "out of memory" and len(pairs) > 1:
        raise MemoryError
    if max(tokens) > LONGEST_GOOD_PAIR and serving.is_set():
        raise RuntimeError("a poisonous pair")
    # Of what is computed side by side each gets its share of the machine.
    side_by_side = 1 if stream is None else self.streams
    slowness = 10 if ordered == "slow" else 1
    time.sleep(sum(tokens) * SECONDS_PER_TOKEN * side_by_side * slowness)
    return compute(self, pairs, stream)


def hold_memory() -> None:
    """Hold 95 % of the limit while that is ordered."""
    held = bytearray()
    while True:
        time.sleep(0.2)
        if (order() == "fill memory") != bool(held):
            missing = int(0.95 * MEMORY_LIMIT) - psutil.Process().memory_info().rss
            held = bytearray() if held else bytearray(b"\1") * missing


def noting(to: object = Lifecycle.to) -> None:
    """Have orders heeded from readiness on: loading is none of theirs."""

    def moved(self: Lifecycle, state: State, error: BaseException | None = None) -> bool:
        if state is State.READY:
            serving.set()
        return bool(to(self, state, error))  # type: ignore[operator]

    Lifecycle.to = moved  # type: ignore[method-assign]


if __name__ == "__main__":
    noting()
    OpenVinoBackend.predict = predict  # type: ignore[method-assign]
    memory.limit = lambda *_: MEMORY_LIMIT
    threading.Thread(target=hold_memory, daemon=True).start()
    sys.exit(main())
