"""A client for long runs: it repeats requests for as long as a service may be down.

`MGeoClient` makes each attempt, and this adds the waiting. A run of hours survives a restart of the
service. If the service does not come back, the run ends with a one-line error.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import urllib3
from urllib3.exceptions import LocationParseError, SSLError

from service.client import BadAnswer, ClientError, MGeoClient, Refused
from service.errors import BulkError

if TYPE_CHECKING:
    from service.http.schemas import BatchAnswer

_SESSION = "score"
"""Session id of every run. If a service splits traffic between models, one of them scores the whole
file, also when the run is resumed another day."""

_ANSWER_SECONDS = 60.0
"""Longer than a service lets a request wait by default (30 s)."""

_AGAIN = (408, 429, 502, 503, 504)
_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS = 0.25, 15.0
_MOST_FAILURES = 3
"""A run ends when one request gets this many 500s: the request itself may be the cause."""


class TooLargeError(Exception):
    """The service rejects requests of this size (413)."""


class PatientClient:
    """Requests batches and repeats failed requests. Safe to share between threads.

    Args:
        url: URL of the service, such as `http://127.0.0.1:5000`.
        api_key: The API key; None for a service without keys.
        connections: Most open connections.
        patience: Seconds without any result after which to give up.
        note: Called with one line when results stop coming.

    Raises:
        BulkError: The URL is invalid.
    """

    def __init__(
        self,
        url: str,
        *,
        api_key: str | None,
        connections: int,
        patience: float,
        note: Callable[[str], None],
    ) -> None:
        self._where = _checked(url)
        self._client = MGeoClient(
            url,
            api_key=api_key,
            session=_SESSION,
            timeout=_ANSWER_SECONDS,
            attempts=1,  # further ones are made here
            connections=connections,
        )
        self._has_key = api_key is not None
        self._patience = patience
        self._note = note
        self._ended = threading.Event()
        self._lock = threading.Lock()
        self._failing_since: float | None = None
        self._is_told = False

    def predict_batch(self, pairs: Sequence[tuple[str, str]]) -> BatchAnswer:
        """Score a batch.

        Args:
            pairs: The pairs, at most as many as the service takes in one request.

        Raises:
            BulkError: The service rejected it for good, or gave no result for too long.
            TooLargeError: The service rejected it for its size.
        """
        pause, failures = _FIRST_PAUSE_SECONDS, 0
        while not self._ended.is_set():
            wait: float | None = None
            try:
                answer = self._client.predict_batch(pairs)
            except Refused as error:
                why = f"it answered {error.status}{_detail(error)}"
                if error.status == 413:
                    raise TooLargeError(why) from None
                failures += error.status == 500
                if error.status not in _AGAIN and not 0 < failures < _MOST_FAILURES:
                    raise BulkError(self._refusal(error.status, why)) from None
                wait = error.retry_after
            except BadAnswer as error:
                raise BulkError(f"--url: {error}; check the address") from None
            except ClientError as error:
                if isinstance(error.__cause__, SSLError):
                    raise BulkError(f"{self._where}: its certificate is not trusted here") from None
                why = "no connection" if error.__cause__ else "no answer in time"
            else:
                with self._lock:
                    self._failing_since, self._is_told = None, False
                return answer
            self._pause(pause if wait is None else wait, why)
            pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)
        raise BulkError("the run has ended")

    def _refusal(self, status: int, why: str) -> str:
        """The message about an answer that repeating the request would not change."""
        if status == 401 and self._has_key:
            return f"{self._where} does not know the key of --api-key-file; give another one"
        if status == 401:
            return f"{self._where} asks for an API key: give --api-key-file"
        return f"{self._where} refuses the request: {why}"

    def end(self) -> None:
        """Make no further attempt."""
        self._ended.set()

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def _pause(self, seconds: float, why: str) -> None:
        now = time.monotonic()
        with self._lock:
            since = self._failing_since = self._failing_since or now
            # A full queue (429) is normal under load.
            is_news = not self._is_told and not why.startswith("it answered 429")
            self._is_told |= is_news
        if now - since + seconds > self._patience:
            raise BulkError(
                f"{self._where} has given no result for {now - since:.0f} s: {why}; "
                "the same command goes on from here when it does"
            )
        if is_news:
            self._note(f"{self._where}: {why}; trying again for up to {self._patience:g} s")
        self._ended.wait(seconds)


def _checked(url: str) -> str:
    """The URL as messages show it.

    Raises:
        BulkError: It is not the URL of a service.
    """
    try:
        parts = urllib3.util.parse_url(url)
    except LocationParseError:
        raise BulkError("--url has an invalid host or port") from None
    if parts.scheme not in ("http", "https") or not parts.host:
        raise BulkError("--url is not of the form http://host:port or https://host:port")
    if parts.auth is not None or parts.query or parts.fragment:
        raise BulkError("--url takes no user, query or fragment; for a key see --api-key-file")
    return f"{parts.scheme}://{parts.netloc}{(parts.path or '').rstrip('/')}"


def _detail(error: Refused) -> str:
    """The detail of an error of this service; empty for the error of a proxy."""
    return f": {error.detail}" if error.type.startswith("urn:mgeo:problem:") else ""
