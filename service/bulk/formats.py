"""Which format a file has, and what reads and writes it."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from service.bulk import kinds
from service.bulk.tables import Reading, Sink, Source, Writing
from service.errors import BulkError

FORMATS = ("csv", "tsv", "jsonl", "parquet", "xlsx")
TEXT_FORMATS = ("csv", "tsv", "jsonl")
"""Those that standard input and output can have, and that have an encoding."""

_SUFFIXES = {f".{name}": name for name in FORMATS} | {".ndjson": "jsonl", ".tab": "tsv"}
_READ_ONLY_SUFFIXES = {".json": "jsonl", ".xlsm": "xlsx", ".xltx": "xlsx", ".xltm": "xlsx"}
"""Suffixes that are read as another format. None is written: the file would be something else than
its suffix says."""

_DELIMITERS = {"csv": ",", "tsv": "\t"}
_LIBRARIES = {"parquet": "pyarrow", "xlsx": "openpyxl"}


def of(path: Path | None, named: str | None, flag: str, *, is_read: bool = False) -> str:
    """The format of a file (None: a stream) by what the flag names or by its suffix.

    Raises:
        BulkError: It is not known, not possible, or its library is not installed.
    """
    if path is None:
        name = named or "csv"
        if name not in TEXT_FORMATS:
            raise BulkError(f"{name} needs a file: standard streams take {listed(TEXT_FORMATS)}")
        return name
    suffixes = _SUFFIXES | _READ_ONLY_SUFFIXES if is_read else _SUFFIXES
    found = named or suffixes.get(path.suffix.lower())
    if found is None and is_read and not path.is_file():
        found = "csv"  # a stream by another name
    if found is None:
        kind = kinds.of_path(path) if is_read else None
        if kind:
            raise BulkError(f"{path} is {kind.what}: {kind.remedy}")
        raise BulkError(f"{path}: the suffix names no format; give {flag} {listed(FORMATS)}")
    library = _LIBRARIES.get(found)
    if library and find_spec(library) is None:
        raise BulkError(
            f"{found} needs {library}, which is not installed: "
            "run `make bulk`, or install mgeo-inference[bulk]"
        )
    return found


def open_source(name: str, reading: Reading) -> Source:
    """The input.

    Raises:
        BulkError: It cannot be read.
    """
    if name in _DELIMITERS:
        from service.bulk.delimited import DelimitedSource

        return DelimitedSource(reading, name, _DELIMITERS[name])
    if name == "jsonl":
        from service.bulk.jsonlines import JsonSource

        return JsonSource(reading)
    if name == "parquet":
        from service.bulk.parquet import ParquetSource

        return ParquetSource(reading)
    from service.bulk.excel import ExcelSource

    return ExcelSource(reading)


def open_sink(name: str, writing: Writing, source: Source) -> Sink:
    """The output, begun anew.

    Raises:
        OSError: It cannot be written.
    """
    if name in _DELIMITERS:
        from service.bulk.delimited import DelimitedSink, DelimitedSource

        delimiter = _DELIMITERS[name]
        if isinstance(source, DelimitedSource) and source.format == name:
            delimiter = source.delimiter
        return DelimitedSink(writing, source, delimiter)
    if name == "jsonl":
        from service.bulk.jsonlines import JsonSink

        return JsonSink(writing, source)
    if name == "parquet":
        from service.bulk.parquet import ParquetSink

        return ParquetSink(writing, source)
    from service.bulk.excel import ExcelSink

    return ExcelSink(writing, source)


def check_columns(name: str, source: Source, results: tuple[str, ...], file: str) -> None:
    """Whether the results' columns can be appended in this format.

    Raises:
        BulkError: A name would occur twice.
    """
    taken = [column for column in results if column in source.columns]
    if taken:
        raise BulkError(
            f"{file} has a column {taken[0]} already; "
            "give the results' columns other names by --prefix, such as --prefix mgeo_"
        )
    if name in ("jsonl", "parquet") and len(set(source.columns)) < len(source.columns):
        raise BulkError(f"{file} has two columns of one name, which {name} cannot hold")


def listed(names: tuple[str, ...]) -> str:
    """Names as a sentence has them."""
    return f"{', '.join(names[:-1])} or {names[-1]}"
