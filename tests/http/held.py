"""A service whose model waits until it is let go."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import requests

from service.scoring.backends import Probabilities
from service.scoring.tokens import TokenizedPair
from tests.conftest import eventually, start
from tests.telemetry.exposition import OPENMETRICS, Exposition

PAIR = {"address1": "紫萱路363号", "address2": "紫萱路363号市人社局"}


class Held:
    """A service whose model answers only while its gate is open.

    Attributes:
        computed: Pairs that the model was given.
        poison: Tokens of a pair that the model fails on, with the whole batch.
    """

    def __init__(self, **settings: Any) -> None:
        # Each pair is to reach the model, also one that was asked before.
        self.running = start(**{"cache_pairs": 0, **settings})
        self.service = self.running.service
        self.poison = 0
        self.gate = threading.Event()
        self.gate.set()
        self.computed: list[TokenizedPair] = []
        backend = self.running.engine.model.backend
        self._predict: Callable[[Sequence[TokenizedPair], int | None], Probabilities]
        self._predict = backend.predict
        backend.predict = self._hold
        self._clients = ThreadPoolExecutor(20)

    def _hold(self, pairs: Sequence[TokenizedPair], stream: int | None) -> Probabilities:
        self.computed += pairs
        assert self.gate.wait(60)
        if any(len(pair.ids) == self.poison for pair in pairs):
            raise RuntimeError("a pair of that length")
        return self._predict(pairs, stream)

    def send(
        self, path: str = "/predict", body: Any = PAIR, **headers: str
    ) -> Future[requests.Response]:
        return self._clients.submit(self.running.post, path, body, headers=headers)

    def batch(self, pairs: int) -> Future[requests.Response]:
        return self.send("/predict/batch", {"pairs": [PAIR] * pairs})

    def tokens(self, pair: dict[str, str]) -> int:
        """Tokens of a pair."""
        model = self.running.engine.model
        [tokenized] = model.tokenizer.encode([(pair["address1"], pair["address2"])])
        return len(tokenized.ids)

    def waiting(self, pairs: int) -> None:
        eventually(lambda: self.running.queue.depth() == pairs)

    def busy(self) -> None:
        """Have the model hold one pair, so that whatever follows waits."""
        before = len(self.computed)
        self.gate.clear()
        self.send()
        eventually(lambda: len(self.computed) > before)

    def metrics(self, *names: str) -> Exposition:
        """Its metrics, or those of some names, which are quicker to write and to read."""
        asked = "&".join(f"name[]={name}" for name in names)
        page = self.running.get(f"/metrics?{asked}", headers={"Accept": OPENMETRICS})
        return Exposition(page.content)

    def stop(self) -> None:
        self.gate.set()
        self._clients.shutdown()
        self.service.stop()


def problem(answer: requests.Response, status: int, code: str) -> str:
    """The detail of a problem, once its status and type are seen to be right."""
    assert answer.status_code == status, answer.text
    assert answer.json()["type"] == f"urn:mgeo:problem:{code}"
    detail: str = answer.json()["detail"]
    return detail
