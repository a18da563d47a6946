"""A batch of unequal pairs as arrays: packed end to end, or padded to the longest."""

from __future__ import annotations

import enum
import math
from collections.abc import Sequence
from itertools import chain
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from service.scoring.tokens import TokenizedPair

Tokens = npt.NDArray[np.int32]


class Padding(enum.Enum):
    """What a backend computes of a batch besides its tokens."""

    ROUNDED = enum.auto()
    """Pairs are packed end to end; the number of all their tokens is rounded up: see `rounded`."""

    LONGEST = enum.auto()
    """Each pair is as long as the longest."""

    GRID = enum.auto()
    """As well, and pairs and length are those of a graph that was captured: see `on_grid`."""


MASKED = np.float32(-10_000.0)
"""MGeo's own additive mask; its softmax is 0 in fp32, as with minus infinity."""


class Packed(NamedTuple):
    """All tokens of a batch end to end, so that linear layers compute none for padding.

    Only attention, about a hundredth of the work at these lengths, needs a row for each pair:
    `slots` takes the tokens there, and `back` returns them.

    Attributes:
        ids: Token ids, shape [tokens].
        types: Segment, 0 or 1, shape [tokens].
        positions: Index of each token in its pair, shape [tokens].
        slots: Index into `ids` for each place of each row, shape [pairs, longest].
        back: Place of each token in the flattened rows, shape [tokens].
        bias: 0 where there is a token and `MASKED` elsewhere, shape [pairs, 1, 1, longest].
    """

    ids: Tokens
    types: Tokens
    positions: Tokens
    slots: Tokens
    back: Tokens
    bias: npt.NDArray[np.float32]


def packed(pairs: Sequence[TokenizedPair], pad: int) -> Packed:
    """Pack a batch. Its sizes are rounded up: see `rounded`.

    Args:
        pairs: At least one.
        pad: Id of the tokens that round it up, which belong to no pair.
    """
    lengths = np.fromiter((len(pair.ids) for pair in pairs), np.int32, len(pairs))
    firsts = np.fromiter((pair.first for pair in pairs), np.int32, len(pairs))
    tokens = int(lengths.sum())
    starts = np.cumsum(lengths, dtype=np.int32) - lengths
    rows = np.repeat(np.arange(len(pairs), dtype=np.int32), lengths)
    longest = rounded(int(lengths.max()))
    ids = np.full(rounded(tokens), pad, dtype=np.int32)
    types, positions, back = np.zeros_like(ids), np.zeros_like(ids), np.zeros_like(ids)
    ids[:tokens] = np.fromiter(chain.from_iterable(pair.ids for pair in pairs), np.int32, tokens)
    positions[:tokens] = np.arange(tokens, dtype=np.int32) - starts[rows]
    types[:tokens] = positions[:tokens] >= firsts[rows]
    back[:tokens] = rows * longest + positions[:tokens]
    place = np.arange(longest, dtype=np.int32)
    present = place < lengths[:, None]
    slots = np.where(present, starts[:, None] + place, np.int32(0))
    bias = np.where(present, np.float32(0), MASKED)[:, None, None, :]
    return Packed(ids, types, positions, slots, back, bias)


def shares(lengths: Sequence[int], parts: int) -> list[list[int]]:
    """Divide a batch into parts that take about equally long.

    Longest first, each to the part with the least so far: no part is then longer than 4/3 of the
    best division's longest (R. L. Graham, Bounds on multiprocessing timing anomalies, 1969).

    Args:
        lengths: Tokens of each pair, at least as many as `parts`.
        parts: How many.

    Returns:
        The indices of each part's pairs; none is empty.
    """
    found: list[list[int]] = [[] for _ in range(parts)]
    tokens = [0] * parts
    for index in sorted(range(len(lengths)), key=lambda i: -lengths[i]):
        least = tokens.index(min(tokens))
        found[least].append(index)
        tokens[least] += lengths[index]
    return found


def computed_tokens(pairs: int, tokens: int, longest: int, padding: Padding) -> int:
    """Tokens that linear layers compute for a batch.

    Args:
        pairs: Its size.
        tokens: Of all pairs together.
        longest: Tokens of its longest pair.
        padding: Of the backend.
    """
    if padding is Padding.ROUNDED:
        return rounded(tokens)
    rows, length = on_grid(pairs, longest) if padding is Padding.GRID else (pairs, longest)
    return rows * length


def rounded(size: int) -> int:
    """`size` rounded up by less than a sixteenth of it, or by at most 3.

    A compiled graph keeps its kernels for each shape that it has seen. With every size its own
    shape, the process had doubled its memory after 2,000 batches of the bundled model, and small
    batches waited for kernels to be made.
    """
    return _rounded(size, step=4, steps=32)


def on_grid(pairs: int, longest: int) -> tuple[int, int]:
    """Rows, and tokens of each, of the smallest captured graph that a batch fits into.

    Each graph takes time to capture, and memory. So there are few, and closer to each other in
    length than in rows: which rows fill a graph is for the batching to choose, lengths are not.
    """
    return _rounded(pairs, step=1, steps=4), _rounded(longest, step=8, steps=8)


def grid(most: int, longest: int) -> list[tuple[int, int]]:
    """All values of `on_grid` within some number of tokens, those of most tokens first.

    Args:
        most: Tokens of a batch, padding counted; pairs of more are there alone.
        longest: Tokens of the longest pair that there can be.
    """
    lengths = sorted({on_grid(1, length)[1] for length in range(1, longest + 1)})
    found = {
        on_grid(pairs, length)
        for length in lengths
        for pairs in range(1, max(1, most // length) + 1)
    }
    return sorted(
        (shape for shape in found if math.prod(shape) <= most or shape[0] == 1),
        key=lambda shape: (-math.prod(shape), shape),
    )


def _rounded(size: int, *, step: int, steps: int) -> int:
    """`size` rounded up to a multiple of `step`, or of its double and so on beyond `steps` such."""
    while step * steps < size:
        step *= 2
    return -(-size // step) * step


def sizes(most: int) -> list[int]:
    """Every value of `rounded` from 1 to `most`, ascending."""
    return sorted({rounded(size) for size in range(1, most + 1)})


def padded(pairs: Sequence[TokenizedPair], pad: int, out: Tokens | None = None) -> Tokens:
    """Token ids, segments (0 or 1) and mask (1 where there is a token), in this order.

    Args:
        pairs: At least one.
        pad: Id that fills the rest of each row.
        out: Where to write it, shape [3, rows, tokens]: at least a row for each pair, and as many
            tokens as the longest has. Rows of no pair are all `pad`, and none of it is masked: a
            softmax over nothing is no number.

    Returns:
        `out`, or a new array of shape [3, pairs, tokens of the longest pair].
    """
    count = len(pairs)
    lengths = np.fromiter((len(pair.ids) for pair in pairs), np.int32, count)
    firsts = np.fromiter((pair.first for pair in pairs), np.int32, count)
    if out is None:
        out = np.empty((3, count, int(lengths.max())), dtype=np.int32)
    ids, types, mask = out
    place = np.arange(out.shape[2], dtype=np.int32)
    present = place < lengths[:, None]
    ids.fill(pad)
    ids[:count][present] = np.fromiter(
        chain.from_iterable(pair.ids for pair in pairs), np.int32, int(lengths.sum())
    )
    types[:count] = present & (place >= firsts[:, None])
    types[count:] = 0
    mask[:count] = present
    mask[count:] = 1
    return out
