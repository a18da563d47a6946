"""Bare loops: a model called from a plain loop, without a server. Runs as a process of its own.

A loop process says `ready` and perhaps a note on standard output, then reads one JSON `Order` a
line and answers each with one JSON `Lap`. Here are the orders, and the loop over this service's own
backends; the other loops are in `peers/`. Only the standard library is imported at the top.
"""

from __future__ import annotations

import json
import random
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass

from benchmarks.pairs import Pair, pairs


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What a loop is asked to do.

    Attributes:
        mode: One of those that the loop process knows.
        seconds: How long; at least one call is made.
        first: Number of the first pair.
    """

    mode: str
    seconds: float
    first: int


@dataclass(frozen=True, slots=True)
class Lap:
    """What a loop did.

    Attributes:
        latencies: Seconds of each call.
        pairs: Pairs scored in all calls.
        seconds: All calls together.
    """

    latencies: list[float]
    pairs: int
    seconds: float


Mode = Callable[[Order], Lap]


def answer(modes: dict[str, Mode], note: str = "") -> None:
    """Answer orders until standard input ends.

    Args:
        modes: What it can be asked to do.
        note: Said with `ready`, for the report.
    """
    protocol, sys.stdout = sys.stdout, sys.stderr  # libraries print, too
    print("ready", note, file=protocol, flush=True)
    for line in sys.stdin:
        order = Order(**json.loads(line))
        print(json.dumps(asdict(modes[order.mode](order))), file=protocol, flush=True)


def one_by_one(score: Callable[[Pair], object]) -> Mode:
    """A mode that scores one pair a call."""

    def run(order: Order) -> Lap:
        latencies: list[float] = []
        number = order.first
        while sum(latencies) < order.seconds:
            [chosen] = pairs(number, 1)
            begun = time.perf_counter()
            score(chosen)
            latencies.append(time.perf_counter() - begun)
            number += 1
        return Lap(latencies, len(latencies), sum(latencies))

    return run


def batched(cut: Callable[[list[Pair]], list[list[Pair]]], score: Callable[[list[Pair]], object],
            block: int = 256) -> Mode:  # fmt: skip
    """A mode that scores blocks of pairs in batches of like length.

    Sorting is part of the time, as it would be of anyone's loop. The batches of a block come in
    random order, so that a lap that ends within a block has seen long and short ones.

    Args:
        cut: Sorts a block and cuts it into batches.
        score: Scores a batch, tokenising included.
        block: Pairs that are sorted together.
    """

    def run(order: Order) -> Lap:
        latencies: list[float] = []
        number, done = order.first, 0
        shuffle = random.Random(order.first).shuffle  # noqa: S311 - an order, no secret
        while sum(latencies) < order.seconds:
            chosen = pairs(number, block)
            number += block
            begun = time.perf_counter()
            batches = cut(chosen)
            sorting = (time.perf_counter() - begun) / len(batches)
            shuffle(batches)
            for batch in batches:
                begun = time.perf_counter()
                score(batch)
                latencies.append(time.perf_counter() - begun + sorting)
                done += len(batch)
                if sum(latencies) >= order.seconds:
                    break
        return Lap(latencies, done, sum(latencies))

    return run


def by_count(size: int) -> Callable[[list[Pair]], list[list[Pair]]]:
    """Cuts a block into batches of `size` pairs, sorted by length in characters."""

    def cut(chosen: list[Pair]) -> list[list[Pair]]:
        ordered = sorted(chosen, key=lambda pair: len(pair[0]) + len(pair[1]))
        return [ordered[start : start + size] for start in range(0, len(ordered), size)]

    return cut


def by_budget(tokens: int) -> Callable[[list[Pair]], list[list[Pair]]]:
    """Cuts a sorted block into batches of at most so many characters, padding counted."""

    def cut(chosen: list[Pair]) -> list[list[Pair]]:
        batches: list[list[Pair]] = [[]]
        for pair in sorted(chosen, key=_length):
            if batches[-1] and _length(pair) * (len(batches[-1]) + 1) > tokens:
                batches.append([])
            batches[-1].append(pair)
        return batches

    return cut


def _length(pair: Pair) -> int:
    return len(pair[0]) + len(pair[1]) + 3


def main(arguments: Sequence[str]) -> None:
    """The loop over one of this service's backends: model directory, backend, device."""
    from service.scoring.model import load
    from service.settings import Settings

    directory, backend, device = arguments
    settings = Settings(model=directory, backend=backend, device=device)
    model = load(settings, lambda stage, progress: None)

    def score(batch: list[Pair]) -> object:
        return model.backend.predict(model.tokenizer.encode(batch))

    answer(
        {
            "single": one_by_one(lambda pair: score([pair])),
            "batches of 32": batched(by_count(32), score),
            "batches of its budget": batched(by_budget(model.batch_tokens), score),
        },
        note=model.backend.name,
    )


if __name__ == "__main__":
    main(sys.argv[1:])
