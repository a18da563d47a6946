"""The ways to run the model, behind one small protocol."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt

from service.scoring.backends.layout import Padding
from service.scoring.tokens import TokenizedPair

Probabilities = npt.NDArray[np.float32]
"""Shape [pairs, labels]; each row sums to 1, in the checkpoint's label order."""

Progress = Callable[[str, float], None]
"""Told of each stage of loading: its name, and how much of all loading is done (0 to 1)."""


CPU_BATCH_TOKENS = 512
"""About ten pairs. BERT-base took 55 ms a pair in batches of 8 and 59 in batches of 32 (OpenVINO in
fp32 on two cores with AMX): more pairs gain nothing and only wait for each other."""

CPU_STREAMS = 2
"""Batches that a CPU computes side by side, each by its share of the threads.

The threads of one pass wait for each other, spinning, at the end of every layer: one that an HTTP
thread has pushed aside holds up the others some 200 times a batch, and their processors are of no
use to that HTTP thread. Streams wait for nobody. They have the weights in a layout of their own,
and so take memory of their own: `make bench` says how much a backend takes."""

FEWEST_OF_A_STREAM = 2
"""Pairs of a stream, on a CPU. One alone is divided among all threads: its answer comes earlier."""

GPU_BATCH_TOKENS = 8192
"""About 170 pairs, which a GPU computes in a few milliseconds."""


class OutOfMemory(Exception):
    """A batch did not fit into memory; a smaller one may."""


class Backend(Protocol):
    """Runs the model. Only the engine's threads call it, for loading as well.

    Attributes:
        name: As in `MGEO_BACKEND` and in metrics.
        device: `cpu`, or `cuda:0` and so on.
        padding: What it computes of a batch besides its tokens.
        batch_tokens: Tokens beyond which more under way at once gain little here, and only wait for
            each other.
        streams: Parts of the device that can compute a batch each, side by side.
    """

    name: str
    device: str
    padding: Padding
    batch_tokens: int
    streams: int

    def predict(self, pairs: Sequence[TokenizedPair], stream: int | None = None) -> Probabilities:
        """Score one batch.

        Args:
            pairs: At least one.
            stream: Which part of the device is to compute it; only while that computes nothing
                else. None for the whole device, while no part of it computes anything.

        Raises:
            OutOfMemory: It did not fit; what it held of memory is free again.
        """
        ...

    def warm_up(self, tokens: int, progress: Callable[[float], None]) -> None:
        """Make now what is otherwise made, and kept, when a batch of a new size comes.

        Args:
            tokens: Most that will be under way at once.
            progress: Told how much of it is done, from 0 to 1.
        """
        ...
