"""The prediction listener's routes. A request's way reads from top to bottom here."""

from __future__ import annotations

from typing import Any

from flask import Flask, Response, g, jsonify, request

from service.errors import RequestError, UnsupportedMediaType
from service.http import caller, problems, schemas
from service.http.measure import measure_requests
from service.http.schemas import Limits
from service.scoring.scorer import Scorer
from service.settings import Settings
from telemetry.setup import Telemetry
from telemetry.spans import Timeline


def create_app(settings: Settings, scorer: Scorer, telemetry: Telemetry) -> Flask:
    """The WSGI application of the prediction listener."""
    app = Flask("mgeo")
    # Handed to the client as written: no re-ordering, Chinese as itself.
    app.json.sort_keys = False  # type: ignore[attr-defined]
    app.json.ensure_ascii = False  # type: ignore[attr-defined]
    limits = Limits(settings.max_address_chars, settings.max_batch_pairs)
    measure_requests(app, telemetry)
    problems.register(app)

    @app.post("/predict")
    def predict() -> Response:
        timeline: Timeline = g.timeline
        model = scorer.model()
        pair = schemas.parse_pair(_json_body(), limits)
        [score] = scorer.score(model, [pair], timeline, caller.of(request.environ))
        if isinstance(score, RequestError):
            raise score
        return jsonify(schemas.prediction(score) | {"model": schemas.identity(model.checkpoint)})

    @app.post("/predict/batch")
    def predict_batch() -> Response:
        timeline: Timeline = g.timeline
        model = scorer.model()
        parsed = schemas.parse_batch(_json_body(), limits)
        good = [pair for pair in parsed if not isinstance(pair, RequestError)]
        scores = iter(scorer.score(model, good, timeline, caller.of(request.environ)))
        results = [
            schemas.result(slot if isinstance(slot, RequestError) else next(scores))
            for slot in parsed
        ]
        return jsonify({"results": results, "model": schemas.identity(model.checkpoint)})

    @app.get("/healthz")
    def healthz() -> dict[str, Any]:
        return {"status": "healthy"}

    return app


def _json_body() -> object:
    if not request.is_json:
        raise UnsupportedMediaType("the Content-Type must be application/json")
    return schemas.parse_json(request.get_data(cache=False))
