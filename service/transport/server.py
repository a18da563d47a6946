"""waitress, with a bound on everything that a client can make it hold.

As it comes, waitress queues requests without limit while its threads are busy, waits for ever for
the end of a request that trickles in, and takes no new connection while idle ones fill its limit.
Here a request that finds no thread and no place to wait is refused at once, one that does not
arrive in time is ended, and a full house closes the connections that have been silent longest.

It also reads the wall clock, which may step; every duration here is of the monotonic clock.
"""

from __future__ import annotations

import errno
import logging
import socket
import sys
import threading
import time
from dataclasses import dataclass
from typing import Any

from typing_extensions import override
from waitress import wasyncore
from waitress.adjustments import Adjustments
from waitress.server import TcpWSGIServer
from waitress.task import ThreadedTaskDispatcher

from service.errors import RequestError, TooBusy
from service.http.admission_hook import AdmissionHook
from service.transport.channel import Channel
from service.transport.parser import Request
from service.transport.poller import Poller

log = logging.getLogger(__name__)

BACKLOG = 4096
"""Connections that the system takes for us before we accept them."""

_NO_FILE = sys.maxsize
"""Bytes from which on waitress keeps a body or an answer in a temporary file: never. They are
personal data, and a file system's blocks outlive the file."""

_IDLE_SECONDS = 120.0
"""A connection may be silent for longer than proxies keep theirs, so that they close first."""

_TURN_SECONDS = 1.0
"""How often the loop looks for connections to close if nothing happens."""

_EVICT_AFTER_SECONDS = 1.0
"""With all connections in use, one that sent something more recently than this is not closed."""

_PATIENCE_WHEN_FULL_SECONDS = 5.0
"""What a request may take to arrive while others cannot even connect."""

_EVICTED_SHARE = 0.25
"""Of the limit, closed at once by a full house: room for those who wait to be accepted. Twice the
limit then waits for four seconds at most."""


_EXHAUSTED = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
"""What a system answers that has no descriptor or no memory left for one more connection."""


@dataclass(frozen=True, slots=True)
class ServerLimits:
    """What clients may make a listener hold, all of it in memory.

    A connection holds one body, and a second one while a request on it waits or is worked on. So
    bodies take `(connections + threads + waiting) * body_bytes` at most, with every connection in
    the middle of one. It also holds its last answer, which its request limits.

    Attributes:
        threads: Requests worked on at once.
        waiting: Requests that may wait for a thread.
        connections: Open connections.
        body_bytes: Largest request body.
        receive_seconds: Time from a request's first byte to its last.
    """

    threads: int
    waiting: int
    connections: int
    body_bytes: int
    receive_seconds: float


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


class BoundedServer(TcpWSGIServer):  # type: ignore[misc]
    """One bound port, and the loop that reads and writes its connections.

    Attributes:
        draining: Whether each answer is to be the last on its connection.
        ending: Whether the loop is to end as soon as no thread has work.
        serving: Of each thread, the channel whose request it answers.
    """

    def __init__(
        self, app: Any, host: str, port: int, limits: ServerLimits, hook: AdmissionHook
    ) -> None:
        self.limits, self.hook = limits, hook
        self.draining = self.ending = False
        self.serving = threading.local()
        self._full = self._exhausted = False
        self._next_tidying = 0.0
        self._loop = 0
        adjustments = Adjustments(
            host=host,
            port=port,
            threads=limits.threads,
            connection_limit=limits.connections,
            # waitress refuses a body of just this size.
            max_request_body_size=limits.body_bytes + 1,
            inbuf_overflow=_NO_FILE,
            outbuf_overflow=_NO_FILE,
            # Read on while a request is worked on: that is how a client's hanging up is noticed.
            channel_request_lookahead=1,
            backlog=BACKLOG,
            ident=None,
            expose_tracebacks=False,
            clear_untrusted_proxy_headers=True,
        )
        threads = Workers()
        threads.set_thread_count(limits.threads)
        # Refusals are answered by the loop itself. One thread more has those that it cannot: after
        # another request on the same connection, or where an answer has not been fetched yet.
        self._refusals = Workers()
        self._refusals.set_thread_count(1)
        self.channel_class = Channel
        self._open = Poller()
        super().__init__(
            app, map=self._open, dispatcher=threads, adj=adjustments, sockinfo=adjustments.listen[0]
        )

    def waiting(self) -> int:
        """Requests that have arrived and wait for a thread."""
        threads = self.task_dispatcher
        return max(0, len(threads.queue) + int(threads.active_count) - self.limits.threads)

    def unanswered(self) -> int:
        """Requests that have begun to arrive, and whose answers are not sent as a whole."""
        halves = [c for c in list(self.active_channels.values()) if c.is_half()]
        return len(halves) + self._at_work()

    def _at_work(self) -> int:
        """Requests that have a thread or wait for one."""
        # Both locks: a thread of the one may be handing a request to the other.
        with self.task_dispatcher.lock, self._refusals.lock:
            return sum(
                int(threads.active_count) + len(threads.queue)
                for threads in (self.task_dispatcher, self._refusals)
            )

    @override
    def bind_server_socket(self) -> None:
        # waitress takes `::` for IPv6 alone. Everywhere else it means every address.
        if self.family == socket.AF_INET6 and self.sockinfo[3][0] == "::":
            self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        super().bind_server_socket()

    @override
    def run(self) -> None:
        self._loop = threading.get_ident()
        connections = -1
        while not self.ending or self._at_work():
            now = time.perf_counter()
            if is_due := now >= self._next_tidying:
                self._next_tidying = now + 1
                self._tidy(now)
            # Whether it accepts depends on the time and on how many others there are.
            if is_due or connections != len(self.active_channels):
                connections = len(self.active_channels)
                self._open.ask_again(self)
            self._open.turn(_TURN_SECONDS)
        self.end()

    def end(self) -> None:
        """End the threads and connections of a loop that does not run; none if a thread has work.

        A thread that has work may yet pull the trigger. Closed before that, its descriptor's number
        could be another file's, and the thread would write to that.
        """
        if self._at_work():
            return
        for threads in (self.task_dispatcher, self._refusals):
            threads.set_thread_count(0)
        wasyncore.close_all(self._open)
        self._open.close()

    @override
    def handle_error(self) -> None:
        # waitress would close the listener alone, and nobody would notice.
        raise

    @override
    def pull_trigger(self) -> None:
        # waitress wakes the loop after each answer. That is not needed if the loop itself runs
        # this, or if nothing has changed for which it waits.
        channel: Channel | None = getattr(self.serving, "channel", None)
        if threading.get_ident() == self._loop or (
            channel and channel.is_settled() and self._open.reads(channel)
        ):
            return
        if channel:
            self._open.ask_again(channel)
        super().pull_trigger()

    @override
    def add_task(self, task: Channel) -> None:
        request = task.requests[0]
        request.arrived_ns = time.perf_counter_ns()
        if request.error is None:
            request.error = self._refusal(request)
        if request.error is None:
            self.task_dispatcher.add_task(task)
        elif threading.get_ident() == self._loop and not task.total_outbufs_len:
            task.is_refused = True
        else:
            self._refusals.add_task(task)

    def _refusal(self, request: Request) -> RequestError | None:
        threads = self.task_dispatcher
        ahead = len(threads.queue) + int(threads.active_count)
        if ahead >= self.limits.threads + self.limits.waiting:
            return TooBusy(
                f"{self.limits.threads} requests are worked on and {self.limits.waiting} wait",
                retry_after=self.hook.retry_after(),
            )
        return self.hook.refusal(request, ahead=ahead, waits=ahead >= self.limits.threads)

    @override
    def accept(self) -> tuple[socket.socket, Any] | None:
        try:
            accepted: tuple[socket.socket, Any] | None = super().accept()
        except OSError as error:
            if error.errno not in _EXHAUSTED:
                raise
            if not self._exhausted:
                reason = {"reason": error.strerror, "connections": len(self.active_channels)}
                log.warning("a connection cannot be accepted", extra=reason)
                self._evict(time.perf_counter())
            # Not asked for until the next tidying: it goes on waiting to be accepted, and the loop
            # would do nothing else than try.
            self._exhausted = True
            return None
        return accepted

    @override
    def readable(self) -> bool:
        if not self.accepting:
            return False
        full = len(self.active_channels) >= self.limits.connections
        if full and not self._full:
            log.warning("all connections are in use", extra={"limit": self.limits.connections})
            self._evict(time.perf_counter())
        # Told again, and evicted again, only after it was not full or a second has passed.
        self._full = full
        return not (full or self._exhausted)

    def _tidy(self, now: float) -> None:
        """End what has been silent, or under way, for too long."""
        patience = self.limits.receive_seconds
        if self._full or self._exhausted:
            patience = min(patience, _PATIENCE_WHEN_FULL_SECONDS)
        self._full = self._exhausted = False
        for channel in list(self.active_channels.values()):
            if channel.silent_since is not None and now - channel.silent_since > _IDLE_SECONDS:
                self._close(channel, "idle")
            elif channel.began is not None and now - channel.began > patience:
                channel.give_up()
                self._open.ask_again(channel)
                self.hook.closed("slow")

    def _evict(self, now: float) -> None:
        """Close what has been silent longest; no connection with a request under way."""
        silent = [
            channel
            for channel in list(self.active_channels.values())
            if channel.silent_since is not None
            and now - channel.silent_since > _EVICT_AFTER_SECONDS
        ]
        silent.sort(key=lambda channel: float(channel.silent_since))
        for channel in silent[: max(1, int(self.limits.connections * _EVICTED_SHARE))]:
            self._close(channel, "full")

    def _close(self, channel: Channel, reason: str) -> None:
        channel.will_close = True
        self._open.ask_again(channel)
        self.hook.closed(reason)
