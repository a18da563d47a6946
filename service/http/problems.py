"""Every error answer as `application/problem+json`, in one place."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping

from flask import Response, g
from flask.sansio.scaffold import Scaffold
from opentelemetry import trace
from werkzeug.exceptions import HTTPException, MethodNotAllowed

from service.errors import (
    BadRequest,
    InternalError,
    RequestError,
    Unauthorized,
    UnknownRoute,
    WrongMethod,
)
from service.http import schemas, statuses

log = logging.getLogger(__name__)

MEDIA_TYPE = "application/problem+json"


Form = Callable[[RequestError], Mapping[str, object]]
"""Makes an error's document; protocols differ in it."""


def document(error: RequestError, form: Form = schemas.problem) -> bytes:
    """The problem document of an error."""
    return json.dumps(form(error), ensure_ascii=False).encode()


def headers(error: RequestError) -> list[tuple[str, str]]:
    """The headers of an error's answer, but for those of its connection."""
    given = [("Content-Type", MEDIA_TYPE)]
    if error.retry_after is not None:
        given.append(("Retry-After", str(error.retry_after)))
    if isinstance(error, Unauthorized):
        given.append(("WWW-Authenticate", 'Bearer realm="mgeo"'))
    return given


def register(
    scaffold: Scaffold, form: Form = schemas.problem, *, elsewhere: str = "GET /docs lists all"
) -> None:
    """Answer every error of an app or blueprint with a problem document.

    Args:
        scaffold: The app or blueprint.
        form: Makes the document.
        elsewhere: Where what is not here may be, for whoever asks for an unknown route.
    """

    @scaffold.errorhandler(RequestError)
    def request_error(error: RequestError) -> Response:
        trace.get_current_span().set_attribute("mgeo.problem", error.code)
        g.problem = error.code  # for the metrics
        return Response(document(error, form), statuses.of(error), headers(error))

    @scaffold.errorhandler(HTTPException)
    def http_error(error: HTTPException) -> Response:
        response = request_error(_from_werkzeug(error, elsewhere))
        if allow := dict(error.get_headers()).get("Allow"):
            response.headers["Allow"] = allow
        return response

    @scaffold.errorhandler(Exception)
    def defect(error: Exception) -> Response:
        # The client learns that it was not its fault; the log has the stack, and the trace id.
        log.error("request failed", exc_info=error)
        return request_error(InternalError("the service failed to answer; its log says why"))


def _from_werkzeug(error: HTTPException, elsewhere: str) -> RequestError:
    if error.code == 404:
        return UnknownRoute(f"this port has no such route: {elsewhere}")
    if isinstance(error, MethodNotAllowed):
        taken = sorted({*(error.valid_methods or ())} - {"HEAD", "OPTIONS"})
        return WrongMethod(f"this route takes another method: {' or '.join(taken)}")
    return BadRequest(error.name)
