"""Batches scored by a running service, with the patience of a long run.

`MGeoClient` makes each attempt. This adds the waiting: a run of hours outlasts a restart of the
service, and ends with one line if the service does not come back.
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
"""The session of every run. Where several models share the traffic of a service, one of them scores
the whole file, also if the run is resumed another day."""

_ANSWER_SECONDS = 60.0
"""More than a service lets a request wait by default (30 s)."""

_AGAIN = (408, 429, 502, 503, 504)
_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS = 0.25, 15.0
_MOST_FAILURES = 3
"""Times that a request may fail within the service (500) before the run ends: it may be the
request's own fault."""


class TooLargeError(Exception):
    """The service takes no request of this size."""


class PatientClient:
    """Asks for batches, from any number of threads.

    Args:
        url: Of the service, such as `http://127.0.0.1:5000`.
        api_key: Where it asks for one.
        connections: Kept open at once.
        patience: Seconds without any result after which to give up.
        note: Told in a line when results stop coming.

    Raises:
        BulkError: The URL is none.
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
        """The answer to a batch.

        Raises:
            BulkError: It was refused for good, or there was no result for too long.
            TooLargeError: It was refused for its size.
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
        """What to do about an answer that will not get better."""
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
            # Being behind (429) is no fault.
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
        BulkError: It cannot be the URL of a service.
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
    """The detail of this service's own error; empty for any other, such as a proxy's."""
    return f": {error.detail}" if error.type.startswith("urn:mgeo:problem:") else ""
