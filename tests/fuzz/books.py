"""Damaged workbooks and Parquet files: of the file's bytes, and of the parts in it."""

from __future__ import annotations

import io
import tempfile
import zipfile
from functools import cache
from pathlib import Path
from random import Random
from typing import Any

import openpyxl
import pyarrow as pa
import pyarrow.parquet as pq

from tests.bulk.jobs import share_strings
from tests.fuzz import mutate

_ROWS = [[f"文三路{n}号", f"金鼎大厦{n}号", n, n / 3, n % 2 == 0] for n in range(40)]
_HEADER = ["address1", "address2", "n", "share", "yes"]

_IN_XML = (
    (b'r="', b'r="9'), (b"<v>", b"<v>9"), (b"</row>", b""), (b"<row", b"<row><row"),
    (b't="s"', b't="e"'), (b't="s"', b't="d"'), (b't="n"', b't="b"'), (b"<si>", b""),
    (b"xmlns=", b"xmlns:x="), (b"http://", b"https://"), (b"/>", b">"), (b"<t>", b"<t>\xff"),
    (b"<sheetData>", b"<sheetData><!--"), (b"<?xml", b"<!DOCTYPE a [<!ENTITY b 'c'>]><?xml"),
    (b"Id=", b"ID="), (b'sheetId="1"', b'sheetId="-1"'), (b"worksheets/", b"../"),
    (b'numFmtId="', b'numFmtId="999'), (b"<sheet ", b"<sheet state='veryHidden' "),
)  # fmt: skip


def make(number: int, seed: int, folder: Path) -> str:
    """Write the damaged file of that number into a folder, and return its name."""
    chance = Random(f"{seed}:{number}")
    if chance.random() < 0.4:
        data = chance.choice(_parquets())
        damaged = _footer(chance, data) if chance.random() < 0.4 else mutate.of_bytes(chance, data)
        name = "in.parquet"
    else:
        data = chance.choice(_books())
        damaged = mutate.of_bytes(chance, data) if chance.random() < 0.2 else _parts(chance, data)
        name = "in.xlsx"
    (folder / name).write_bytes(damaged)
    return name


def _footer(chance: Random, data: bytes) -> bytes:
    """Damage of the metadata alone, which a reader trusts."""
    size = int.from_bytes(data[-8:-4], "little")
    begin = len(data) - 8 - size
    return data[:begin] + mutate.of_bytes(chance, data[begin:-8]) + data[-8:]


def _parts(chance: Random, data: bytes) -> bytes:
    """Damage of parts, with checksums that fit, so that it is met further in."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    for _ in range(chance.choice((1, 1, 2, 4))):
        name = chance.choice([*parts, *(n for n in parts if "sheet" in n or "Strings" in n)])
        match chance.randrange(8):
            case 0:
                del parts[name]
            case 1:
                parts[name + "x"] = parts.pop(name)
            case 2:
                parts[name] = parts[chance.choice(list(parts))]
            case 3 | 4:
                parts[name] = mutate.of_bytes(chance, parts[name])
            case _:
                old, new = chance.choice(_IN_XML)
                parts[name] = parts[name].replace(old, new, chance.choice((1, 1, -1)))
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, part in parts.items():
            archive.writestr(name, part)
    return made.getvalue()


@cache
def _books() -> list[bytes]:
    book = openpyxl.Workbook()
    sheet: Any = book.active
    for row in (_HEADER, *_ROWS):
        sheet.append(row)
    sheet.append(['="甲"&"路"', "乙路"])
    sheet.merge_cells("A5:A7")
    book.create_sheet("其他").append(["x"])
    with tempfile.TemporaryDirectory(prefix="mgeo-fuzz-") as folder:
        path = Path(folder, "book.xlsx")
        book.save(path)
        inline = path.read_bytes()
        share_strings(path)
        return [inline, path.read_bytes(), path.read_bytes()]


@cache
def _parquets() -> list[bytes]:
    columns = dict(zip(_HEADER, map(list, zip(*_ROWS, strict=True)), strict=True))
    table = pa.table(columns | {"tags": [["a"], None] * 20})
    made = []
    for options in (
        {}, {"use_dictionary": False, "compression": "none"}, {"compression": "zstd"},
        {"row_group_size": 7, "data_page_version": "2.0", "write_statistics": False},
    ):  # fmt: skip
        file = io.BytesIO()
        pq.write_table(table, file, **options)
        made.append(file.getvalue())
    return made
