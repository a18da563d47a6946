"""The operations listener: metrics and health, answering when every prediction thread is busy."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from typing import Any, Protocol

import flask
from flask import Flask, Response, request
from werkzeug.http import parse_accept_header

from service.http import problems
from service.lifecycle import Lifecycle, State
from telemetry.prometheus import PrometheusEndpoint

_FORMATS = ("application/openmetrics-text", "text/plain", "text/*", "*/*")
"""Media types by which metrics can be asked for, the one with the most in it first."""


class Models(Protocol):
    """The models of the process, as far as they are operated on."""

    def report(self) -> list[dict[str, Any]]:
        """Every model: what it is, what it gets, how far it is."""
        ...

    def switch(self) -> None:
        """Make it as the file of models says now.

        Raises:
            RequestError: It cannot be done; all stays as it was.
        """
        ...


def create_app(
    lifecycle: Lifecycle,
    prometheus: PrometheusEndpoint,
    stuck: Callable[[], bool],
    models: Models,
    warning: Callable[[], str | None] = lambda: None,
    predictions: str = "Predictions are answered on MGEO_PORT",
) -> Flask:
    """The WSGI application of the operations listener.

    Args:
        lifecycle: What `/readyz` and `/livez` report.
        prometheus: Renders `/metrics`.
        stuck: Whether the engine makes no progress, so that the process must be restarted.
        models: What `/models` shows and exchanges.
        predictions: Where predictions are answered, in a sentence without its full stop.
        warning: What is not as it should be though requests are answered; `/readyz` shows it.
    """
    app = flask.Flask("mgeo-operations", static_folder=None)
    app.json.sort_keys = False  # type: ignore[attr-defined]
    problems.register(app, elsewhere=f"it is for operations. {predictions}")

    @app.get("/metrics")
    def metrics() -> Response:
        preferred = _preferred(request.headers.get("Accept", ""))
        body, content_type = prometheus.render(preferred, request.args.getlist("name[]"))
        response = Response(body, content_type=content_type)
        response.vary.update(("Accept", "Accept-Encoding"))
        taken = request.accept_encodings
        # Of a coding that is not named the quality is that of `*`.
        if 0 < taken.quality("gzip") >= taken.quality("identity"):
            response.set_data(gzip.compress(body, compresslevel=1))
            response.content_encoding = "gzip"
        return response

    @app.get("/healthz")
    def healthz() -> dict[str, Any]:
        return {"status": "healthy"}

    @app.get("/livez")
    def livez() -> tuple[dict[str, Any], int]:
        if stuck():
            return {"status": "stuck"}, 503
        failed = lifecycle.state is State.FAILED
        return lifecycle.report(), 503 if failed else 200

    @app.get("/readyz")
    def readyz() -> tuple[dict[str, Any], int]:
        ready = lifecycle.state is State.READY
        report = lifecycle.report()
        if message := warning():
            report["warning"] = message
        return report, 200 if ready else 503

    @app.get("/models")
    def list_models() -> dict[str, Any]:
        return {"models": models.report()}

    # It takes no body: what is to be served stands in a file, so that a restart changes nothing,
    # and whoever reaches this port cannot have the service load what they like.
    @app.post("/models")
    def switch_models() -> dict[str, Any]:
        models.switch()
        return {"models": models.report()}

    return app


def _preferred(accept: str) -> str:
    """The media type of `_FORMATS`, with its parameters, that an Accept header prefers.

    The exporter's own choice takes the first that it knows, whatever its quality is.
    """
    ranked = [
        (-quality, _FORMATS.index(kind), value)
        for value, quality in parse_accept_header(accept.lower())
        if quality > 0 and (kind := value.partition(";")[0].strip()) in _FORMATS
    ]
    return min(ranked, key=lambda one: one[:2], default=(0, 0, ""))[2]
