"""A loop over transformers' BERT in torch, fp32. Arguments: model directory, device."""

from __future__ import annotations

import sys

import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from benchmarks import loops
from benchmarks.pairs import Pair


def main() -> None:
    """Load the model and answer orders."""
    directory, device = sys.argv[1:]
    tokenizer = AutoTokenizer.from_pretrained(directory)
    model = AutoModelForSequenceClassification.from_pretrained(directory).to(device).eval()

    @torch.inference_mode()
    def score(batch: list[Pair]) -> object:
        inputs = tokenizer(
            [one for one, _ in batch], [other for _, other in batch],
            padding=True, truncation=True, return_tensors="pt",
        ).to(device)  # fmt: skip
        return model(**inputs).logits.softmax(-1).tolist()

    loops.answer(
        {
            "single": loops.one_by_one(lambda pair: score([pair])),
            "batches of 32": loops.batched(loops.by_count(32), score),
        }
    )


if __name__ == "__main__":
    main()
