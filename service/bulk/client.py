"""One route of a running service, asked until it answers."""

from __future__ import annotations

import contextlib
import datetime
import email.utils
import http.client
import json
import socket
import ssl
import threading
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

from service.errors import BulkError

_ROUTE = "/predict/batch"
_ANSWER_SECONDS = 90.0
"""More than a service lets a request wait by default (30 s)."""

_AGAIN = (408, 429, 502, 503, 504)
_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS = 0.25, 15.0
_MOST_FAILURES = 3
"""Times that a request may fail within the service (500) before the run ends: it may be the
request's own fault."""


class TooLargeError(Exception):
    """The service takes no request of this size."""


class Client:
    """Posts to `/predict/batch`, from any number of threads, with a connection for each.

    Args:
        url: Of the service, such as `http://127.0.0.1:5000`.
        patience: Seconds without any result after which to give up.
        note: Told in a line when results stop coming.

    Raises:
        BulkError: The URL is none.
    """

    def __init__(self, url: str, *, patience: float, note: Callable[[str], None]) -> None:
        try:
            parts = urlsplit(url)
            self._port = parts.port
        except ValueError:
            raise BulkError("--url has a port or host that is none") from None
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise BulkError("--url is not of the form http://host:port or https://host:port")
        if parts.username is not None or parts.query or parts.fragment:
            raise BulkError("--url takes no user, query or fragment")
        self._host = parts.hostname
        self._is_tls = parts.scheme == "https"
        self._path = parts.path.rstrip("/").removesuffix(_ROUTE) + _ROUTE
        self._where = f"{parts.scheme}://{parts.netloc}{self._path}"
        self._patience = patience
        self._note = note
        self._own = threading.local()
        self._connections: list[http.client.HTTPConnection] = []
        self._closed = threading.Event()
        self._lock = threading.Lock()
        self._failing_since: float | None = None
        self._is_told = False

    def post(self, body: object) -> Any:
        """The answer to a body, both as JSON values.

        Raises:
            BulkError: It was refused for good, or there was no result for too long.
            TooLargeError: It was refused for its size.
        """
        sent = json.dumps(body, ensure_ascii=False).encode()
        pause, failures = _FIRST_PAUSE_SECONDS, 0
        while not self._closed.is_set():
            wait: float | None = None
            try:
                response, received = self._send(sent)
            except ssl.SSLCertVerificationError as error:
                raise BulkError(f"{self._where}: {error.verify_message}") from None
            except (OSError, http.client.HTTPException) as error:
                why = type(error).__name__
            else:
                if response.status == 200:
                    return self._read(received)
                why = f"answered {response.status}{_detail(received)}"
                failures += response.status == 500
                if response.status == 413:
                    raise TooLargeError(why)
                if response.status not in _AGAIN and not 0 < failures < _MOST_FAILURES:
                    raise BulkError(f"{self._where} {why}")
                wait = _retry_after(response.getheader("Retry-After"))
            self._pause(pause if wait is None else wait, why)
            pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)
        raise BulkError(f"{self._where}: the run has ended")

    def abort(self) -> None:
        """End all requests, those in flight too."""
        self._closed.set()
        for connection in self._connections:
            # Closing alone would not wake the thread that waits for the answer.
            with contextlib.suppress(OSError, AttributeError):
                connection.sock.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Close the connections, when no request is in flight."""
        for connection in self._connections:
            connection.close()

    def _send(self, body: bytes) -> tuple[http.client.HTTPResponse, bytes]:
        connection = self._connection()
        try:
            connection.request("POST", self._path, body, {"Content-Type": "application/json"})
            response = connection.getresponse()
            return response, response.read()
        except BaseException:
            connection.close()  # opened anew by the next request
            raise

    def _connection(self) -> http.client.HTTPConnection:
        connection: http.client.HTTPConnection | None = getattr(self._own, "connection", None)
        if connection is None:
            kind = http.client.HTTPSConnection if self._is_tls else http.client.HTTPConnection
            connection = self._own.connection = kind(
                self._host, self._port, timeout=_ANSWER_SECONDS
            )
            self._connections.append(connection)
        return connection

    def _read(self, received: bytes) -> Any:
        with self._lock:
            self._failing_since, self._is_told = None, False
        try:
            return json.loads(received)
        except ValueError:
            raise BulkError(f"{self._where} did not answer with JSON") from None

    def _pause(self, seconds: float, why: str) -> None:
        now = time.monotonic()
        with self._lock:
            since = self._failing_since = self._failing_since or now
            # Being behind (429) is no fault.
            is_news = not self._is_told and not why.startswith("answered 429")
            self._is_told |= is_news
        if now - since + seconds > self._patience:
            raise BulkError(
                f"{self._where} gave no result for {now - since:.0f} s: {why}; "
                "the same command goes on from here when it does"
            )
        if is_news:
            self._note(f"{self._where}: {why}; trying on for {self._patience:g} s")
        self._closed.wait(seconds)


def _detail(received: bytes) -> str:
    """What this service says of an error; nothing of what others say, which could be anything."""
    try:
        document = json.loads(received)
        if document["type"].startswith("urn:mgeo:problem:"):
            return f": {document['detail']}"
    except (ValueError, KeyError, TypeError, AttributeError):
        pass
    return ""


def _retry_after(value: str | None) -> float | None:
    """Seconds to wait: the header holds them, or a date."""
    if value is None:
        return None
    if value.strip().isdecimal():
        return float(value)
    try:
        until = email.utils.parsedate_to_datetime(value)
    except ValueError:
        return None
    now = datetime.datetime.now(until.tzinfo)
    return max(0.0, (until - now).total_seconds())
