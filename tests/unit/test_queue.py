"""The queue's laws: what is taken, in which order, by whom it is waited for, and how it ends."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import numpy as np
import pytest

from service.scoring.backends.layout import Padding
from service.scoring.batching import INTERACTIVE_PAIRS
from service.scoring.events import Batch
from service.scoring.job import Item
from service.scoring.queue import PairQueue, QueueClosed, Wanted
from tests.unit.queues import BUDGET, keyed, make_job, make_queue, take_at_once
from tests.waiting import Stopwatch

LONG = 60.0


def test_an_expired_job_is_never_computed() -> None:
    dropped: list[int] = []
    queue = PairQueue(max_pairs=10, max_tokens=100, dropped=dropped.append)
    expired, wanted = make_job([5, 5], expires_in=1), make_job([5])
    queue.put(expired)
    queue.put(wanted)
    expired.expires_ns = time.perf_counter_ns() - 1
    [item] = queue.take(lambda: BUDGET, padding=Padding.LONGEST)
    assert item.waiters == [(wanted, 0)]
    assert sum(dropped) == 2


def test_an_abandoned_job_is_never_computed() -> None:
    queue = make_queue(10)
    left, wanted = make_job([5]), make_job([5])
    queue.put(left)
    queue.put(wanted)
    assert left.wait(0) is False
    [item] = queue.take(lambda: BUDGET, padding=Padding.LONGEST)
    assert item.waiters == [(wanted, 0)]


def test_the_oldest_age_is_that_of_the_first_waiting_pair() -> None:
    queue = make_queue(10)
    assert queue.oldest_age() == 0.0
    job = make_job([5])
    job.submitted_ns -= 2_000_000_000
    queue.put(job)
    assert queue.oldest_age() == pytest.approx(2, abs=0.5)


def test_the_gauges_count_only_what_somebody_waits_for() -> None:
    queue = make_queue(10)
    assert queue.wanted() == Wanted(0, 0, 0.0)
    left, late, wanted = make_job([5, 6]), make_job([7], expires_in=1000), make_job([8])
    left.submitted_ns -= int(60e9)
    for job in (left, late, wanted):
        queue.put(job)
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
    queue = make_queue(100)
    size = 3 if interactive else INTERACTIVE_PAIRS + 1
    first, second = make_job([5] * size), make_job([6] * size)
    queue.put(first)
    batch = take_at_once(queue)
    assert len(batch) == size
    queue.put(second)
    queue.put_back(batch)
    assert (queue.depth(), queue.tokens()) == (2 * size, 11 * size)
    again = take_at_once(queue)
    assert again[:size] == batch
    assert not any(item.is_waiting for item in again)


def test_two_threads_that_settle_parts_of_a_job_lose_no_result() -> None:
    class Slow(int):
        """A number that another thread has time to read before it is written back."""

        def __sub__(self, other: int) -> Slow:
            time.sleep(0.05)
            return Slow(int(self) - other)

    job = make_job([1] * 2)
    job._remaining = Slow(2)
    threads = [threading.Thread(target=job.put, args=(index, [1, 0, 0], 1)) for index in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert job.wait(0)


def test_take_waits_for_work_and_ends_when_closed() -> None:
    queue = make_queue(10)
    batches: list[int] = []

    def consume() -> None:
        while batch := queue.take(lambda: BUDGET, padding=Padding.LONGEST):
            batches.append(len(batch))

    consumer = threading.Thread(target=consume)
    consumer.start()
    queue.put(make_job([4, 4]))
    queue.close()
    consumer.join(60)
    assert not consumer.is_alive()
    assert sum(batches) == 2


class TwoStreams:
    """A stream that has answered a single pair and one that computes bulk work, of which more
    waits."""

    def __init__(self) -> None:
        self.queue = make_queue(100)
        for tokens in (5, 50):  # nearly all of a pass is per token, as on a CPU
            self.queue.computed(tokens, tokens / 100)
        self.queue.put(make_job([5]))
        assert len(self._take()) == 1
        self.queue.put(make_job([5] * 90))
        self._other = threading.Thread(target=self._take)
        self._other.start()
        self._other.join(60)

    def after_the_answer(self) -> tuple[list[int], float]:
        """The next batch of the stream that has answered: the lengths of its pairs, and how many
        seconds it was waited for."""
        with Stopwatch() as watch:
            lengths = [len(item.pair.ids) for item in self._take()]
        return lengths, watch.seconds

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
    two.soon(lambda: two.queue.put(make_job([7])))
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
    job = make_job([1, 1])
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

    job = make_job([1])
    job.batches = Batches()
    job.begin(Batch("v", 1, 1, 1, started_ns=1))
    assert begun == [0], "not before its batch is there"
    assert job.started_ns


def test_a_closed_queue_takes_no_more_and_gives_out_what_it_has() -> None:
    queue = make_queue(10)
    queue.put(keyed("a"))
    queue.close()
    with pytest.raises(QueueClosed):
        queue.put(keyed("b"))
    assert len(queue.take(lambda: BUDGET, padding=Padding.LONGEST)) == 1
    assert queue.take(lambda: BUDGET, padding=Padding.LONGEST) == []
