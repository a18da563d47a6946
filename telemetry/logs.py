"""Structured logs: one JSON object a line on standard error, with the trace they belong to.

An exception's message is never logged: it may quote what the client sent. Its type and the lines
of code it passed through are.
"""

from __future__ import annotations

import json
import logging
import sys
import traceback
from datetime import UTC, datetime

from opentelemetry.trace import get_current_span
from typing_extensions import override

# What every LogRecord has; the rest of its attributes came in by `extra=`.
_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


class JsonFormatter(logging.Formatter):
    """Formats a record as one line of JSON: time, level, logger, message, trace, extras."""

    @override
    def format(self, record: logging.LogRecord) -> str:
        entry: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        span = get_current_span().get_span_context()
        if span.is_valid:
            entry["trace_id"] = format(span.trace_id, "032x")
            entry["span_id"] = format(span.span_id, "016x")
        entry.update((k, v) for k, v in vars(record).items() if k not in _STANDARD)
        if record.exc_info and record.exc_info[0] is not None:
            entry["exception"] = record.exc_info[0].__name__
            entry["stack"] = traceback.format_tb(record.exc_info[2])
        return json.dumps(entry, ensure_ascii=False, default=str)


def without_exception_message(record: logging.LogRecord) -> logging.LogRecord:
    """The record with its exception reduced to type and stack: a filter for exporting handlers."""
    if not record.exc_info or record.exc_info[0] is None:
        return record
    reduced = logging.makeLogRecord(vars(record))
    reduced.exc_info = reduced.exc_text = None
    reduced.__dict__["exception.type"] = record.exc_info[0].__name__
    reduced.__dict__["code.stacktrace"] = "".join(traceback.format_tb(record.exc_info[2]))
    return reduced


def configure(level: str) -> None:
    """Send all logs of the process as JSON lines to standard error, from `level` up."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
