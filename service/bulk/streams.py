"""Text files and standard streams, and what is wrong with their encoding."""

from __future__ import annotations

import codecs
import contextlib
import io
import sys
from collections.abc import Iterator
from typing import BinaryIO, cast

from service.bulk.formats import ENCODINGS
from service.bulk.tables import Reading
from service.errors import BulkError


def open_input(reading: Reading) -> tuple[io.TextIOWrapper, bool]:
    """The input as text with its own line ends, and whether it began with a BOM.

    Raises:
        BulkError: The file's first bytes are not in this encoding.
    """
    raw = cast(BinaryIO, reading.path.open("rb") if reading.path else sys.stdin.buffer)
    begin = cast(io.BufferedReader, raw).peek(3)
    has_bom = begin.startswith(codecs.BOM_UTF8)
    if has_bom and reading.encoding != "utf-8":
        raw.close()
        raise BulkError(f"{reading.name} begins as UTF-8 does: leave out --encoding")
    encoding = "utf-8-sig" if reading.encoding == "utf-8" else reading.encoding
    return io.TextIOWrapper(raw, encoding=encoding, newline=""), has_bom


@contextlib.contextmanager
def telling_encoding(reading: Reading) -> Iterator[None]:
    """Turn a byte that the encoding does not have into an error that names its line."""
    try:
        yield
    except UnicodeDecodeError:
        other = next(name for name in ENCODINGS if name != reading.encoding)
        line = _first_bad_line(reading)
        raise BulkError(
            f"{reading.name}{f', line {line}' if line else ''}: not {reading.encoding.upper()}; "
            f"if all of the file is {other.upper()}, give --encoding {other}"
        ) from None


def _first_bad_line(reading: Reading) -> int | None:
    if reading.path is None:
        return None
    # A line end is that byte in both encodings, and no part of another character.
    with reading.path.open("rb") as file:
        for number, line in enumerate(file, 1):
            try:
                line.decode(reading.encoding)
            except UnicodeDecodeError:
                return number
    return None
