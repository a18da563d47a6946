"""Where the classes are cut: two offsets chosen on generated pairs alone.

The training mix is not the mix of the task, and macro-F1 at argmax is highest where rare classes
are called somewhat more often than they are certain. Both are settled here without a real pair:
generated pairs get a drawn label, are weighted to the label shares published for the task (GeoGLUE
GeoEAG), and the offsets of the exact and not logits that give the best macro-F1 are searched.

The optimum is flat, and one thing matters more than its last thousandth: an address compared with
itself must be an exact match. So only offsets that keep this on generated texts are allowed, of map
entries and of addresses written in full; the bound is stricter than the promise (99.8 % of real
texts), because real texts are harder.
"""

from __future__ import annotations

import itertools

import numpy as np
from numpy.typing import NDArray

from service.scoring.tokens import PairTokenizer
from training.batches import target_table
from training.evaluation import score
from training.generator import pairs
from training.metrics import f1_by_class
from training.network import Network
from training.relations import IDS
from training.world import World

PUBLISHED_SHARES = (0.06, 0.33, 0.61)
PAIRS = 12_000
SAME_IS_EXACT = 0.9995
EXACT_OFFSETS = np.arange(-1.0, 1.51, 0.1)
NOT_OFFSETS = np.arange(-1.5, 1.01, 0.1)


def weighted_macro_f1(
    truth: NDArray[np.int64], guess: NDArray[np.int64], weights: NDArray[np.float64]
) -> float:
    """Macro-F1 where a pair counts `weights` times."""
    table = np.bincount(truth * 3 + guess, weights=weights, minlength=9).reshape(3, 3)
    return float(f1_by_class(table).mean())


def best_offsets(
    logits: NDArray[np.float64],
    truth: NDArray[np.int64],
    weights: NDArray[np.float64],
    same: NDArray[np.float64],
) -> tuple[float, float, float]:
    """Offsets of the three logits (that of partial_match stays 0) with the best macro-F1.

    same: logits of texts compared with themselves, [texts, labels]. Offsets that leave fewer than
    SAME_IS_EXACT of them exact are out; when none are left, those that leave the most are taken.
    """
    grid = list(itertools.product(EXACT_OFFSETS, NOT_OFFSETS))
    exact = [float(((same + np.array((e, 0.0, n))).argmax(1) == 0).mean()) for e, n in grid]
    bound = min(SAME_IS_EXACT, max(exact))
    found = max(
        (weighted_macro_f1(truth, (logits + np.array((e, 0.0, n))).argmax(1), weights), e, n)
        for (e, n), kept in zip(grid, exact, strict=True)
        if kept >= bound
    )
    return float(found[1]), 0.0, float(found[2])


def choose(
    network: Network, tokenizer: PairTokenizer, world: World, seed: int
) -> tuple[float, float, float]:
    """Draw generated pairs that training did not see, and search the offsets on them."""
    rng = np.random.default_rng((seed, 0x0B5E))
    skipped = {IDS["identical"], IDS["rewritten"]}
    stream = pairs(world, int(rng.integers(1 << 62)))
    made = list(itertools.islice((p for p in stream if p.relation not in skipped), PAIRS))
    chances = target_table().double().numpy()[[pair.relation for pair in made]]
    truth = (rng.random((len(made), 1)) > chances.cumsum(1)).sum(1).clip(0, 2)
    shares = np.bincount(truth, minlength=3) / len(truth)
    weights = (np.array(PUBLISHED_SHARES) / shares)[truth]
    logits = score(network, tokenizer, [p.address1 for p in made], [p.address2 for p in made])
    full = itertools.islice(pairs(world, int(rng.integers(1 << 62)), full=1.0), PAIRS // 4)
    texts = [*(pair.address2 for pair in made[: PAIRS // 2]), *(pair.address2 for pair in full)]
    texts = list(dict.fromkeys(texts))
    return best_offsets(logits, truth, weights, score(network, tokenizer, texts, texts))
