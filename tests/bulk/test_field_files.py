"""Files as they come: other kinds, other delimiters and headers, JSON of every sort, Parquet."""

from __future__ import annotations

import bz2
import csv
import gzip
import io
import json
import lzma
import zipfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from service.bulk import command
from service.errors import BulkError
from tests.bulk.field import HEADER, TEXT, made, pairs_of, refused
from tests.bulk.jobs import parse, score


def _zipped(name: str, data: bytes = b"x") -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        archive.writestr(name, data)
    return made.getvalue()


# Without the time: it is in a test's name, which must be the same in each worker.
PACKED = gzip.compress(TEXT, mtime=0)
OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(504)
LOCKED = OLE + "EncryptedPackage".encode("utf-16-le") + bytes(96)


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("in.csv.gz", PACKED, "packed by gzip: unpack it first, by gunzip -k"),
        ("in.csv", PACKED, "packed by gzip, not text"),
        ("in.csv.bz2", bz2.compress(TEXT), "packed by bzip2"),
        ("in.csv.xz", lzma.compress(TEXT), "packed by xz"),
        ("in.csv.zst", b"\x28\xb5\x2f\xfd\x04\x00", "packed by zstd"),
        ("in.zip", _zipped("in.csv", TEXT), "a zip archive: unpack it first"),
        ("in.xlsx", _zipped("in.csv", TEXT), "not an Excel workbook .* but a zip archive: unpack"),
        ("in.csv", _zipped("xl/workbook.xml"), "an Excel workbook, not text: give --from xlsx"),
        ("in.xlsb", _zipped("xl/workbook.bin"), r"binary Excel workbook .* save it as \.xlsx"),
        ("in.xlsx", _zipped("xl/workbook.bin"), r"but a binary Excel workbook .* as \.xlsx"),
        ("in.ods", _zipped("content.xml"), r"an OpenDocument file .* save it as \.xlsx"),
        ("in.xls", OLE, r"an old Excel workbook .* save it as \.xlsx"),
        ("in.et", OLE, r"an old Excel workbook"),
        ("in.xlsx", OLE, r"not an Excel workbook .* but an old Excel workbook"),
        ("in.xlsx", LOCKED, "a workbook with a password: open it in Excel and save it without"),
        ("in.xls", b"<html><table><tr><td>1</td></tr></table></html>", "a web page: open it in"),
        ("in.xlsx", b"\xef\xbb\xbf<html></html>", "not an Excel workbook"),
        ("in.csv", b"<?xml version='1.0'?><Workbook/>", "XML, not text"),
        ("in.csv", b"%PDF-1.7\n", "a PDF document"),
        ("in.csv", b"PAR1\x15\x04", "Parquet, not text: give --from parquet"),
        ("in.parquet", TEXT, "not a Parquet file, or it is damaged or incomplete"),
        ("in.parquet", b"PARE\x15\x04", "encrypted Parquet"),
        ("in.parquet", b"PAR1\x15\x04", "not a Parquet file|damaged"),
        ("in.txt", TEXT, "is text: give --from csv or --from tsv"),
        ("in.dat", TEXT, "the suffix names no format; give --from csv"),
        ("in", TEXT, "the suffix names no format; give --from csv"),
    ],
)
def test_a_file_of_another_kind_is_named_with_the_way_to_read_it(
    name: str, data: bytes, message: str, tmp_path: Path
) -> None:
    refused(made(tmp_path / name, data), message)


@pytest.mark.parametrize("name", ["ORC", "PAR1", "BZh", "Obj", "Rar!", "PK", "7z"])
def test_a_header_that_looks_like_another_kind_is_a_header(name: str, tmp_path: Path) -> None:
    path = made(tmp_path / "in.csv", f"{name},address1,address2\n1,甲路,乙路\n".encode())
    assert pairs_of(path) == [("甲路", "乙路")]


@pytest.mark.parametrize(
    ("text", "flags"),
    [
        ("id;address1;address2\n1;甲路;乙路\n", ("--delimiter", ";")),
        ("id|address1|address2\n1|甲路|乙路\n", ("--delimiter", "|")),
        ("id\taddress1\taddress2\n1\t甲路\t乙路\n", ("--delimiter", "tab")),
        ("id，address1，address2\n1，甲路，乙路\n", ("--delimiter", "，")),
    ],
)
def test_another_delimiter_is_named_and_kept(
    text: str, flags: tuple[str, str], tmp_path: Path
) -> None:
    path = made(tmp_path / "in.csv", text.encode())
    refused(path, f"separated by .*: give --delimiter '?{'[|]' if '|' in flags else flags[1]}")
    assert pairs_of(path, *flags) == [("甲路", "乙路")]
    written = (tmp_path / "out.csv").read_text("utf-8")
    assert written.startswith(text.splitlines()[0] + text[2])


@pytest.mark.parametrize("line", ["sep=;", "SEP=;", '"sep=;"', "sep=|"])
def test_a_line_that_names_the_delimiter_is_followed_and_kept(line: str, tmp_path: Path) -> None:
    delimiter = line.strip('"')[-1]
    text = f"\ufeff{line}\r\n{HEADER}1,甲路,乙路\r\n".replace(",", delimiter)
    path = made(tmp_path / "in.csv", text.encode())
    assert pairs_of(path) == [("甲路", "乙路")]
    written = (tmp_path / "out.csv").read_bytes().decode()
    assert written.startswith(f"\ufeff{line}\r\nid{delimiter}address1")
    bad = text.replace("甲", '"甲')
    refused(made(path, bad.encode()), "line 3: a quote opens")


@pytest.mark.parametrize(
    "header",
    [
        "id,Address1,ADDRESS2", "id, address1 ,address2 ", "id,ａｄｄｒｅｓｓ１,address2",
        "id,'address1','address2'", 'id,"address1","address2"', "\ufeff\ufeffaddress1,id,address2",
        "id,address1\u200b,address2", "id,address1\u3000,address2",
    ],
)  # fmt: skip
def test_names_are_found_but_for_case_width_spaces_and_quotes(header: str, tmp_path: Path) -> None:
    row = "甲路,1,乙路" if header.startswith("\ufeff") else "1,甲路,乙路"
    path = made(tmp_path / "in.csv", f"{header}\n{row}\n".encode())
    assert pairs_of(path) == [("甲路", "乙路")]
    assert (tmp_path / "out.csv").read_text("utf-8").startswith(header)


@pytest.mark.parametrize(
    ("header", "message"),
    [
        ("id,from,to", r"among its 3 \('id', 'from', 'to'\); give --address1 a name"),
        ("编号,地址1,地址2", r"among its 3 \('编号', '地址1', '地址2'\)"),
        (",".join(f"c{n}" for n in range(99)), "'c29', and 69 more"),
        ("x" * 99 + ",b", "'" + "x" * 40 + "', 'b'"),
        ("id,address1,address1,address2", "has several columns 'address1'; give --address1 a num"),
        ("id,Address1,ADDRESS1,address2", "has several columns 'address1'; give --address1 a num"),
        ("1,文三路478号,文三路479号", "its first row looks like a pair, not like a header"),
        (",,", r"among its 3 \('', '', ''\)"),
    ],
)
def test_a_column_that_is_not_found_is_told_with_those_that_are(
    header: str, message: str, tmp_path: Path
) -> None:
    path = made(tmp_path / "in.csv", f"{header}\n1,2,3\n".encode())
    with pytest.raises(BulkError, match=message) as caught:
        pairs_of(path)
    assert "文三" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('[{"address1": "甲", "address2": "乙"}]', r"an array, .* jq -c '\.\[\]'"),
        ('[\n{"address1": "甲", "address2": "乙"}\n]\n', "an array"),
        ('  [\n  {\n "address1": "甲"', "an array"),
        ('{\n  "address1": "甲",\n  "address2": "乙"\n}\n', r"goes on over lines, .* jq -c '\.'"),
        ('{"address1": "甲",\n "address2": "乙"}\n', "goes on over lines"),
        ('{"address1": "甲", "address2": "乙"},\n' * 2, "none of its 2 lines is a JSON object"),
        ('"甲"\n1\nnull\n', "none of its 3 lines is a JSON object"),
        ("address1,address2\n甲,乙\n", "none of its 2 lines is a JSON object"),
        ("// 1\n", "none of its 1 lines is a JSON object"),
        ('{"from": "甲", "to": "乙"}\n', r"among its 2 \('from', 'to'\)"),
        ('{"a": {"address1": "甲", "address2": "乙"}}\n', r"among its 1 \('a'\)"),
    ],
)
@pytest.mark.parametrize("suffix", ["jsonl", "json"])
def test_json_that_is_not_jsonl_is_named(
    text: str, message: str, suffix: str, tmp_path: Path
) -> None:
    path = made(tmp_path / f"in.{suffix}", text.encode())
    with pytest.raises(BulkError, match=message):
        pairs_of(path)


@pytest.mark.parametrize(
    "line",
    [
        '{"address1": "甲", "address2": "乙", "lat": NaN}',
        '{"address1": "甲", "address2": "乙", "lat": [Infinity, -Infinity, 1e999, 1.10]}',
        '{ "address1":"甲" ,"address2":"\\u4e59" , "a": {"a" : 1, "a": 2} }  ',
        '{"address1": "x", "address1": "甲", "address2": "乙"}',
        '{"address1": "甲", "address2": "乙", "n": 12345678901234567890.10}',
        '{"address1": "甲", "address2": "乙", "s": "\\ud800"}',
    ],
)
@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("bom", [b"", b"\xef\xbb\xbf"])
def test_an_object_comes_back_as_it_stands(line: str, end: str, bom: bytes, tmp_path: Path) -> None:
    path = made(tmp_path / "in.jsonl", bom + (line + end + "{}" + end).encode())
    scorer = score(path, "-o", tmp_path / "out.jsonl")
    assert scorer.pairs == [("甲", "乙")]
    first, second, nothing = (tmp_path / "out.jsonl").read_bytes().decode().split(end)
    assert first.encode().startswith(bom + line.rstrip(" }").encode())
    assert nothing == ""
    assert json.loads(first.removeprefix("\ufeff"))["label"] == "partial_match"
    assert json.loads(second)["error"] == "address1 is missing"


def test_text_of_parquet_that_is_not_utf_8_is_an_error_in_its_place(tmp_path: Path) -> None:
    raw = pa.array([b"\xbc\xd7", "甲路".encode(), None, b""])
    for plain, kind in ((pa.binary(), pa.string()), (pa.large_binary(), pa.large_string())):
        column = raw.cast(plain).view(kind)
        table = pa.table({"address1": column, "address2": ["乙路"] * 4, "note": column})
        pq.write_table(table, tmp_path / "in.parquet")
        for suffix in ("csv", "jsonl", "xlsx", "parquet"):
            score(tmp_path / "in.parquet", "-o", tmp_path / f"out.{suffix}", "--force")
        rows = list(csv.DictReader((tmp_path / "out.csv").read_text("utf-8").splitlines()))
        assert [row["error"] for row in rows] == [
            "address1 is not UTF-8 text", "", "address1 is missing", "address1 is empty",
        ]  # fmt: skip


def test_text_of_parquet_that_is_not_marked_as_such_is_read(tmp_path: Path) -> None:
    table = pa.table({"address1": pa.array(["甲路".encode(), b"\xff"]), "address2": ["乙路"] * 2})
    pq.write_table(table, tmp_path / "in.parquet")
    assert pairs_of(tmp_path / "in.parquet") == [("甲路", "乙路")]


@pytest.mark.parametrize("suffix", ["csv", "jsonl", "xlsx", "parquet"])
@pytest.mark.parametrize("groups", [0, 1])
def test_parquet_without_rows_has_none(suffix: str, groups: int, tmp_path: Path) -> None:
    table = pa.table({"address1": pa.array([], pa.string()), "address2": pa.array([], pa.string())})
    with pq.ParquetWriter(tmp_path / "in.parquet", table.schema) as writer:
        for _ in range(groups):
            writer.write_table(table)
    assert score(tmp_path / "in.parquet", "-o", tmp_path / f"out.{suffix}").pairs == []


def test_the_summary_counts_labels(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pairs_of(made(tmp_path / "in.csv", TEXT + b"2,,\n"))
    assert "mgeo: of them exact_match 0, partial_match 1, not_match 0\n" in capsys.readouterr().err


def test_what_the_file_system_refuses_is_one_clear_line(tmp_path: Path) -> None:
    flags = parse("a" * 300 + ".csv", "-o", tmp_path / "out.csv")
    with pytest.raises(BulkError, match=r"File name too long; nothing is kept"):
        command.run(flags)


def test_a_line_without_an_end_is_not_read_into_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.bulk.streams._LONGEST_LINE", 1000)
    path = made(tmp_path / "in.csv", TEXT + b"x" * 5000)
    refused(path, "line 3: longer than 1,000 characters; is it text")
