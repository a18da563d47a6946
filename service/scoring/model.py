"""A model ready to score: its checkpoint, its tokenizer and the backend that runs it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import cast

import numpy as np
import psutil

from service import memory
from service.errors import CheckpointError, SettingsError
from service.scoring import checkpoint as checkpoints
from service.scoring import source
from service.scoring.backends import Backend, Probabilities, Progress, calibration, choose
from service.scoring.backends.choose import BackendChoice
from service.scoring.checkpoint import Checkpoint
from service.scoring.tokens import Normalization, PairTokenizer, TokenizedPair
from service.settings import Settings

_WARM_UP = [(1, 16), (1, 64), (8, 48)]
"""Pairs and characters of the forward passes before the first request, so that it is not slow."""


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """Everything that scoring needs of one model.

    Attributes:
        checkpoint: What the model's directory says of itself.
        tokenizer: Turns its input into token ids.
        backend: Runs it.
        choice: Why that one.
        batch_tokens: Most tokens under way at once, padding counted if the backend pads; its
            streams share them.
        memory_bytes: What the process grew by while it was loaded, libraries included.
    """

    checkpoint: Checkpoint
    tokenizer: PairTokenizer
    backend: Backend
    choice: BackendChoice
    batch_tokens: int
    memory_bytes: int = 0

    @property
    def protocol_name(self) -> str:
        """Its name as a path can hold it: what the Open Inference Protocol's routes call it."""
        return self.checkpoint.name.replace("/", "--")

    def predict(self, pairs: Sequence[TokenizedPair], stream: int | None = None) -> Probabilities:
        """Score one batch, and check what comes back.

        Args:
            pairs: At least one.
            stream: Which part of the device is to compute it; see `Backend`.

        Raises:
            Exception: What the backend raised.
            ValueError: It returned an array of another shape.
            FloatingPointError: It returned values that are not numbers.
        """
        probabilities = self.backend.predict(pairs, stream)
        if probabilities.shape != (len(pairs), len(self.checkpoint.labels)):
            raise ValueError("the model returned an array of another shape")
        if not np.isfinite(probabilities).all():
            raise FloatingPointError("the model returned values that are not numbers")
        return probabilities


def load(
    settings: Settings, progress: Progress, *, background: bool = False, serves: bool = False
) -> LoadedModel:
    """Load the model that the settings name, and warm it up.

    Args:
        settings: Which model, and how it is to run.
        progress: Told of the stages.
        background: Whether it is to run only where a processor is idle.
        serves: Whether it is to answer requests from now on, so that what its backend makes for
            each size of a batch is made now: its memory is known, and no request waits for it.

    Raises:
        OperatorError: It cannot be found, fetched or loaded as a whole.
    """
    before = _resident_bytes()
    progress("finding the model", 0.0)
    directory = source.resolve(settings.model, progress)
    progress("reading the checkpoint", 0.1)
    checkpoint = checkpoints.read(directory)
    tokenizer = tokenizer_of(checkpoint, settings)
    backend, choice = choose.build(
        checkpoint,
        settings,
        tokenizer.encode(calibration.pairs()),
        progress,
        background=background,
    )
    batch_tokens = settings.batch_tokens or backend.batch_tokens
    model = LoadedModel(checkpoint, tokenizer, backend, choice, batch_tokens)
    progress("warming up", 0.9)
    _warm_up(model)
    if serves:
        backend.warm_up(batch_tokens, lambda done: progress("warming up", 0.9 + 0.05 * done))
    memory.give_back()
    return replace(model, memory_bytes=max(0, _resident_bytes() - before))


def _resident_bytes() -> int:
    return int(psutil.Process().memory_info().rss)


def _warm_up(model: LoadedModel) -> None:
    for pairs, characters in _WARM_UP:
        half = "1" * (characters // 2)
        try:
            model.predict(model.tokenizer.encode([(" ".join(half), " ".join(half))] * pairs))
        except FloatingPointError as error:
            raise CheckpointError(
                f"{model.checkpoint.weights}: {error}: its weights are damaged, fetch it again"
            ) from None


def tokenizer_of(checkpoint: Checkpoint, settings: Settings) -> PairTokenizer:
    """The tokenizer of a checkpoint, as the settings have it.

    Raises:
        SettingsError: The model does not read as many tokens, or needs more.
    """
    max_tokens = settings.max_tokens
    positions = checkpoint.bert["max_position_embeddings"]
    if max_tokens and not checkpoints.FEWEST_TOKENS <= max_tokens <= positions:
        raise SettingsError(
            f"MGEO_MAX_TOKENS={max_tokens}: {checkpoint.name} reads from "
            f"{checkpoints.FEWEST_TOKENS} to {positions} tokens; 0 takes its own limit"
        )
    return PairTokenizer(
        checkpoint.vocabulary,
        lower_case=checkpoint.lower_case,
        max_tokens=max_tokens or checkpoint.max_tokens,
        normalization=checkpoint.normalization
        if settings.normalize == "auto"
        else cast(Normalization, settings.normalize),
        shorter_first=checkpoint.shorter_first,
    )
