"""BERT in LitServe, with its dynamic batching, each batch padded to its longest pair.

Arguments: port, model directory, device, and optionally one of this service's backends, which then
runs the model instead of transformers.
"""

from __future__ import annotations

import sys
from typing import Any

import litserve as ls

Answers = list[list[float]]


class TransformersAPI(ls.LitAPI):  # type: ignore[misc]
    """As in LitServe's examples: tokenizer and model from transformers."""

    def setup(self, device: str) -> None:
        """Load the model."""
        import torch
        from transformers import AutoModelForSequenceClassification, AutoTokenizer

        self._torch = torch
        self._device = device
        self._tokenizer = AutoTokenizer.from_pretrained(sys.argv[2])
        model = AutoModelForSequenceClassification.from_pretrained(sys.argv[2])
        self._model = model.to(device).eval()

    def decode_request(self, request: dict[str, str]) -> tuple[str, str]:
        """One pair."""
        return request["address1"], request["address2"]

    def predict(self, x: list[tuple[str, str]]) -> Answers:
        """Score a batch; LitServe joins single requests to one."""
        inputs = self._tokenizer(
            [one for one, _ in x], [other for _, other in x],
            padding=True, truncation=True, return_tensors="pt",
        ).to(self._device)  # fmt: skip
        with self._torch.inference_mode():
            answers: Answers = self._model(**inputs).logits.softmax(-1).tolist()
        return answers

    def encode_response(self, output: list[float]) -> dict[str, Any]:
        """One answer."""
        return {"probabilities": output}


class BackendAPI(TransformersAPI):
    """The same server with this service's tokenizer and backend."""

    def setup(self, device: str) -> None:
        """Load the model."""
        from service.scoring.model import load
        from service.settings import Settings

        settings = Settings(model=sys.argv[2], backend=sys.argv[4], device=sys.argv[3])
        self._loaded = load(settings, lambda stage, progress: None)

    def predict(self, x: list[tuple[str, str]]) -> Answers:
        """Score a batch."""
        tokenized = self._loaded.tokenizer.encode(x)
        answers: Answers = self._loaded.backend.predict(tokenized).tolist()
        return answers


if __name__ == "__main__":
    api = BackendAPI if len(sys.argv) > 4 else TransformersAPI
    server = ls.LitServer(
        api(max_batch_size=16, batch_timeout=0.005),
        accelerator=sys.argv[3],
        timeout=120,
    )
    server.run(
        host="127.0.0.1", port=int(sys.argv[1]), generate_client_file=False, log_level="warning"
    )
