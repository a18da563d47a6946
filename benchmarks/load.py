"""The load generator: a process of its own, light enough to share the cores with a server.

`python -m benchmarks.load` reads one `Workload` as JSON from standard input and writes one
`Measurement` to standard output. One thread, plain sockets, one epoll; requests are encoded
beforehand. It takes about 30 microseconds of CPU a request, most of them the kernel's; the report
says how much it took.

A closed loop keeps `concurrency` requests under way. An open loop sends at a constant rate whatever
the server does, and counts each latency from when the request was due: a server that stalls is
charged for those who would have come meanwhile.
"""

from __future__ import annotations

import json
import math
import re
import select
import socket
import sys
import time
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import asdict, dataclass, field

from benchmarks.figures import due_times
from benchmarks.pairs import Kind, requests

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_CLOSES = re.compile(rb"\r\nconnection: *close", re.IGNORECASE)
_LONGEST_RAMP_SECONDS = 20.0

_MOST_CONNECTIONS = 512
"""Of an open loop; beyond it a request waits for a free one, and that counts as its latency."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """What to send.

    Attributes:
        port: On 127.0.0.1.
        path: Route.
        kind: Form of the body.
        pairs_per_request: Pairs in each request.
        first: Number of the first pair.
        concurrency: Requests under way in a closed loop.
        rate: Requests a second of an open loop; None is a closed loop.
        ramp: Seconds of load before anything is counted. A closed loop also waits until as many
            requests have been answered as it keeps under way.
        seconds: Seconds that are counted. A closed loop goes on, up to four times as long, until as
            many requests have been answered in that time as it keeps under way.
        drain: Seconds to wait afterwards for answers that are still due.
        headers: Further headers of each request.
    """

    port: int
    path: str
    kind: Kind
    pairs_per_request: int
    first: int
    concurrency: int
    rate: float | None
    ramp: float
    seconds: float
    drain: float
    headers: dict[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class Measurement:
    """What came of it.

    Attributes:
        latencies: Seconds, of each request that was sent (or due) in the counted time and answered
            200, also after its end: the slow ones are not left out.
        refusals: The same of those answered 429.
        counted: Seconds that were counted.
        statuses: All answers by HTTP status.
        completed: Requests answered 200 within the counted time.
        sent: All requests sent, in ramp and counted time.
        unanswered: Requests that had no answer when the drain ended.
        late: Seconds by which the 99th percentile of requests was sent after it was due, because
            the load generator was late (open loop).
        cpu: CPU seconds of this process while it sent.
        wall: Seconds from the first request to the last answer.
    """

    latencies: list[float] = field(default_factory=list)
    refusals: list[float] = field(default_factory=list)
    counted: float = 0.0
    statuses: dict[str, int] = field(default_factory=dict)
    completed: int = 0
    sent: int = 0
    unanswered: int = 0
    late: float = 0.0
    cpu: float = 0.0
    wall: float = 0.0


class Connection:
    """One kept-alive connection with at most one request under way."""

    __slots__ = ("_port", "_received", "_socket", "_wanted", "due")

    def __init__(self, port: int) -> None:
        self._port = port
        self.due = 0.0
        self._connect()

    def _connect(self) -> None:
        self._socket = socket.create_connection(("127.0.0.1", self._port))
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._received, self._wanted = b"", 0

    def fileno(self) -> int:
        """Of its socket."""
        return self._socket.fileno()

    def send(self, request: bytes, due: float) -> None:
        """Send a request that was due at `due`."""
        self.due = due
        self._socket.sendall(request)

    def receive(self) -> tuple[int, bool] | None:
        """Read what is there; status and whether the server closes, once the answer is whole."""
        chunk = self._socket.recv(262_144)
        if not chunk:
            raise ConnectionError("the server closed the connection before it answered")
        received = self._received + chunk if self._received else chunk
        if not self._wanted:
            end = received.find(b"\r\n\r\n")
            if end < 0:
                self._received = received
                return None
            length = _LENGTH.search(received, 0, end)
            if length is None:
                raise ConnectionError("the answer has no Content-Length")
            self._wanted = end + 4 + int(length[1])
        if len(received) < self._wanted:
            self._received = received
            return None
        closes = _CLOSES.search(received, 0, received.find(b"\r\n\r\n")) is not None
        self._received, self._wanted = b"", 0
        return int(received[9:12]), closes

    def reconnect(self) -> None:
        """Begin anew on a new connection."""
        self.close()
        self._connect()

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()


class Generator:
    """Runs one job."""

    def __init__(self, job: Workload) -> None:
        self._job = job
        distinct = max(8, 512 // job.pairs_per_request)
        self._next: Callable[[], bytes] = requests(
            f"127.0.0.1:{job.port}", job.path, job.kind, job.pairs_per_request,
            first=job.first, distinct=distinct, headers=job.headers,
        )  # fmt: skip
        self._poll = select.epoll()
        self._connections: dict[int, Connection] = {}
        self._idle: deque[Connection] = deque()
        self._statuses: Counter[str] = Counter()
        self._result = Measurement()
        self._under_way = self._answered = 0

    def run(self) -> Measurement:
        """Send everything, wait for the answers, and sum up."""
        job, result = self._job, self._result
        for _ in range(job.concurrency):
            self._connect()
        cpu, begun = time.process_time(), time.perf_counter()
        self._opened = begun + job.ramp
        self._closed = self._opened + job.seconds
        if job.rate is None:
            self._closed_loop(begun)
        else:
            self._open_loop(begun, job.rate)
        result.counted = self._closed - self._opened
        deadline = time.perf_counter() + job.drain
        while self._under_way and time.perf_counter() < deadline:
            self._wait(0.05)
        result.wall = time.perf_counter() - begun
        result.cpu = time.process_time() - cpu
        result.unanswered = self._under_way
        result.statuses = dict(self._statuses)
        for connection in self._connections.values():
            connection.close()
        return result

    def _closed_loop(self, begun: float) -> None:
        job = self._job
        self._opened = self._closed = math.inf
        latest = begun + job.ramp + _LONGEST_RAMP_SECONDS
        while (now := time.perf_counter()) < self._closed:
            if self._opened == math.inf and now >= begun + job.ramp:
                if self._answered >= job.concurrency or now >= latest:
                    self._opened = now
            elif now >= self._opened + job.seconds and (
                self._result.completed >= job.concurrency or now >= self._opened + 4 * job.seconds
            ):
                self._closed = now
                break
            while self._idle:
                self._send(self._idle.popleft(), time.perf_counter())
            self._wait(0.02)

    def _open_loop(self, begun: float, rate: float) -> None:
        late: list[float] = []
        waiting: deque[float] = deque()
        for offset in due_times(rate, self._job.ramp + self._job.seconds):
            due = begun + offset
            while (left := due - time.perf_counter()) > 0:
                self._wait(left)
                while waiting and self._idle:
                    self._send(self._idle.popleft(), waiting.popleft())
            late.append(-left)
            if not self._idle and len(self._connections) < _MOST_CONNECTIONS:
                self._connect()
            waiting.append(due)
            while waiting and self._idle:
                self._send(self._idle.popleft(), waiting.popleft())
        # What never got a connection was due all the same.
        self._under_way += len(waiting)
        self._result.sent += len(waiting)
        self._result.late = sorted(late)[int(len(late) * 0.99)]

    def _connect(self) -> None:
        connection = Connection(self._job.port)
        self._register(connection)

    def _register(self, connection: Connection) -> None:
        self._connections[connection.fileno()] = connection
        self._poll.register(connection.fileno(), select.EPOLLIN)
        self._idle.append(connection)

    def _send(self, connection: Connection, due: float) -> None:
        connection.send(self._next(), due)
        self._under_way += 1
        self._result.sent += 1

    def _wait(self, seconds: float) -> None:
        """Take the answers that are there, or wait for some for so long."""
        # epoll's own timeout counts in whole milliseconds; select's in microseconds.
        if not select.select([self._poll], [], [], max(0.0, seconds))[0]:
            return
        for descriptor, _ in self._poll.poll(0):
            self._receive(self._connections[descriptor])

    def _receive(self, connection: Connection) -> None:
        descriptor = connection.fileno()
        try:
            answer = connection.receive()
        except OSError:
            answer = 0, True
            if connection in self._idle:  # the server closed it while nothing was under way
                self._idle.remove(connection)
                self._under_way += 1
                answer = -1, True
        if answer is None:
            return
        now = time.perf_counter()
        status, closes = answer
        self._under_way -= 1
        if status >= 0:
            self._statuses[str(status)] += 1
            self._answered += 1
        if status == 200:
            if connection.due >= self._opened:
                self._result.latencies.append(now - connection.due)
            if self._opened <= now < self._closed:
                self._result.completed += 1
        elif status == 429 and connection.due >= self._opened:
            self._result.refusals.append(now - connection.due)
        if not closes:
            self._idle.append(connection)
            return
        del self._connections[descriptor]
        self._poll.unregister(descriptor)
        connection.reconnect()
        self._register(connection)


def main() -> None:
    """Run the job on standard input."""
    result = Generator(Workload(**json.load(sys.stdin))).run()
    json.dump(asdict(result), sys.stdout)


if __name__ == "__main__":
    main()
