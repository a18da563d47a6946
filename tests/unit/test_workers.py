"""Which of the idle threads answers a request."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from queue import SimpleQueue

import pytest

from service.workers import Workers


class Task:
    """Says which thread it has, and keeps it until it is told to let go."""

    def __init__(self) -> None:
        self.thread: SimpleQueue[int] = SimpleQueue()
        self.let_go = threading.Event()

    def service(self) -> None:
        self.thread.put(threading.get_ident())
        self.let_go.wait(10)


def wait_until_idle(workers: Workers) -> None:
    for _ in range(1000):
        with workers.lock:
            if workers.active_count == 0:
                return
        threading.Event().wait(0.01)
    raise AssertionError("threads are busy after ten seconds")


@pytest.fixture
def workers() -> Iterator[Workers]:
    made = Workers()
    made.set_thread_count(4)
    wait_until_idle(made)
    yield made
    assert made.shutdown(timeout=10)


def answered(workers: Workers) -> int:
    """One task from its beginning to its end; the thread that had it."""
    task = Task()
    workers.add_task(task)
    thread = task.thread.get(timeout=10)
    task.let_go.set()
    wait_until_idle(workers)
    return thread


def test_one_request_after_another_has_the_same_thread(workers: Workers) -> None:
    assert len({answered(workers) for _ in range(8)}) == 1


def test_requests_at_once_have_a_thread_each_and_the_next_the_last_that_was_busy(
    workers: Workers,
) -> None:
    tasks = [Task() for _ in range(4)]
    for task in tasks:
        workers.add_task(task)
    threads = [task.thread.get(timeout=10) for task in tasks]
    assert len(set(threads)) == 4
    for index in (2, 0, 3, 1):
        tasks[index].let_go.set()
        for _ in range(1000):
            with workers.lock:
                if workers.active_count == sum(not task.let_go.is_set() for task in tasks):
                    break
            threading.Event().wait(0.01)
    assert answered(workers) == threads[1]


def test_all_threads_end_when_they_are_to() -> None:
    workers = Workers()
    workers.set_thread_count(3)
    wait_until_idle(workers)
    workers.set_thread_count(0)
    for _ in range(1000):
        if not workers.threads:
            return
        threading.Event().wait(0.01)
    raise AssertionError("threads are there after ten seconds")
