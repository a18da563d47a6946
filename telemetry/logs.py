"""Structured logs: one JSON object a line on standard error, with the trace they belong to; plain
lines for somebody who reads along.

An exception's message is never logged: it may quote what the client sent. Its type and the lines
of code it passed through are. Libraries that handle requests quote them too (waitress the path,
OpenTelemetry the `baggage` and `tracestate` headers), so of a library's line only the fixed part
is kept, unless the library is known to quote nothing.
"""

from __future__ import annotations

import contextlib
import json
import logging
import math
import sys
import threading
import traceback
from collections import deque
from datetime import UTC, datetime
from functools import cache
from typing import Any, TextIO

from opentelemetry._logs import LoggerProvider, LogRecord
from opentelemetry.instrumentation.log_utils import std_to_otel
from opentelemetry.trace import get_current_span
from typing_extensions import override

# What every LogRecord has; the rest of its attributes came in by `extra=`.
_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


_QUOTES_NOTHING = (
    "service",
    "telemetry",
    "mgeo.request",
    "opentelemetry.exporter",
    "opentelemetry.sdk",
    "transformers",
    "torch",
    "modelscope_hub",
)
"""Loggers, with those below them, whose messages hold nothing that a client sent. Not `mgeo`: as
that, Flask logs the path of a request that failed."""


_SEVERITY_TEXT = {"WARNING": "WARN", "CRITICAL": "FATAL"}
"""Where OpenTelemetry's name of a level is another one."""

_PLAIN = (str, bool, int, float)
"""What leaves the process as it is; of all else the text does."""

_JSON = json.JSONEncoder(ensure_ascii=False, default=str)

_SOON = "mgeo.request"
"""The logger with a line for each sampled request."""

_SOON_SECONDS = 0.1


class JsonFormatter(logging.Formatter):
    """Formats a record as one line of JSON: time, level, logger, message, trace, extras."""

    @override
    def format(self, record: logging.LogRecord) -> str:
        entry: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": _message(record),
        }
        span = get_current_span().get_span_context()
        if span.is_valid:
            entry["trace_id"] = format(span.trace_id, "032x")
            entry["span_id"] = format(span.span_id, "016x")
        for key, value in _extras(record).items():
            entry[key] = _json_value(value) if isinstance(value, float) else value
        if record.exc_info and record.exc_info[0] is not None:
            entry["exception"] = record.exc_info[0].__name__
            entry["stack"] = traceback.format_tb(record.exc_info[2])
        return _JSON.encode(entry)


class PlainFormatter(logging.Formatter):
    """Formats a record for a terminal: time, level, message, extras."""

    @override
    def format(self, record: logging.LogRecord) -> str:
        words = [f"{datetime.fromtimestamp(record.created):%H:%M:%S}"]
        if record.levelno != logging.INFO:
            words.append(record.levelname.lower())
        words.append(_message(record))
        words += [f"{key}={value}" for key, value in _extras(record).items()]
        if record.exc_info and record.exc_info[0] is not None:
            stack = "".join(traceback.format_tb(record.exc_info[2])).rstrip()
            words.append(f"{record.exc_info[0].__name__}\n{stack}")
        return " ".join(words)


class DiscreetHandler(logging.Handler):
    """Never prints a record that cannot be written. The standard handler prints all of it."""

    @override
    def handleError(self, record: logging.LogRecord) -> None:
        """Say in one line on standard error that a log line is lost: of which logger, where and
        why."""
        raised = sys.exc_info()[0]
        lost = {
            "level": "error",
            "logger": __name__,
            "message": "a log line is lost",
            "of": record.name,
            "where": f"{record.module}:{record.lineno}",
            "exception": raised.__name__ if raised else None,
        }
        with contextlib.suppress(OSError, ValueError):  # standard error is closed
            sys.stderr.write(_JSON.encode(lost) + "\n")
            sys.stderr.flush()


class LineHandler(DiscreetHandler, logging.StreamHandler[TextIO]):
    """Writes lines, and formats each of them before it waits for its turn to write.

    The standard handler formats and writes while it holds its lock: under load, request threads
    wait for each other's lines. So lines of `_SOON` are written a little later, many
    at once, by a thread of their own. They are written before any other line, and at the end.
    """

    def __init__(self, stream: TextIO) -> None:
        super().__init__(stream)
        self._soon: deque[str] = deque()
        self._ended = threading.Event()
        threading.Thread(target=self._write_soon, name="log-lines", daemon=True).start()

    @override
    def handle(self, record: logging.LogRecord) -> bool:
        if not self.filter(record):
            return False
        try:
            self._soon.append(self.format(record) + self.terminator)
            if record.name != _SOON or record.levelno > logging.INFO or self._ended.is_set():
                self.flush()
        except Exception:
            self.handleError(record)
        return True

    @override
    def flush(self) -> None:
        """Write what is to be written."""
        with self.lock or contextlib.nullcontext():
            lines = [self._soon.popleft() for _ in range(len(self._soon))]
            if lines:
                self.stream.write("".join(lines))
            self.stream.flush()

    @override
    def close(self) -> None:
        """End the thread; lines are written as ever, each at once."""
        self._ended.set()
        super().close()

    def _write_soon(self) -> None:
        while not self._ended.wait(_SOON_SECONDS):
            if self._soon:
                with contextlib.suppress(OSError, ValueError):  # nobody reads it, or it is closed
                    self.flush()


class ExportingHandler(DiscreetHandler):
    """Hands records to a logger provider.

    `opentelemetry-instrumentation-logging` has such a handler; it sends an exception's message.
    """

    def __init__(self, provider: LoggerProvider) -> None:
        super().__init__()
        self._logger = cache(provider.get_logger)

    # Without the handler's lock: records end in a deque, and request threads would wait for the
    # lock.
    @override
    def handle(self, record: logging.LogRecord) -> bool:
        if not self.filter(record):
            return False
        try:
            self._logger(record.name).emit(exported(record))
        except Exception:
            self.handleError(record)
        return True


def exported(record: logging.LogRecord) -> LogRecord:
    """The part of a record that may leave the process, with the current span."""
    attributes = {
        key: value if isinstance(value, _PLAIN) else str(value)
        for key, value in _extras(record).items()
    }
    if record.exc_info and (raised := record.exc_info[0]):
        attributes["exception.type"] = raised.__name__
        attributes["code.stacktrace"] = "".join(traceback.format_tb(record.exc_info[2]))
    return LogRecord(
        timestamp=int(record.created * 1e9),
        severity_text=_SEVERITY_TEXT.get(record.levelname, record.levelname),
        severity_number=std_to_otel(record.levelno),
        body=_message(record),
        attributes=attributes,
    )


def configure(level: str, *, plain: bool = False) -> None:
    """Send all logs of the process as lines to standard error, from `level` up: JSON, or plain."""
    handler = LineHandler(sys.stderr)
    handler.setFormatter(PlainFormatter() if plain else JsonFormatter())
    root = logging.getLogger()
    for former in root.handlers:
        if isinstance(former, LineHandler):
            former.close()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())


@cache
def _quotes_nothing(logger: str) -> bool:
    return f"{logger}.".startswith(tuple(f"{name}." for name in _QUOTES_NOTHING))


def _message(record: logging.LogRecord) -> str:
    if _quotes_nothing(record.name):
        return record.getMessage()
    # Without arguments the text may have been put together before it was logged.
    return str(record.msg) if record.args else f"{record.module}.{record.funcName}:{record.lineno}"


def _extras(record: logging.LogRecord) -> dict[str, Any]:
    if not _quotes_nothing(record.name):
        return {}
    return {key: value for key, value in vars(record).items() if key not in _STANDARD}


def _json_value(value: float) -> float | str:
    # JSON has no NaN and no Infinity; json.dumps would write them all the same.
    return value if math.isfinite(value) else str(value)
