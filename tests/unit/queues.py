"""What the tests of the queue share: queues, jobs, and what an engine does with a batch."""

from __future__ import annotations

import time

from service.scoring.backends.layout import Padding
from service.scoring.cache import ResultCache
from service.scoring.events import Batch
from service.scoring.job import NEVER, Item, Job
from service.scoring.queue import PairQueue
from service.scoring.tokens import TokenizedPair

BUDGET = 100


def take_at_once(
    queue: PairQueue, budget: int = BUDGET, padding: Padding = Padding.LONGEST
) -> list[Item]:
    """The next batch, which is empty if nobody wants what waits: taking does not wait for more."""
    queue._closed = not queue.wanted().pairs
    batch = queue.take(lambda: budget, padding=padding)
    queue._closed = False
    return batch


def make_queue(
    max_pairs: int, max_tokens: int = 10_000, cache: ResultCache | None = None
) -> PairQueue:
    return PairQueue(max_pairs=max_pairs, max_tokens=max_tokens, cache=cache)


def make_job(sizes: list[int], expires_in: float = NEVER) -> Job:
    pairs = [TokenizedPair([1] * size, 1, False) for size in sizes]
    return Job(pairs, expires_ns=time.perf_counter_ns() + expires_in * 1e9)


def sizes_of(batch: list[Item]) -> list[int]:
    """Tokens of each pair of a batch."""
    return [len(item.pair.ids) for item in batch]


def keyed(keys: str) -> Job:
    """A job of one pair for each letter: equal letters are equal pairs."""
    pairs = [TokenizedPair([ord(key)] * 5, 1, False) for key in keys]
    return Job(pairs, keys=[key.encode() for key in keys])


def compute(queue: PairQueue, batch: list[Item]) -> None:
    """Answers each pair with its own token."""
    queue.finish(batch, [[float(item.pair.ids[0])] for item in batch], now_ns=1)


def begin(queue: PairQueue, batch: list[Item]) -> Batch:
    made = Batch("v", len(batch), 1, 1, started_ns=1)
    queue.begin(batch, made)
    return made
