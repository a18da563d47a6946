"""The tensors that MGeo's text model has: names and shapes, from a checkpoint's configuration.

Names are those of transformers' BertForSequenceClassification, which tests hold them to. Written
out here so that a checkpoint can be checked and run without importing torch or transformers.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Shape = tuple[int, ...]


def tensor_shapes(bert: Mapping[str, Any], labels: int) -> dict[str, Shape]:
    """Name and shape of every tensor of the model.

    Args:
        bert: Sizes as in config.json: hidden_size, num_hidden_layers and so on.
        labels: Outputs of the classifier.
    """
    hidden, inner = bert["hidden_size"], bert["intermediate_size"]
    shapes: dict[str, Shape] = {
        "bert.embeddings.word_embeddings.weight": (bert["vocab_size"], hidden),
        "bert.embeddings.position_embeddings.weight": (bert["max_position_embeddings"], hidden),
        "bert.embeddings.token_type_embeddings.weight": (bert["type_vocab_size"], hidden),
        **_norm("bert.embeddings.LayerNorm", hidden),
    }
    for layer in range(bert["num_hidden_layers"]):
        name = f"bert.encoder.layer.{layer}"
        for part in ("query", "key", "value"):
            shapes |= _linear(f"{name}.attention.self.{part}", hidden, hidden)
        shapes |= _linear(f"{name}.attention.output.dense", hidden, hidden)
        shapes |= _norm(f"{name}.attention.output.LayerNorm", hidden)
        shapes |= _linear(f"{name}.intermediate.dense", hidden, inner)
        shapes |= _linear(f"{name}.output.dense", inner, hidden)
        shapes |= _norm(f"{name}.output.LayerNorm", hidden)
    return (
        shapes
        | _linear("bert.pooler.dense", hidden, hidden)
        | _linear("classifier", hidden, labels)
    )


def _linear(name: str, inputs: int, outputs: int) -> dict[str, Shape]:
    return {f"{name}.weight": (outputs, inputs), f"{name}.bias": (outputs,)}


def _norm(name: str, size: int) -> dict[str, Shape]:
    return {f"{name}.weight": (size,), f"{name}.bias": (size,)}
