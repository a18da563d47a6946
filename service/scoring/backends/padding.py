"""A batch of unequal pairs as rectangular arrays."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from service.scoring.tokens import TokenizedPair

Tokens = npt.NDArray[np.int32]
"""Shape [pairs, tokens of the longest pair]."""


def padded(pairs: Sequence[TokenizedPair], pad: int) -> tuple[Tokens, Tokens, Tokens]:
    """Token ids, segment types (0 or 1) and mask (1 where there is a token).

    Args:
        pairs: At least one.
        pad: Id that fills the rest of each row.
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
