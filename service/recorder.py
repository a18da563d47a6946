"""Makes metrics, spans and log lines of what happens while pairs are scored: the only place."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from opentelemetry.trace import (
    Link,
    NonRecordingSpan,
    Span,
    StatusCode,
    set_span_in_context,
    use_span,
)
from typing_extensions import override

from service.scoring import refusal
from service.scoring.events import Batch, Compared, Events, Lookup, ShadowPass
from service.scoring.score import TENTHS, Score, tenth
from service.scoring.timeline import epoch_offset_ns
from telemetry.setup import Telemetry

log = logging.getLogger(__name__)


class Recorder(Events):
    """Records by the telemetry of the process."""

    def __init__(self, telemetry: Telemetry) -> None:
        self._instruments, self._tracer = telemetry.instruments, telemetry.tracer

    @override
    def loaded(self, model_version: str, labels: Sequence[str]) -> None:
        self._instruments.loaded(model_version, labels, TENTHS)

    @override
    def batch_started(self, batch: Batch) -> None:
        """Begin a span in the trace of the first request that is sampled; none if no request is."""
        first = next((one for one in batch.requests if one and one.trace_flags.sampled), None)
        if first is None:
            return
        batch.record = self._tracer.start_span(
            "batch",
            context=set_span_in_context(NonRecordingSpan(first)),
            attributes={
                "mgeo.batch.size": batch.pairs,
                "mgeo.batch.tokens": batch.tokens,
                "mgeo.batch.computed_tokens": batch.computed_tokens,
                "mgeo.batch.lane": "interactive" if batch.interactive else "bulk",
                "mgeo.batch.cut": batch.cut,
                "mgeo.model_version": batch.model_version,
            },
        )

    @override
    def batch_ended(self, batch: Batch) -> None:
        of_version = {"model_version": batch.model_version}
        if batch.error is not None:
            kind = type(batch.error).__name__
            log.error(
                "batch failed",
                exc_info=batch.error,
                extra={"pairs": batch.pairs, "tokens": batch.computed_tokens},
            )
            self._instruments.batch_failed.add(1, {"error_type": kind, **of_version})
            if batch.out_of_memory:
                self._instruments.batch_out_of_memory.add(1, of_version)
        if span := batch.record:
            _end(span, batch)
        self._instruments.batch_duration.record(batch.seconds, of_version)
        self._instruments.batch_size.record(batch.pairs, of_version)
        padding = batch.computed_tokens - batch.tokens
        self._instruments.batch_tokens.add(batch.tokens, {"kind": "real", **of_version})
        self._instruments.batch_tokens.add(padding, {"kind": "padding", **of_version})

    @override
    def pairs_failed(self, pairs: int, model_version: str) -> None:
        self._instruments.prediction_failed.add(pairs, {"model_version": model_version})

    @override
    def pairs_dropped(self, pairs: int) -> None:
        self._instruments.queue_dropped.add(pairs)

    @override
    def looked_up(self, result: Lookup, pairs: int) -> None:
        self._instruments.cache_lookup.add(pairs, {"result": result})

    @override
    def scored(self, outcomes: Sequence[Any], model_version: str) -> None:
        labels: Counter[tuple[str, str]] = Counter()
        truncated = unread = 0
        for outcome in outcomes:
            if isinstance(outcome, Score):
                labels[outcome.label, tenth(outcome.similarity)] += 1
                truncated += outcome.truncated
                unread += outcome.unread > 0
            elif isinstance(outcome, refusal.REFUSALS):
                self._instruments.input_refused.add(1, {"problem": outcome.code})
        of_version = {"model_version": model_version}
        for (label, upper), count in labels.items():
            self._instruments.prediction.add(count, {"label": label, **of_version})
            self._instruments.prediction_similarity.add(count, {"upper": upper, **of_version})
        if truncated:
            self._instruments.input_truncated.add(truncated)
        if unread:
            self._instruments.input_unread.add(unread)

    @override
    def compares(self, model_version: str, against: str, labels: Sequence[str]) -> None:
        self._instruments.compares(model_version, against, labels)

    @override
    @contextmanager
    def shadow_pass(self, shadow: ShadowPass) -> Iterator[None]:
        """A span in the trace of the first request that is sampled, linked to each of them; none if
        no request is."""
        requests = {one.span_id: one for one in shadow.requests if one and one.trace_flags.sampled}
        if not requests:
            yield
            return
        first, *_ = requests.values()
        span = self._tracer.start_span(
            "shadow",
            context=set_span_in_context(NonRecordingSpan(first)),
            links=[Link(request) for request in requests.values()],
            attributes={
                "mgeo.model_version": shadow.model_version,
                "mgeo.pairs": shadow.pairs,
            },
        )
        shadow.trace = span.get_span_context()
        with use_span(span, end_on_exit=True):
            yield
            if shadow.agreed is not None:
                span.set_attribute("mgeo.shadow.agreed", shadow.agreed)

    @override
    def compared(self, one: Compared) -> None:
        of_both = {"model_version": one.model_version, "against": one.against}
        labels = {"label": one.label, "against_label": one.against_label}
        self._instruments.shadow_prediction.add(1, of_both | labels)
        self._instruments.shadow_shift.record(one.similarity_delta, of_both)

    @override
    def shadow_dropped(self, pairs: int, model_version: str) -> None:
        self._instruments.shadow_dropped.add(pairs, {"model_version": model_version})


def _end(span: Span, batch: Batch) -> None:
    for request in batch.requests:
        if request and request.trace_flags.sampled:
            span.add_link(request)
    if batch.error is not None:
        span.set_attribute("error.type", type(batch.error).__name__)
        span.set_status(StatusCode.ERROR)
    span.end(epoch_offset_ns() + batch.ended_ns)
