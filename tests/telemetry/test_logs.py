from __future__ import annotations

import io
import json
import logging
import math
import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry._logs import SeverityNumber
from opentelemetry.sdk.trace import TracerProvider

from telemetry import logs
from telemetry.logs import JsonFormatter, exported
from tests.conftest import eventually

CANARY = "杭州市西湖区文三路138号"
OURS = logging.getLogger("service.test")
FOREIGN = logging.getLogger("waitress")


def refuse_constant(name: str) -> None:
    raise AssertionError(f"{name} is not JSON")


def line_of(record: logging.LogRecord) -> dict[str, Any]:
    text = JsonFormatter().format(record)
    assert "\n" not in text
    parsed = json.loads(text, parse_constant=refuse_constant)
    assert isinstance(parsed, dict)
    return parsed


def record_of(logger: logging.Logger, message: object, *args: object, **extra: object) -> Any:
    return logger.makeRecord(logger.name, 30, __file__, 1, message, args, None, "here", extra)


def raised(message: str) -> Any:
    try:
        try:
            raise KeyError(message)
        except KeyError as cause:
            raise ValueError(message) from cause
    except ValueError as error:
        return type(error), error, error.__traceback__


def test_a_line_has_time_level_logger_message_and_extras() -> None:
    record = record_of(OURS, "took %d ms", 3, endpoint="/predict", reason="磁盘")

    line = line_of(record)

    assert line.pop("time").endswith("+00:00")
    assert line == {
        "level": "warning",
        "logger": "service.test",
        "message": "took 3 ms",
        "endpoint": "/predict",
        "reason": "磁盘",
    }


@settings(deadline=None)
@given(
    message=st.text(),
    values=st.lists(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary()
    ),
)
def test_any_record_is_one_line_of_valid_json(message: str, values: list[object]) -> None:
    extra = {f"field_{index}": value for index, value in enumerate(values)}
    line = line_of(record_of(OURS, message, **extra))

    assert line["message"] == message
    assert line.keys() >= extra.keys()


def test_the_line_names_its_span() -> None:
    tracer = TracerProvider(shutdown_on_exit=False).get_tracer("mgeo")
    with tracer.start_as_current_span("work") as span:
        line = line_of(record_of(OURS, "inside"))
    context = span.get_span_context()

    assert line["trace_id"] == format(context.trace_id, "032x")
    assert line["span_id"] == format(context.span_id, "016x")
    assert "trace_id" not in line_of(record_of(OURS, "outside"))


@pytest.mark.parametrize("logger", [OURS, FOREIGN], ids=lambda logger: logger.name)
def test_an_exception_is_its_type_and_stack_without_its_message(logger: logging.Logger) -> None:
    record = record_of(logger, "failed")
    record.exc_info = raised(CANARY)
    record.exc_text = CANARY

    line = line_of(record)
    leaves = exported(record)

    assert line["exception"] == "ValueError"
    assert "in raised" in line["stack"][0]
    assert CANARY not in json.dumps(line, ensure_ascii=False)
    assert leaves.attributes is not None
    assert leaves.attributes.keys() == {"exception.type", "code.stacktrace"}
    assert leaves.attributes["exception.type"] == "ValueError"
    assert "in raised" in str(leaves.attributes["code.stacktrace"])
    assert CANARY not in str(vars(leaves))
    assert record.exc_info  # other handlers see the record as it was


@pytest.mark.parametrize(
    ("name", "message", "args", "kept"),
    [
        ("service.app", "at %s", (CANARY,), f"at {CANARY}"),
        ("telemetry", f"at {CANARY}", (), f"at {CANARY}"),
        ("mgeo.request", "request", (), "request"),
        ("opentelemetry.exporter.otlp", "to %s", ("collector",), "to collector"),
        ("waitress", f"Exception while serving /{CANARY}", (), "test_logs.here:1"),
        ("waitress.queue", "Task queue depth is %d", (5,), "Task queue depth is %d"),
        ("mgeo", f"Exception on /{CANARY} [GET]", (), "test_logs.here:1"),
        ("servicemesh", "got %s", (CANARY,), "got %s"),
        ("opentelemetry.trace.span", "Duplicate key: %s", (CANARY,), "Duplicate key: %s"),
        ("root", f"{CANARY}", (), "test_logs.here:1"),
    ],
)
def test_a_library_that_may_quote_a_request_keeps_its_fixed_part(
    name: str, message: str, args: tuple[object, ...], kept: str
) -> None:
    record = record_of(logging.getLogger(name), message, *args)

    assert line_of(record)["message"] == kept
    assert exported(record).body == kept


def test_a_library_that_may_quote_a_request_keeps_no_extra() -> None:
    record = record_of(FOREIGN, "seen", path=CANARY)

    assert CANARY not in JsonFormatter().format(record)
    assert not exported(record).attributes
    assert CANARY not in str(vars(exported(record)))


@pytest.mark.parametrize(
    ("level", "text", "number"),
    [
        (logging.DEBUG, "DEBUG", SeverityNumber.DEBUG),
        (logging.INFO, "INFO", SeverityNumber.INFO),
        (logging.WARNING, "WARN", SeverityNumber.WARN),
        (logging.ERROR, "ERROR", SeverityNumber.ERROR),
        (logging.CRITICAL, "FATAL", SeverityNumber.FATAL),
    ],
)
def test_a_record_of_ours_is_exported_whole(level: int, text: str, number: SeverityNumber) -> None:
    extra = {"status": 200, "share": 0.5}
    record = OURS.makeRecord(OURS.name, level, __file__, 1, "took %d", (3,), None, "here", extra)
    record.created = 1024.5
    tracer = TracerProvider(shutdown_on_exit=False).get_tracer("mgeo")
    with tracer.start_as_current_span("work") as span:
        leaves = exported(record)
    context = span.get_span_context()

    assert (leaves.severity_text, leaves.severity_number) == (text, number)
    assert (leaves.body, leaves.attributes) == ("took 3", extra)
    assert leaves.timestamp == 1024_500_000_000
    assert (leaves.trace_id, leaves.span_id) == (context.trace_id, context.span_id)


def test_configure_writes_lines_to_standard_error(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("warning")
    OURS.info("too quiet")
    OURS.warning("two\nlines", extra={"field": 1})

    out, err = capsys.readouterr()
    assert out == ""
    [line] = err.splitlines()
    assert json.loads(line)["message"] == "two\nlines"


def test_plain_lines_are_as_discreet_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("info", plain=True)
    OURS.info("listening", extra={"bound": "127.0.0.1:1"})
    OURS.warning("odd", extra={"share": math.inf})
    logging.getLogger("waitress").info("Client at /secret %s", "密")
    try:
        raise ValueError("".join(["秘", "密"]))  # its line is in the stack, its text is not
    except ValueError:
        OURS.exception("failed")

    first, second, third, fourth, *stack = capsys.readouterr().err.splitlines()
    assert re.fullmatch(r"\d\d:\d\d:\d\d listening bound=127\.0\.0\.1:1", first)
    assert re.fullmatch(r"\d\d:\d\d:\d\d warning odd share=inf", second)
    assert third.endswith("Client at /secret %s")
    assert re.fullmatch(r"\d\d:\d\d:\d\d error failed ValueError", fourth)
    assert "test_logs.py" in stack[0]
    assert "秘密" not in "".join(stack)


def test_the_lines_of_requests_are_written_soon_and_in_their_order() -> None:
    stream = io.StringIO()
    handler = logs.LineHandler(stream)
    handler.setFormatter(logging.Formatter("%(message)s"))
    lines = logging.getLogger("mgeo.request")

    def handle(logger: logging.Logger, level: int, text: str) -> None:
        handler.handle(logger.makeRecord(logger.name, level, __file__, 1, text, (), None))

    try:
        handle(lines, logging.INFO, "one")
        eventually(lambda: stream.getvalue() == "one\n")
        handle(lines, logging.INFO, "two")
        handle(OURS, logging.INFO, "three")
        assert stream.getvalue() == "one\ntwo\nthree\n"
        handle(lines, logging.ERROR, "four")
        assert stream.getvalue().endswith("four\n")
        # At the end of the process the standard library flushes what is left, and closes.
        handle(lines, logging.INFO, "five")
        handler.flush()
        assert stream.getvalue().endswith("five\n")
    finally:
        handler.close()
    handle(lines, logging.INFO, "six")
    assert stream.getvalue().endswith("six\n")


def test_a_stream_that_is_closed_does_not_end_the_thread_that_writes() -> None:
    stream = io.StringIO()
    handler = logs.LineHandler(stream)
    lines = logging.getLogger("mgeo.request")
    record = lines.makeRecord(lines.name, logging.INFO, __file__, 1, "line", (), None)
    stream.close()
    try:
        handler.handle(record)
        eventually(lambda: not handler._soon)
        later = handler.stream = io.StringIO()
        handler.handle(record)
        eventually(lambda: later.getvalue() == "line\n")
    finally:
        handler.close()


def test_a_line_that_cannot_be_made_is_said_to_be_lost_and_not_quoted(
    capsys: pytest.CaptureFixture[str],
) -> None:
    logs.LineHandler(io.StringIO()).handle(record_of(OURS, "took %d", CANARY))

    [line] = capsys.readouterr().err.splitlines()
    assert json.loads(line)["message"] == "a log line is lost"
    assert CANARY not in line
