"""The threads that answer requests: waitress's own, woken in another order."""

from __future__ import annotations

import threading

from waitress.task import ThreadedTaskDispatcher


class Workers(ThreadedTaskDispatcher):  # type: ignore[misc]
    """Has the thread answer that was busy last.

    waitress wakes the one that has been idle longest, so that every request finds a thread whose
    memory has left the processor's caches.
    """

    def __init__(self) -> None:
        super().__init__()
        self.queue_cv = LastIn(self.lock)


class LastIn:
    """A condition variable that wakes who began to wait last; all methods under its lock."""

    def __init__(self, lock: threading.Lock) -> None:
        self._lock = lock
        self._waiting: list[threading.Lock] = []

    def wait(self) -> None:
        """Let go of the lock until notified."""
        woken = threading.Lock()
        woken.acquire()
        self._waiting.append(woken)
        self._lock.release()
        try:
            woken.acquire()
        finally:
            self._lock.acquire()

    def notify(self) -> None:
        """Wake one, if any waits."""
        if self._waiting:
            self._waiting.pop().release()

    def notify_all(self) -> None:
        """Wake all that wait."""
        while self._waiting:
            self.notify()
