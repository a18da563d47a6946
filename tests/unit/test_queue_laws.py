"""The queue under any order of events: no job lost, none answered twice or wrongly, bounds kept."""

from __future__ import annotations

import time

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from service.errors import QueueFull, TooLarge, TooLate
from service.scoring.backends.layout import Padding
from service.scoring.cache import PairResult, ResultCache
from service.scoring.job import Item, Job
from service.scoring.queue import PairQueue
from service.scoring.tokens import TokenizedPair
from tests.conftest import examples
from tests.unit.queues import take_at_once

MAX_PAIRS, MAX_TOKENS, BUDGET = 12, 160, 40
TEXTS = st.lists(st.sampled_from("abcdefgh"), min_size=1, max_size=11)


def _result(text: str) -> list[float]:
    """What the model says of a pair: told from every other."""
    return [ord(text) / 128, 0.0, 1 - ord(text) / 128]


def _is_wanted(item: Item) -> bool:
    return item.is_wanted_at(time.perf_counter_ns())


class _Job(Job):
    """A job that notes how often each of its pairs was answered."""

    def __init__(self, texts: list[str], keys: list[bytes], expires_ns: float) -> None:
        pairs = [TokenizedPair([ord(text)] * (ord(text) % 16 + 3), 1, False) for text in texts]
        super().__init__(pairs, keys=keys, expires_ns=expires_ns)
        self.texts = texts
        self.answered = [0] * len(texts)

    def put(self, index: int, result: PairResult, now_ns: int) -> None:
        self.answered[index] += 1
        super().put(index, result, now_ns)

    def fail(self, index: int, error: Exception, now_ns: int) -> None:
        self.answered[index] += 1
        super().fail(index, error, now_ns)


class Queue(RuleBasedStateMachine):
    """Requests come, give up, run out of time; the engine takes batches, scores and fails them."""

    @initialize(cached=st.booleans(), padding=st.sampled_from(Padding))
    def begin(self, cached: bool, padding: Padding) -> None:
        self.keyed, self.padding = cached, padding
        self.dropped = 0
        self.queue = PairQueue(
            max_pairs=MAX_PAIRS,
            max_tokens=MAX_TOKENS,
            cache=ResultCache(4) if cached else None,
            dropped=self._drop,
        )
        self.jobs: list[_Job] = []
        self.gone: set[int] = set()
        self.computing: list[Item] = []

    def _drop(self, pairs: int) -> None:
        self.dropped += pairs

    @rule(texts=TEXTS, expires_in=st.sampled_from([1000.0, -1.0]))
    def request(self, texts: list[str], expires_in: float) -> None:
        keys = [text.encode() for text in texts] if self.keyed else []
        job = _Job(texts, keys, time.perf_counter_ns() + expires_in * 1e9)
        before = (self.queue.depth(), self.queue.tokens())
        try:
            joined = self.queue.put(job)
        except (QueueFull, TooLarge, TooLate):
            # What nobody waits for may have been taken out to make room.
            assert self.queue.depth() <= before[0]
            assert self.queue.tokens() <= before[1]
            assert job.answered == [0] * len(texts)
            return
        assert 0 <= joined <= len(texts)
        self.jobs.append(job)
        if expires_in < 0:
            self.gone.add(id(job))

    @precondition(lambda self: self.jobs)
    @rule(which=st.integers(0, 100), hangs_up=st.booleans())
    def give_up(self, which: int, hangs_up: bool) -> None:
        job = self.jobs[which % len(self.jobs)]
        if hangs_up:
            job.abandon()
        else:
            job.wait(0)
        self.gone.add(id(job))

    @precondition(lambda self: not self.computing and self.queue.depth())
    @rule()
    def take(self) -> None:
        wanted = self.queue.wanted().pairs
        self.computing = take_at_once(self.queue, BUDGET, self.padding)
        assert bool(self.computing) == bool(wanted)
        assert all(map(_is_wanted, self.computing))

    @precondition(lambda self: self.computing)
    @rule(fails=st.integers(0, 12))
    def compute(self, fails: int) -> None:
        bad, good = self.computing[:fails], self.computing[fails:]
        rows = [_result(chr(item.pair.ids[0])) for item in good]
        self.queue.finish(good, rows, time.perf_counter_ns())
        self.queue.fail(bad, ValueError("no"))
        self.computing = []

    @invariant()
    def bounds_are_kept(self) -> None:
        if not hasattr(self, "queue"):
            return
        lanes = (self.queue._lanes.interactive, self.queue._lanes.bulk)
        waiting = [len(item.pair.ids) for lane in lanes for item in lane.items]
        assert (len(waiting), sum(waiting)) == (self.queue.depth(), self.queue.tokens())
        # A pair that is moved to the front lane leaves an empty place, taken out when its turn is.
        moved = sum(not item.waiters for lane in lanes for item in lane.items)
        assert self.queue.depth() - moved <= MAX_PAIRS

    @invariant()
    def answers_are_right_and_given_once(self) -> None:
        for job in getattr(self, "jobs", ()):
            assert max(job.answered) <= 1
            for index, text in enumerate(job.texts):
                if job.answered[index] and index not in job.errors:
                    assert job.results[index].probabilities == tuple(_result(text))

    def teardown(self) -> None:
        if not hasattr(self, "queue"):
            return
        if self.computing:
            self.compute(0)
        self.queue.close()
        while batch := self.queue.take(lambda: BUDGET, padding=self.padding):
            self.computing = batch
            self.compute(0)
        for job in self.jobs:
            if id(job) not in self.gone:
                assert job.wait(0), "a job was lost"
                assert job.answered == [1] * len(job.texts)
        assert (self.queue.depth(), self.queue.tokens()) == (0, 0)
        assert not self.queue._under_way


Queue.TestCase.settings = settings(max_examples=examples(60), stateful_step_count=40)
TestQueue = Queue.TestCase
