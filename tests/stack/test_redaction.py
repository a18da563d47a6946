"""What the Collector masks if a sender forgets to: the second line of defence for addresses."""

from __future__ import annotations

import logging
import time

import pytest
from opentelemetry.exporter.otlp.proto.grpc._log_exporter import OTLPLogExporter
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.instrumentation.logging.handler import LoggingHandler
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import SimpleLogRecordProcessor
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor

from tests.stack.clients import Jaeger, eventually
from tests.stack.logs import LogStore
from tools.stack import Stack

pytestmark = [pytest.mark.slow, pytest.mark.timeout(700)]

CANARY = "甲州市东城区学府路12号"
KEPT = "4 characters of 城市 are no address"


def test_leaked_addresses_are_masked_in_traces_and_logs(
    stack: Stack, jaeger: Jaeger, log_store: LogStore
) -> None:
    endpoint = stack.url("otel-collector", 4317)
    resource = Resource.create({"service.name": "leaky", "service.instance.id": "leaky-1"})
    tracers = TracerProvider(resource=resource)
    tracers.add_span_processor(SimpleSpanProcessor(OTLPSpanExporter(endpoint, insecure=True)))
    with tracers.get_tracer("test").start_as_current_span("leak") as span:
        trace_id = format(span.get_span_context().trace_id, "032x")
        span.set_attribute("customer.address1", "12 Example Road")
        span.set_attribute("note", f"looked up {CANARY} twice")
        span.set_attribute("plain", KEPT)
        span.set_attribute("server.address", "127.0.0.1")
        span.add_event("exception", {"exception.message": f"bad: {CANARY}"})
    tracers.shutdown()

    loggers = LoggerProvider(resource=resource)
    loggers.add_log_record_processor(
        SimpleLogRecordProcessor(OTLPLogExporter(endpoint, insecure=True))
    )
    handler = LoggingHandler(logger_provider=loggers)
    record = logging.makeLogRecord({"msg": f"bad: {CANARY}", "levelname": "ERROR", "levelno": 40})
    record.__dict__["customer.address1"] = "12 Example Road"
    record.created = time.time()
    handler.emit(record)
    loggers.shutdown()

    spans = eventually("the span", lambda: jaeger.trace(trace_id), bool, seconds=60)
    lines = eventually("the line", lambda: log_store.lines("leaky"), bool, seconds=60)
    assert spans[0].events
    text = str([spans, lines])
    assert CANARY[:4] not in text
    assert "12 Example Road" not in text
    assert "looked up **** twice" in text
    # Masking everything would pass the checks above.
    assert KEPT in text
    assert spans[0].attributes["customer.address1"] == "****"
    assert spans[0].attributes["server.address"] == "127.0.0.1"
