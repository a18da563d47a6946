"""Workbooks as people make them: what is read, what is an error in its place, what is refused."""

from __future__ import annotations

import csv
import re
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import openpyxl
import pytest
from openpyxl.chart import BarChart

from service.errors import BulkError
from tests.bulk.jobs import score, share_strings

HEADER = ["address1", "address2"]


def _saved(path: Path, rows: list[list[object]], sheet: str = "Sheet") -> openpyxl.Workbook:
    book = openpyxl.Workbook()
    page: Any = book.active
    page.title = sheet
    for row in rows:
        page.append(row)
    book.save(path)
    share_strings(path)
    return book


def _rewritten(path: Path, change: Callable[[str, bytes], bytes | None]) -> None:
    """Change the parts of a workbook; None leaves one out."""
    with zipfile.ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in parts.items():
            changed = change(name, data)
            if changed is not None:
                archive.writestr(name, changed)


def _replaced(path: Path, part: str, replacements: Mapping[bytes, bytes]) -> None:
    def change(name: str, data: bytes) -> bytes:
        for old, new in replacements.items() if name.endswith(part) else ():
            assert old in data
            data = data.replace(old, new)
        return data

    _rewritten(path, change)


def _errors(path: Path, *flags: str) -> list[str]:
    output = path.with_name("out.csv")
    score(path, "-o", output, "--force", *flags)
    return [row["error"] for row in csv.DictReader(output.read_text("utf-8").splitlines())]


@pytest.mark.parametrize(
    "error",
    [
        "#N/A", "#REF!", "#VALUE!", "#DIV/0!", "#NAME?", "#NULL!", "#NUM!", "#SPILL!", "#CALC!",
        "#GETTING_DATA", "#FIELD!", "#BLOCKED!", "#CONNECT!", "#UNKNOWN!", "#BUSY!", "#n/a",
        " #N/A ", "＃Ｎ／Ａ", "#N/A Requesting Data...", "#NV", "#WERT!", "#BEZUG!", "#ССЫЛКА!",
        "#Н/Д", "#¡REF!", "#¿NOMBRE?", "#NÚM!", "########", "Err:502", "#NOM?",
    ],
)  # fmt: skip
@pytest.mark.parametrize("suffix", ["xlsx", "csv", "jsonl"])
def test_an_error_of_a_formula_is_an_error_in_its_place(
    error: str, suffix: str, tmp_path: Path
) -> None:
    book = tmp_path / "book.xlsx"
    _saved(book, [HEADER, [error, error], ["甲路", error], ["甲路#3", "A#栋"], ["丙路", "丁路"]])
    path = tmp_path / f"in.{suffix}"
    if suffix == "xlsx":
        path = book
    else:
        score(book, "-o", path, "--prefix", "first_")
    assert _errors(path) == [
        "address1 is an error of a formula in a workbook, such as #N/A",
        "address2 is an error of a formula in a workbook, such as #N/A",
        "",
        "",
    ]


def test_numbers_dates_and_booleans_are_no_addresses(tmp_path: Path) -> None:
    path = tmp_path / "in.xlsx"
    _saved(path, [HEADER, [138, "甲路"], ["甲路", True], [1.5, "乙路"], ["138", "甲路"]])
    assert _errors(path) == [
        "address1 must be a string", "address2 must be a string", "address1 must be a string", "",
    ]  # fmt: skip


def test_a_chart_or_a_hidden_sheet_before_the_table_is_passed_over(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "in.xlsx"
    book = _saved(path, [HEADER, ["甲路", "乙路"]], "客户")
    chart = book.create_chartsheet("图", 0)
    chart.add_chart(BarChart())
    hidden = book.create_sheet("字典", 0)
    hidden.append(["x"])
    hidden.sheet_state = "hidden"
    book.create_sheet("其他").append(HEADER)
    book.save(path)
    assert _errors(path) == [""]
    assert "the sheet 客户 is read; --sheet reads another: 字典, 其他" in capsys.readouterr().err
    with pytest.raises(BulkError, match="has no sheet '图'; it has 字典, 客户, 其他"):
        _errors(path, "--sheet", "图")
    assert _errors(path, "--sheet", "其他") == []


def test_a_workbook_without_a_sheet_of_cells_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "in.xlsx"
    book = _saved(path, [])
    book.create_chartsheet("图").add_chart(BarChart())
    book.remove(book.worksheets[0])
    book.save(path)
    with pytest.raises(BulkError, match="has no sheet of cells"):
        _errors(path)


def test_strict_open_xml_is_named(tmp_path: Path) -> None:
    path = tmp_path / "in.xlsx"
    _saved(path, [HEADER, ["甲路", "乙路"]])
    old = b"http://schemas.openxmlformats.org/spreadsheetml/2006/main"
    _rewritten(
        path, lambda _, data: data.replace(old, b"http://purl.oclc.org/ooxml/spreadsheetml/main")
    )
    with pytest.raises(BulkError, match=r"Strict Open XML: open it in Excel and save it as"):
        _errors(path)


def test_formulas_without_a_stored_value_are_told_from_blank_cells(tmp_path: Path) -> None:
    path = tmp_path / "in.xlsx"
    _saved(
        path, [HEADER, ['="甲"&"路"', "乙路"], [None, "乙路"], ["丙路", "=A4"], ["丙路", "丁路"]]
    )
    unstored = "is a formula whose value is not stored: open the workbook in Excel and save it"
    assert _errors(path) == [
        f"address1 {unstored}", "address1 is missing", f"address2 {unstored}", "",
    ]  # fmt: skip


def test_merged_cells_are_named(tmp_path: Path) -> None:
    path = tmp_path / "in.xlsx"
    rows = [["甲路", "乙路"], [None, "丙路"], [None, "丁路"], ["戊路", None], [None, "己路"]]
    book = _saved(path, [HEADER, *rows])
    sheet: Any = book.active
    sheet.merge_cells("A2:A4")
    sheet.merge_cells("A5:B5")
    book.save(path)
    merged = "is in merged cells, of which only the first holds text: unmerge and fill them"
    assert _errors(path) == [
        "", f"address1 {merged}", f"address1 {merged}", f"address2 {merged}", "address1 is missing",
    ]  # fmt: skip


@pytest.mark.parametrize("suffix", ["xlsx", "csv"])
def test_rows_above_the_header_are_seen(suffix: str, tmp_path: Path) -> None:
    rows = [["客户地址核对表"], ["2026-03", "制表"], HEADER, ["甲路", "乙路"]]
    path = tmp_path / f"in.{suffix}"
    if suffix == "xlsx":
        _saved(path, [list(row) for row in rows])
    else:
        path.write_text("".join(",".join(row) + "\n" for row in rows), "utf-8")
    with pytest.raises(BulkError, match="its row 3 has it: give --header-row 3"):
        _errors(path)
    assert _errors(path, "--header-row", "3") == [""]
    with pytest.raises(BulkError, match="has no row 9"):
        _errors(path, "--header-row", "9")


def test_a_stray_cell_far_below_is_named_before_anything_is_scored(tmp_path: Path) -> None:
    path = tmp_path / "in.xlsx"
    book = _saved(path, [HEADER, ["甲路", "乙路"]])
    sheet: Any = book.active
    sheet["C1048571"] = " "
    book.save(path)
    with pytest.raises(BulkError, match="rows 3 to 1,048,570 are blank and row 1,048,571 is not"):
        _errors(path)


def test_rows_that_are_out_of_order_are_not_left_out(tmp_path: Path) -> None:
    path = tmp_path / "in.xlsx"
    _saved(path, [HEADER, ["甲路", "乙路"], ["丙路", "丁路"]])
    _replaced(path, "sheet1.xml", {b'<row r="2">': b'<row r="4">'})
    with pytest.raises(BulkError, match="row 3 comes after row 4"):
        _errors(path)


@pytest.mark.parametrize(
    ("part", "replacements"),
    [
        ("sheet1.xml", {b"</row></sheetData>": b"</row>"}),
        ("sheet1.xml", {b'r="A2" t="s"': b'r="\xff2" t="s"'}),
        ("sheet1.xml", {b"<v>2</v>": b"<v>2000</v>"}),
        ("sheet1.xml", {b"<v>2</v>": b"<v>x</v>"}),
        ("sheet1.xml", {b"<sheetData>": b"<sheetData>\0"}),
        ("sharedStrings.xml", {b"</si>": b"<si>"}),
        ("workbook.xml", {b"<sheets>": b"<sheet>"}),
        ("workbook.xml.rels", {b"sheet1.xml": b"sheet9.xml"}),
        ("styles.xml", {b"<styleSheet": b"<sheet"}),
        ("[Content_Types].xml", {b"<Types": b"<Type"}),
    ],
)
def test_a_damaged_part_is_one_clear_line(
    part: str, replacements: dict[bytes, bytes], tmp_path: Path
) -> None:
    path = tmp_path / "in.xlsx"
    _saved(path, [HEADER, ["甲路", "乙路"]])
    _replaced(path, part, replacements)
    with pytest.raises(BulkError, match=r"damaged|no sheet of cells") as caught:
        _errors(path)
    assert "\n" not in str(caught.value)


def test_a_part_that_would_not_fit_into_memory_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.bulk.excel._MOST_PART_BYTES", 20_000)
    path = tmp_path / "in.xlsx"
    _saved(path, [HEADER, ["甲路" * 5_000, "乙路"]])
    with pytest.raises(BulkError, match=r"part xl/sharedStrings.xml would be 3\d,\d+ bytes"):
        _errors(path)


def test_what_excel_cannot_hold_is_told_of_a_wide_table(tmp_path: Path) -> None:
    path = tmp_path / "in.csv"
    path.write_text(",".join([*HEADER, "x" * 9, *map(str, range(16_400))]) + "\n", "utf-8")
    with pytest.raises(BulkError, match=re.escape("16,384 columns at most")):
        score(path, "-o", tmp_path / "out.xlsx")
