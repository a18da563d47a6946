"""Equal pairs in the queue: joined while they wait or are computed, and computed once."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from service.scoring.backends.layout import Padding
from service.scoring.cache import PairResult, ResultCache
from tests.unit.queues import BUDGET, begin, compute, keyed, make_queue, take_at_once


def test_a_pair_that_waits_again_is_joined_and_dropped_as_any_other() -> None:
    queue = make_queue(100)
    first, joins = keyed("a"), keyed("a")
    queue.put(first)
    queue.put_back(take_at_once(queue))
    assert queue.put(joins) == 1
    first.abandon()
    [item] = take_at_once(queue)
    assert [job for job, _ in item.waiters] == [first, joins]
    queue.put_back([item])
    joins.abandon()
    assert take_at_once(queue) == []


@given(
    st.lists(st.one_of(st.text("abcdef", min_size=1, max_size=12), st.sampled_from("tbc"))),
    st.sampled_from([0, 2, 100]),
)
def test_each_job_gets_its_own_results_and_no_pair_is_computed_twice_at_once(
    steps: list[str], kept: int
) -> None:
    """Jobs come (letters), and batches are taken (t), begun (b) and computed (c), in any order."""
    queue = make_queue(1000, cache=ResultCache(kept) if kept else None)
    jobs, under_way = [], []
    for step in steps:
        if step == "t" and queue.depth():
            under_way.append(take_at_once(queue))
        elif step == "b" and under_way:
            begin(queue, under_way[-1])
        elif step == "c" and under_way:
            compute(queue, under_way.pop(0))
        elif step not in ("t", "b", "c"):
            jobs.append(keyed(step))
            queue.put(jobs[-1])
        busy = [item.key for batch in under_way for item in batch]
        assert len(busy) == len(set(busy))
    queue.close()
    while batch := queue.take(lambda: BUDGET, padding=Padding.LONGEST):
        under_way.append(batch)
    for batch in under_way:
        compute(queue, batch)
    for job in jobs:
        assert job.wait(0)
        assert job.results == {
            index: PairResult((float(pair.ids[0]),), truncated=False)
            for index, pair in enumerate(job.pairs)
        }
    assert not queue._under_way


def test_a_pair_that_is_waiting_or_being_computed_is_joined() -> None:
    queue = make_queue(1)
    first, waiting, computing = keyed("a"), keyed("a"), keyed("aa")
    assert queue.put(first) == 0
    assert queue.put(waiting) == 1
    batch = queue.take(lambda: BUDGET, padding=Padding.LONGEST)
    begun = begin(queue, batch)
    assert queue.put(computing) == 2
    assert queue.depth() == 0
    compute(queue, batch)
    for job in (first, waiting, computing):
        assert job.wait(0)
        assert job.batches == [begun]
        assert job.started_ns >= begun.started_ns
    # It began when it came: it did not wait.
    assert computing.started_ns == computing.submitted_ns
    assert queue.put(keyed("a")) == 0, "computed, and not kept: there is no cache"


def test_a_result_that_came_while_the_pair_was_tokenised_is_taken() -> None:
    queue = make_queue(10, cache=ResultCache(10))
    queue.put(keyed("a"))
    compute(queue, queue.take(lambda: BUDGET, padding=Padding.LONGEST))
    late = keyed("a")
    assert queue.put(late) == 1
    assert late.wait(0)
    assert late.results == {0: PairResult((float(ord("a")),), truncated=False)}
    assert late.finished_ns >= late.submitted_ns
    assert queue.depth() == 0


def test_an_interactive_pair_does_not_wait_in_the_bulk_lane() -> None:
    queue = make_queue(100)
    bulk, single = keyed("abcdefghij"), keyed("j")
    queue.put(bulk)
    assert queue.put(single) == 0, "it takes a place in the other lane"
    [item] = queue.take(lambda: BUDGET, padding=Padding.LONGEST)
    assert item.waiters == [(single, 0), (bulk, 9)]
    compute(queue, [item])
    assert single.wait(0)
    queue.close()
    rest = [item for _ in range(9) for item in queue.take(lambda: BUDGET, padding=Padding.LONGEST)]
    assert len(rest) == 9, "not computed again"


def test_a_joined_pair_is_computed_for_whoever_still_wants_it() -> None:
    queue = make_queue(10)
    left, stays = keyed("a"), keyed("a")
    queue.put(left)
    queue.put(stays)
    assert left.wait(0) is False
    compute(queue, queue.take(lambda: BUDGET, padding=Padding.LONGEST))
    assert stays.wait(0)


def test_an_abandoned_pair_is_not_joined_once_it_was_dropped() -> None:
    queue = make_queue(10)
    left = keyed("a")
    queue.put(left)
    assert left.wait(0) is False
    assert take_at_once(queue) == []
    assert queue.put(keyed("a")) == 0


def test_a_batch_that_fails_ends_every_job_that_waits_for_it() -> None:
    queue = make_queue(10)
    jobs = [keyed("a"), keyed("a")]
    for job in jobs:
        queue.put(job)
    failure = RuntimeError("no")
    queue.fail(queue.take(lambda: BUDGET, padding=Padding.LONGEST), failure)
    assert [job.errors for job in jobs] == [{0: failure}, {0: failure}]
    assert queue.put(keyed("a")) == 0, "the next one is computed"
