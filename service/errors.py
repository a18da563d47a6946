"""Every error that a caller or an operator can cause, as one tree.

MGeoError
├── OperatorError                 a command cannot run: one line on standard error, exit code 2
│   ├── SettingsError             a variable or flag is unknown or out of range
│   ├── CheckpointError           a model directory is not what it should be
│   ├── FetchError                a model could not be downloaded
│   ├── BulkError                 a file of pairs cannot be scored to its end
│   ├── RegisterError             a register of addresses cannot be read
│   ├── ListenError               an address or port cannot be bound
│   └── ConsoleError              a command line or its output cannot be read or written
└── RequestError                  a request cannot be answered: one problem document
    ├── MissingFields        no address, or nothing readable in it
    ├── NotAnAddress         a placeholder, such as N/A, in the place of an address
    ├── Unreadable           mostly characters that the model does not know
    ├── InvalidBody          not JSON, or not the shape that the route takes
    ├── InvalidField         a field of the wrong type or beyond its limit
    ├── BadRequest           HTTP itself was not followed
    ├── Unauthorized         no API key, or one that is not known
    ├── UnknownRoute         no route has this path
    ├── UnknownModel         no model has this name and version
    ├── NoRegister           the service has no register to look in
    ├── UnknownTrace         none of the requests kept belongs to this trace
    ├── WrongMethod          the route does not take this method
    ├── NotSwitched          the models stay as they are
    ├── UnsupportedMediaType
    ├── TargetTooLong        the URL
    ├── ExpectationFailed    something else is expected than 100-continue
    ├── HeadTooLarge         the headers
    ├── TooSlow              the request did not arrive as a whole in time
    ├── TooLarge             the body or the number of pairs
    ├── TooBusy              all threads work, and as many requests wait as may
    ├── QueueFull            the model is further behind than the queue allows
    ├── TooLate              at the model's pace the answer would come after its deadline
    ├── NotReady             starting, draining or failed
    ├── ClientGone           the client hung up; nobody sees this answer, it is counted
    ├── TimedOut             no result within the request's time
    ├── CodingNotSupported   a Transfer-Encoding other than chunked
    ├── VersionNotSupported  neither HTTP/1.1 nor HTTP/1.0
    ├── EngineFailed         the model raised on this request's batch
    └── InternalError        a defect of the service

`http/statuses.py` has the HTTP status of each error: the code that raises one need not know it.

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
    """A file of pairs cannot be scored to its end."""


class RegisterError(OperatorError):
    """A register of addresses cannot be read."""


class ConsoleError(OperatorError):
    """A command line or its output cannot be read or written."""


class ListenError(OperatorError):
    """An address or port cannot be bound."""


class RequestError(MGeoError):
    """A request cannot be answered.

    Attributes:
        code: Stable machine-readable name of the problem.
        title: The problem's human-readable name, the same for each occurrence; also the `error`
            member that the original script answered with.
        retry_after: Seconds after which the same request may succeed, or None.
    """

    code: ClassVar[str]
    title: ClassVar[str]

    def __init__(self, detail: str, *, retry_after: int | None = None) -> None:
        super().__init__(detail)
        self.retry_after = retry_after


class MissingFields(RequestError):
    """No address, or nothing readable in it."""

    code, title = "missing-fields", "Missing address fields"


class NotAnAddress(RequestError):
    """A placeholder, such as N/A, stands in the place of an address."""

    code, title = "not-an-address", "Not an address"


class Unreadable(RequestError):
    """An address is mostly of characters that the model does not know."""

    code, title = "unreadable", "Address cannot be read"


class InvalidBody(RequestError):
    """The body is not JSON, or not the shape that the route takes."""

    code, title = "invalid-body", "Invalid request body"


class InvalidField(RequestError):
    """A field has the wrong type or is beyond its limit."""

    code, title = "invalid-field", "Invalid field"


class BadRequest(RequestError):
    """HTTP itself was not followed."""

    code, title = "bad-request", "Bad request"


class Unauthorized(RequestError):
    """No API key, or one that is not known."""

    code, title = "unauthorized", "API key required"


class UnknownRoute(RequestError):
    """No route has this path."""

    code, title = "unknown-route", "Not found"


class UnknownModel(RequestError):
    """No model has this name and version."""

    code, title = "unknown-model", "Model not found"


class NoRegister(RequestError):
    """The service has no register to look in."""

    code, title = "no-register", "No register"


class UnknownTrace(RequestError):
    """None of the requests that are kept belongs to this trace."""

    code, title = "unknown-trace", "Trace not found"


class WrongMethod(RequestError):
    """The route does not take this method."""

    code, title = "wrong-method", "Method not allowed"


class NotSwitched(RequestError):
    """The models stay as they are: what is declared cannot be had, or a switch is under way."""

    code, title = "not-switched", "Models not switched"


class UnsupportedMediaType(RequestError):
    """The body is not declared as JSON."""

    code, title = "unsupported-media-type", "Unsupported media type"


class TooLarge(RequestError):
    """The body, or the number of pairs in it, is over the limit."""

    code, title = "too-large", "Request too large"


class TooSlow(RequestError):
    """The request did not arrive as a whole in time."""

    code, title = "too-slow", "Request Timeout"


class TargetTooLong(RequestError):
    """The URL is over the limit."""

    code, title = "target-too-long", "URL too long"


class ExpectationFailed(RequestError):
    """Something else is expected than 100-continue."""

    code, title = "expectation-failed", "Expectation failed"


class HeadTooLarge(RequestError):
    """The request line and headers are over the limit."""

    code, title = "head-too-large", "Request headers too large"


class TooBusy(RequestError):
    """All threads work, and as many requests wait for one as may."""

    code, title = "too-busy", "Too many requests at once"


class QueueFull(RequestError):
    """The model is further behind than the queue allows."""

    code, title = "queue-full", "Too many requests waiting"


class TooLate(RequestError):
    """At the model's pace the answer would come after the request's deadline.

    429 like `QueueFull`, not 504: nothing was begun, and the same request may be in time later.
    """

    code, title = "too-late", "Cannot be answered in time"


class NotReady(RequestError):
    """The service is starting, draining or has failed."""

    code, title = "not-ready", "Service not ready"


class ClientGone(RequestError):
    """The client hung up."""

    code, title = "client-gone", "Client closed the connection"


class TimedOut(RequestError):
    """No result came within the request's time."""

    code, title = "timed-out", "Request timed out"


class CodingNotSupported(RequestError):
    """A Transfer-Encoding other than chunked."""

    code, title = "transfer-encoding-not-supported", "Transfer coding not supported"


class VersionNotSupported(RequestError):
    """Neither HTTP/1.1 nor HTTP/1.0."""

    code, title = "http-version-not-supported", "HTTP version not supported"


class EngineFailed(RequestError):
    """The model raised on this request's batch."""

    code, title = "engine-failed", "Prediction failed"


class InternalError(RequestError):
    """A defect of the service."""

    code, title = "internal-error", "Internal error"
