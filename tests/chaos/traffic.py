"""What clients see: requests at an even pace to each address, and how each one ended."""

from __future__ import annotations

import http.client
import itertools
import json
import random
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from service.http.request_context import HEADER
from tools import load

DEADLINE_SECONDS = 2.0
"""What each request says that its client waits."""

_CLIENT_GIVES_UP_SECONDS = 10.0

REFUSED, LOST = "refused", "lost"
"""No connection was to be had, so nothing was taken; a connection was, and then no answer."""


def send(address: str, body: object, path: str = "/predict") -> tuple[str, bytes]:
    """One request on a connection of its own: its status (or `REFUSED`, `LOST`), and the body."""
    connection = http.client.HTTPConnection(address, timeout=_CLIENT_GIVES_UP_SECONDS)
    headers = {"Content-Type": "application/json", HEADER: f"{DEADLINE_SECONDS * 1000:.0f}"}
    try:
        try:
            connection.connect()
        except OSError:
            return REFUSED, b""
        connection.request("POST", path, json.dumps(body), headers)
        answer = connection.getresponse()
        return str(answer.status), answer.read()
    except (OSError, http.client.HTTPException):
        return LOST, b""
    finally:
        connection.close()


@dataclass
class Client:
    """Sends to one address until it is stopped.

    Attributes:
        address: `host:port`.
        rate: Requests a second.
        seen: When each request was sent (seconds since the epoch), and how it ended.
    """

    address: str
    rate: float
    seen: list[tuple[float, str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._stop = threading.Event()
        self._source = random.Random(random.SystemRandom().getrandbits(48))
        # As many as can be waiting if nothing is answered.
        self._workers = ThreadPoolExecutor(int(self.rate * _CLIENT_GIVES_UP_SECONDS) + 1)
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        self._thread.join()
        self._workers.shutdown()

    def since(self, started: float, ended: float) -> Counter[str]:
        """How the requests ended that were sent in that time."""
        return Counter(how for sent, how in list(self.seen) if started <= sent <= ended)

    def _run(self) -> None:
        began = time.monotonic()
        for number in itertools.count():
            if self._stop.wait(max(0.0, began + number / self.rate - time.monotonic())):
                return
            self._workers.submit(self._send, load.pair(self._source))

    def _send(self, pair: dict[str, str]) -> None:
        sent = time.time()
        self.seen.append((sent, send(self.address, pair)[0]))
