"""Endless training batches, made as they are needed.

Pairs are made in chunks; chunk i depends on the seed and on i alone, so a run can go on from any
chunk. A batch holds pairs of one token length, so no token is padding.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from service.scoring.tokens import PairTokenizer
from training.generator import pairs
from training.relations import NAMES, TARGETS
from training.variant import Variant
from training.world import World

CHUNK_PAIRS = 32768
MAX_TOKENS = 96


@dataclass(frozen=True)
class Batch:
    """ids, types: int64 [pairs, tokens]; targets: float32 [pairs, labels]; rows sum to 1.

    relations: int64 [pairs], indices into relations.NAMES.
    """

    ids: Tensor
    types: Tensor
    targets: Tensor
    relations: Tensor


def target_table() -> Tensor:
    """P(label) by relation, float32 [relations, labels]."""
    table = torch.tensor([TARGETS[name] for name in NAMES])
    return table / table.sum(1, keepdim=True)


def chunk(
    world: World,
    tokenizer: PairTokenizer,
    seed: int,
    index: int,
    size: int,
    variant: Variant,
    full: float = 0.0,
) -> Iterator[Batch]:
    """The batches of chunk `index`, in random order; full: as `generator.pairs` has it."""
    rng = np.random.default_rng((seed, index))
    stream = variant.select(pairs(world, int(rng.integers(1 << 62)), full=full))
    made = list(itertools.islice(stream, CHUNK_PAIRS))
    encoded = tokenizer.encode([(pair.address1, pair.address2) for pair in made])
    table = target_table()
    by_length: dict[int, list[tuple[list[int], int, int]]] = {}
    for tokens, pair in zip(encoded, made, strict=True):
        if len(tokens.ids) <= MAX_TOKENS:
            row = (tokens.ids, tokens.first, pair.relation)
            by_length.setdefault(len(tokens.ids), []).append(row)
    blocks = []
    for length, rows in by_length.items():
        # Neighbours in the stream share a query; shuffling spreads them over batches.
        order = rng.permutation(len(rows))
        for at in range(0, len(rows) - size + 1, size):
            blocks.append((length, [rows[i] for i in order[at : at + size]]))
    for block in rng.permutation(len(blocks)):
        length, rows = blocks[block]
        block_ids = torch.tensor([row[0] for row in rows])
        starts = torch.tensor([row[1] for row in rows]).unsqueeze(1)
        types = (torch.arange(length).unsqueeze(0) >= starts).long()
        relations = torch.tensor([row[2] for row in rows])
        yield Batch(block_ids, types, _targets(table[relations], variant, rng), relations)


def _targets(chances: Tensor, variant: Variant, rng: np.random.Generator) -> Tensor:
    """The training targets, [pairs, labels]: the chances themselves, or one label of them."""
    if variant.labels == "soft":
        return chances
    if variant.labels == "hard":
        chosen = chances.argmax(1)
    else:
        draws = torch.from_numpy(rng.random((len(chances), 1)))
        chosen = (draws > chances.double().cumsum(1)).sum(1).clamp(max=chances.shape[1] - 1)
    return torch.nn.functional.one_hot(chosen, chances.shape[1]).float()
