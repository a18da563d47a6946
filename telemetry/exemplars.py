"""Keeps the last exemplar of each bucket, as the SDK does, at a tenth of the calls.

The SDK's reservoir goes through a histogram's bounds one by one, and reads the span out of the
context, for each measurement that is offered: with everything sampled, seven times a request for
each reader. Nearly all of them are replaced before anybody collects. So here the measurement is
kept as it came, and read when it is collected.
"""

from __future__ import annotations

import threading
from bisect import bisect_left
from collections.abc import Sequence
from typing import Any

from opentelemetry.context import Context
from opentelemetry.sdk.metrics import (
    Exemplar,
    ExemplarReservoir,
    Histogram,
    SimpleFixedSizeExemplarReservoir,
)
from opentelemetry.sdk.metrics.view import View
from opentelemetry.trace import INVALID_SPAN, get_current_span
from opentelemetry.util.types import Attributes
from typing_extensions import override


class LastOfBucket(ExemplarReservoir):
    """The last measurement of each bucket since it was collected. Safe to share between threads.

    Args:
        boundaries: Upper bounds of the buckets, rising.
    """

    def __init__(self, boundaries: Sequence[float]) -> None:
        self._boundaries = boundaries
        self._lock = threading.Lock()
        self._last: dict[int, tuple[float, int, Attributes, Context]] = {}

    @override
    def offer(
        self, value: float, time_unix_nano: int, attributes: Attributes, context: Context
    ) -> None:
        bucket = bisect_left(self._boundaries, value)
        with self._lock:
            self._last[bucket] = (value, time_unix_nano, attributes, context)

    @override
    def collect(self, point_attributes: Attributes) -> list[Exemplar]:
        with self._lock:
            last, self._last = self._last, {}
        return [_exemplar(*last[bucket], point_attributes) for bucket in sorted(last)]


def _exemplar(
    value: float,
    time_unix_nano: int,
    attributes: Attributes,
    context: Context,
    of_point: Attributes,
) -> Exemplar:
    others = {k: v for k, v in (attributes or {}).items() if k not in (of_point or {})}
    if (span := get_current_span(context)) is INVALID_SPAN:
        return Exemplar(others, value, time_unix_nano)
    ids = span.get_span_context()
    return Exemplar(others, value, time_unix_nano, ids.span_id, ids.trace_id)


def _reservoir(**parameters: Any) -> ExemplarReservoir:
    """For buckets with bounds, ours; for others, whose bounds change, the SDK's."""
    if "boundaries" in parameters:
        return LastOfBucket(**parameters)
    return SimpleFixedSizeExemplarReservoir(**parameters)


def views() -> list[View]:
    """Views by which the histograms that a request records into keep their exemplars here."""
    return [
        View(
            instrument_type=Histogram,
            meter_name=meter,
            # The SDK hands keywords to it, whatever its annotation says.
            exemplar_reservoir_factory=lambda _: _reservoir,  # type: ignore[arg-type,return-value]
        )
        for meter in ("mgeo", "opentelemetry.instrumentation.flask")
    ]
