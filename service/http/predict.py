"""The prediction listener, and its own routes. A request's way reads from top to bottom here."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import flask
from flask import Flask, Response, g, jsonify, request

from service.comparison import explaining
from service.errors import RequestError
from service.http import (
    explain,
    match,
    open_inference,
    openapi,
    page,
    problems,
    request_context,
    rerank,
    schemas,
)
from service.http.keys import Keys
from service.http.measure import measure_requests
from service.http.openapi import SCORING, Api, Operation
from service.http.schemas import Limits
from service.scoring.scorer import Scorer
from service.scoring.timeline import Timeline
from service.settings import Settings
from telemetry.recent import RecentRequests
from telemetry.recording import Instruments
from telemetry.setup import Telemetry

if TYPE_CHECKING:  # its index needs libraries that take a second to import
    from service.retrieval.served import ServedRegister


def create_app(
    settings: Settings,
    scorer: Scorer,
    telemetry: Telemetry,
    stuck: Callable[[], bool],
    keys: Keys | None = None,
    register: ServedRegister | None = None,
) -> Flask:
    """The WSGI application of the prediction listener.

    Args:
        settings: Bounds on requests.
        scorer: Has the model, and scores.
        telemetry: Where requests are counted, timed and traced.
        stuck: Whether the engine makes no progress, so that the process must be restarted.
        keys: Who is let in; everybody without.
        register: What addresses are looked for in.
    """
    app = flask.Flask("mgeo", static_folder=None)
    # An answer is sent as it was written: no re-ordering, Chinese as itself.
    app.json.ensure_ascii = app.json.sort_keys = False  # type: ignore[attr-defined]
    recent = RecentRequests()
    measure_requests(app, telemetry, recent)
    operations = (
        f"port {port}" if (port := settings.metrics_port) else "the port that the log names"
    )
    problems.register(
        app,
        elsewhere="POST /predict takes address1 and address2, and GET /docs lists all routes. "
        f"Metrics and readiness are on {operations} (MGEO_METRICS_PORT)",
    )
    if keys is not None:
        _require_key(app, keys, telemetry)
    add_routes(Api(app), settings, scorer, stuck, recent, register, telemetry.instruments)
    page.add_pages(app)
    return app


OPEN = frozenset({*openapi.OPEN, *page.PAGES, page.ASSET_ROUTE})
"""Routes that need no API key: probes have none, and the rest is the same for everybody."""


def _require_key(app: Flask, keys: Keys, telemetry: Telemetry) -> None:
    """Have every other route ask for a key, before the body is looked at."""
    admitted = telemetry.instruments.request_admitted

    @app.before_request
    def admit() -> None:
        if request.url_rule is None or request.url_rule.rule not in OPEN:
            g.api_key = keys.name(request.headers.get("Authorization", ""))

    @app.after_request
    def count(response: Response) -> Response:
        # How it ended, so that a caller who gets nothing but errors is seen among those who do not.
        if "api_key" in g:
            ended = f"{response.status_code // 100}xx"
            admitted.add(1, {"key": g.api_key, "status_class": ended})
        return response


def add_routes(
    api: Api,
    settings: Settings,
    scorer: Scorer,
    stuck: Callable[[], bool],
    recent: RecentRequests,
    register: ServedRegister | None,
    instruments: Instruments,
) -> None:
    """Add every route of the prediction listener that programs ask; pages for people aside."""
    limits = Limits(settings.max_address_chars, settings.max_batch_pairs, settings.max_rerank_texts)
    _add_predictions(api, scorer, limits)
    rerank.add_routes(api, scorer, limits)
    match.add_routes(api, scorer, limits, register, instruments)
    open_inference.add_routes(api, scorer, limits, stuck)
    explain.add_routes(api, scorer, recent, settings.trace_url)
    api.serve_document()


def _add_predictions(api: Api, scorer: Scorer, limits: Limits) -> None:
    pair_body, batch_body = schemas.pair_request(limits), schemas.batch(limits)

    @api.route(
        Operation(
            method="POST",
            path="/predict",
            tag="Predictions",
            summary="Score one pair of addresses.",
            body=pair_body,
            answer=schemas.PredictionByModel,
            errors=SCORING,
        )
    )
    def predict() -> Response:
        timeline: Timeline = g.timeline
        scorer.require_ready()
        body = pair_body.read(schemas.json_body(), "")
        answer = scorer.score([body.pair], timeline, request_context.of(request.environ))
        [score] = answer.outcomes
        if isinstance(score, RequestError):
            raise score
        explained = explaining.of(body.pair, body.explain)
        identity = schemas.identity(answer.model)
        return jsonify({**schemas.prediction(score, explained), "model": identity})

    @api.route(
        Operation(
            method="POST",
            path="/predict/batch",
            tag="Predictions",
            summary="Score many pairs; a bad one is reported in its place.",
            body=batch_body,
            answer=schemas.BatchAnswer,
            errors=SCORING,
        )
    )
    def predict_batch() -> Response:
        timeline: Timeline = g.timeline
        scorer.require_ready()
        body = batch_body.read(schemas.json_body(), "")
        good = [pair for pair in body.slots if not isinstance(pair, RequestError)]
        scored = scorer.score(good, timeline, request_context.of(request.environ))
        scores = iter(scored.outcomes)
        answer: schemas.BatchAnswer = {
            "results": [
                schemas.problem(slot)
                if isinstance(slot, RequestError)
                else schemas.result(next(scores), slot, body.explain)
                for slot in body.slots
            ],
            "model": schemas.identity(scored.model),
        }
        return jsonify(answer)

    @api.route(
        Operation(
            method="GET",
            path="/healthz",
            tag="Health",
            summary="Whether the listener answers.",
            answer=schemas.Health,
        )
    )
    def healthz() -> schemas.Health:
        return {"status": "healthy"}
