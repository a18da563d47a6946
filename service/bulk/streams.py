"""Text files and streams: their encoding, their line ends, and what is wrong with them."""

from __future__ import annotations

import codecs
import contextlib
import io
import re
import sys
from collections.abc import Iterator
from functools import partial
from typing import NamedTuple, cast

from service.bulk import encodings, kinds
from service.bulk.records import line_end
from service.bulk.tables import Reading, TextStyle
from service.errors import BulkError

_BEGIN = 1 << 16
"""Bytes that the encoding and the line ends are recognised by."""

_BLOCK = 1 << 20
_LONGEST_LINE = 1 << 26


class TextStream(NamedTuple):
    """An input as text, with its own line ends.

    Attributes:
        stream: Its characters, without a BOM.
        style: How it is written.
    """

    stream: io.TextIOWrapper
    style: TextStyle

    def lines(self, name: str) -> Iterator[str]:
        """Its lines, each with its end.

        Raises:
            BulkError: A line is longer than memory should hold.
        """
        for number, line in enumerate(iter(partial(self.stream.readline, _LONGEST_LINE), ""), 1):
            if len(line) == _LONGEST_LINE:
                raise BulkError(
                    f"{name}, line {number}: longer than {_LONGEST_LINE:,} characters; is it text?"
                )
            if line != "\x1a":  # the end of a file in DOS and its successors
                yield line


def open_input(reading: Reading) -> TextStream:
    """Open the input.

    Raises:
        BulkError: It is plainly in another encoding, is no text at all, or cannot be read.
    """
    raw = _open(reading)
    try:
        begin = raw.peek(_BEGIN)
        kinds.refuse_other_than_text(begin, reading)
        encoding, bom = _encoding(begin, reading)
        raw.read(len(bom))
        head = codecs.getincrementaldecoder(encoding)("replace").decode(begin[len(bom) :])
        found = re.search(r"\r*\n|\r(?=.)", head, re.DOTALL)
        style = TextStyle(encoding, bom, line_end(found[0]) if found else "\n")
        # A lone \r ends lines where the first one ends so; else it is text, or `records` decides.
        newline = "" if style.line_end == "\r" else "\n"
        return TextStream(io.TextIOWrapper(raw, encoding=encoding, newline=newline), style)
    except OSError as error:
        raw.close()
        raise BulkError(f"{reading.name}: {error.strerror}") from None
    except BaseException:
        raw.close()
        raise


def _open(reading: Reading) -> io.BufferedReader:
    path = reading.path or reading.pipe
    if path:
        return cast(io.BufferedReader, path.open("rb", buffering=_BEGIN))
    if sys.stdin.isatty():
        raise BulkError("standard input is a terminal: name a file instead of -, or pipe one in")
    return cast(io.BufferedReader, sys.stdin.buffer)


def _encoding(begin: bytes, reading: Reading) -> tuple[str, bytes]:
    given, name = reading.encoding, reading.name
    marked = encodings.of_bom(begin)
    if marked:
        if given not in ("utf-8", marked[0]) and marked[0][:5] != given[:5]:
            raise BulkError(f"{name} begins as {marked[0].upper()} does: leave out --encoding")
        return marked
    other = encodings.mistaken(begin, given)
    if other:
        raise BulkError(
            f"{name} is not {encodings.shown(given).upper()}: "
            f"it reads as {encodings.shown(other).upper()}, so {_how_to_give(other)}"
        )
    return given, b""


def _how_to_give(encoding: str) -> str:
    return (
        "leave out --encoding"
        if encoding == "utf-8"
        else f"give --encoding {encodings.shown(encoding)}"
    )


@contextlib.contextmanager
def telling_encoding(reading: Reading, style: TextStyle) -> Iterator[None]:
    """Turn a byte that the encoding does not have into an error that names its line."""
    try:
        yield
    except UnicodeDecodeError:
        line = _first_bad_line(reading, style.encoding)
        raise BulkError(
            f"{reading.name}{f', line {line}' if line else ''}: "
            f"not {encodings.shown(style.encoding).upper()}; {_remedy(reading, style)}"
        ) from None


def _remedy(reading: Reading, style: TextStyle) -> str:
    other = None
    if not style.bom:
        other = encodings.likely(lambda: _blocks(reading)) if reading.path else ""
    if other == "":
        return "if it is GBK give --encoding gb18030, if it is Big5 give --encoding big5"
    if other is None:
        return (
            "nor is the whole file in another encoding that is known here; mend that line, "
            "or write the file anew as UTF-8"
        )
    return f"all of the file reads as {encodings.shown(other).upper()}: {_how_to_give(other)}"


def _blocks(reading: Reading) -> Iterator[bytes]:
    assert reading.path  # noqa: S101 - never of a stream
    with reading.path.open("rb") as file:
        yield from iter(partial(file.read, _BLOCK), b"")


def _first_bad_line(reading: Reading, encoding: str) -> int | None:
    if reading.path is None:
        return None
    decoder = codecs.getincrementaldecoder(encoding)()
    line = 1
    for block in (*_blocks(reading), None):
        try:
            if block is None:
                decoder.decode(b"", final=True)
            else:
                line += decoder.decode(block).count("\n")
        except UnicodeDecodeError as error:
            return line + error.object[: error.start].decode(encoding).count("\n")
    return None
