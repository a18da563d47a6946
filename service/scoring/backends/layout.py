"""A batch of unequal pairs as arrays: packed end to end, or padded to the longest."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from service.scoring.tokens import TokenizedPair

Tokens = npt.NDArray[np.int32]

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


def computed_tokens(pairs: int, tokens: int, longest: int, *, pads: bool) -> int:
    """Tokens that linear layers compute for a batch.

    Args:
        pairs: Its size.
        tokens: Of all pairs together.
        longest: Tokens of its longest pair.
        pads: Whether the backend pads each pair to that.
    """
    return pairs * longest if pads else rounded(tokens)


def rounded(size: int) -> int:
    """`size` rounded up by less than a sixteenth of it, or by at most 3.

    A compiled graph keeps its kernels for each shape that it has seen. With every size its own
    shape, the process had doubled its memory after 2,000 batches of the bundled model, and small
    batches waited for kernels to be made.
    """
    step = 4
    while step * 32 < size:
        step *= 2
    return -(-size // step) * step


def sizes(most: int) -> list[int]:
    """Every value of `rounded` from 1 to `most`, ascending."""
    return sorted({rounded(size) for size in range(1, most + 1)})


def padded(pairs: Sequence[TokenizedPair], pad: int) -> tuple[Tokens, Tokens, Tokens]:
    """Token ids, segments (0 or 1) and mask (1 where there is a token).

    Args:
        pairs: At least one.
        pad: Id that fills the rest of each row.

    Returns:
        Three arrays of shape [pairs, tokens of the longest pair].
    """
    longest = max(len(pair.ids) for pair in pairs)
    ids = np.full((len(pairs), longest), pad, dtype=np.int32)
    types = np.zeros_like(ids)
    mask = np.zeros_like(ids)
    for row, pair in enumerate(pairs):
        length = len(pair.ids)
        ids[row, :length] = pair.ids
        types[row, pair.first : length] = 1
        mask[row, :length] = 1
    return ids, types, mask
