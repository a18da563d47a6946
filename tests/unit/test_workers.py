"""Which of the idle threads answers a request."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from queue import SimpleQueue

import pytest

from service.transport.server import Workers
from tests.conftest import eventually


class Task:
    """Says which thread it has, and keeps it until it is told to let go."""

    def __init__(self) -> None:
        self.thread: SimpleQueue[int] = SimpleQueue()
        self.let_go = threading.Event()

    def service(self) -> None:
        self.thread.put(threading.get_ident())
        self.let_go.wait(60)


def wait_for(workers: Workers, *, busy: int) -> None:
    def are_so_many() -> bool:
        with workers.lock:
            return bool(workers.active_count == busy)

    eventually(are_so_many)


@pytest.fixture
def workers() -> Iterator[Workers]:
    made = Workers()
    made.set_thread_count(4)
    wait_for(made, busy=0)
    yield made
    assert made.shutdown(timeout=60)


def answered(workers: Workers) -> int:
    """One task from its beginning to its end; the thread that had it."""
    task = Task()
    workers.add_task(task)
    thread = task.thread.get(timeout=60)
    task.let_go.set()
    wait_for(workers, busy=0)
    return thread


def test_one_request_after_another_has_the_same_thread(workers: Workers) -> None:
    assert len({answered(workers) for _ in range(8)}) == 1


def test_requests_at_once_have_a_thread_each_and_the_next_the_last_that_was_busy(
    workers: Workers,
) -> None:
    tasks = [Task() for _ in range(4)]
    for task in tasks:
        workers.add_task(task)
    threads = [task.thread.get(timeout=60) for task in tasks]
    assert len(set(threads)) == 4
    for busy, index in zip((3, 2, 1, 0), (2, 0, 3, 1), strict=True):
        tasks[index].let_go.set()
        wait_for(workers, busy=busy)
    assert answered(workers) == threads[1]


def test_all_threads_end_when_they_are_to() -> None:
    workers = Workers()
    workers.set_thread_count(3)
    wait_for(workers, busy=0)
    workers.set_thread_count(0)
    eventually(lambda: not workers.threads)
