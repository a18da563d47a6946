"""The standard streams and the words of a command line, however the process was started."""

from __future__ import annotations

import contextlib
import json
import os
import sys
from typing import Any

from service.errors import ConsoleError

COMMAND = "mgeo" if "mgeo_inference" in sys.modules else "python -m service"
"""What calls this command line: installed from a wheel, or in a checkout."""

INTERRUPTED = 130
"""Exit status after Ctrl-C: 128 and the signal's number, as shells have it."""

_NAMES = ("stdin", "stdout", "stderr")


def open_streams() -> frozenset[str]:
    """Open what was closed at the start (`>&-`), so that nothing else takes its place.

    A socket would get that number: what a library writes to standard error went to a client.

    Returns:
        The names of the streams that were closed.
    """
    closed = set()
    for number, name in enumerate(_NAMES):
        if getattr(sys, name) is not None:
            continue
        closed.add(name)
        with contextlib.suppress(OSError):
            os.fstat(number)
            continue
        # The lowest free number, and so this one: those below it are open by now.
        os.open(os.devnull, os.O_RDWR)
        setattr(sys, name, open(number, "w" if number else "r", closefd=False))  # noqa: SIM115
    with contextlib.suppress(AttributeError):  # a test's own stream
        if sys.stdout.errors == "strict":
            sys.stdout.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    return frozenset(closed)


def is_plain(log_format: str) -> bool:
    """Whether log lines are for somebody who reads along, by the setting `log_format`."""
    return log_format == "plain" or (log_format == "auto" and sys.stderr.isatty())


def welcome(predictions: str, operations: str, who_answers: str) -> None:
    """Say on standard error that the service is ready: where, by host and port, and who answers."""
    lines = (f"Page: http://{predictions}", f"Metrics: http://{operations}/metrics", who_answers)
    with contextlib.suppress(OSError):  # the terminal is gone
        # In one write: another thread's log line cannot come between.
        sys.stderr.write("".join(f"{line}\n" for line in lines))
        sys.stderr.flush()


def text(argument: str) -> str:
    """A word of the command line as text: UTF-8 if it is that, else as the locale reads it.

    Raises:
        ConsoleError: It is neither.
    """
    raw = os.fsencode(argument)
    with contextlib.suppress(UnicodeDecodeError):
        return raw.decode("utf-8")
    if any("\udc80" <= character <= "\udcff" for character in argument):
        raise ConsoleError(
            "an address is neither UTF-8 nor in the encoding of this terminal "
            f"({sys.getfilesystemencoding()}): set LC_ALL to the terminal's, as LC_ALL=zh_CN.GBK"
        )
    return argument


def show(line: str) -> None:
    """Print a line of an answer, and have it written.

    Raises:
        BrokenPipeError: Whoever read it has seen enough.
        ConsoleError: It cannot be written.
    """
    try:
        print(line, flush=True)
    except BrokenPipeError:
        raise
    except OSError as error:
        discard()
        raise ConsoleError(f"standard output cannot be written: {error.strerror}") from None


def show_json(document: Any) -> None:
    """The same of a document; in an encoding that does not have all characters, with escapes."""
    encoding = (sys.stdout.encoding or "ascii").lower().replace("_", "-")
    show(json.dumps(document, ensure_ascii=encoding not in ("utf-8", "utf8"), indent=2))


def discard() -> None:
    """Let nothing more be written to standard output: Python would try again as it exits."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
