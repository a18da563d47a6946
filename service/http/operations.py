"""The operations listener: metrics and health, answering when every prediction thread is busy."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import flask
from flask import Flask, Response, request

from service.http import problems
from service.lifecycle import Lifecycle, State
from telemetry.prometheus import PrometheusEndpoint


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
) -> Flask:
    """The WSGI application of the operations listener.

    Args:
        lifecycle: What `/readyz` and `/livez` report.
        prometheus: Renders `/metrics`.
        stuck: Whether the engine makes no progress, so that the process must be restarted.
        models: What `/models` shows and exchanges.
        warning: What is not as it should be though requests are answered; `/readyz` shows it.
    """
    app = flask.Flask("mgeo-operations", static_folder=None)
    app.json.sort_keys = False  # type: ignore[attr-defined]
    problems.register(app)

    @app.get("/metrics")
    def metrics() -> Response:
        body, content_type = prometheus.render(request.headers.get("Accept", ""))
        return Response(body, content_type=content_type)

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
        if told := warning():
            report["warning"] = told
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
