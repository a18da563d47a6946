"""The queue's laws: nothing lost, nothing twice, bounds kept."""

from __future__ import annotations

import threading

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.errors import QueueFull
from service.scoring.queue import INTERACTIVE_PAIRS, Job, PairQueue
from service.scoring.tokens import TokenizedPair

BUDGET = 100
lengths = st.lists(st.lists(st.integers(1, 60), min_size=1, max_size=12), max_size=8)


def _job(sizes: list[int]) -> Job:
    return Job([TokenizedPair([1] * size, 1, False) for size in sizes], labels=3)


@given(lengths, st.integers(1, 200))
def test_every_pair_comes_out_once_in_batches_within_the_budget(
    jobs: list[list[int]], budget: int
) -> None:
    queue = PairQueue(max_pairs=1000)
    given_jobs = [_job(sizes) for sizes in jobs]
    for job in given_jobs:
        queue.put(job)
    queue.close()
    taken = []
    while batch := queue.take(budget):
        longest = max(len(item.pair.ids) for item in batch)
        assert len(batch) == 1 or longest * len(batch) <= budget
        taken += [(id(item.job), item.index) for item in batch]
    wanted = [(id(job), index) for job in given_jobs for index in range(len(job.pairs))]
    assert sorted(taken) == sorted(wanted)
    # First come, first served between the jobs of a lane.
    order = list(dict.fromkeys(job for job, _ in taken))
    for of_lane in (lambda job: len(job.pairs) <= INTERACTIVE_PAIRS,
                    lambda job: len(job.pairs) > INTERACTIVE_PAIRS):  # fmt: skip
        lane = [id(job) for job in given_jobs if of_lane(job)]
        assert [job for job in order if job in lane] == lane


def test_a_single_pair_waits_for_no_bulk_batch_but_the_one_under_way() -> None:
    queue = PairQueue(max_pairs=1000)
    bulk = _job([10] * 200)
    queue.put(bulk)
    queue.take(BUDGET)
    single = _job([10])
    queue.put(single)
    [item] = queue.take(BUDGET)
    assert item.job is single


def test_bulk_gets_its_turn_while_single_pairs_keep_coming() -> None:
    queue = PairQueue(max_pairs=1000)
    bulk = _job([10] * 200)
    queue.put(bulk)
    from_bulk = []
    for _ in range(12):
        for _ in range(20):
            queue.put(_job([10]))
        from_bulk.append(queue.take(BUDGET)[0].job is bulk)
    assert from_bulk == [False, False, False, True] * 3


def test_bulk_alone_takes_every_turn() -> None:
    queue = PairQueue(max_pairs=1000)
    queue.put(_job([10] * 40))
    assert [len(queue.take(BUDGET)) for _ in range(4)] == [10] * 4


def test_a_job_that_does_not_fit_is_refused_as_a_whole() -> None:
    queue = PairQueue(max_pairs=3)
    queue.put(_job([1, 1]))
    with pytest.raises(QueueFull, match="2 pairs are waiting; the limit is 3") as caught:
        queue.put(_job([1, 1]))
    assert caught.value.retry_after is not None
    assert queue.depth() == 2


def test_an_abandoned_job_is_never_computed() -> None:
    queue = PairQueue(max_pairs=10)
    left, wanted = _job([5]), _job([5])
    queue.put(left)
    queue.put(wanted)
    assert left.wait(0) is False
    [item] = queue.take(BUDGET)
    assert item.job is wanted


def test_the_oldest_age_is_that_of_the_first_waiting_pair() -> None:
    queue = PairQueue(max_pairs=10)
    assert queue.oldest_age() == 0.0
    job = _job([5])
    job.submitted_ns -= 2_000_000_000
    queue.put(job)
    assert queue.oldest_age() == pytest.approx(2, abs=0.5)


def test_take_waits_for_work_and_ends_when_closed() -> None:
    queue = PairQueue(max_pairs=10)
    batches: list[int] = []

    def consume() -> None:
        while batch := queue.take(BUDGET):
            batches.append(len(batch))

    consumer = threading.Thread(target=consume)
    consumer.start()
    queue.put(_job([4, 4]))
    queue.close()
    consumer.join(5)
    assert not consumer.is_alive()
    assert sum(batches) == 2


def test_a_job_is_done_when_its_last_pair_is() -> None:
    job = _job([1, 1])
    row = np.array([0.1, 0.2, 0.7], dtype=np.float32)
    job.put(1, row, 5)
    assert job.finished_ns == 0
    job.put(0, row, 9)
    assert job.wait(0)
    assert job.finished_ns == 9
