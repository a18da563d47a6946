"""Recognises a file of another kind than its name says, and says how to make it readable."""

from __future__ import annotations

import re
import zipfile
from pathlib import Path
from typing import NamedTuple

from service.bulk.tables import Reading
from service.errors import BulkError


class Kind(NamedTuple):
    """A kind of file.

    Attributes:
        what: Its name, with an article.
        remedy: What makes it one that can be read.
    """

    what: str
    remedy: str


_SAVE = "open it in Excel, WPS or LibreOffice and save it as .xlsx"
_UNPACK = "unpack it first"
_EXPORT = "write it as .csv or .parquet first"

WORKBOOK = Kind("an Excel workbook", "give --from xlsx")
_ZIP = Kind("a zip archive", _UNPACK)
_OLD = Kind("an old Excel workbook (.xls, .et)", _SAVE)
_LOCKED = Kind("a workbook with a password", "open it in Excel and save it without one")

_MAGIC = (
    (rb"PK\x03\x04", _ZIP),
    (rb"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", _OLD),
    (rb"PAR1[^ -~]", Kind("Parquet", "give --from parquet")),
    (rb"PARE[^ -~]", Kind("encrypted Parquet", "write it without encryption")),
    (rb"ARROW1\0|\xff{4}..\0\0", Kind("Arrow", _EXPORT)),
    (rb"ORC[^ -~]", Kind("ORC", _EXPORT)),
    (rb"Obj\x01", Kind("Avro", _EXPORT)),
    (rb"SQLite format 3\0", Kind("an SQLite database", _EXPORT)),
    (rb"\x1f\x8b", Kind("packed by gzip", f"{_UNPACK}, by gunzip -k")),
    (rb"BZh[1-9]1AY", Kind("packed by bzip2", f"{_UNPACK}, by bunzip2 -k")),
    (rb"\xfd7zXZ\0", Kind("packed by xz", f"{_UNPACK}, by unxz -k")),
    (rb"\x28\xb5\x2f\xfd", Kind("packed by zstd", f"{_UNPACK}, by unzstd")),
    (rb"\x04\x22\x4d\x18", Kind("packed by lz4", f"{_UNPACK}, by unlz4")),
    (rb"7z\xbc\xaf\x27\x1c", Kind("a 7z archive", _UNPACK)),
    (rb"Rar!\x1a", Kind("a RAR archive", _UNPACK)),
    (rb".{257}ustar", Kind("a tar archive", _UNPACK)),
    (rb"%PDF-", Kind("a PDF document", "copy its table into a workbook")),
    (rb"\s*<(?i:!doctype html|html|table|meta|head|body|style|div)\b", Kind("a web page", _SAVE)),
    (rb"\s*<\?(?i:xml)\b", Kind("XML", _SAVE)),
)

_PARTS = (
    ("xl/workbook.xml", WORKBOOK),
    ("xl/workbook.bin", Kind("a binary Excel workbook (.xlsb)", _SAVE)),
    ("content.xml", Kind("an OpenDocument file (.ods)", _SAVE)),
    ("Index/Document.iwa", Kind("a Numbers document", "export it as .xlsx or .csv")),
    ("word/document.xml", Kind("a Word document", "copy its table into a workbook")),
)

_SUFFIXES = {
    ".xls": _OLD, ".et": _OLD, ".xlsb": _PARTS[1][1], ".ods": _PARTS[2][1],
    ".zip": _ZIP, ".txt": Kind("text", "give --from csv or --from tsv"),
}  # fmt: skip


def of(begin: bytes, path: Path | None) -> Kind | None:
    """The kind of a file by its content, unless it is text or not known."""
    found = next((kind for sign, kind in _MAGIC if re.match(sign, begin, re.DOTALL)), None)
    if path and found is _ZIP:
        return _of_archive(path)
    # The names in an OLE container are UTF-16, and stand in one of its first or last sectors.
    if path and found is _OLD and "EncryptedPackage".encode("utf-16-le") in path.read_bytes():
        return _LOCKED
    return found


def of_path(path: Path) -> Kind | None:
    """The kind of a file by its content or else by its suffix."""
    try:
        with path.open("rb") as file:
            found = of(file.read(512), path)
    except OSError:
        found = None
    return found or _SUFFIXES.get(path.suffix.lower())


def refuse_other_than_text(begin: bytes, reading: Reading) -> None:
    """Refuse a file that is no text at all.

    Raises:
        BulkError: It is of another kind.
    """
    found = of(begin, reading.path)
    if found:
        raise BulkError(f"{reading.name} is {found.what}, not text: {found.remedy}")


def not_one(reading: Reading, expected: str) -> BulkError:
    """The error for a file that is not what was expected, such as `an Excel workbook (.xlsx)`."""
    found = reading.path and of_path(reading.path)
    if found and found is not WORKBOOK:
        return BulkError(f"{reading.name} is not {expected} but {found.what}: {found.remedy}")
    return BulkError(
        f"{reading.name} is not {expected}, or it is damaged or incomplete: "
        "write or copy it once more"
    )


def _of_archive(path: Path) -> Kind:
    try:
        with zipfile.ZipFile(path) as archive:
            names = set(archive.namelist())
    except Exception:  # damaged
        return _ZIP
    return next((kind for part, kind in _PARTS if part in names), _ZIP)
