"""A service with several models, for the tests of who answers, of shadows and of exchanges."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import requests

from service.scoring import checkpoint as checkpoints
from tests.conftest import TINY, start
from tests.http.held import PAIR
from tests.models import declare, pairs, variant
from tests.telemetry.exposition import OPENMETRICS, Exposition


def bodies_of(count: int) -> list[dict[str, str]]:
    return [{"address1": first, "address2": second} for first, second in pairs(count)]


class Fleet:
    """A service with several models, and the file that declares them.

    Attributes:
        versions: The version of each source.
    """

    def __init__(self, folder: Path, *models: dict[str, Any], **settings: Any) -> None:
        self.sources = {
            "a": TINY,
            "twin": variant(folder / "twin" / "tiny", noise=0.0003),
            "worse": variant(folder / "worse" / "tiny", noise=1),
        }
        self.versions = {n: checkpoints.read(path).version for n, path in self.sources.items()}
        self.file = folder / "models.json"
        self.declare(*models)
        self.running = start(model="bundled", models_file=str(self.file), **settings)

    def declare(self, *models: dict[str, Any]) -> None:
        declare(
            self.file,
            *({"source": str(self.sources.get(m["name"], "")), **m} for m in models),
        )

    def switch(self, *models: dict[str, Any]) -> requests.Response:
        self.declare(*models)
        return requests.post(self.running.operations + "/models", timeout=60)

    def predict(self, body: Any = PAIR, **headers: str) -> str:
        answer = self.running.post("/predict", body, headers=headers)
        assert answer.status_code == 200, answer.text
        version: str = answer.json()["model"]["version"]
        return version

    def models(self) -> dict[str, dict[str, Any]]:
        listed = self.running.get("/models").json()["models"]
        return {one["name"]: one for one in listed}

    def metrics(self) -> Exposition:
        page = self.running.get("/metrics", headers={"Accept": OPENMETRICS})
        return Exposition(page.content)

    def stop(self) -> None:
        self.running.service.stop()


A, TWIN, WORSE = (
    {"name": "a", "weight": 90}, {"name": "twin", "weight": 10}, {"name": "worse", "weight": 0},
)  # fmt: skip
