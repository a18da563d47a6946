"""Which of several models answers a request: the whole policy of the split.

Each model draws a number from a hash of the request's key and its own name, and the best draw for
its weight wins (weighted rendezvous hashing). So every replica decides alike with nothing shared,
the same key always gets the same model, and a change of weights moves only the share of keys that
it must: who has the new model at 5 % keeps it at 20 %.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b


@dataclass(frozen=True, slots=True)
class ModelSelector:
    """What a request says of who is to answer it.

    Attributes:
        session: The client's name for requests that belong together; empty for none.
        model: The name of the model in its own words, as the Open Inference Protocol has it.
        version: A name that is declared, or a version.
    """

    session: str = ""
    model: str = ""
    version: str = ""


ANY_MODEL = ModelSelector()


_DRAWS = 2.0**64


def key_of_pairs(pairs: Sequence[tuple[str, str]]) -> bytes:
    """The key of a request that says nothing else: its pairs, in their order.

    The two addresses of a pair count in either order: asking whether A is B and whether B is A is
    the same question, and is answered by the same model.
    """
    digest = blake2b(digest_size=16)
    for pair in pairs:
        first, second = sorted(pair)
        # The lengths keep ("ab", "c") and ("a", "bc") apart.
        digest.update(f"{len(first)},{len(second)},{first}{second}".encode())
    return digest.digest()


def key_of_session(session: str) -> bytes:
    """The key of a request whose client says which others belong to it."""
    return blake2b(session.encode("utf-8", "surrogatepass"), digest_size=16).digest()


def pick(key: bytes, weights: Sequence[tuple[str, float]]) -> int:
    """The index of the model that answers.

    Args:
        key: Of the request.
        weights: Name and weight of each model; at least one weight is above 0.
    """
    best, winner = math.inf, -1
    for index, (name, weight) in enumerate(weights):
        if not weight:
            continue
        drawn = blake2b(key + name.encode(), digest_size=8).digest()
        # From 0 to 1, both left out: the logarithm of neither has a place in this.
        uniform = (int.from_bytes(drawn, "big") + 0.5) / _DRAWS
        # The first of exponential clocks that run as fast as the weights: each wins by its share.
        clock = -math.log(uniform) / weight if uniform < 1 else 0.0
        if winner < 0 or clock < best:
            best, winner = clock, index
    return winner
