"""`model info`: what a model directory holds, by loading it as the service would."""

from __future__ import annotations

from typing import Any

from service.scoring import checkpoint as checkpoints
from service.scoring import source, weights


def describe(model: str) -> dict[str, Any]:
    """Facts of a model, ready to print.

    Raises:
        OperatorError: The service would refuse it; the message says why.
    """
    directory = source.resolve(model, lambda stage, progress: None)
    checkpoint = checkpoints.read(directory)
    found = weights.load(checkpoint)
    return {
        "name": checkpoint.name,
        "description": checkpoint.description,
        "version": checkpoint.version,
        "directory": str(checkpoint.directory),
        "weights": checkpoint.weights.name,
        "weights_bytes": checkpoint.weights.stat().st_size,
        "stored_as": list(found.stored_dtypes),
        "parameters": found.parameters,
        "layers": checkpoint.bert["num_hidden_layers"],
        "layers_in_file": checkpoint.layers_in_file,
        "hidden_size": checkpoint.bert["hidden_size"],
        "vocabulary": len(checkpoint.vocabulary),
        "labels": list(checkpoint.labels),
        "max_tokens": checkpoint.max_tokens,
        "lower_case": checkpoint.lower_case,
        "unused_tensors": list(found.unused),
    }
