"""A client of this service: `MGeoClient`. Importing it loads neither the server nor a model.

    with MGeoClient("http://127.0.0.1:5000") as client:
        client.predict("文三路478号华星时代广场A座", "文三路478号华星时代广场")["similarity"]

Answers are the service's JSON documents, typed by the declarations that the service itself uses
(`answers.py`). Both files are also the distribution `mgeo-client`, imported as `mgeo_client`
(`packages/client`). Calls are safe to repeat, so a rejected or broken call is repeated until its
deadline.
"""

from __future__ import annotations

import email.utils
import functools
import http.client
import io
import json
import logging
import random
import socket
import time
from collections.abc import Iterable, Mapping, MutableMapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Self, cast

import urllib3
from urllib3.connection import HTTPConnection, HTTPSConnection

if TYPE_CHECKING:
    from .answers import BatchAnswer, PredictionByModel, Rank

_RETRIED = frozenset({429, 502, 503})
"""Statuses to repeat: the queue is full, a proxy found no service, or the service is not ready."""

_FIRST_WAIT, _LONGEST_WAIT = 0.1, 5.0
"""Seconds between attempts without `Retry-After`: the first, doubled each time up to the second."""

_DEADLINE = "X-Envoy-Expected-Rq-Timeout-Ms"
"""Header that tells the service, and proxies on the way, how many milliseconds are left."""

_LONGEST_SECONDS = 86_400
"""Longest timeout of a call: one day."""


class ClientError(Exception):
    """A call failed. `str(error)` is one line and quotes no address."""


class Unreachable(ClientError):
    """There was no connection to the service, or it broke, at every attempt."""


class DeadlineExceeded(ClientError):
    """There was no answer within the timeout."""


class BadAnswer(ClientError):
    """The answer was 200 but not this service's JSON, as from a login page."""


class Refused(ClientError):
    """The service answered with an error.

    Attributes:
        status: HTTP status, from 400 to 599.
        type: The problem's stable name, `urn:mgeo:problem:...`; empty if the answer had none.
        detail: What was wrong, in one line.
        retry_after: Seconds to wait before the next call; None if the service named no time.
    """

    def __init__(self, status: int, problem: Mapping[str, Any], retry_after: float | None) -> None:
        self.status = status
        self.type = str(problem.get("type", ""))
        self.detail = str(problem.get("detail", "the answer says no more"))
        self.retry_after = retry_after
        super().__init__(f"{status}: {self.detail}")


class MGeoClient:
    """Calls one service. Safe to share between threads; connections are kept open and re-used.

    Args:
        url: URL of the service, without a path.
        api_key: API key, sent as `Authorization: Bearer`.
        version: The model that answers, if the service has several: its name or its version.
        session: Any id. If models share the traffic, one of them answers all calls with this id.
        timeout: Seconds for one call, with all attempts and waits; above 0, at most a day.
        attempts: Most attempts for one call, at least 1.
        connections: Most idle connections to keep open.

    Raises:
        ValueError: The URL does not begin with http:// or https://, `timeout` or `attempts` is out
            of range, or a value for a header is not printable ASCII.
    """

    def __init__(
        self,
        url: str = "http://127.0.0.1:5000",
        *,
        api_key: str | None = None,
        version: str | None = None,
        session: str | None = None,
        timeout: float = 30.0,
        attempts: int = 5,
        connections: int = 10,
    ) -> None:
        if not url.startswith(("http://", "https://")):
            raise ValueError(f"{url!r}: begin the URL with http:// or https://")
        if not 0 < timeout <= _LONGEST_SECONDS:
            raise ValueError(f"timeout must be above 0 and at most {_LONGEST_SECONDS:,} seconds")
        if attempts < 1:
            raise ValueError("attempts must be at least 1")
        for name, value in (("api_key", api_key), ("version", version), ("session", session)):
            if value is not None and not (value.isascii() and value.isprintable()):
                raise ValueError(f"{name}: a header carries printable ASCII alone")
        self._url = url.rstrip("/")
        self._timeout = timeout
        self._attempts = attempts
        self._headers = {"Content-Type": "application/json"}
        if api_key is not None:
            self._headers["Authorization"] = f"Bearer {api_key}"
        if version is not None:
            self._headers["X-Mgeo-Version"] = version
        if session is not None:
            self._headers["X-Session-Id"] = session
        self._pool = urllib3.PoolManager(maxsize=connections, retries=False)
        self._pool.pool_classes_by_scheme = {"http": _Pool, "https": _SecurePool}

    def predict(self, address1: str, address2: str) -> PredictionByModel:
        """Score one pair.

        Returns:
            The similarity, from 0 to 1, the label, the probabilities and the model.

        Raises:
            ClientError: The call failed; see its subclasses.
        """
        body = {"address1": address1, "address2": address2}
        return cast("PredictionByModel", self._call("/predict", body, dict))

    def predict_batch(self, pairs: Iterable[tuple[str, str]]) -> BatchAnswer:
        """Score many pairs in one request. A service takes at most 256, unless it is set otherwise.

        Returns:
            `results` in the order of the pairs, each a prediction or a problem with `status`.

        Raises:
            ClientError: The call failed; see its subclasses.
        """
        body = {"pairs": [{"address1": one, "address2": two} for one, two in pairs]}
        return cast("BatchAnswer", self._call("/predict/batch", body, dict))

    def rerank(
        self,
        query: str,
        texts: Sequence[str],
        *,
        raw_scores: bool = False,
        return_text: bool = False,
        truncate: bool = True,
        top_n: int | None = None,
    ) -> list[Rank]:
        """Sort candidates by their similarity to one address, best first.

        Args:
            query: The address.
            texts: The candidates.
            raw_scores: Whether scores are the log-odds of the similarity instead of it.
            return_text: Whether each result repeats the candidate's text.
            truncate: Whether to score the readable part of a pair that is too long; False makes
                the service reject it.
            top_n: Most candidates to return; None for all.

        Raises:
            ClientError: The call failed; see its subclasses.
        """
        body = {
            "query": query,
            "texts": list(texts),
            "raw_scores": raw_scores,
            "return_text": return_text,
            "truncate": truncate,
            "top_n": top_n,
        }
        return cast("list[Rank]", self._call("/rerank", body, list))

    def close(self) -> None:
        """Close the connections."""
        self._pool.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _call(self, path: str, body: object, kind: type) -> object:
        data = json.dumps(body).encode()
        deadline = time.monotonic() + self._timeout
        for attempt in range(1, self._attempts + 1):
            wait = random.uniform(0.5, 1) * min(_FIRST_WAIT * 2 ** (attempt - 1), _LONGEST_WAIT)  # noqa: S311
            try:
                answer = self._attempt(path, data, deadline)
            except Refused as error:
                if error.status not in _RETRIED:
                    raise
                failure: ClientError = error
                wait = wait if error.retry_after is None else error.retry_after
            except Unreachable as error:
                failure = error
            else:
                if not isinstance(answer, kind):
                    raise BadAnswer(f"{self._url} is not this service: it answered other JSON")
                return answer
            # After this wait no time would be left for an attempt: fail now.
            if attempt == self._attempts or time.monotonic() + wait >= deadline:
                break
            time.sleep(wait)
        raise failure

    def _attempt(self, path: str, data: bytes, deadline: float) -> object:
        left = deadline - time.monotonic()
        headers = self._headers | {_DEADLINE: str(max(1, int(left * 1000)))}
        _inject_trace(headers)
        try:
            response = self._pool.request(
                "POST",
                self._url + path,
                body=data,
                headers=headers,
                redirect=False,  # it would carry the key elsewhere
                timeout=urllib3.Timeout(total=max(left, 0.001)),
            )
        except urllib3.exceptions.HTTPError as error:
            # In urllib3, a refused connection is a subclass of a time-out.
            refused = isinstance(error, urllib3.exceptions.NewConnectionError)
            if isinstance(error, urllib3.exceptions.TimeoutError) and not refused:
                raise DeadlineExceeded(f"no answer within {self._timeout:g} s") from None
            raise Unreachable(f"{self._url}: {type(error).__name__}") from error
        if response.status == 200:
            try:
                return json.loads(response.data)
            except (ValueError, RecursionError):
                raise BadAnswer(f"{self._url} is not this service: it answered no JSON") from None
        raise Refused(
            response.status,
            _problem(response.data),
            _seconds(response.headers.get("Retry-After")),
        )


def _problem(data: bytes) -> Mapping[str, Any]:
    """The problem document of an error; empty if the body is none, as from a proxy."""
    try:
        problem = json.loads(data)
    except ValueError:
        return {}
    return problem if isinstance(problem, dict) else {}


def _seconds(retry_after: str | None) -> float | None:
    """The delay of a `Retry-After` header, which is a number of seconds or a date."""
    if retry_after is None:
        return None
    if retry_after.isascii() and retry_after.isdecimal():
        return float(retry_after)
    try:
        moment = email.utils.parsedate_to_datetime(retry_after)
        if moment.tzinfo is None:  # the zone -0000 means UTC
            moment = moment.replace(tzinfo=UTC)
        return max(0.0, (moment - datetime.now(UTC)).total_seconds())
    except (ValueError, TypeError, IndexError, OverflowError):  # not a date
        return None


class _TimedReader(io.RawIOBase):
    """Reads a socket until a deadline.

    The time-out of a socket restarts with each read, so an answer that trickles in would never
    time out.
    """

    def __init__(self, raw: io.RawIOBase, connection: socket.socket) -> None:
        self._raw, self._connection = raw, connection
        left = connection.gettimeout()
        self._until = None if left is None else time.monotonic() + left

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        if self._until is not None:
            left = self._until - time.monotonic()
            if left <= 0:
                raise TimeoutError("the answer did not end in time")
            self._connection.settimeout(left)
        return cast("io.FileIO", self._raw).readinto(buffer)

    def close(self) -> None:
        self._raw.close()
        super().close()


class _Response(http.client.HTTPResponse):
    """An answer whose status line, headers and body must all arrive within one time-out."""

    def __init__(self, sock: socket.socket, *arguments: Any, **named: Any) -> None:
        super().__init__(sock, *arguments, **named)
        raw = self.fp.detach()
        self.fp = io.BufferedReader(_TimedReader(raw, sock))


class _Connection(HTTPConnection):
    response_class = _Response


class _SecureConnection(HTTPSConnection):
    response_class = _Response


class _Pool(urllib3.HTTPConnectionPool):
    ConnectionCls = _Connection


class _SecurePool(urllib3.HTTPSConnectionPool):
    ConnectionCls = _SecureConnection


@functools.cache
def _warn(failure: str) -> None:
    """Log that traces end here; once, because every call would fail in the same way."""
    logging.getLogger(__name__).warning("traces are not passed on: %s", failure)


def _inject_trace(headers: MutableMapping[str, str]) -> None:
    """Put the current trace context into the headers, if OpenTelemetry is installed.

    A failure is logged and the call goes on. Importing OpenTelemetry fails if `OTEL_PROPAGATORS`
    names a propagator that is not installed.
    """
    context: dict[str, str] = {}
    try:
        from opentelemetry import propagate

        propagate.inject(context)
    except ImportError:
        return
    except Exception as error:
        _warn(f"{type(error).__name__}: {error}")
    headers.update(context)
