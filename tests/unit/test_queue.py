"""The queue's laws: nothing lost, nothing twice, bounds kept, equal pairs under way joined."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.errors import QueueFull, TooLarge, TooLate
from service.scoring.backends.layout import Padding
from service.scoring.batching import INTERACTIVE_PAIRS
from service.scoring.cache import PairResult, ResultCache
from service.scoring.events import Batch
from service.scoring.job import NEVER, Item, Job
from service.scoring.queue import PairQueue, QueueClosed, Wanted
from service.scoring.tokens import TokenizedPair

BUDGET = 100
LONG = 20.0
lengths = st.lists(st.lists(st.integers(1, 60), min_size=1, max_size=12), max_size=8)


def _take_at_once(queue: PairQueue) -> list[Item]:
    """The next batch, which is empty if nobody wants what waits: taking does not wait for more."""
    queue._closed = True
    batch = queue.take(lambda: BUDGET, padding=Padding.LONGEST)
    queue._closed = False
    return batch


def _queue(max_pairs: int, max_tokens: int = 10_000, cache: ResultCache | None = None) -> PairQueue:
    return PairQueue(max_pairs=max_pairs, max_tokens=max_tokens, cache=cache)


def _job(sizes: list[int], expires_in: float = NEVER) -> Job:
    pairs = [TokenizedPair([1] * size, 1, False) for size in sizes]
    return Job(pairs, expires_ns=time.perf_counter_ns() + expires_in * 1e9)


def test_a_job_that_does_not_fit_is_refused_as_a_whole() -> None:
    queue = _queue(3)
    queue.put(_job([1, 1]))
    with pytest.raises(QueueFull, match="2 pairs of 2 tokens in all are waiting") as caught:
        queue.put(_job([1, 1]))
    assert caught.value.retry_after is not None
    assert queue.depth() == 2


def test_equal_pairs_of_one_job_need_one_place() -> None:
    queue = _queue(4)
    same = _keyed("aaaaaaaaaa")
    assert queue.put(same) == 9, "of ten, nine are computed anyway"
    assert queue.depth() == 1
    mixed = _keyed("aabbccddd")
    queue.put(mixed)
    assert queue.depth() == 4
    with pytest.raises(QueueFull):
        queue.put(_keyed("ee"))
    bulk = _queue(9, cache=None)
    bulk.put(_keyed("abcdefghi" * 3))
    assert bulk.depth() == 9
    without_keys = _queue(4)
    with pytest.raises(TooLarge):
        without_keys.put(_job([1] * 10))


def test_tokens_are_bounded_as_pairs_are() -> None:
    queue = _queue(10, max_tokens=100)
    queue.put(_job([40, 40]))
    with pytest.raises(QueueFull, match="the limit is 10 pairs and 100 tokens"):
        queue.put(_job([21]))
    queue.put(_job([20]))
    assert (queue.depth(), queue.tokens()) == (3, 100)
    queue.take(lambda: 1000, padding=Padding.LONGEST)
    assert (queue.depth(), queue.tokens()) == (0, 0)


@pytest.mark.parametrize("sizes", [[1] * 11, [101]])
def test_what_can_never_fit_is_not_told_to_come_back(sizes: list[int]) -> None:
    queue = _queue(10, max_tokens=100)
    with pytest.raises(TooLarge, match="10 pairs and 100 tokens") as caught:
        queue.put(_job(sizes))
    assert caught.value.retry_after is None


@pytest.mark.parametrize(
    ("seconds", "expected"), [([], 1), ([0.001], 1), ([0.4], 4), ([0.4] * 30, 4), ([100], 60)]
)
def test_a_refused_client_is_told_when_the_queue_will_be_drained(
    seconds: list[float], expected: int
) -> None:
    queue = _queue(10)
    queue.put(_job([10]))
    queue.take(lambda: 10, padding=Padding.LONGEST)
    for batch in seconds:
        queue.computed(tokens=10, seconds=batch)
    queue.put(_job([10] * 10))
    with pytest.raises(QueueFull) as caught:
        queue.put(_job([1]))
    assert caught.value.retry_after == expected


def _slow_queue(seconds: float = 0.1) -> PairQueue:
    """A queue whose model takes `seconds` for each batch of ten tokens."""
    queue = _queue(1000)
    queue.put(_job([10]))
    queue.take(lambda: 10, padding=Padding.LONGEST)
    queue.computed(tokens=10, seconds=seconds)
    queue.done()
    return queue


def test_what_cannot_be_done_in_its_time_is_refused_at_once() -> None:
    queue = _slow_queue()
    queue.put(_job([10] * 8))
    queue.put(_job([10], expires_in=5))
    with pytest.raises(TooLate, match=r"about 1\.2 s, and 500 ms are left") as caught:
        queue.put(_job([10], expires_in=0.5))
    assert caught.value.retry_after == 1
    assert queue.depth() == 9


def test_a_single_pair_is_not_refused_for_bulk_work_that_it_does_not_wait_for() -> None:
    queue = _slow_queue()
    queue.put(_job([10] * 200))
    queue.put(_job([10], expires_in=0.5))
    with pytest.raises(TooLate):
        queue.put(_job([10] * 20, expires_in=10))


def test_a_request_is_refused_before_its_body_is_read() -> None:
    queue = _slow_queue(seconds=1)
    now = time.perf_counter_ns()
    # Nothing is ahead of it: it may as well be tried.
    assert queue.would_refuse(now + 0.5e9) is None
    queue.put(_job([10]))
    assert queue.would_refuse(now + 3e9) is None
    assert isinstance(queue.would_refuse(now + 3e9, pairs_ahead=3), TooLate)
    assert isinstance(queue.would_refuse(now + 0.5e9), TooLate)
    queue.put(_job([1] * 999))
    assert isinstance(queue.would_refuse(NEVER), QueueFull)


def test_a_look_before_the_body_waits_for_no_lock() -> None:
    queue = _slow_queue(seconds=1)
    queue.put(_job([10]))
    with ThreadPoolExecutor(1) as other, queue._changed:
        assert other.submit(queue.would_refuse, NEVER).result(5) is None
        late = other.submit(queue.would_refuse, time.perf_counter_ns() + 0.1e9).result(5)
    assert isinstance(late, TooLate)


def test_a_look_finds_no_queue_full_of_what_nobody_waits_for() -> None:
    queue = _queue(2)
    queue.put(_job([10]))
    assert _take_at_once(queue)
    gone = [_job([10]), _job([10])]
    for job in gone:
        queue.put(job)
    for job in gone:
        job.abandon()
    with ThreadPoolExecutor(1) as other, queue._changed:  # no time to tidy up
        assert isinstance(other.submit(queue.would_refuse, NEVER).result(5), QueueFull)
    assert queue.would_refuse(NEVER) is None
    assert queue.depth() == 0
    queue.put(_job([10] * 2))
    assert isinstance(queue.would_refuse(NEVER), QueueFull)


def test_one_pair_is_never_too_large_for_those_before_it() -> None:
    """It fits as soon as they are done: it is to come back."""
    queue = _queue(10, max_tokens=100)
    for pairs_ahead in (10, 1000):
        refused = queue.would_refuse(NEVER, pairs_ahead=pairs_ahead)
        assert isinstance(refused, QueueFull)
        assert refused.retry_after is not None


def test_the_batch_under_way_is_waited_for_too() -> None:
    queue = _slow_queue(seconds=1)
    queue.put(_job([10]))
    queue.take(lambda: 10, padding=Padding.ROUNDED)
    with pytest.raises(TooLate, match=r"about 2\.5 s"):
        queue.put(_job([10], expires_in=2))
    queue.put(_job([10], expires_in=3))


def test_a_pace_that_was_slow_once_is_learnt_anew() -> None:
    """All would be refused for ever otherwise, and nothing computed that says it is better now."""
    queue = _slow_queue(seconds=60)
    queue.put(_job([10], expires_in=0.5))
    [item] = queue.take(lambda: 10, padding=Padding.ROUNDED)
    assert item.waiters


def test_what_is_left_out_for_being_late_does_not_wait_for_its_time() -> None:
    queue = _slow_queue(seconds=1)
    late, patient = _job([10]), _job([10], expires_in=1000)
    queue.put(late)
    queue.put(patient)
    late.expires_ns = time.perf_counter_ns() + 0.5e9
    [item] = queue.take(lambda: 10, padding=Padding.ROUNDED)
    assert item.waiters == [(patient, 0)]
    assert late.wait(1000) is False
    assert not late.is_abandoned


def test_an_expired_job_is_never_computed() -> None:
    dropped: list[int] = []
    queue = PairQueue(max_pairs=10, max_tokens=100, dropped=dropped.append)
    expired, wanted = _job([5, 5], expires_in=1), _job([5])
    queue.put(expired)
    queue.put(wanted)
    expired.expires_ns = time.perf_counter_ns() - 1
    [item] = queue.take(lambda: BUDGET, padding=Padding.LONGEST)
    assert item.waiters == [(wanted, 0)]
    assert sum(dropped) == 2


def test_a_full_queue_first_forgets_what_nobody_waits_for() -> None:
    dropped: list[int] = []
    queue = PairQueue(max_pairs=4, max_tokens=100, dropped=dropped.append)
    left, wanted = _job([5, 5]), _job([5])
    queue.put(_job([5]))
    queue.take(lambda: BUDGET, padding=Padding.LONGEST)
    queue.put(left)
    queue.put(wanted)
    left.wait(0)
    with pytest.raises(QueueFull):
        queue.put(_job([5] * 4))
    assert (sum(dropped), queue.depth(), queue.tokens()) == (2, 1, 5)
    queue.put(_job([5] * 3))


def test_an_abandoned_job_is_never_computed() -> None:
    queue = _queue(10)
    left, wanted = _job([5]), _job([5])
    queue.put(left)
    queue.put(wanted)
    assert left.wait(0) is False
    [item] = queue.take(lambda: BUDGET, padding=Padding.LONGEST)
    assert item.waiters == [(wanted, 0)]


def test_the_oldest_age_is_that_of_the_first_waiting_pair() -> None:
    queue = _queue(10)
    assert queue.oldest_age() == 0.0
    job = _job([5])
    job.submitted_ns -= 2_000_000_000
    queue.put(job)
    assert queue.oldest_age() == pytest.approx(2, abs=0.5)


def test_the_gauges_count_only_what_somebody_waits_for() -> None:
    queue = _queue(10)
    assert queue.wanted() == Wanted(0, 0, 0.0)
    left, late, wanted = _job([5, 6]), _job([7], expires_in=1000), _job([8])
    for job in (left, late, wanted):
        queue.put(job)
    left.submitted_ns -= int(60e9)
    queue._lanes.interactive.items[0].submitted_ns = left.submitted_ns
    assert (queue.wanted().pairs, queue.wanted().tokens) == (4, 26)
    assert queue.wanted().oldest_age >= 60
    left.abandon()
    assert not late.wait(0)
    now = queue.wanted()
    assert (now.pairs, now.tokens) == (1, 8)
    assert 0 <= now.oldest_age < 60
    assert queue.depth() == 4, "they are taken out when their turn comes"


@pytest.mark.parametrize("interactive", [True, False])
def test_what_could_not_be_computed_waits_again_before_the_others(interactive: bool) -> None:
    queue = _queue(100)
    size = 3 if interactive else INTERACTIVE_PAIRS + 1
    first, second = _job([5] * size), _job([6] * size)
    queue.put(first)
    batch = _take_at_once(queue)
    assert len(batch) == size
    queue.put(second)
    queue.put_back(batch)
    assert (queue.depth(), queue.tokens()) == (2 * size, 11 * size)
    again = _take_at_once(queue)
    assert again[:size] == batch
    assert not any(item.is_waiting for item in again)


def test_a_pair_that_waits_again_is_joined_and_dropped_as_any_other() -> None:
    queue = _queue(100)
    first, joins = _keyed("a"), _keyed("a")
    queue.put(first)
    queue.put_back(_take_at_once(queue))
    assert queue.put(joins) == 1
    first.abandon()
    [item] = _take_at_once(queue)
    assert [job for job, _ in item.waiters] == [first, joins]
    queue.put_back([item])
    joins.abandon()
    assert _take_at_once(queue) == []


def test_two_threads_that_settle_parts_of_a_job_lose_no_result() -> None:
    class Slow(int):
        """A number that another thread has time to read before it is written back."""

        def __sub__(self, other: int) -> Slow:
            time.sleep(0.05)
            return Slow(int(self) - other)

    job = _job([1] * 2)
    job._remaining = Slow(2)
    threads = [threading.Thread(target=job.put, args=(index, [1, 0, 0], 1)) for index in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert job.wait(0)


def test_take_waits_for_work_and_ends_when_closed() -> None:
    queue = _queue(10)
    batches: list[int] = []

    def consume() -> None:
        while batch := queue.take(lambda: BUDGET, padding=Padding.LONGEST):
            batches.append(len(batch))

    consumer = threading.Thread(target=consume)
    consumer.start()
    queue.put(_job([4, 4]))
    queue.close()
    consumer.join(5)
    assert not consumer.is_alive()
    assert sum(batches) == 2


class TwoStreams:
    """A stream that has answered a single pair and one that computes bulk work, of which more
    waits."""

    def __init__(self) -> None:
        self.queue = _queue(100)
        for tokens in (5, 50):  # nearly all of a pass is per token, as on a CPU
            self.queue.computed(tokens, tokens / 100)
        self.queue.put(_job([5]))
        assert len(self._take()) == 1
        self.queue.put(_job([5] * 90))
        self._other = threading.Thread(target=self._take)
        self._other.start()
        self._other.join(5)

    def after_the_answer(self) -> tuple[list[int], float]:
        """The next batch of the stream that has answered: the lengths of its pairs, and how many
        seconds it was waited for."""
        began = time.monotonic()
        return [len(item.pair.ids) for item in self._take()], time.monotonic() - began

    def other_is_done(self) -> None:
        """The other stream computes no more."""
        [thread] = [key for key in self.queue._admission.computing if key != threading.get_ident()]
        del self.queue._admission.computing[thread]

    def soon(self, call: Callable[[], object]) -> None:
        """Have something happen while the stream waits."""
        threading.Timer(0.1, call).start()

    def _take(self) -> list[Item]:
        return self.queue.take(lambda: BUDGET, padding=Padding.ROUNDED, streams=2)


def test_the_client_that_was_answered_asks_again_before_bulk_work_goes_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("service.scoring.queue.RETURN_SECONDS", LONG)
    two = TwoStreams()
    two.soon(lambda: two.queue.put(_job([7])))
    lengths, _ = two.after_the_answer()
    assert lengths == [7]


def test_bulk_work_goes_on_if_that_client_does_not_come(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.scoring.queue.RETURN_SECONDS", 0.1)
    two = TwoStreams()
    lengths, seconds = two.after_the_answer()
    assert lengths == [5]
    assert seconds >= 0.1
    monkeypatch.setattr("service.scoring.queue.RETURN_SECONDS", LONG)
    lengths, seconds = two.after_the_answer()
    assert lengths == [5]
    assert seconds < LONG / 2, "it is waited for once"


def test_a_device_on_which_nothing_computes_waits_for_no_client(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("service.scoring.queue.RETURN_SECONDS", LONG)
    two = TwoStreams()
    two.other_is_done()
    lengths, seconds = two.after_the_answer()
    assert lengths == [5]
    assert seconds < LONG / 2


def test_a_queue_that_closes_waits_for_no_client(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.scoring.queue.RETURN_SECONDS", LONG)
    two = TwoStreams()
    two.soon(two.queue.close)
    lengths, seconds = two.after_the_answer()
    assert lengths == [5]
    assert seconds < LONG / 2


def test_a_job_is_done_when_its_last_pair_is() -> None:
    job = _job([1, 1])
    row = np.array([0.1, 0.2, 0.7], dtype=np.float32)
    job.put(1, row, 5)
    assert job.finished_ns == 0
    job.put(0, row, 9)
    assert job.wait(0)
    assert job.finished_ns == 9


def test_whoever_reads_that_a_job_has_begun_finds_its_batch() -> None:
    """The request's thread may look at any moment: its time runs out while it is computed."""
    begun: list[int] = []

    class Batches(list[Batch]):
        def append(self, batch: Batch) -> None:
            begun.append(job.started_ns)
            super().append(batch)

    job = _job([1])
    job.batches = Batches()
    job.begin(Batch("v", 1, 1, 1, started_ns=1))
    assert begun == [0], "not before its batch is there"
    assert job.started_ns


# Equal pairs


def _keyed(keys: str) -> Job:
    """A job of one pair for each letter: equal letters are equal pairs."""
    pairs = [TokenizedPair([ord(key)] * 5, 1, False) for key in keys]
    return Job(pairs, keys=[key.encode() for key in keys])


def _compute(queue: PairQueue, batch: list[Item]) -> None:
    """Answers each pair with its own token."""
    queue.finish(batch, [[float(item.pair.ids[0])] for item in batch], now_ns=1)


def _begin(queue: PairQueue, batch: list[Item]) -> Batch:
    made = Batch("v", len(batch), 1, 1, started_ns=1)
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
    queue = _queue(1000, cache=ResultCache(kept) if kept else None)
    jobs, under_way = [], []
    for step in steps:
        if step == "t" and queue.depth():
            under_way.append(_take_at_once(queue))
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
    while batch := queue.take(lambda: BUDGET, padding=Padding.LONGEST):
        under_way.append(batch)
    for batch in under_way:
        _compute(queue, batch)
    for job in jobs:
        assert job.wait(0)
        assert job.results == {
            index: PairResult((float(pair.ids[0]),), truncated=False)
            for index, pair in enumerate(job.pairs)
        }
    assert not queue._under_way


def test_a_pair_that_is_waiting_or_being_computed_is_joined() -> None:
    queue = _queue(1)
    first, waiting, computing = _keyed("a"), _keyed("a"), _keyed("aa")
    assert queue.put(first) == 0
    assert queue.put(waiting) == 1
    batch = queue.take(lambda: BUDGET, padding=Padding.LONGEST)
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
    queue = _queue(10, cache=ResultCache(10))
    queue.put(_keyed("a"))
    _compute(queue, queue.take(lambda: BUDGET, padding=Padding.LONGEST))
    late = _keyed("a")
    assert queue.put(late) == 1
    assert late.wait(0)
    assert queue.depth() == 0


def test_an_interactive_pair_does_not_wait_in_the_bulk_lane() -> None:
    queue = _queue(100)
    bulk, single = _keyed("abcdefghij"), _keyed("j")
    queue.put(bulk)
    assert queue.put(single) == 0, "it takes a place in the other lane"
    [item] = queue.take(lambda: BUDGET, padding=Padding.LONGEST)
    assert item.waiters == [(single, 0), (bulk, 9)]
    _compute(queue, [item])
    assert single.wait(0)
    queue.close()
    rest = [item for _ in range(9) for item in queue.take(lambda: BUDGET, padding=Padding.LONGEST)]
    assert len(rest) == 9, "not computed again"


def test_a_joined_pair_is_computed_for_whoever_still_wants_it() -> None:
    queue = _queue(10)
    left, stays = _keyed("a"), _keyed("a")
    queue.put(left)
    queue.put(stays)
    assert left.wait(0) is False
    _compute(queue, queue.take(lambda: BUDGET, padding=Padding.LONGEST))
    assert stays.wait(0)


def test_an_abandoned_pair_is_not_joined_once_it_was_dropped() -> None:
    queue = _queue(10)
    left = _keyed("a")
    queue.put(left)
    assert left.wait(0) is False
    assert _take_at_once(queue) == []
    assert queue.put(_keyed("a")) == 0


def test_a_closed_queue_takes_no_more_and_gives_out_what_it_has() -> None:
    queue = _queue(10)
    queue.put(_keyed("a"))
    queue.close()
    with pytest.raises(QueueClosed):
        queue.put(_keyed("b"))
    assert len(queue.take(lambda: BUDGET, padding=Padding.LONGEST)) == 1
    assert queue.take(lambda: BUDGET, padding=Padding.LONGEST) == []


def test_a_batch_that_fails_ends_every_job_that_waits_for_it() -> None:
    queue = _queue(10)
    jobs = [_keyed("a"), _keyed("a")]
    for job in jobs:
        queue.put(job)
    failure = RuntimeError("no")
    queue.fail(queue.take(lambda: BUDGET, padding=Padding.LONGEST), failure)
    assert [job.errors for job in jobs] == [{0: failure}, {0: failure}]
    assert queue.put(_keyed("a")) == 0, "the next one is computed"
