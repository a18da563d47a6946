"""One model of the process: its queue, its engine and its state, from loading to unloading."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from service.errors import CheckpointError
from service.lifecycle import Lifecycle, State
from service.scoring import checkpoint as checkpoints
from service.scoring import model as models
from service.scoring import score
from service.scoring.backends import Progress, calibration
from service.scoring.cache import PairResult, ResultCache
from service.scoring.engine import Engine
from service.scoring.events import Events
from service.scoring.model import LoadedModel
from service.scoring.model_spec import ModelSpec
from service.scoring.queue import PairQueue
from service.settings import Settings

log = logging.getLogger(__name__)

_CALIBRATION_BATCH = 8
"""Pairs of one pass."""


class Version:
    """One model, on its way, loaded, or on its way out: its queue, its engine and its state.

    Args:
        spec: What is to be loaded.
        settings: Of the process.
        events: Told of what is computed.
        cache: Given its results, and asked for them; a shadow has none.
        on_progress: Told of the stages of loading.
        on_state: Told of its state.
        thread: Name of the engine's thread.

    Attributes:
        spec: As given.
        lifecycle: Its state.
        queue: Pairs waiting for it.
        engine: Runs it.
        calibration: Share of the calibration list's pairs in each tenth of the similarity, if
            models are declared to be compared.
    """

    def __init__(
        self,
        spec: ModelSpec,
        settings: Settings,
        events: Events,
        *,
        cache: ResultCache | None,
        on_progress: Callable[[Version, str, float], None],
        on_state: Callable[[Version, State], None],
        thread: str,
    ) -> None:
        self.spec = spec
        self._settings = replace(settings, model=spec.source)
        self._on_progress = on_progress
        self.lifecycle = Lifecycle(lambda _, state: on_state(self, state))
        self.queue = PairQueue(
            max_pairs=settings.max_queue_pairs,
            max_tokens=settings.max_queue_tokens,
            cache=cache,
            dropped=events.pairs_dropped,
        )
        self.engine = Engine(self._load, self.queue, self.lifecycle, events, thread)
        self.calibration: dict[str, float] = {}

    @property
    def model(self) -> LoadedModel | None:
        """The model, while it is loaded."""
        return self.engine.model

    @property
    def model_version(self) -> str:
        """The version of its weights and vocabulary; empty until it is loaded."""
        return self.model.checkpoint.version if self.model else ""

    @property
    def protocol_name(self) -> str:
        """The model's own name, as the Open Inference Protocol has it; empty until it is loaded."""
        return self.model.protocol_name if self.model else ""

    def _load(self, progress: Progress) -> LoadedModel:
        def report(stage: str, done: float) -> None:
            progress(stage, done)
            self._on_progress(self, stage, done)

        loaded = models.load(
            self._settings, report, background=self.spec.role == "shadow", serves=True
        )
        if self._settings.models_file:
            progress("scoring the calibration list", 0.95)
            self.calibration = _calibration(loaded)
        return loaded

    def is_current(self) -> bool:
        """Whether it works, and its directory does not hold another model by now.

        One that can no longer be read says nothing against the copy in memory: rolling back must
        not hang on it.
        """
        loaded = self.model
        if loaded is None or self.lifecycle.state is not State.READY:
            return False
        try:
            return (
                checkpoints.read(loaded.checkpoint.directory).version == loaded.checkpoint.version
            )
        except CheckpointError as error:
            extra = {"model": self.spec.name, "reason": str(error)}
            log.warning("a model's files cannot be read any more; it stays in memory", extra=extra)
            return True

    def report(self, share: float) -> dict[str, Any]:
        """What it is, what it gets of the traffic, and how far it is."""
        fields: dict[str, Any] = {
            "name": self.spec.name,
            "source": self.spec.source,
            "role": self.spec.role,
            "share": round(share, 6),
            **self.lifecycle.report(),
        }
        if model := self.model:
            fields |= {
                "version": model.checkpoint.version,
                "model": model.checkpoint.name,
                "backend": model.backend.name,
                "device": model.backend.device,
                "load_seconds": round(self.engine.load_seconds, 2),
                "memory_bytes": model.memory_bytes,
            }
        return fields

    def retire(self, timeout: float) -> bool:
        """Finish what it has taken, and let go of the model; returns whether it did in time."""
        self.lifecycle.to(State.DRAINING)
        stopped = self.engine.stop(timeout)
        if stopped:
            self.engine.unload()
            self.lifecycle.to(State.STOPPED)
        return stopped


def _calibration(model: LoadedModel) -> dict[str, float]:
    pairs = sorted(model.tokenizer.encode(calibration.pairs()), key=lambda pair: len(pair.ids))
    batches = [
        pairs[at : at + _CALIBRATION_BATCH] for at in range(0, len(pairs), _CALIBRATION_BATCH)
    ]
    counted = Counter(
        score.tenth(score.of(PairResult.of(row, pair), model.checkpoint.labels).similarity)
        for batch in batches
        for row, pair in zip(model.predict(batch).tolist(), batch, strict=True)
    )
    return {upper: counted[upper] / len(pairs) for upper in score.TENTHS}
