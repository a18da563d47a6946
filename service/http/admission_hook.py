"""What the listener asks, and tells, of requests before or instead of the application.

Under overload most requests are refused. So each refusal must be cheap: the loop that reads the
connections asks here, before a thread, a span or the body is spent on a request.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from flask import Flask
from typing_extensions import override

from service.errors import BadRequest, RequestError, UnknownModel
from service.http import request_context, statuses
from service.http.measure import UNMATCHED, known_method, scoring_rule
from service.scoring.scorer import Scorer
from telemetry.recording import Instruments


class ParsedRequest(Protocol):
    """A request as waitress has read it.

    Attributes:
        command: Its method.
        path: Its path, decoded, without the query.
        headers: By their names in capitals, with `_` for `-`.
    """

    command: str
    path: str
    headers: Mapping[str, str]


class AdmissionHook:
    """Told, and asked, of what the server does by itself, before or instead of the application."""

    def refusal(self, request: ParsedRequest, *, ahead: int, waits: bool) -> RequestError | None:
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


class PredictionsHook(AdmissionHook):
    """Of the prediction listener: asks the queue, and counts what is refused."""

    def __init__(self, instruments: Instruments, app: Flask, scorer: Scorer) -> None:
        self._instruments, self._scorer = instruments, scorer
        self._routes = {rule.rule for rule in app.url_map.iter_rules()}

    @override
    def refusal(self, request: ParsedRequest, *, ahead: int, waits: bool) -> RequestError | None:
        if request.command != "POST" or scoring_rule(request.path) is None:
            return None
        try:
            # Those that wait for their results are in the queue already.
            refused = self._scorer.would_refuse(
                request_context.of_headers(request.headers),
                max(0, ahead - self._scorer.waiting()),
            )
        except (BadRequest, UnknownModel):  # its own fault, which it is told when it has its turn
            return None
        # With a thread at hand, an answer that is known already needs no place in the queue.
        return None if refused and not waits and self._scorer.may_be_known() else refused

    @override
    def refused(self, error: RequestError, method: str, path: str) -> None:
        labels = {
            "method": known_method(method),
            "endpoint": path if path in self._routes else scoring_rule(path) or UNMATCHED,
            "status": str(statuses.of(error)),
        }
        self._instruments.request.add(1, labels)
        self._instruments.request_problem.add(1, {"problem": error.code})

    @override
    def closed(self, reason: str) -> None:
        self._instruments.connection_closed.add(1, {"reason": reason})

    @override
    def retry_after(self) -> int:
        return self._scorer.retry_after()
