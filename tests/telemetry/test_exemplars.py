"""The exemplars of a bucket are those that the SDK's own reservoir would have kept."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.context import Context
from opentelemetry.sdk.metrics import (
    AlignedHistogramBucketExemplarReservoir,
    AlwaysOnExemplarFilter,
    Histogram,
    MeterProvider,
)
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.metrics.view import ExponentialBucketHistogramAggregation
from opentelemetry.trace import (
    NonRecordingSpan,
    SpanContext,
    TraceFlags,
    set_span_in_context,
)

from telemetry.exemplars import LastOfBucket, views
from telemetry.instruments import LATENCY_SECONDS

POINT = {"stage": "admit"}


def context_of(span: int) -> Context:
    ids = SpanContext(span, span + 1, is_remote=False, trace_flags=TraceFlags(TraceFlags.SAMPLED))
    return set_span_in_context(NonRecordingSpan(ids), Context())


MEASUREMENTS = st.lists(
    st.tuples(
        st.sampled_from(LATENCY_SECONDS) | st.floats(min_value=0, max_value=20),
        st.integers(min_value=1, max_value=5),
        st.sampled_from([None, POINT, {**POINT, "more": 1}]),
    ),
    max_size=30,
)


@given(st.lists(MEASUREMENTS, max_size=3))
def test_any_measurements_leave_what_they_leave_in_the_sdks_reservoir(
    periods: list[list[tuple[float, int, dict[str, str] | None]]],
) -> None:
    ours = LastOfBucket(LATENCY_SECONDS)
    theirs = AlignedHistogramBucketExemplarReservoir(LATENCY_SECONDS)
    for period in periods:
        for number, (value, span, attributes) in enumerate(period):
            for reservoir in (ours, theirs):
                reservoir.offer(value, number, attributes, context_of(span))
        kept = [(e.value, e.time_unix_nano, e.span_id, e.trace_id) for e in ours.collect(POINT)]
        collected = theirs.collect(POINT)
        assert kept == [(e.value, e.time_unix_nano, e.span_id, e.trace_id) for e in collected]


def test_what_a_point_does_not_say_its_exemplar_does() -> None:
    reservoir = LastOfBucket((1.0,))
    reservoir.offer(0.5, 7, {**POINT, "more": 1}, context_of(3))

    [kept] = reservoir.collect(POINT)
    assert kept.filtered_attributes == {"more": 1}
    assert reservoir.collect(POINT) == []


def test_buckets_without_fixed_bounds_keep_the_sdks_reservoir() -> None:
    reader = InMemoryMetricReader(
        preferred_aggregation={Histogram: ExponentialBucketHistogramAggregation()}
    )
    provider = MeterProvider([reader], exemplar_filter=AlwaysOnExemplarFilter(), views=views())
    provider.get_meter("mgeo").create_histogram("odd").record(0.01, POINT, context_of(3))
    data = reader.get_metrics_data()
    provider.shutdown()

    assert data is not None
    [point] = data.resource_metrics[0].scope_metrics[0].metrics[0].data.data_points
    assert [exemplar.span_id for exemplar in point.exemplars] == [4]


def test_a_measurement_outside_of_a_span_names_none() -> None:
    reservoir = LastOfBucket((1.0,))
    reservoir.offer(0.5, 7, POINT, context_of(3))
    reservoir.offer(0.5, 8, POINT, Context())

    [kept] = reservoir.collect(POINT)
    assert (kept.time_unix_nano, kept.span_id, kept.trace_id) == (8, None, None)
