"""Which HTTP status each error is answered with. What raises one knows nothing of HTTP."""

from __future__ import annotations

from collections.abc import Mapping

from service import errors
from service.errors import RequestError

STATUSES: Mapping[type[RequestError], int] = {
    errors.MissingFields: 400,
    errors.NotAnAddress: 400,
    errors.Unreadable: 400,
    errors.InvalidBody: 400,
    errors.InvalidField: 400,
    errors.BadRequest: 400,
    errors.Unauthorized: 401,
    errors.UnknownRoute: 404,
    errors.UnknownModel: 404,
    errors.NoRegister: 404,
    errors.UnknownTrace: 404,
    errors.WrongMethod: 405,
    errors.NotSwitched: 409,
    errors.UnsupportedMediaType: 415,
    errors.TooLarge: 413,
    errors.TooSlow: 408,
    errors.TargetTooLong: 414,
    errors.ExpectationFailed: 417,
    errors.HeadTooLarge: 431,
    errors.TooBusy: 429,
    errors.QueueFull: 429,
    errors.TooLate: 429,
    errors.NotReady: 503,
    errors.ClientGone: 499,
    errors.TimedOut: 504,
    errors.CodingNotSupported: 501,
    errors.VersionNotSupported: 505,
    errors.EngineFailed: 500,
    errors.InternalError: 500,
}
"""One for each error that a request can meet. 499 is nginx's number; there is no standard one."""


def of(error: RequestError | type[RequestError]) -> int:
    """The status of an error."""
    return STATUSES[error if isinstance(error, type) else type(error)]
