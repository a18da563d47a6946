"""The input that a command line names: its flags, and how they say to read it."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

from service.bulk import encodings, formats
from service.bulk.tables import Reading
from service.errors import BulkError

_LATEST_HEADER = 1000


def add_flags(add: Callable[..., object]) -> None:
    """Add the flags that say how to read a file, by a parser's or a group's `add_argument`."""
    add("--from", dest="source_format", choices=formats.FORMATS,
        help="format of the input [from its suffix]")  # fmt: skip
    add("--no-header", action="store_true", help="the first row holds data, not column names")
    add("--header-row", type=_row, default=1, metavar="INT",
        help="row of the column names, if other rows are above it [1]")  # fmt: skip
    add("--sheet", help="sheet of a workbook, by name or number [the first that is not hidden]")
    add("--encoding", type=_encoding, default="utf-8", metavar="NAME",
        help=f"encoding of text: {encodings.KNOWN} [utf-8, or what a BOM says]")  # fmt: skip
    add("--delimiter", type=_delimiter, metavar="CHARACTER",
        help="cell separator, such as ';' or tab [comma, or what a line sep= says]")  # fmt: skip
    add("--quotes", choices=("auto", "csv", "text"), default="auto",
        help="meaning of a quote at the start of a cell: csv quotes the cell, text is a plain "
        "character, auto decides where that is certain [auto]")  # fmt: skip


def defaults() -> argparse.Namespace:
    """The default values of the flags that `add_flags` adds."""
    parser = argparse.ArgumentParser()
    add_flags(parser.add_argument)
    return parser.parse_args([])


def reading(flags: argparse.Namespace) -> tuple[str, Reading]:
    """The input's format, and how to read it.

    Args:
        flags: Those of `add_flags`, and `input`.

    Raises:
        BulkError: There is no such file, it is empty, or the flags are not for its format.
        OSError: It cannot be looked at.
    """
    path, pipe = _file_or_pipe(flags.input)
    name = formats.of(path or pipe, flags.source_format, "--from", is_read=True)
    if path is None and name not in formats.TEXT_FORMATS:
        raise BulkError(f"{name} needs a file: streams take {formats.listed(formats.TEXT_FORMATS)}")
    if path and not path.stat().st_size:
        raise BulkError(f"{path} is empty")
    _check(flags, name)
    return name, Reading(
        path,
        flags.input,
        encoding=flags.encoding,
        has_header=not flags.no_header,
        sheet=flags.sheet,
        header_row=flags.header_row,
        delimiter=flags.delimiter,
        quotes=flags.quotes,
        pipe=pipe,
    )


def _file_or_pipe(name: str) -> tuple[Path | None, Path | None]:
    """The file, or the stream that a path names, such as that of `<(...)`; neither for -."""
    path = Path(name)
    if name == "-":
        return None, None
    if path.is_dir():
        raise BulkError(f"{path} is a directory: name a file")
    if path.is_file():
        return path, None
    if path.is_fifo() or path.is_char_device():
        return None, path
    raise BulkError(f"there is no file {path}")


def _check(flags: argparse.Namespace, name: str) -> None:
    if flags.sheet and name != "xlsx":
        raise BulkError("--sheet is for Excel workbooks")
    has_names = name in ("jsonl", "parquet")
    if has_names and (flags.no_header or flags.header_row > 1):
        flag = "--no-header" if flags.no_header else "--header-row"
        raise BulkError(f"{flag}: {name} has names in it always")
    if name not in ("csv", "tsv") and (flags.delimiter or flags.quotes != "auto"):
        raise BulkError(f"{'--delimiter' if flags.delimiter else '--quotes'} is for CSV and TSV")


def _row(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= _LATEST_HEADER:
        raise argparse.ArgumentTypeError(f"{text!r}: must be from 1 to {_LATEST_HEADER:,}")
    return int(text)


def _encoding(text: str) -> str:
    found = encodings.normalized(text)
    if found is None:
        raise argparse.ArgumentTypeError(f"{text!r}: must be {encodings.KNOWN}")
    return found


def _delimiter(text: str) -> str:
    found = {"tab": "\t", "\\t": "\t", "comma": ",", "semicolon": ";"}.get(text.lower(), text)
    if len(found) != 1 or found in '"\r\n':
        raise argparse.ArgumentTypeError(f"{text!r}: must be one character, or tab")
    return found
