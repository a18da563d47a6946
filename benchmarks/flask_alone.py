"""Flask on waitress, both as they come: what this service's house costs before it does anything.

`python -m benchmarks.flask_alone PORT` answers `/predict` and `/predict/batch` with constants, in
the shape of this service's answers. It reads the body and checks nothing, has no tokenizer, queue,
bounds or telemetry, and as many threads as the service.
"""

from __future__ import annotations

import sys

from flask import Flask, Response, jsonify, request
from waitress import serve

from service.settings import Settings

_PREDICTION = {
    "similarity": 0.5,
    "label": "not_match",
    "probabilities": {"exact_match": 0.25, "partial_match": 0.25, "not_match": 0.5},
    "truncated": False,
}
_MODEL = {"name": "constants", "version": "000000000000"}


def create_app() -> Flask:
    """The application."""
    app = Flask("alone")

    @app.post("/predict")
    def predict() -> Response:
        request.get_json()
        return jsonify({**_PREDICTION, "model": _MODEL})

    @app.post("/predict/batch")
    def predict_batch() -> Response:
        pairs = request.get_json()["pairs"]
        return jsonify({"results": [_PREDICTION for _ in pairs], "model": _MODEL})

    return app


if __name__ == "__main__":
    serve(create_app(), host="127.0.0.1", port=int(sys.argv[1]), threads=Settings().http_threads)
