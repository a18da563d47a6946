"""The queue at its limits: what just fits, what a look takes a request for, how a queue ends."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pytest

from service.errors import EngineFailed, QueueFull, TooLarge, TooLate
from service.scoring.backends.layout import Padding
from service.scoring.batching import INTERACTIVE_PAIRS
from service.scoring.cache import ResultCache
from service.scoring.events import Batch
from service.scoring.job import NEVER, Item, Job
from service.scoring.queue import PairQueue, QueueClosed
from service.scoring.tokens import TokenizedPair
from tests.unit.queues import sizes_of


def _job(*sizes: int, keys: str = "", **settings: float) -> Job:
    pairs = [TokenizedPair([1] * size, 1, False) for size in sizes]
    return Job(pairs, keys=[key.encode() for key in keys], **settings)


def _queue(*sizes: int, max_pairs: int = 20, max_tokens: int = 100) -> PairQueue:
    """With pairs of so many tokens waiting, each of a job of its own."""
    made = PairQueue(max_pairs=max_pairs, max_tokens=max_tokens)
    for size in sizes:
        made.put(_job(size))
    return made


def _take(queue: PairQueue, budget: int = 1000, streams: int = 1) -> list[Item]:
    return queue.take(lambda: budget, padding=Padding.ROUNDED, streams=streams)


@pytest.mark.parametrize("sizes", [[5] * 20, [50, 50]], ids=["pairs", "tokens"])
def test_a_job_as_large_as_the_queue_fits_while_it_is_empty(sizes: list[int]) -> None:
    queue = _queue()
    assert (queue.max_pairs, queue.max_tokens) == (20, 100)
    queue.put(_job(*sizes))
    assert (queue.depth(), queue.tokens()) == (len(sizes), 100)


def test_a_job_larger_than_the_queue_is_told_its_size_and_the_limit() -> None:
    with pytest.raises(TooLarge) as caught:
        _queue().put(_job(51, 50))
    assert str(caught.value) == (
        "2 pairs of 101 tokens in all are more than the queue takes: "
        "20 pairs and 100 tokens; send fewer at a time"
    )


def test_the_longest_pairs_of_a_job_go_first() -> None:
    queue = _queue()
    queue.put(_job(5, 30, 10))
    assert sizes_of(_take(queue)) == [30, 10, 5]


def test_what_many_tokens_take_is_what_when_to_come_back_is_told_by() -> None:
    queue = _queue(10, 10, 10, 11)
    assert queue.retry_after() == 1, "nothing is known of the model yet"
    queue.computed(10, 2.0)
    _take(queue, budget=10)
    assert queue.retry_after() == 8, "31 tokens in batches of 10"
    _take(queue, budget=21, streams=2)
    assert queue.retry_after() == 4, "two of three on two streams; the last one counts whole"


@pytest.mark.parametrize(
    ("waiting", "pairs_ahead", "fits"),
    [
        ([], 0, True),
        ([95], 0, True),  # the smallest pair has five tokens
        ([96], 0, False),
        ([], 19, True),
        ([], 20, False),
        ([31], 2, True),  # those before it are taken for as long as the one that waits
        ([32], 2, False),
        ([22, 42], 1, False),  # as long as those are on average
        ([22, 41], 1, True),
        ([13, 14, 14, 14, 14], 2, True),  # 13 each: rounded down
    ],
)
def test_a_look_takes_those_before_it_for_as_long_as_those_that_wait(
    waiting: list[int], pairs_ahead: int, fits: bool
) -> None:
    refused = _queue(*waiting).would_refuse(NEVER, pairs_ahead=pairs_ahead)
    assert (refused is None) == fits
    assert fits or isinstance(refused, QueueFull)


def test_a_look_at_a_slow_queue_reckons_with_those_before_it() -> None:
    queue = _queue(10)
    for tokens in (10, 20):
        queue.computed(tokens, tokens * 2)
    _take(queue, budget=10)
    queue.put(_job(10))
    soon = time.perf_counter_ns() + 100e9
    # The batch under way, the pair that waits and its own: 50 s at most. With two more: 100 s.
    assert queue.would_refuse(soon) is None
    assert isinstance(queue.would_refuse(soon, pairs_ahead=3), TooLate)


def test_a_stream_that_is_done_is_waited_for_no_more() -> None:
    queue = _queue(10)
    queue.computed(10, 1000.0)
    _take(queue)
    soon = time.perf_counter_ns() + 60e9
    assert isinstance(queue.would_refuse(soon), TooLate)
    queue.done()
    assert queue.would_refuse(soon) is None
    queue.done()  # what is told twice is no error


def test_streams_that_are_idle_share_what_waits() -> None:
    queue = _queue(*[10] * 8)
    assert len(_take(queue, streams=2)) == 4
    assert len(_take(queue, budget=20, streams=2)) == 1, "half of the budget"


def test_the_last_idle_stream_takes_all_that_waits() -> None:
    queue = _queue(*[10] * 8)
    with ThreadPoolExecutor(1) as other:
        assert len(other.submit(_take, queue, streams=2).result(60)) == 4
    assert len(_take(queue, streams=2)) == 4


@pytest.mark.parametrize(
    ("padding", "batch"),
    [(Padding.ROUNDED, [10, 40, 11]), (Padding.LONGEST, [10, 11]), (Padding.GRID, [10, 11])],
)
def test_a_batch_is_made_for_what_its_backend_pads(padding: Padding, batch: list[int]) -> None:
    assert sizes_of(_queue(10, 40, 11).take(lambda: 64, padding=padding)) == batch


@pytest.mark.parametrize(
    ("pairs", "first"), [(INTERACTIVE_PAIRS, [5] * INTERACTIVE_PAIRS), (INTERACTIVE_PAIRS + 1, [6])]
)
def test_a_small_job_goes_before_bulk_work_and_a_larger_one_behind_it(
    pairs: int, first: list[int]
) -> None:
    queue = _queue(max_tokens=1000)
    queue.put(_job(*[6] * 9))
    queue.put(_job(*[5] * pairs))
    assert sizes_of(_take(queue, budget=5 * INTERACTIVE_PAIRS))[: len(first)] == first


def test_what_waits_again_has_not_begun() -> None:
    queue = _queue()
    first, joins = _job(5, keys="a"), _job(5, keys="a")
    queue.put(first)
    batch = _take(queue)
    queue.begin(batch, Batch("v", 1, 1, 1, started_ns=1))
    queue.put_back(batch)
    assert queue.put(joins) == 1
    assert (len(first.batches), joins.batches) == (1, [])


def test_a_failed_pair_has_its_job_end_now() -> None:
    queue = _queue()
    job = _job(5)
    queue.put(job)
    before = time.perf_counter_ns()
    queue.fail(_take(queue), RuntimeError("no"))
    assert before <= job.finished_ns <= time.perf_counter_ns()


def test_a_result_is_dated_and_kept_as_it_was_given() -> None:
    cache = ResultCache(10)
    queue = PairQueue(max_pairs=10, max_tokens=100, cache=cache)
    job = Job([TokenizedPair([1] * 5, 1, True)], keys=[b"a"])
    queue.put(job)
    queue.finish(_take(queue), [[0.5]], now_ns=7)
    assert job.finished_ns == 7
    kept = cache.get(b"a")
    assert kept is not None
    assert (kept.probabilities, kept.truncated) == ((0.5,), True)


def test_a_pair_without_a_key_takes_no_place_in_the_cache() -> None:
    cache = ResultCache(1)
    queue = PairQueue(max_pairs=10, max_tokens=100, cache=cache)
    for keys in ("a", ""):
        queue.put(_job(5, keys=keys))
        queue.finish(_take(queue), [[0.5]], now_ns=1)
    assert cache.get(b"a") is not None


def test_of_rows_that_are_too_few_none_is_handed_out() -> None:
    queue = _queue()
    job = _job(5, 5)
    queue.put(job)
    with pytest.raises(ValueError, match="shorter"):
        queue.finish(_take(queue), [[0.5]], now_ns=1)
    assert job.results == {}


def test_a_job_with_too_few_keys_is_refused_as_a_whole() -> None:
    queue = _queue()
    with pytest.raises(ValueError, match="shorter"):
        queue.put(_job(5, 5, keys="a"))
    assert queue.depth() == 0


def test_an_aborted_queue_fails_all_that_waits_and_says_the_same_to_all_that_comes() -> None:
    queue = _queue()
    jobs = [_job(5), _job(5)]
    for job in jobs:
        queue.put(job)
    failure = EngineFailed("the model is broken")
    queue.abort(failure)
    assert [job.errors for job in jobs] == [{0: failure}, {0: failure}]
    assert all(job.wait(0) for job in jobs)
    assert queue.depth() == 0
    assert _take(queue) == []
    with pytest.raises(EngineFailed, match=r"^the model is broken$") as caught:
        queue.put(_job(5))
    assert caught.value is not failure, "its traceback would grow with every request"


@pytest.mark.parametrize("end", ["close", "abort"])
def test_every_thread_that_waits_for_work_is_told_of_the_end(end: str) -> None:
    queue = _queue()
    threads = [threading.Thread(target=_take, args=[queue]) for _ in range(3)]
    for thread in threads:
        thread.start()
    queue.close() if end == "close" else queue.abort(EngineFailed("no"))
    for thread in threads:
        thread.join(60)
    assert not any(thread.is_alive() for thread in threads)
    with pytest.raises(QueueClosed if end == "close" else EngineFailed):
        queue.put(_job(5))


def test_a_stream_that_finds_only_what_nobody_waits_for_waits_on() -> None:
    found = threading.Event()
    queue = PairQueue(max_pairs=10, max_tokens=100, dropped=lambda pairs: found.set())
    gone = _job(5)
    queue.put(gone)
    gone.abandon()
    with ThreadPoolExecutor(1) as other, closing(queue):
        taken = other.submit(_take, queue)
        assert found.wait(60)
        queue.put(_job(6))
        assert sizes_of(taken.result(60)) == [6]


def test_a_full_queue_makes_room_before_its_first_batch_too() -> None:
    queue = _queue(max_pairs=2)
    gone = _job(5, 5)
    queue.put(gone)
    gone.abandon()
    queue.put(_job(6))
    assert (queue.depth(), queue.tokens()) == (1, 6)


def test_a_pair_for_which_room_is_made_does_not_wait_for_bulk_work() -> None:
    queue = _queue(10, max_tokens=1000)
    queue.computed(10, 100.0)
    _take(queue, budget=10)
    queue.done()
    queue.put(_job(*[10] * 19))
    gone = _job(10)
    queue.put(gone)
    gone.abandon()
    queue.put(_job(5, expires_ns=time.perf_counter_ns() + 1000e9))
    assert queue.depth() == 20


def test_what_nobody_waits_for_is_looked_for_once_a_batch() -> None:
    dropped: list[int] = []
    queue = PairQueue(max_pairs=2, max_tokens=100, dropped=dropped.append)
    queue.put(_job(5))
    _take(queue)
    gone = [_job(5), _job(5)]
    for job in gone:
        queue.put(job)
    with pytest.raises(QueueFull):
        queue.put(_job(5))
    for job in gone:
        job.abandon()
    with pytest.raises(QueueFull):
        queue.put(_job(5))  # it was looked for just now
    assert dropped == []
    queue.close()
    assert _take(queue) == []
    assert dropped == [2]


def test_the_oldest_age_is_in_seconds_and_of_what_waits() -> None:
    queue = _queue()
    for age in (50, 20, 80):
        job = _job(5)
        job.submitted_ns -= int(age * 1e9)
        queue.put(job)
    # The lane's first, not the job's that was submitted first: it came through another queue.
    assert queue.oldest_age() == pytest.approx(50, abs=10)
    assert queue.wanted().oldest_age == pytest.approx(80, abs=10)
    assert (queue.wanted().pairs, queue.wanted().tokens) == (3, 15)


def test_a_pair_that_is_moved_to_the_front_has_waited_since_it_first_came() -> None:
    queue = _queue()
    bulk = _job(*[5] * 9, keys="abcdefghi")
    bulk.submitted_ns -= int(60e9)
    queue.put(bulk)
    queue.put(_job(5, keys="i"))
    assert queue.wanted().pairs == 9
    bulk.abandon()
    assert queue.wanted().pairs == 1
    assert queue.wanted().oldest_age >= 60


@pytest.mark.parametrize(
    ("waits", "comes"),
    [("", "aabbcde"), ("a", "abcde"), ("ab", "cacbdbe")],
    ids=["equal ones first", "one that is joined first", "both among them"],
)
def test_what_needs_no_place_hides_no_pair_that_does(waits: str, comes: str) -> None:
    queue = _queue(max_pairs=4)
    if waits:
        queue.put(_job(*[5] * len(waits), keys=waits))
    with pytest.raises((QueueFull, TooLarge)):
        queue.put(_job(*[5] * len(comes), keys=comes))
    assert queue.depth() == len(waits)
    queue.put(_job(*[5] * len(comes[:-1]), keys=comes[:-1]))
    assert queue.depth() == 4


def test_a_small_job_needs_a_place_also_for_what_waits_in_the_bulk_lane() -> None:
    queue = _queue(max_pairs=9)
    queue.put(_job(*[5] * 9, keys="abcdefghi"))
    assert queue.put(_job(*[5] * 9, keys="abcdefghi")) == 9, "bulk work joins it"
    with pytest.raises(QueueFull):
        queue.put(_job(5, keys="a"))


def test_a_single_pair_moves_bulk_work_that_waits_again_to_the_front() -> None:
    queue = _queue()
    queue.put(_job(*[5] * 9, keys="abcdefghi"))
    queue.put_back(_take(queue))
    single = _job(5, keys="i")
    assert queue.put(single) == 0, "it does not wait in the bulk lane"
    [item] = _take(queue)
    assert item.waiters[0] == (single, 0)


def test_a_look_does_not_wait_for_bulk_work() -> None:
    queue = _queue(10, max_pairs=1000, max_tokens=10_000)
    queue.computed(10, 1.0)
    _take(queue, budget=10)
    queue.done()
    queue.put(_job(*[10] * 200))
    assert queue.would_refuse(time.perf_counter_ns() + 100e9) is None
    with pytest.raises(TooLate):
        queue.put(_job(*[10] * 9, expires_ns=time.perf_counter_ns() + 100e9))


def test_a_look_makes_room_for_those_before_it_too_and_only_where_it_must() -> None:
    queue = _queue(5, max_pairs=3)
    _take(queue)
    gone = [_job(5), _job(5)]
    for job in gone:
        queue.put(job)
        job.abandon()
    assert queue.would_refuse(NEVER) is None
    assert queue.depth() == 2, "there is room as it is"
    assert queue.would_refuse(NEVER, pairs_ahead=1) is None
    assert queue.depth() == 0
