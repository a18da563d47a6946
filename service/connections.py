"""waitress, with a bound on everything that a client can make it hold.

As it comes, waitress queues requests without limit while its threads are busy, waits for ever for
the end of a request that trickles in, and takes no new connection while idle ones fill its limit.
Here a request that finds no thread and no place to wait is refused at once, one that does not
arrive in time is ended, and a full house closes the connections that have been silent longest.

It also reads the wall clock, which may step; every duration here is of the monotonic clock.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from typing_extensions import override
from waitress.adjustments import Adjustments
from waitress.channel import HTTPChannel
from waitress.parser import HTTPRequestParser
from waitress.server import TcpWSGIServer
from waitress.task import ErrorTask, Task, ThreadedTaskDispatcher, WSGITask

from service.errors import BadRequest, InternalError, RequestError, TooBusy, TooLarge, TooSlow
from service.http import caller, problems

log = logging.getLogger(__name__)

BACKLOG = 4096
"""Connections that the system takes for us before we accept them."""

_IDLE_SECONDS = 120.0
"""A connection may be silent for longer than proxies keep theirs, so that they close first."""

_EVICT_AFTER_SECONDS = 1.0
"""A full house closes no connection that was heard of more recently."""

_PATIENCE_WHEN_FULL_SECONDS = 5.0
"""What a request may take to arrive while others cannot even connect."""

_EVICTED_SHARE = 0.25
"""Of the limit, closed at once by a full house: room for those who wait to be accepted. Twice the
limit then waits for four seconds at most."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """What clients may make a listener hold.

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


class Arrived(Protocol):
    """A request as waitress has read it.

    Attributes:
        command: Its method.
        path: Its path, decoded, without the query.
        headers: By their names in capitals, with `_` for `-`.
    """

    command: str
    path: str
    headers: Mapping[str, str]


class Observer:
    """Told, and asked, of what the server does by itself, before or instead of the application."""

    def refusal(self, request: Arrived, *, ahead: int, waits: bool) -> RequestError | None:
        """Why a request is not to be handed to a thread, if it is not.

        Args:
            request: What has arrived.
            ahead: Requests that have a thread or wait for one.
            waits: Whether it would wait for one.
        """
        return None

    def refused(self, error: RequestError, method: str, path: str) -> None:
        """A request was answered with `error`."""

    def closed(self, reason: str) -> None:
        """A connection was closed because it was `idle` or `slow`, or the house was `full`."""

    def retry_after(self) -> int:
        """Seconds after which a request that finds no thread may find one."""
        return 1


class Server(TcpWSGIServer):  # type: ignore[misc]
    """One bound port, and the loop that reads and writes its connections.

    Attributes:
        draining: Whether each answer is to be the last on its connection.
        serving: Of each thread, the channel whose request it answers.
    """

    def __init__(self, app: Any, host: str, port: int, bounds: Bounds, observer: Observer) -> None:
        self.bounds, self.observer = bounds, observer
        self.draining = False
        self.serving = threading.local()
        self._full = False
        self._next_tidying = 0.0
        self._loop = 0
        adjustments = Adjustments(
            host=host,
            port=port,
            threads=bounds.threads,
            connection_limit=bounds.connections,
            max_request_body_size=bounds.body_bytes,
            # Read on while a request is worked on: that is how a client's hanging up is noticed.
            channel_request_lookahead=1,
            # select() breaks down at 1,024 descriptors; poll() does not.
            asyncore_use_poll=True,
            backlog=BACKLOG,
            ident=None,
            expose_tracebacks=False,
            clear_untrusted_proxy_headers=True,
        )
        threads = ThreadedTaskDispatcher()
        threads.set_thread_count(bounds.threads)
        # Refusals are answered by the loop itself. One thread more has those that it cannot: after
        # another request on the same connection, or where an answer has not been fetched yet.
        self._refusals = ThreadedTaskDispatcher()
        self._refusals.set_thread_count(1)
        self.channel_class = Channel
        super().__init__(
            app, map={}, dispatcher=threads, adj=adjustments, sockinfo=adjustments.listen[0]
        )

    def waiting(self) -> int:
        """Requests that have arrived and wait for a thread."""
        threads = self.task_dispatcher
        return max(0, len(threads.queue) + int(threads.active_count) - self.bounds.threads)

    def unanswered(self) -> int:
        """Requests that have arrived and are not answered."""
        return sum(
            int(threads.active_count) + len(threads.queue)
            for threads in (self.task_dispatcher, self._refusals)
        )

    @override
    def run(self) -> None:
        self._loop = threading.get_ident()
        super().run()

    @override
    def pull_trigger(self) -> None:
        # waitress wakes the loop after each answer. It need not while the loop itself runs this, or
        # where nothing has changed that it waits for: each time it looks at every connection.
        channel: Channel | None = getattr(self.serving, "channel", None)
        if threading.get_ident() != self._loop and not (channel and channel.is_settled()):
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

    def _refusal(self, request: _Request) -> RequestError | None:
        threads = self.task_dispatcher
        ahead = len(threads.queue) + int(threads.active_count)
        if ahead >= self.bounds.threads + self.bounds.waiting:
            return TooBusy(
                f"{self.bounds.threads} requests are worked on and {self.bounds.waiting} wait",
                retry_after=self.observer.retry_after(),
            )
        return self.observer.refusal(request, ahead=ahead, waits=ahead >= self.bounds.threads)

    @override
    def readable(self) -> bool:
        now = time.perf_counter()
        if now >= self._next_tidying:
            self._next_tidying = now + 1
            self._tidy(now)
        if not self.accepting:
            return False
        full = len(self.active_channels) >= self.bounds.connections
        if full and not self._full:
            log.warning("all connections are in use", extra={"limit": self.bounds.connections})
            self._evict(now)
        # Told again, and evicted again, only after it was not full or a second has passed.
        self._full = full
        return not full

    def _tidy(self, now: float) -> None:
        """End what has been silent, or under way, for too long."""
        patience = self.bounds.receive_seconds
        if self._full:
            patience = min(patience, _PATIENCE_WHEN_FULL_SECONDS)
        self._full = False
        for channel in list(self.active_channels.values()):
            if channel.silent_since is not None and now - channel.silent_since > _IDLE_SECONDS:
                self._close(channel, "idle")
            elif channel.began is not None and now - channel.began > patience:
                channel.give_up()
                self.observer.closed("slow")

    def _evict(self, now: float) -> None:
        """Close what has been silent longest; no connection with a request under way."""
        silent = [
            channel
            for channel in self.active_channels.values()
            if channel.silent_since is not None
            and now - channel.silent_since > _EVICT_AFTER_SECONDS
        ]
        silent.sort(key=lambda channel: float(channel.silent_since))
        for channel in silent[: max(1, int(self.bounds.connections * _EVICTED_SHARE))]:
            self._close(channel, "full")

    def _close(self, channel: Channel, reason: str) -> None:
        channel.will_close = True
        self.observer.closed(reason)


class _Request(HTTPRequestParser):  # type: ignore[misc]
    """A request as it comes in.

    Attributes:
        error: Why it is not handed to the application: waitress's own error, or ours.
        began_ns: Monotonic time of its first byte.
        arrived_ns: Monotonic time of its last.
    """

    error: Any

    def __init__(self, adj: Adjustments) -> None:
        super().__init__(adj)
        self.began_ns = self.arrived_ns = time.perf_counter_ns()


HEADERS = {
    # Nothing here is to be guessed at, framed, kept, or run.
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
}
"""Of each answer, unless the application has set its own; for browsers that are led here."""


class _Guarded(Task):  # type: ignore[misc]
    """Sends the headers of every answer."""

    @override
    def build_response_header(self) -> bytes:
        given = {name.lower() for name, _ in self.response_headers}
        self.response_headers += [
            (name, value) for name, value in HEADERS.items() if name.lower() not in given
        ]
        header: bytes = super().build_response_header()
        return header


class _ClosingTask(_Guarded, WSGITask):  # type: ignore[misc]
    """Answers, and ends the connection after that if the listener drains."""

    @override
    def execute(self) -> None:
        if self.channel.server.draining:
            self.set_close_on_finish()
        try:
            super().execute()
        finally:
            self.channel.on_hang_up(None)

    @override
    def get_environment(self) -> dict[str, Any]:
        environ: dict[str, Any] = super().get_environment()
        environ[caller.BEGAN] = self.request.began_ns
        environ[caller.ARRIVED] = self.request.arrived_ns
        environ[caller.ON_HANG_UP] = self.channel.on_hang_up
        return environ


class _ProblemTask(_Guarded, ErrorTask):  # type: ignore[misc]
    """Answers what never reaches the application: in the form of all other errors, and counted."""

    @override
    def execute(self) -> None:
        error = _as_problem(self.request.error)
        body = problems.document(error)
        self.status = f"{error.status} {error.title}"
        self.response_headers += problems.headers(error)
        # After anything but a refusal for load it is not known where the next request begins.
        if error.status != TooBusy.status or self.channel.server.draining:
            self.set_close_on_finish()
        self.content_length = len(body)
        self.write(body)
        request = self.request
        method, path = getattr(request, "command", ""), getattr(request, "path", "")
        self.channel.server.observer.refused(error, method, path)


class Channel(HTTPChannel):  # type: ignore[misc]
    """One connection.

    Attributes:
        is_refused: Whether its first request is to be refused by the loop, once that holds no lock.
    """

    task_class = _ClosingTask
    error_task_class = _ProblemTask
    parser_class = _Request

    request: _Request | None
    requests: list[_Request]
    is_refused = False
    _hang_up: Callable[[], None] | None = None
    _heard = 0.0

    @property
    def last_activity(self) -> float:
        """Monotonic time at which anything was last received or sent."""
        return self._heard

    @last_activity.setter
    def last_activity(self, _: float) -> None:
        # waitress hands in the wall clock's reading.
        self._heard = time.perf_counter()

    @property
    def silent_since(self) -> float | None:
        """Monotonic time since which nothing came or went; None while a request is under way."""
        return None if self.requests or self.request is not None else self._heard

    @property
    def began(self) -> float | None:
        """Monotonic time at which the request began that has not arrived as a whole."""
        request = self.request
        return None if request is None or self.requests else request.began_ns / 1e9

    def on_hang_up(self, call: Callable[[], None] | None) -> None:
        """Have `call` called once if the client hangs up, now if it has; None for no more."""
        self._hang_up = call
        if call and not self.is_open():
            call()

    def is_open(self) -> bool:
        """Whether the client has not hung up."""
        return bool(self.connected)

    def is_settled(self) -> bool:
        """Whether all is sent and nothing waits, so that the loop reads on as it has done."""
        return not (self.requests or self.total_outbufs_len or self.close_when_flushed)

    @override
    def service(self) -> None:
        self.server.serving.channel = self
        try:
            super().service()
        finally:
            self.server.serving.channel = None

    def give_up(self) -> None:
        """Answer the request that has not arrived as a whole, and close."""
        with self.requests_lock:
            request = self.request
            if request is None or self.requests:
                return
            self.request = None
            request.error = TooSlow(
                f"the request did not arrive within {self.server.bounds.receive_seconds:g} s"
            )
            request.completed = True
            self.requests.append(request)
            self.server.add_task(self)
        self._refuse()

    @override
    def handle_read(self) -> None:
        super().handle_read()
        self._refuse()

    def _refuse(self) -> None:
        """Answer what is refused without handing it to a thread, as `service` does otherwise.

        Under overload most are refused: two changes of thread for each, and the waiting for the
        interpreter that comes with them, would be taken from those who are served.
        """
        while self.is_refused:
            self.is_refused = False
            self.service()

    @override
    def handle_close(self) -> None:
        super().handle_close()
        if call := self._hang_up:
            call()


def _as_problem(error: Any) -> RequestError:
    if isinstance(error, RequestError):
        return error
    if error.code == 413:
        return TooLarge("the body is over the limit of this service (MGEO_MAX_BODY_BYTES)")
    if error.code == 500:  # the application raised; its log line says where
        return InternalError("the service failed to answer; its log says why")
    return BadRequest("the HTTP request is malformed")
