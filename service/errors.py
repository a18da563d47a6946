"""Every error that a caller or an operator can cause, as one tree.

MGeoError
├── OperatorError                 a command cannot run: one line on standard error, exit code 2
│   ├── SettingsError             a variable or flag is unknown or out of range
│   ├── CheckpointError           a model directory is not what it should be
│   ├── FetchError                a model could not be downloaded
│   ├── BulkError                 a file of pairs cannot be scored, or not on
│   ├── ListenError               an address or port cannot be bound
│   └── ConsoleError              a command line or its output cannot be read or written
└── RequestError                  a request cannot be answered: one problem document
    ├── MissingFields        400  no address, or nothing readable in it
    ├── NotAnAddress         400  a placeholder, such as N/A, in the place of an address
    ├── Unreadable           400  mostly characters that the model does not know
    ├── InvalidBody          400  not JSON, or not the shape that the route takes
    ├── InvalidField         400  a field of the wrong type or beyond its limit
    ├── BadRequest           400  HTTP itself was not followed
    ├── Unauthorized         401  no API key, or one that is not known
    ├── UnknownRoute         404  no route has this path
    ├── UnknownModel         404  no model has this name and version
    ├── UnknownTrace         404  none of the requests kept belongs to this trace
    ├── WrongMethod          405  the route does not take this method
    ├── NotSwitched          409  the models stay as they are
    ├── UnsupportedMediaType 415
    ├── TargetTooLong        414  the URL
    ├── ExpectationFailed    417  something else is expected than 100-continue
    ├── HeadTooLarge         431  the headers
    ├── TooSlow              408  the request did not arrive as a whole in time
    ├── TooLarge             413  the body or the number of pairs
    ├── TooBusy              429  all threads work, and as many requests wait as may
    ├── QueueFull            429  the model is further behind than the queue allows
    ├── TooLate              429  at the model's pace the answer would come after its deadline
    ├── NotReady             503  starting, draining or failed
    ├── ClientGone           499  the client hung up; nobody sees this answer, it is counted
    ├── TimedOut             504  no result within the request's time
    ├── CodingNotSupported   501  a Transfer-Encoding other than chunked
    ├── VersionNotSupported  505  neither HTTP/1.1 nor HTTP/1.0
    ├── EngineFailed         500  the model raised on this request's batch
    └── InternalError        500  a defect of the service

A message names the field and the limit, never what the client sent: addresses are personal data.
"""

from __future__ import annotations

from typing import ClassVar


class MGeoError(Exception):
    """Root of the tree. `str(error)` is one line: what, where, and how to mend it."""


class OperatorError(MGeoError):
    """A command cannot run."""


class SettingsError(OperatorError):
    """A variable or flag is unknown or out of range."""


class CheckpointError(OperatorError):
    """A model directory is not what it should be."""


class FetchError(OperatorError):
    """A model could not be downloaded."""


class BulkError(OperatorError):
    """A file of pairs cannot be scored, or not on."""


class ConsoleError(OperatorError):
    """A command line or its output cannot be read or written."""


class ListenError(OperatorError):
    """An address or port cannot be bound."""


class RequestError(MGeoError):
    """A request cannot be answered.

    Attributes:
        status: HTTP status code.
        code: Stable machine-readable name of the problem.
        title: The problem's human-readable name, the same for each occurrence; also the `error`
            member that the original script answered with.
        retry_after: Seconds after which the same request may succeed, or None.
    """

    status: ClassVar[int]
    code: ClassVar[str]
    title: ClassVar[str]

    def __init__(self, detail: str, *, retry_after: int | None = None) -> None:
        super().__init__(detail)
        self.retry_after = retry_after


class MissingFields(RequestError):
    """No address, or nothing readable in it."""

    status, code, title = 400, "missing-fields", "Missing address fields"


class NotAnAddress(RequestError):
    """A placeholder, such as N/A, stands in the place of an address."""

    status, code, title = 400, "not-an-address", "Not an address"


class Unreadable(RequestError):
    """An address is mostly of characters that the model does not know."""

    status, code, title = 400, "unreadable", "Address cannot be read"


class InvalidBody(RequestError):
    """The body is not JSON, or not the shape that the route takes."""

    status, code, title = 400, "invalid-body", "Invalid request body"


class InvalidField(RequestError):
    """A field has the wrong type or is beyond its limit."""

    status, code, title = 400, "invalid-field", "Invalid field"


class BadRequest(RequestError):
    """HTTP itself was not followed."""

    status, code, title = 400, "bad-request", "Bad request"


class Unauthorized(RequestError):
    """No API key, or one that is not known."""

    status, code, title = 401, "unauthorized", "API key required"


class UnknownRoute(RequestError):
    """No route has this path."""

    status, code, title = 404, "unknown-route", "Not found"


class UnknownModel(RequestError):
    """No model has this name and version."""

    status, code, title = 404, "unknown-model", "Model not found"


class UnknownTrace(RequestError):
    """None of the requests that are kept belongs to this trace."""

    status, code, title = 404, "unknown-trace", "Trace not found"


class WrongMethod(RequestError):
    """The route does not take this method."""

    status, code, title = 405, "wrong-method", "Method not allowed"


class NotSwitched(RequestError):
    """The models stay as they are: what is declared cannot be had, or a switch is under way."""

    status, code, title = 409, "not-switched", "Models not switched"


class UnsupportedMediaType(RequestError):
    """The body is not declared as JSON."""

    status, code, title = 415, "unsupported-media-type", "Unsupported media type"


class TooLarge(RequestError):
    """The body, or the number of pairs in it, is over the limit."""

    status, code, title = 413, "too-large", "Request too large"


class TooSlow(RequestError):
    """The request did not arrive as a whole in time."""

    status, code, title = 408, "too-slow", "Request Timeout"


class TargetTooLong(RequestError):
    """The URL is over the limit."""

    status, code, title = 414, "target-too-long", "URL too long"


class ExpectationFailed(RequestError):
    """Something else is expected than 100-continue."""

    status, code, title = 417, "expectation-failed", "Expectation failed"


class HeadTooLarge(RequestError):
    """The request line and headers are over the limit."""

    status, code, title = 431, "head-too-large", "Request headers too large"


class TooBusy(RequestError):
    """All threads work, and as many requests wait for one as may."""

    status, code, title = 429, "too-busy", "Too many requests at once"


class QueueFull(RequestError):
    """The model is further behind than the queue allows."""

    status, code, title = 429, "queue-full", "Too many requests waiting"


class TooLate(RequestError):
    """At the model's pace the answer would come after the request's deadline.

    429 like `QueueFull`, not 504: nothing was begun, and the same request may be in time later.
    """

    status, code, title = 429, "too-late", "Cannot be answered in time"


class NotReady(RequestError):
    """The service is starting, draining or has failed."""

    status, code, title = 503, "not-ready", "Service not ready"


class ClientGone(RequestError):
    """The client hung up. Counted under nginx's number for it; there is no standard one."""

    status, code, title = 499, "client-gone", "Client closed the connection"


class TimedOut(RequestError):
    """No result came within the request's time."""

    status, code, title = 504, "timed-out", "Request timed out"


class CodingNotSupported(RequestError):
    """A Transfer-Encoding other than chunked."""

    status, code, title = 501, "transfer-encoding-not-supported", "Transfer coding not supported"


class VersionNotSupported(RequestError):
    """Neither HTTP/1.1 nor HTTP/1.0."""

    status, code, title = 505, "http-version-not-supported", "HTTP version not supported"


class EngineFailed(RequestError):
    """The model raised on this request's batch."""

    status, code, title = 500, "engine-failed", "Prediction failed"


class InternalError(RequestError):
    """A defect of the service."""

    status, code, title = 500, "internal-error", "Internal error"
