"""Each format gives back what was put into it, and input columns are kept."""

from __future__ import annotations

import csv
import datetime
import decimal
import io
import json
import tempfile
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import openpyxl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from service.bulk import formats
from service.bulk.tables import (
    RESULT_TYPES,
    Chunk,
    Reading,
    Result,
    Rows,
    TextStyle,
    Writing,
    text,
)
from service.errors import BulkError
from tests.bulk.jobs import result, score
from tests.conftest import examples

NAMES = Result._fields

TEXT = st.text(max_size=8) | st.text(
    "\"',;\t\r\n=+-@\0\x01\x0b\x1f_x0Dd １号，　ａ\ufeff\ufffe😀", max_size=9
)
HURTING = ["=1+1", "0012", "_x000D_", "a\r\nb", "\r", '"', " 甲 ", "１２号，３室", "", "-5", "x\0y"]
RESULT = st.just(Result(error="address1 is empty")) | st.integers(0, 10**6).map(
    lambda n: Result(n / 1e6, "exact_match", n / 1e6, 0.0, 1.0, truncated=n % 2 == 0)
)


@dataclass
class Table:
    """A source that is only a header."""

    columns: list[str]
    has_header: bool = True
    style: TextStyle = field(default_factory=TextStyle)
    notice: str = ""

    def column(self, name: str, flag: str, *, must_be_text: bool = True) -> int:
        raise NotImplementedError

    def count(self) -> int | None:
        raise NotImplementedError

    def chunks(self, rows: int) -> Iterator[Chunk]:
        raise NotImplementedError

    def close(self) -> None:
        raise NotImplementedError


def _there_and_back(
    name: str, rows: list[list[object]], results: list[Result], encoding: str
) -> list[list[object]]:
    table = Table([f"列{i}" for i in range(len(rows[0]))], style=TextStyle(encoding))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "file")
        with path.open("wb") as file:
            sink = formats.open_sink(name, Writing(file, "file", NAMES, RESULT_TYPES), table)
            for at in range(0, len(rows), 2):
                sink.write(Rows(rows[at : at + 2], {}), results[at : at + 2])
            sink.close()
        source = formats.open_source(name, Reading(path, "file", encoding))
        assert source.columns == [*table.columns, *NAMES]
        if name != "xlsx":
            assert source.count() == len(rows)
        chunks = list(source.chunks(3))
        source.close()
        assert not any(chunk.faults for chunk in chunks)
        return [list(row) for chunk in chunks for row in chunk.rows()]


@pytest.mark.parametrize("name", formats.FORMATS)
@settings(max_examples=examples(40))
@given(
    rows=st.integers(2, 3).flatmap(
        lambda n: st.lists(st.lists(TEXT, min_size=n, max_size=n), min_size=1, max_size=5)
    ),
    results=st.lists(RESULT, min_size=5, max_size=5),
    encoding=st.sampled_from(["utf-8", "gb18030"]),
)
@example([HURTING], [Result(error="e")] * 5, "utf-8")
@example([["", ""]] * 3, [Result(error="e")] * 5, "utf-8")
def test_text_survives_each_format(
    name: str, rows: list[list[object]], results: list[Result], encoding: str
) -> None:
    results = results[: len(rows)]
    back = _there_and_back(name, rows, results, encoding)

    def expected(cell: object) -> object:
        if name in ("csv", "tsv"):
            return f"{cell:.6f}" if isinstance(cell, float) else text(cell)
        return None if name == "xlsx" and cell == "" else cell

    wanted = [
        [expected(cell) for cell in (*row, *result)]
        for row, result in zip(rows, results, strict=True)
    ]
    assert back == wanted


def test_csv_is_what_any_reader_reads(tmp_path: Path) -> None:
    (tmp_path / "in.csv").write_text('address1,address2,"a,b"\n"甲\n1",乙,"q""q"\n', "utf-8")
    score(tmp_path / "in.csv", "-o", tmp_path / "out.csv")
    written = (tmp_path / "out.csv").read_bytes().decode()
    [header, row] = csv.reader(io.StringIO(written, newline=""))
    assert header == ["address1", "address2", "a,b", *NAMES]
    assert row[:3] == ["甲\n1", "乙", 'q"q']
    similarity = result(("甲\n1", "乙")).similarity
    assert row[3] == f"{similarity:.6f}"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "gb18030"])
def test_text_is_written_in_the_encoding_of_the_input(tmp_path: Path, encoding: str) -> None:
    (tmp_path / "in.csv").write_bytes("address1,address2\r\n甲路😀,乙路\r\n".encode(encoding))
    flags = ["--encoding", "gb18030"] if encoding == "gb18030" else []
    score(tmp_path / "in.csv", "-o", tmp_path / "out.csv", *flags)
    written = (tmp_path / "out.csv").read_bytes()
    assert written.startswith(
        f"address1,address2,{','.join(NAMES)}\r\n甲路😀,乙路,".encode(encoding)
    )


def test_a_wrong_encoding_is_named_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "in.csv"
    path.write_bytes("address1,address2\n1,2\n甲路,乙路\n".encode("gb18030"))
    with pytest.raises(BulkError, match=r"in\.csv, line 3: not UTF-8; .*--encoding gb18030"):
        score(path, "-o", tmp_path / "out.csv")
    path.write_bytes("address1,address2\n1,2\n甲路,乙\n".encode())
    with pytest.raises(
        BulkError, match=r"in\.csv is not GB18030: it reads as UTF-8, so leave out --enc"
    ):
        score(path, "-o", tmp_path / "out.csv", "--encoding", "gb18030")
    path.write_bytes("address1,address2\n".encode("utf-8-sig"))
    with pytest.raises(BulkError, match="leave out --encoding"):
        score(path, "-o", tmp_path / "out.csv", "--encoding", "gb18030")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["in.csv"]


@pytest.mark.parametrize("tail", ['"never closed,乙\n甲,乙\n', '"' + "x" * 140_000 + "\n"])
def test_a_quote_that_is_not_closed_stops_the_run_and_names_its_line(
    tmp_path: Path, tail: str
) -> None:
    path = tmp_path / "in.csv"
    path.write_text("address1,address2\n甲,乙\n" + tail, "utf-8")
    with pytest.raises(BulkError, match=r"in\.csv, line 3: a quote opens a cell and is not closed"):
        score(path, "-o", tmp_path / "out.csv")


def test_bad_rows_are_kept_in_their_place(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "in.csv"
    long = "长" * 513
    path.write_text(
        f"id,address1,address2\n1,甲,乙\n2,,乙\n\n3,甲,乙,secret,丙\n4,{long},乙\n5,甲,丁\n",
        "utf-8",
    )
    score(path, "-o", tmp_path / "out.csv")
    rows = list(csv.DictReader((tmp_path / "out.csv").read_text("utf-8").splitlines()))
    assert [row["id"] for row in rows] == ["1", "2", "", "3", "4", "5"]
    assert [row["error"] for row in rows] == [
        "",
        "address1 is empty",
        "the row has 0 cells, not 3",
        "the row has 5 cells, not 3",
        "address1 has 513 characters; the limit is 512",
        "",
    ]
    for row in rows:
        assert (row["similarity"] == "") is (row["label"] == "") is (row["error"] != "")
    told = capsys.readouterr().err
    assert "rows without a score: 4 (rows 2, 3, 4, 5, counted from 1" in told
    assert not any(character in told for character in "甲乙丙长")


def test_objects_of_jsonl_keep_their_own_keys(tmp_path: Path) -> None:
    lines = [
        '{"b": [1, {"c": null}], "address2": "乙", "address1": "甲", "n": 12345678901234567890}',
        '{"address1": "甲\\ud800", "address2": "乙"}',
        "{broken",
        '{"address1": 5, "address2": "乙", "x": 1e999}',
        '{"address1": 5, "address2": "乙"}',
        "",
    ]
    (tmp_path / "in.jsonl").write_text("\n".join(lines) + "\n", "utf-8")
    score(tmp_path / "in.jsonl", "-o", tmp_path / "out.jsonl")
    out = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text("utf-8").splitlines()]
    given = json.loads(lines[0])
    assert list(out[0]) == [*given, *NAMES]
    assert out[0] == given | result(("甲", "乙"))._asdict()
    assert out[1]["address1"] == "甲\ud800"
    assert [row["error"] for row in out] == [
        None,
        "address1 holds half of a surrogate pair, which is no character",
        "the line is not a JSON object",
        "address1 must be a string",
        "address1 must be a string",
        "the line is not a JSON object",
    ]
    score(tmp_path / "in.jsonl", "-o", tmp_path / "out.csv")
    header = (tmp_path / "out.csv").read_text("utf-8").splitlines()[0]
    assert header == ",".join(["b", "address2", "address1", "n", "x", *NAMES])


def test_columns_of_parquet_keep_their_types(tmp_path: Path) -> None:
    table = pa.table(
        {
            "address1": pa.array(["甲", None, "丙"]),
            "address2": pa.array(["乙", "乙", "乙"]).dictionary_encode(),
            "at": pa.array([1, 2, None], pa.timestamp("ns", "Asia/Shanghai")),
            "price": pa.array([decimal.Decimal("1.10"), None, decimal.Decimal("2.00")]),
            "tags": pa.array([["a"], [], None]),
            "raw": pa.array([b"\xff", b"", None]),
        }
    ).replace_schema_metadata({"owner": "someone"})
    pq.write_table(table, tmp_path / "in.parquet", row_group_size=2)
    score(tmp_path / "in.parquet", "-o", tmp_path / "out.parquet")
    out = pq.read_table(tmp_path / "out.parquet")
    assert out.select(table.column_names).equals(table.select(table.column_names))
    assert out.schema.metadata[b"owner"] == b"someone"
    assert out["error"].to_pylist() == [None, "address1 is missing", None]
    assert out["similarity"].to_pylist() == [
        result(("甲", "乙")).similarity, None, result(("丙", "乙")).similarity,
    ]  # fmt: skip
    for kind in ("csv", "jsonl", "xlsx"):
        score(tmp_path / "in.parquet", "-o", tmp_path / f"out.{kind}")
    first = json.loads((tmp_path / "out.jsonl").read_text("utf-8").splitlines()[0])
    assert (first["price"], first["tags"], first["raw"]) == ("1.10", ["a"], "/w==")


def test_an_address_column_of_parquet_must_hold_text(tmp_path: Path) -> None:
    pq.write_table(pa.table({"address1": ["甲"], "address2": [5]}), tmp_path / "in.parquet")
    with pytest.raises(BulkError, match="column address2 holds int64, not text"):
        score(tmp_path / "in.parquet", "-o", tmp_path / "out.csv")


def test_values_of_excel_keep_their_types_and_formulas_stay_text(tmp_path: Path) -> None:
    book = openpyxl.Workbook()
    book.create_sheet("别的")
    sheet: Any = book["别的"]
    day = datetime.datetime(2026, 3, 4, 5, 6)
    sheet.append(["address1", "address2", "n", "at", "yes", "text", "big"])
    sheet.append(["甲", "乙", 1.5, day, True, "x", 7])
    sheet["F2"].value = "=1+1"
    sheet["F2"].data_type = "s"
    sheet.append([])
    sheet.append(["丙", 5, None, None, None, "0012"])
    sheet["J9"].number_format = "0.00"  # rows that were formatted, and never filled
    book.save(tmp_path / "in.xlsx")
    score(tmp_path / "in.xlsx", "-o", tmp_path / "out.xlsx", "--sheet", "别的")
    score(tmp_path / "in.xlsx", "-o", tmp_path / "second.xlsx", "--sheet", "2")
    assert (tmp_path / "out.xlsx").read_bytes() == (tmp_path / "second.xlsx").read_bytes()
    out: Any = openpyxl.load_workbook(tmp_path / "out.xlsx")["scores"]
    rows = [[cell.value for cell in row] for row in out.iter_rows()]
    assert rows[1][:7] == ["甲", "乙", 1.5, day, True, "=1+1", 7]
    assert out["F2"].data_type == "s"
    assert [row[-1] for row in rows[1:]] == [
        None, "address1 is missing", "address2 must be a string",
    ]  # fmt: skip
    assert rows[3][5] == "0012"
    with pytest.raises(BulkError, match="has no sheet 'no'"):
        score(tmp_path / "in.xlsx", "-o", tmp_path / "x.csv", "--sheet", "no")
    with zipfile.ZipFile(tmp_path / "out.xlsx") as archive:
        assert {member.date_time[0] for member in archive.infolist()} == {1980}


def test_what_excel_cannot_hold_is_said(tmp_path: Path) -> None:
    (tmp_path / "in.csv").write_text(f"address1,address2,x\n甲,乙,{'x' * 32_768}\n", "utf-8")
    with pytest.raises(BulkError, match=r"row 2: an Excel cell holds 32767 characters at most"):
        score(tmp_path / "in.csv", "-o", tmp_path / "out.xlsx")


@pytest.mark.parametrize(
    ("name", "message"),
    [("xlsx", "is not an Excel workbook"), ("parquet", "is not a Parquet file")],
)
def test_a_file_that_is_something_else_is_refused(tmp_path: Path, name: str, message: str) -> None:
    (tmp_path / f"in.{name}").write_bytes(b"address1,address2\n")
    with pytest.raises(BulkError, match=message):
        score(tmp_path / f"in.{name}", "-o", tmp_path / "out.csv")


def test_a_missing_library_is_named_with_the_way_to_get_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(formats, "find_spec", lambda name: None)
    (tmp_path / "in.xlsx").write_bytes(b"")
    with pytest.raises(BulkError, match=r"needs openpyxl, .*`make bulk`.*\[bulk\]"):
        score(tmp_path / "in.xlsx", "-o", tmp_path / "out.csv")


def test_standard_streams(
    monkeypatch: pytest.MonkeyPatch, capsysbinary: pytest.CaptureFixture[bytes]
) -> None:
    given = io.BytesIO(b'{"address1": "1", "address2": "2", "k": 0}\n')
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BufferedReader(given)))
    score("-", "-o", "-", "--from", "jsonl")
    assert json.loads(capsysbinary.readouterr().out)["k"] == 0
