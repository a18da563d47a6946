"""The queue's laws: nothing lost, nothing twice, bounds kept, equal pairs under way joined."""

from __future__ import annotations

import threading

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.errors import QueueFull
from service.scoring.cache import ResultCache
from service.scoring.job import Batch, Item, Job
from service.scoring.queue import INTERACTIVE_PAIRS, PairQueue
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
        taken += [(id(job), index) for item in batch for job, index in item.takers]
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
    assert item.takers == [(single, 0)]


def test_bulk_gets_its_turn_while_single_pairs_keep_coming() -> None:
    queue = PairQueue(max_pairs=1000)
    bulk = _job([10] * 200)
    queue.put(bulk)
    from_bulk = []
    for _ in range(12):
        for _ in range(20):
            queue.put(_job([10]))
        from_bulk.append(queue.take(BUDGET)[0].takers[0][0] is bulk)
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


@pytest.mark.parametrize(
    ("rates", "seconds"), [([], 1), ([100], 1), ([2], 5), ([2] * 30, 5), ([0.001], 60)]
)
def test_a_refused_client_is_told_when_the_queue_will_be_drained(
    rates: list[float], seconds: int
) -> None:
    queue = PairQueue(max_pairs=10)
    for rate in rates:
        queue.computed(pairs=4, seconds=4 / rate)
    queue.put(_job([1] * 10))
    with pytest.raises(QueueFull) as caught:
        queue.put(_job([1]))
    assert caught.value.retry_after == seconds


def test_an_abandoned_job_is_never_computed() -> None:
    queue = PairQueue(max_pairs=10)
    left, wanted = _job([5]), _job([5])
    queue.put(left)
    queue.put(wanted)
    assert left.wait(0) is False
    [item] = queue.take(BUDGET)
    assert item.takers == [(wanted, 0)]


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


# Equal pairs


def _keyed(keys: str) -> Job:
    """A job of one pair for each letter: equal letters are equal pairs."""
    pairs = [TokenizedPair([ord(key)] * 5, 1, False) for key in keys]
    return Job(pairs, labels=1, keys=[key.encode() for key in keys])


def _compute(queue: PairQueue, batch: list[Item]) -> None:
    """Answers each pair with its own token."""
    queue.finish(batch, [[float(item.pair.ids[0])] for item in batch], now_ns=1)


def _begin(queue: PairQueue, batch: list[Item]) -> Batch:
    made = Batch({"size": len(batch)}, started_ns=1, span=None)
    queue.begin(batch, made)
    return made


@given(
    st.lists(st.one_of(st.text("abcdef", min_size=1, max_size=12), st.sampled_from("tbc"))),
    st.sampled_from([0, 2, 100]),
)
def test_each_job_gets_its_own_results_and_no_pair_is_computed_twice_at_once(
    steps: list[str], kept: int
) -> None:
    """Jobs come (letters), and batches are taken (t), begun (b) and computed (c), in any order."""
    queue = PairQueue(max_pairs=1000, cache=ResultCache(kept) if kept else None)
    jobs, under_way = [], []
    for step in steps:
        if step == "t" and queue.depth():
            queue.close()  # so that taking what nobody wants any more does not wait
            under_way.append(queue.take(BUDGET))
        elif step == "b" and under_way:
            _begin(queue, under_way[-1])
        elif step == "c" and under_way:
            _compute(queue, under_way.pop(0))
        elif step not in ("t", "b", "c"):
            jobs.append(_keyed(step))
            queue.put(jobs[-1])
        busy = [item.key for batch in under_way for item in batch]
        assert len(busy) == len(set(busy))
    queue.close()
    while batch := queue.take(BUDGET):
        under_way.append(batch)
    for batch in under_way:
        _compute(queue, batch)
    for job in jobs:
        assert job.wait(0)
        assert job.probabilities[:, 0].tolist() == [float(pair.ids[0]) for pair in job.pairs]
    assert not queue._under_way


def test_a_pair_that_is_waiting_or_being_computed_is_joined() -> None:
    queue = PairQueue(max_pairs=1)
    first, waiting, computing = _keyed("a"), _keyed("a"), _keyed("aa")
    assert queue.put(first) == 0
    assert queue.put(waiting) == 1
    batch = queue.take(BUDGET)
    begun = _begin(queue, batch)
    assert queue.put(computing) == 2
    assert queue.depth() == 0
    _compute(queue, batch)
    for job in (first, waiting, computing):
        assert job.wait(0)
        assert job.batches == [begun]
        assert job.started_ns >= begun.started_ns
    # It began when it came: it did not wait.
    assert computing.started_ns == computing.submitted_ns
    assert queue.put(_keyed("a")) == 0, "computed, and not kept: there is no cache"


def test_a_result_that_came_while_the_pair_was_tokenised_is_taken() -> None:
    queue = PairQueue(max_pairs=10, cache=ResultCache(10))
    queue.put(_keyed("a"))
    _compute(queue, queue.take(BUDGET))
    late = _keyed("a")
    assert queue.put(late) == 1
    assert late.wait(0)
    assert queue.depth() == 0


def test_an_interactive_pair_does_not_wait_in_the_bulk_lane() -> None:
    queue = PairQueue(max_pairs=100)
    bulk, single = _keyed("abcdefghij"), _keyed("j")
    queue.put(bulk)
    assert queue.put(single) == 0, "it takes a place in the other lane"
    [item] = queue.take(BUDGET)
    assert item.takers == [(single, 0), (bulk, 9)]
    _compute(queue, [item])
    assert single.wait(0)
    assert len(queue.take(BUDGET)) == 9, "not computed again"


def test_a_joined_pair_is_computed_for_whoever_still_wants_it() -> None:
    queue = PairQueue(max_pairs=10)
    left, stays = _keyed("a"), _keyed("a")
    queue.put(left)
    queue.put(stays)
    assert left.wait(0) is False
    _compute(queue, queue.take(BUDGET))
    assert stays.wait(0)


def test_an_abandoned_pair_is_not_joined_once_it_was_dropped() -> None:
    queue = PairQueue(max_pairs=10)
    left = _keyed("a")
    queue.put(left)
    assert left.wait(0) is False
    queue.close()
    assert queue.take(BUDGET) == []
    assert queue.put(_keyed("a")) == 0


def test_a_batch_that_fails_ends_every_job_that_waits_for_it() -> None:
    queue = PairQueue(max_pairs=10)
    jobs = [_keyed("a"), _keyed("a")]
    for job in jobs:
        queue.put(job)
    failure = RuntimeError("no")
    queue.fail(queue.take(BUDGET), failure)
    assert [job.error for job in jobs] == [failure, failure]
    assert queue.put(_keyed("a")) == 0, "the next one is computed"
