"""The Collector's queue on disk: what an outage made it grow to is given back."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
from opentelemetry.exporter.otlp.proto.grpc._log_exporter import OTLPLogExporter
from opentelemetry.instrumentation.logging.handler import LoggingHandler
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
from opentelemetry.sdk.resources import Resource

from tests.stack import logs
from tests.stack.clients import eventually
from tests.stack.conftest import prepare
from tools import native

pytestmark = [pytest.mark.slow, pytest.mark.timeout(700)]

LINES = 2000


def _send(endpoint: str) -> None:
    """Log lines of 2 kB each, as another service would send them."""
    loggers = LoggerProvider(resource=Resource.create({"service.name": "talker"}))
    exporter = OTLPLogExporter(endpoint, insecure=True)
    loggers.add_log_record_processor(BatchLogRecordProcessor(exporter, max_queue_size=LINES))
    handler = LoggingHandler(logger_provider=loggers)
    for number in range(LINES):
        handler.emit(logging.makeLogRecord({"msg": f"{number:0>2000}", "levelno": logging.INFO}))
    loggers.shutdown()


def test_an_outage_leaves_no_large_file_behind(tmp_path: Path) -> None:
    store = native.log_store()
    with prepare(tmp_path, {}, ["otel-collector", store]) as stack:
        collector = stack.process("otel-collector")
        folder = tmp_path / "otel-collector" / "var" / "lib" / "otelcol"
        # As a compaction leaves it that was killed.
        (folder / "tempdb1234").touch()
        collector.start()
        collector.wait_healthy(60)
        assert not list(folder.glob("tempdb*"))

        queue = folder / "exporter_otlp_http_logs_logs"
        _send(stack.url("otel-collector", 4317).removeprefix("http://"))
        grown = eventually("the queue's file", lambda: queue.stat().st_size, (2 << 20).__le__, 60)
        stack.process(store).start()
        found = logs.of(stack)
        stack.process(store).wait_healthy(60)
        eventually("all lines", lambda: len(found.lines("talker")), LINES.__eq__, 60)
        collector.stop()
        collector.start()
        collector.wait_healthy(60)
        assert queue.stat().st_size < grown / 4
