"""BERT in BentoML with adaptive batching, each batch padded to its longest pair.

Read from the environment, because `bentoml serve` passes no arguments: BENCH_MODEL, the model's
directory, and BENCH_DEVICE.
"""

from __future__ import annotations

import os

import bentoml


@bentoml.service(workers=1, traffic={"timeout": 120})  # type: ignore[untyped-decorator, unused-ignore]
class Pairs:
    """As in BentoML's examples: tokenizer and model from transformers."""

    def __init__(self) -> None:
        import torch
        from transformers import AutoModelForSequenceClassification, AutoTokenizer

        self._torch = torch
        self._device = os.environ["BENCH_DEVICE"]
        self._tokenizer = AutoTokenizer.from_pretrained(os.environ["BENCH_MODEL"])
        model = AutoModelForSequenceClassification.from_pretrained(os.environ["BENCH_MODEL"])
        self._model = model.to(self._device).eval()

    @bentoml.api(batchable=True, max_batch_size=16)  # type: ignore[untyped-decorator, unused-ignore]
    def predict(self, pairs: list[dict[str, str]]) -> list[list[float]]:
        """Score a batch; BentoML joins requests to one."""
        inputs = self._tokenizer(
            [pair["address1"] for pair in pairs], [pair["address2"] for pair in pairs],
            padding=True, truncation=True, return_tensors="pt",
        ).to(self._device)  # fmt: skip
        with self._torch.inference_mode():
            answers: list[list[float]] = self._model(**inputs).logits.softmax(-1).tolist()
        return answers
