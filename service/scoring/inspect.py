"""`model info`: what a model directory holds, by loading it as the service would."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from service.scoring import model, weights
from service.settings import Settings


def describe(settings: Settings) -> dict[str, Any]:
    """Facts of the model that the settings name, and of what runs it here; ready to print.

    Raises:
        OperatorError: The service would refuse it; the message says why.
    """
    loaded = model.load(settings, lambda stage, progress: None)
    checkpoint = loaded.checkpoint
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
        "normalization": loaded.tokenizer.normalization,
        "shorter_first": checkpoint.shorter_first,
        "unused_tensors": list(found.unused),
        "device": loaded.backend.device,
        "memory_bytes": loaded.memory_bytes,
        **asdict(loaded.choice),
    }
