"""What the queue refuses: what does not fit, can never fit, or would come too late."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from service.errors import QueueFull, TooLarge, TooLate
from service.scoring.backends.layout import Padding
from service.scoring.job import NEVER
from service.scoring.queue import PairQueue
from tests.unit.queues import BUDGET, keyed, make_job, make_queue, take_at_once


def test_a_job_that_does_not_fit_is_refused_as_a_whole() -> None:
    queue = make_queue(3)
    queue.put(make_job([1, 1]))
    with pytest.raises(QueueFull, match="2 pairs of 2 tokens in all are waiting") as caught:
        queue.put(make_job([1, 1]))
    assert caught.value.retry_after is not None
    assert queue.depth() == 2


def test_equal_pairs_of_one_job_need_one_place() -> None:
    queue = make_queue(4)
    same = keyed("aaaaaaaaaa")
    assert queue.put(same) == 9, "of ten, nine are computed anyway"
    assert queue.depth() == 1
    mixed = keyed("aabbccddd")
    queue.put(mixed)
    assert queue.depth() == 4
    with pytest.raises(QueueFull):
        queue.put(keyed("ee"))
    bulk = make_queue(9, cache=None)
    bulk.put(keyed("abcdefghi" * 3))
    assert bulk.depth() == 9
    without_keys = make_queue(4)
    with pytest.raises(TooLarge):
        without_keys.put(make_job([1] * 10))


def test_tokens_are_bounded_as_pairs_are() -> None:
    queue = make_queue(10, max_tokens=100)
    queue.put(make_job([40, 40]))
    with pytest.raises(QueueFull, match="the limit is 10 pairs and 100 tokens"):
        queue.put(make_job([21]))
    queue.put(make_job([20]))
    assert (queue.depth(), queue.tokens()) == (3, 100)
    queue.take(lambda: 1000, padding=Padding.LONGEST)
    assert (queue.depth(), queue.tokens()) == (0, 0)


@pytest.mark.parametrize("sizes", [[1] * 11, [101]])
def test_what_can_never_fit_is_not_told_to_come_back(sizes: list[int]) -> None:
    queue = make_queue(10, max_tokens=100)
    with pytest.raises(TooLarge, match="10 pairs and 100 tokens") as caught:
        queue.put(make_job(sizes))
    assert caught.value.retry_after is None


@pytest.mark.parametrize(
    ("seconds", "expected"), [([], 1), ([0.001], 1), ([0.4], 4), ([0.4] * 30, 4), ([100], 60)]
)
def test_a_refused_client_is_told_when_the_queue_will_be_drained(
    seconds: list[float], expected: int
) -> None:
    queue = make_queue(10)
    queue.put(make_job([10]))
    queue.take(lambda: 10, padding=Padding.LONGEST)
    for batch in seconds:
        queue.computed(tokens=10, seconds=batch)
    queue.put(make_job([10] * 10))
    with pytest.raises(QueueFull) as caught:
        queue.put(make_job([1]))
    assert caught.value.retry_after == expected


def _slow_queue(seconds: float = 0.1) -> PairQueue:
    """A queue whose model takes `seconds` for each batch of ten tokens."""
    queue = make_queue(1000)
    queue.put(make_job([10]))
    queue.take(lambda: 10, padding=Padding.LONGEST)
    queue.computed(tokens=10, seconds=seconds)
    queue.done()
    return queue


def test_what_cannot_be_done_in_its_time_is_refused_at_once() -> None:
    queue = _slow_queue(seconds=2)
    queue.put(make_job([10] * 8))
    queue.put(make_job([10], expires_in=100))
    # On a machine that stalls less is left by the time it is refused.
    with pytest.raises(TooLate, match=r"about 25\.0 s, and (10\.0|9\.\d) s are left") as caught:
        queue.put(make_job([10], expires_in=10))
    assert caught.value.retry_after in (15, 16)
    assert queue.depth() == 9


def test_a_single_pair_is_not_refused_for_bulk_work_that_it_does_not_wait_for() -> None:
    queue = _slow_queue(seconds=10)
    queue.put(make_job([10] * 200))
    queue.put(make_job([10], expires_in=50))
    with pytest.raises(TooLate):
        queue.put(make_job([10] * 20, expires_in=1000))


def test_a_request_is_refused_before_its_body_is_read() -> None:
    queue = _slow_queue(seconds=60)
    now = time.perf_counter_ns()
    # Nothing is ahead of it: it may as well be tried.
    assert queue.would_refuse(now + 30e9) is None
    queue.put(make_job([10]))
    assert queue.would_refuse(now + 180e9) is None
    assert isinstance(queue.would_refuse(now + 180e9, pairs_ahead=3), TooLate)
    assert isinstance(queue.would_refuse(now + 30e9), TooLate)
    queue.put(make_job([1] * 999))
    assert isinstance(queue.would_refuse(NEVER), QueueFull)


def test_a_look_before_the_body_waits_for_no_lock() -> None:
    queue = _slow_queue(seconds=1)
    queue.put(make_job([10]))
    with ThreadPoolExecutor(1) as other, queue._changed:
        assert other.submit(queue.would_refuse, NEVER).result(60) is None
        late = other.submit(queue.would_refuse, time.perf_counter_ns() + 0.1e9).result(60)
    assert isinstance(late, TooLate)


def test_a_look_finds_no_queue_full_of_what_nobody_waits_for() -> None:
    queue = make_queue(2)
    queue.put(make_job([10]))
    assert take_at_once(queue)
    gone = [make_job([10]), make_job([10])]
    for job in gone:
        queue.put(job)
    for job in gone:
        job.abandon()
    with ThreadPoolExecutor(1) as other, queue._changed:  # no time to tidy up
        assert isinstance(other.submit(queue.would_refuse, NEVER).result(60), QueueFull)
    assert queue.would_refuse(NEVER) is None
    assert queue.depth() == 0
    queue.put(make_job([10] * 2))
    assert isinstance(queue.would_refuse(NEVER), QueueFull)


def test_one_pair_is_never_too_large_for_those_before_it() -> None:
    """It fits as soon as they are done: it is to come back."""
    queue = make_queue(10, max_tokens=100)
    for pairs_ahead in (10, 1000):
        refused = queue.would_refuse(NEVER, pairs_ahead=pairs_ahead)
        assert isinstance(refused, QueueFull)
        assert refused.retry_after is not None


def test_the_batch_under_way_is_waited_for_too() -> None:
    queue = _slow_queue(seconds=40)
    queue.put(make_job([10]))
    queue.take(lambda: 10, padding=Padding.ROUNDED)
    # Twice 40 s and a quarter more, less the time that this test has taken by then.
    with pytest.raises(TooLate, match=r"about (100\.0|9\d\.\d) s"):
        queue.put(make_job([10], expires_in=80))
    queue.put(make_job([10], expires_in=120))


def test_a_pace_that_was_slow_once_is_learnt_anew() -> None:
    """All would be refused for ever otherwise, and nothing computed that says it is better now."""
    queue = _slow_queue(seconds=60)
    queue.put(make_job([10], expires_in=30))
    [item] = queue.take(lambda: 10, padding=Padding.ROUNDED)
    assert item.waiters


def test_what_is_left_out_for_being_late_does_not_wait_for_its_time() -> None:
    queue = _slow_queue(seconds=60)
    late, patient = make_job([10]), make_job([10], expires_in=1000)
    queue.put(late)
    queue.put(patient)
    late.expires_ns = time.perf_counter_ns() + 30e9
    [item] = queue.take(lambda: 10, padding=Padding.ROUNDED)
    assert item.waiters == [(patient, 0)]
    assert late.wait(1000) is False
    assert not late.is_abandoned


def test_a_full_queue_first_forgets_what_nobody_waits_for() -> None:
    dropped: list[int] = []
    queue = PairQueue(max_pairs=4, max_tokens=100, dropped=dropped.append)
    left, wanted = make_job([5, 5]), make_job([5])
    queue.put(make_job([5]))
    queue.take(lambda: BUDGET, padding=Padding.LONGEST)
    queue.put(left)
    queue.put(wanted)
    left.wait(0)
    with pytest.raises(QueueFull):
        queue.put(make_job([5] * 4))
    assert (sum(dropped), queue.depth(), queue.tokens()) == (2, 1, 5)
    queue.put(make_job([5] * 3))
