"""Quotes in CSV and TSV: no row is lost, none is scored on the text of another."""

from __future__ import annotations

import csv
import io
import re
from pathlib import Path

import pytest

from service.bulk.tables import Result
from service.errors import BulkError
from tests.bulk.jobs import score

HEADER = "id,address1,address2\n"


def _scored(path: Path, text: str, *flags: str) -> tuple[list[list[str]], list[tuple[str, str]]]:
    """The rows of the output without the results' columns, and the pairs that were scored."""
    path.write_bytes(text.encode())
    output = path.with_name("out" + path.suffix)
    scorer = score(path, "-o", output, "--force", *flags)
    delimiter = "\t" if path.suffix == ".tsv" else ","
    written = io.StringIO(output.read_bytes().decode(), newline="")
    return [
        row[: -len(Result._fields)] for row in csv.reader(written, delimiter=delimiter)
    ], scorer.pairs


@pytest.mark.parametrize("suffix", ["csv", "tsv"])
@pytest.mark.parametrize(
    "rows",
    [
        # The quote closes rows later: at the end of a cell, before more text, in another column.
        ['1,"甲路,乙路', "2,丙路,丁路", '3,戊路",己路', "4,庚路,辛路"],
        ['1,"甲路,乙路', "2,丙路,丁路", '3,"戊路,己路', "4,庚路,辛路"],
        ['1,甲路,"乙路', "2,丙路,丁路", '3,戊路,己路"', "4,庚路,辛路"],
        ['1,"甲路,乙路', "2,丙路,丁路", '3,戊路,己路"', "4,庚路,辛路"],
        ['1,甲路,"乙路', '2,丙路",丁路', "3,戊路,己路", "4,庚路,辛路"],
        ['"1,甲路,乙路', '2",丙路,丁路'],
        ['1,"甲路,乙路', '2,丙路",丁路'],
        # In every row, so that pairs of rows become one.
        [f'{n},"甲路{n}号,乙路' for n in range(100)],
        [f'{n},甲路,"乙路{n}号' for n in range(100)],
        # A row between has too many or too few cells.
        ['1,"甲路,乙路', "2,丙路", '3,戊路",己路'],
        ['1,"甲路,乙路', "2,丙路,丁路,", '3,戊路",己路'],
        ['1,"甲路,乙路', "", '3,戊路",己路'],
        # It closes nowhere.
        ['1,"甲路,乙路', "2,丙路,丁路"],
        ["1,丙路,丁路", '2,甲路,"乙路'],
        # A cell over two lines whose row has too many cells.
        ['1,"甲\n路",乙路,', "2,丙路,丁路"],
        # A quote on a line that is not one row otherwise.
        ['1,"甲路"1号,乙路,丙', "2,丙路,丁路"],
        ['1,"甲路,"乙路', "2,丙路,丁路"],
        ['1,"甲""路"1号,"乙路', '二楼"', "2,丙路,丁路"],
        ['1,甲路,""乙路', '二楼"', "2,丙路,丁路"],
        # A quote that is no cell's first character, and closed on the next line.
        ['1, "甲路', '二楼",乙路', "2,丙路,丁路"],
        # Two cells over lines, and a first line that is a row.
        ['1,"甲路,乙路', '2"', '丙路,丁路","戊路', '己路"'],
        # Text after a closing quote in a cell over lines.
        ['1,"甲\n路"1号,乙路', "2,丙路,丁路"],
    ],
)
def test_a_quote_that_takes_in_other_rows_stops_the_run(
    rows: list[str], suffix: str, tmp_path: Path
) -> None:
    path = tmp_path / f"in.{suffix}"
    text = HEADER + "".join(row + "\n" for row in rows)
    text = text.replace(",", "\t") if suffix == "tsv" else text
    path.write_text(text, "utf-8")
    with pytest.raises(BulkError, match=r", lines? \d+") as caught:
        score(path, "-o", tmp_path / "out.csv")
    line = next(n for n, row in enumerate(text.split("\n"), 1) if '"' in row)
    assert re.search(rf", lines? {line}\b", str(caught.value))
    assert "--quotes text" in str(caught.value)
    assert "路" not in str(caught.value)
    # What the message offers: each line is a row.
    back, _ = _scored(path, text, "--quotes", "text")
    assert len(back) == text.count("\n")
    assert [row[0] for row in back] == [re.split("[,\t]", line)[0] for line in text.splitlines()]


@pytest.mark.parametrize(
    ("row", "cells"),
    [
        ('1,"金鼎"大厦5号,乙路', ["1", '"金鼎"大厦5号', "乙路"]),
        ('1,"金鼎"大厦5号,"乙路, 3"', ["1", '"金鼎"大厦5号', "乙路, 3"]),
        ('1,"金鼎"大厦5号,"乙路"', ["1", '"金鼎"大厦5号', "乙路"]),
        ('1,"甲路, 1号",“乙路”', ["1", "甲路, 1号", "“乙路”"]),
        ('1,甲"A"座,乙路5"', ["1", '甲"A"座', '乙路5"']),
        ('1,"金鼎""A""座",乙路', ["1", '金鼎"A"座', "乙路"]),
        ('1,"金鼎\\"A\\"座",乙路', ["1", '"金鼎\\"A\\"座"', "乙路"]),
        ('1,""金鼎"",乙路', ["1", '""金鼎""', "乙路"]),
        ('1,"金鼎" ,乙路', ["1", '"金鼎" ', "乙路"]),
        ('1,="0012",乙路', ["1", '="0012"', "乙路"]),
        ("1,'甲路',乙路", ["1", "'甲路'", "乙路"]),
        ('1,"甲路\n1单元",乙路', ["1", "甲路\n1单元", "乙路"]),
        ('1,甲路,"乙路\n\n3单元"', ["1", "甲路", "乙路\n\n3单元"]),
        ('"1\r\n号",甲路,乙路', ["1\r\n号", "甲路", "乙路"]),
        ('1,甲路,"乙路\r3"', ["1", "甲路", "乙路\r3"]),
        ('1,"12 Main St, NY\nUSA",乙路', ["1", "12 Main St, NY\nUSA", "乙路"]),
        ("1,甲路\r1号,乙路", ["1", "甲路\r1号", "乙路"]),
    ],
)
def test_quotes_come_back_as_they_were(row: str, cells: list[str], tmp_path: Path) -> None:
    last = ["9", "东路", "西路"]
    back, pairs = _scored(tmp_path / "in.csv", f"{HEADER}{row}\n{','.join(last)}\n")
    assert back[1:] == [cells, last]
    assert pairs == [tuple(cells[1:]), ("东路", "西路")]


@pytest.mark.parametrize("quotes", ["auto", "text"])
@pytest.mark.parametrize(
    "rows",
    [
        '1,甲路,一层\r"乙路\n二楼"\n2,丙路,丁路\n',
        '1,"甲路,乙路\r2,丙路",丁路\n',
        '"1",甲路,"乙路\r2号","丙路",丁路\n',
    ],
)
def test_a_carriage_return_beside_a_quote_stops_the_run(
    rows: str, quotes: str, tmp_path: Path
) -> None:
    path = tmp_path / "in.csv"
    path.write_bytes((HEADER + rows).encode())
    with pytest.raises(BulkError, match=r"line 2: (with the (quotes and )?carr|a quote opens)"):
        score(path, "-o", tmp_path / "out.csv", "--quotes", quotes)


def test_a_large_cell_beside_the_addresses_is_no_fault(tmp_path: Path) -> None:
    shape = "POLYGON ((" + "120.1 30.2, " * 15_000 + "))"
    back, pairs = _scored(tmp_path / "in.csv", f'{HEADER}"{shape}",甲路,乙路\n2,丙路,丁路\n')
    assert [row[0] for row in back] == ["id", shape, "2"]
    assert pairs == [("甲路", "乙路"), ("丙路", "丁路")]


def test_a_quote_that_is_never_closed_is_not_read_to_the_end_of_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.bulk.records.MOST_CHARACTERS", 1000)
    path = tmp_path / "in.csv"
    path.write_text(HEADER + '1,"甲路,乙路\n' + "2,丙路,丁路\n" * 1000, "utf-8")
    with pytest.raises(BulkError, match=r"in\.csv, line 2: .* not closed within 1,000 characters"):
        score(path, "-o", tmp_path / "out.csv")


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r", "\r\r\n"])
@pytest.mark.parametrize("quote", ["", '"'])
def test_all_other_bytes_of_a_row_stay(end: str, quote: str, tmp_path: Path) -> None:
    lines = [
        ",".join(quote + cell + quote for cell in row)
        for row in (("id", "address1", "address2"), ("1", "甲路", "乙路"), ("02", "丙路 ", "丁路"))
    ]
    path = tmp_path / "in.csv"
    path.write_bytes((end.join(lines) + end).encode())
    score(path, "-o", tmp_path / "out.csv")
    written = (tmp_path / "out.csv").read_bytes().decode().split(end.replace("\r\r", "\r"))
    assert written.pop() == ""
    assert len(written) == 3
    assert not any("\n" in line or "\r" in line for line in written)
    for line, given in zip(written, lines, strict=True):
        assert line.startswith(given + ",")


def test_the_last_row_needs_no_line_end_and_rows_may_have_different_ones(tmp_path: Path) -> None:
    path = tmp_path / "in.csv"
    path.write_bytes(f"{HEADER}1,甲路,乙路\r\n2,丙路,丁路\r3,戊路,己路".encode())
    score(path, "-o", tmp_path / "out.csv")
    lines = (tmp_path / "out.csv").read_bytes().decode().splitlines(keepends=True)
    assert [line[0] for line in lines] == ["i", "1", "2", "3"]
    assert [re.sub(r"[^\r\n]", "", line) for line in lines] == ["\n", "\r\n", "\n", "\n"]


def test_a_row_keeps_all_its_cells_and_its_place(tmp_path: Path) -> None:
    back, _ = _scored(tmp_path / "in.csv", f"{HEADER}1,甲路,乙路,丙,丁\n2\n\n3,戊路,己路\n\x1a")
    assert back == [
        ["id", "address1", "address2"],
        ["1", "甲路", "乙路,丙,丁"],
        ["2", "", ""],
        ["", "", ""],
        ["3", "戊路", "己路"],
    ]


def test_a_header_that_stands_again_among_the_rows_is_no_pair(tmp_path: Path) -> None:
    path = tmp_path / "in.csv"
    path.write_text(HEADER + "1,甲路,乙路\n" + HEADER + "2,丙路,丁路\n", "utf-8")
    score(path, "-o", tmp_path / "out.csv")
    rows = list(csv.DictReader((tmp_path / "out.csv").read_text("utf-8").splitlines()))
    assert [row["error"] for row in rows] == ["", "the row is the header again", ""]


def test_quotes_as_the_standard_has_them_are_read_if_asked_for(tmp_path: Path) -> None:
    text = '1,"甲路,乙路\n2,丙路",丁路\n'
    back, pairs = _scored(tmp_path / "in.csv", HEADER + text, "--quotes", "csv")
    assert back[1] == ["1", "甲路,乙路\n2,丙路", "丁路"]
    assert pairs == [("甲路,乙路\n2,丙路", "丁路")]
    with pytest.raises(BulkError, match=r"line 2: not standard CSV"):
        _scored(tmp_path / "in.csv", HEADER + '1,"金鼎"大厦,乙路\n', "--quotes", "csv")
