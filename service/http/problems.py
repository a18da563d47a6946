"""Every error answer as `application/problem+json`, in one place."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping

from flask import Response, g
from flask.sansio.scaffold import Scaffold
from opentelemetry import trace
from werkzeug.exceptions import HTTPException

from service.errors import (
    BadRequest,
    InternalError,
    RequestError,
    Unauthorized,
    UnknownRoute,
    WrongMethod,
)
from service.http import schemas

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


def register(scaffold: Scaffold, form: Form = schemas.problem) -> None:
    """Answer every error of an app or blueprint with a problem document."""

    @scaffold.errorhandler(RequestError)
    def request_error(error: RequestError) -> Response:
        trace.get_current_span().set_attribute("mgeo.problem", error.code)
        g.problem = error.code  # for the metrics
        return Response(document(error, form), error.status, headers(error))

    @scaffold.errorhandler(HTTPException)
    def http_error(error: HTTPException) -> Response:
        response = request_error(_from_werkzeug(error))
        if allow := dict(error.get_headers()).get("Allow"):
            response.headers["Allow"] = allow
        return response

    @scaffold.errorhandler(Exception)
    def defect(error: Exception) -> Response:
        # The client learns that it was not its fault; the log has the stack, and the trace id.
        log.error("request failed", exc_info=error)
        return request_error(InternalError("the service failed to answer; its log says why"))


def _from_werkzeug(error: HTTPException) -> RequestError:
    if error.code == 404:
        return UnknownRoute("no such route; POST /predict takes address1 and address2")
    if error.code == 405:
        return WrongMethod("this route does not take this method; see the Allow header")
    return BadRequest(error.name)
