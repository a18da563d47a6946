"""The threads that own the model: one loads it, and each scores batch after batch on its part of
the device, as many as the device has parts.

A request's way: `Scorer` puts its pairs into the queue and waits; here they are taken as part of a
batch, computed, and put into the request's job.
"""

from __future__ import annotations

import contextlib
import logging
import math
import threading
import time
from collections.abc import Callable, Iterator

from service.errors import EngineFailed, OperatorError
from service.lifecycle import Lifecycle, LoadingCancelledError, State
from service.scoring.backends import OutOfMemory, Progress
from service.scoring.backends.layout import computed_tokens
from service.scoring.device import Budget, Streams
from service.scoring.events import Batch, Events
from service.scoring.job import Item
from service.scoring.model import LoadedModel
from service.scoring.queue import PairQueue

log = logging.getLogger(__name__)

_MEMORY = (OutOfMemory, MemoryError)

_PROBE = ("1", "1")
"""A pair that every model can score."""

_MEMORY_PATIENCE_SECONDS = 30.0
"""How long a device may have no memory for even one pair: another process may give some back."""


class Engine:
    """Runs the model on threads of its own, from loading to the last queued pair.

    Args:
        load: Builds the model; called on the first of them.
        queue: Where pairs come from.
        lifecycle: Told when the model is ready, or why it is not.
        events: Told of what is computed.
        name: Of the threads.
    """

    def __init__(
        self,
        load: Callable[[Progress], LoadedModel],
        queue: PairQueue,
        lifecycle: Lifecycle,
        events: Events,
        name: str = "engine",
    ) -> None:
        self._load = load
        self._queue = queue
        self._lifecycle = lifecycle
        self._events = events
        self._name = name
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._streams = Streams()
        # Of each thread that has a batch: since when.
        self._busy: dict[int, float] = {}
        self._last_progress = time.monotonic()
        self._model: LoadedModel | None = None
        self._budget = Budget(0)
        # Since when the device has had no memory for a single pair; None while it has.
        self._starved_since: float | None = None
        self._of_version: dict[str, str] = {}
        self.load_seconds = 0.0

    @property
    def model(self) -> LoadedModel | None:
        """The model, once it is loaded."""
        return self._model

    def start(self) -> None:
        """Begin loading."""
        self._thread.start()

    def stop(self, timeout: float) -> bool:
        """Finish what is queued, for at most `timeout` seconds; returns whether it did."""
        self._queue.close()
        if self._thread.ident is not None:  # else it was never started
            self._thread.join(timeout)
        return not self._thread.is_alive()

    def unload(self) -> None:
        """Let go of the model, once the engine has stopped."""
        self._model = None

    def idle(self) -> bool:
        """Whether there is nothing to compute now."""
        return not (self._busy or self._queue.depth())

    def progress_age(self) -> float:
        """Seconds since a batch was last taken or finished while there was work; 0 when idle.

        Of the thread that has made none for longest.
        """
        now = time.monotonic()
        if busy := list(self._busy.values()):
            return now - min(busy)
        # Of work that came after an idle hour, the hour says nothing.
        return min(now - self._last_progress, self._queue.oldest_age())

    def token_limit(self) -> int:
        """Tokens that may be under way at once now; 0 before the model is loaded."""
        return self._budget.tokens

    def _run(self) -> None:
        with self._failing():
            started = time.monotonic()
            self._model = self._load(self._lifecycle.loading)
            self.load_seconds = time.monotonic() - started
            self._announce(self._model)
            self._of_version = {"model_version": self._model.checkpoint.version}
            self._events.loaded(self._model.checkpoint.version, self._model.checkpoint.labels)
            self._budget = Budget(self._model.batch_tokens)
            self._lifecycle.to(State.READY)
            others = [
                threading.Thread(
                    target=self._work, args=(self._model, stream),
                    name=f"{self._name}-{stream + 1}", daemon=True,
                )
                for stream in range(1, self._model.backend.streams)
            ]  # fmt: skip
            for thread in others:
                thread.start()
            self._work(self._model, 0)
            for thread in others:
                thread.join()

    @contextlib.contextmanager
    def _failing(self) -> Iterator[None]:
        """Fail all that waits if a thread of the engine ends by an error."""
        try:
            yield
        except LoadingCancelledError:
            log.info("loading cancelled")
        except BaseException as error:
            self._queue.abort(EngineFailed("the engine has failed; the process ends"))
            # An operator's error is printed with its message by the command. Of any other error
            # only this line remains: a message may quote an address, and is stored nowhere.
            if not isinstance(error, OperatorError):
                log.critical("engine failed", exc_info=error, extra=self._of_version)
            self._lifecycle.to(State.FAILED, error)

    def _work(self, model: LoadedModel, own: int) -> None:
        """Score batch after batch, until the queue is closed and drained."""
        with self._failing():
            while batch := self._take(model):
                self._busy[own] = time.monotonic()
                is_alone = len(batch) == 1 and not self._queue.depth()
                try:
                    with self._streams.turn(own, is_alone=is_alone) as stream:
                        self._compute(model, batch, own, stream)
                finally:
                    self._last_progress = time.monotonic()
                    del self._busy[own]

    def _take(self, model: LoadedModel) -> list[Item]:
        backend = model.backend
        return self._queue.take(self.token_limit, padding=backend.padding, streams=backend.streams)

    def _announce(self, model: LoadedModel) -> None:
        log.info(
            "model loaded",
            extra={
                "model": model.checkpoint.name,
                "model_version": model.checkpoint.version,
                "description": model.checkpoint.description,
                "backend": model.backend.name,
                "device": model.backend.device,
                "seconds": round(self.load_seconds, 2),
            },
        )

    def _compute(self, model: LoadedModel, batch: list[Item], own: int, stream: int | None) -> None:
        """Score a batch, and one that fails in halves: only the pairs at fault end in an error.

        One that finds no memory is no fault of its pairs: they wait again, for smaller batches.
        """
        parts, splits, scored, memory = [batch], _splits(len(batch)), False, False
        try:
            while parts:
                self._busy[own] = time.monotonic()
                error = self._forward(model, parts[-1], stream, split=parts[-1] is not batch)
                part = parts.pop()
                memory = memory or isinstance(error, _MEMORY)
                if error is None:
                    scored = True
                elif len(part) > 1 and isinstance(error, _MEMORY):
                    self._queue.put_back([item for each in (part, *parts) for item in each])
                    parts = []
                elif len(part) > 1 and splits:
                    splits -= 1
                    middle = len(part) // 2
                    parts += [part[middle:], part[:middle]]
                else:
                    self._events.pairs_failed(len(part), model.checkpoint.version)
                    self._queue.fail(part, EngineFailed("the model failed on this pair"))
        except BaseException:
            dying = EngineFailed("the engine failed while it held this pair")
            self._queue.fail([item for part in parts for item in part], dying)
            raise
        if scored:
            self._starved_since = None
        elif not memory:
            # Pairs at fault, or a device that will never answer again? Raises if it is the latter.
            model.predict(model.tokenizer.encode([_PROBE]), stream)
        elif len(batch) == 1:
            self._probe_memory(model, stream)
        self._queue.done()

    def _probe_memory(self, model: LoadedModel, stream: int | None) -> None:
        """End the engine if the device has had no memory for the shortest pair for too long.

        Raises:
            OutOfMemory: It has not; a process that only answers errors is to be restarted.
            MemoryError: Likewise.
        """
        try:
            model.predict(model.tokenizer.encode([_PROBE]), stream)
        except _MEMORY:
            now = time.monotonic()
            since = self._starved_since = self._starved_since or now
            if now - since >= _MEMORY_PATIENCE_SECONDS:
                raise
        else:  # that pair was too long for it
            self._starved_since = None

    def _forward(
        self, model: LoadedModel, batch: list[Item], stream: int | None, *, split: bool
    ) -> Exception | None:
        """One forward pass; the error if it failed, and then nobody was told."""
        pairs = [item.pair for item in batch]
        lengths = [len(pair.ids) for pair in pairs]
        tokens = sum(lengths)
        computed = computed_tokens(len(pairs), tokens, max(lengths), model.backend.padding)
        facts = Batch(
            model.checkpoint.version, len(pairs), tokens, computed, batch[0].interactive,
            "split" if split else "budget" if self._queue.depth() else "none",
            started_ns=time.perf_counter_ns(),
        )  # fmt: skip
        self._queue.begin(batch, facts)
        self._events.batch_started(facts)
        try:
            probabilities = model.predict(pairs, stream)
            facts.ended_ns = time.perf_counter_ns()
        except Exception as error:
            facts.error, facts.ended_ns = error, time.perf_counter_ns()
            if isinstance(error, _MEMORY):
                facts.out_of_memory = True
                # The budget is shared by all streams.
                beside = 1 if stream is None else model.backend.streams
                self._budget.out_of_memory(beside * computed)
        else:
            self._queue.finish(batch, probabilities.tolist(), facts.ended_ns)
            self._budget.computed()
            # How soon one fails says nothing of how long the others take.
            self._queue.computed(computed, facts.seconds)
        # After the waiting threads were woken, so that they answer meanwhile. The pass ended before
        # its results were handed out.
        self._events.batch_ended(facts)
        return facts.error


def _splits(pairs: int) -> int:
    """How often a batch may be split: enough to find two pairs at fault, whatever its size."""
    return 2 * math.ceil(math.log2(pairs)) if pairs > 1 else 0
