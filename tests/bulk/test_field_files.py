"""Files as they come: other encodings, other kinds, streams, JSON of every sort, Parquet."""

from __future__ import annotations

import bz2
import csv
import gzip
import io
import json
import lzma
import os
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from service.bulk import command, encodings
from service.errors import BulkError
from tests.bulk.jobs import parse, score
from tests.serving import ROOT

HEADER = "id,address1,address2\n"
SIMPLIFIED = "1,浙江省杭州市西湖区文三路478号华星时代广场A座,文三路478号华星时代广场\n"
TRADITIONAL = "1,臺北市信義區市府路45號臺北101大樓89樓,信義區市府路四十五號臺北一百樓\n"


def _made(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


def _pairs(path: Path, *flags: str) -> list[tuple[str, str]]:
    return score(path, "-o", path.with_name("out.csv"), "--force", *flags).pairs


def _refused(path: Path, message: str, *flags: str) -> str:
    with pytest.raises(BulkError, match=message) as caught:
        _pairs(path, *flags)
    said = str(caught.value)
    assert "\n" not in said
    assert not any(character in said for character in "路號号")
    return said


@pytest.mark.parametrize("name", ["utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be"])
@pytest.mark.parametrize("delimiter", [",", "\t"])
def test_utf_16_and_32_are_recognised_by_their_bom(
    name: str, delimiter: str, tmp_path: Path
) -> None:
    text = ("\ufeff" + HEADER + SIMPLIFIED).replace("\n", "\r\n").replace(",", delimiter)
    suffix = "csv" if delimiter == "," else "tsv"
    path = _made(tmp_path / f"in.{suffix}", text.encode(name))
    output = tmp_path / f"out.{suffix}"
    assert score(path, "-o", output).pairs == [tuple(SIMPLIFIED.strip().split(",")[1:])]
    written = output.read_bytes().decode(name)
    assert written.startswith("\ufeffid" + delimiter)
    assert [line.startswith(given) for line, given in zip(
        written.split("\r\n"), text.split("\r\n"), strict=True
    )] == [True] * 3  # fmt: skip


@pytest.mark.parametrize("name", ["utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("text", [HEADER + SIMPLIFIED * 5, HEADER + "1,a,b\n", SIMPLIFIED * 9])
@pytest.mark.parametrize("given", ["utf-8", "gbk", "big5"])
def test_utf_16_without_a_bom_is_named_and_read_if_asked_for(
    name: str, text: str, given: str, tmp_path: Path
) -> None:
    path = _made(tmp_path / "in.csv", text.encode(name))
    _refused(path, f"it reads as {name.upper()}, so give --encoding {name}", "--encoding", given)
    flags = () if text.startswith("id") else ("--no-header", "--address1=2", "--address2=3")
    assert len(_pairs(path, "--encoding", name, *flags)) == text.count("\n") - (not flags)


@pytest.mark.parametrize(
    ("text", "written", "shown"),
    [
        (SIMPLIFIED * 3, "gb18030", "gb18030"),
        (SIMPLIFIED * 3, "gbk", "gb18030"),
        (SIMPLIFIED * 3, "gb2312", "gb18030"),
        (TRADITIONAL * 3, "big5", "big5"),
        (TRADITIONAL * 3, "cp950", "big5"),
    ],
)
def test_hints_at_an_encoding_lead_to_the_text(
    text: str, written: str, shown: str, tmp_path: Path
) -> None:
    path = _made(tmp_path / "in.csv", (HEADER + text).encode(written))
    said = _refused(path, f"line 2: not UTF-8; all of the file reads as {shown.upper()}")
    hinted = said.rsplit("give ", 1)[1].split()
    assert hinted == ["--encoding", shown]
    assert _pairs(path, *hinted)[0] == tuple(text.splitlines()[0].split(",")[1:])


@pytest.mark.parametrize(
    ("text", "written", "given", "hint"),
    [
        (TRADITIONAL * 3, "big5", "gbk", "reads as BIG5, so give --encoding big5"),
        (SIMPLIFIED * 3, "gbk", "big5", "reads as GB18030, so give --encoding gb18030"),
        (SIMPLIFIED * 3, "utf-8", "gbk", "reads as UTF-8, so leave out --encoding"),
        (SIMPLIFIED * 3, "utf-8", "utf-16", "reads as UTF-8, so leave out --encoding"),
        (SIMPLIFIED * 3, "gbk", "utf-16-be", "reads as GB18030, so give --encoding gb18030"),
        (SIMPLIFIED * 3, "utf-8-sig", "gbk", "begins as UTF-8 does: leave out --encoding"),
        (SIMPLIFIED * 3, "utf-16", "gbk", "begins as UTF-16-LE does: leave out --encoding"),
    ],
)
def test_text_in_another_encoding_than_asked_for_is_not_scored(
    text: str, written: str, given: str, hint: str, tmp_path: Path
) -> None:
    path = _made(tmp_path / "in.csv", (HEADER + text).encode(written))
    _refused(path, hint, "--encoding", given)


def test_lines_in_several_encodings_lead_into_no_circle(tmp_path: Path) -> None:
    mixed = (HEADER + SIMPLIFIED * 2).encode() + SIMPLIFIED.encode("gbk") + SIMPLIFIED.encode()
    path = _made(tmp_path / "in.csv", mixed)
    said = _refused(path, "line 4: not UTF-8; nor is the whole file in another encoding")
    assert "--encoding" not in said
    path = _made(tmp_path / "cut.csv", (HEADER + SIMPLIFIED).encode()[:-3])
    assert "--encoding" not in _refused(path, "line 2: not UTF-8")


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ("GBK", "gb18030"), ("gb2312", "gb18030"), ("cp936", "gb18030"), ("936", "gb18030"),
        ("ms936", "gb18030"), ("chinese", "gb18030"), ("euc-cn", "gb18030"), ("UTF8", "utf-8"),
        ("utf-8-sig", "utf-8"), ("UTF-16", "utf-16-le"), ("utf_16_be", "utf-16-be"),
        ("Big5", "big5hkscs"), ("cp950", "big5hkscs"), ("ascii", "utf-8"),
    ],
)  # fmt: skip
def test_encodings_have_the_names_that_people_type(given: str, name: str) -> None:
    assert encodings.normalized(given) == name
    assert parse("in.csv", "-o", "out.csv", "--encoding", given).encoding == name


@pytest.mark.parametrize("name", ["latin-1", "cp1252", "none", "rot13", "", "gbk\0"])
def test_an_encoding_that_is_not_known_is_refused_with_those_that_are(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        parse("in.csv", "-o", "out.csv", "--encoding", name)
    assert "must be utf-8, gb18030 (also gbk, gb2312, cp936), big5" in capsys.readouterr().err


def test_a_character_that_the_encoding_does_not_have_is_named(tmp_path: Path) -> None:
    path = _made(
        tmp_path / "in.jsonl", '{"address1": "甲", "address2": "\\ud83d\\ude00"}'.encode("big5")
    )
    with pytest.raises(BulkError, match="BIG5 does not have all characters of these rows"):
        score(path, "-o", tmp_path / "out.csv", "--encoding", "big5")


def _zipped(name: str, data: bytes = b"x") -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        archive.writestr(name, data)
    return made.getvalue()


TEXT = (HEADER + "1,甲路,乙路\n").encode()
OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(504)
LOCKED = OLE + "EncryptedPackage".encode("utf-16-le") + bytes(96)


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("in.csv.gz", gzip.compress(TEXT), "packed by gzip: unpack it first, by gunzip -k"),
        ("in.csv", gzip.compress(TEXT), "packed by gzip, not text"),
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
    _refused(_made(tmp_path / name, data), message)


@pytest.mark.parametrize("name", ["ORC", "PAR1", "BZh", "Obj", "Rar!", "PK", "7z"])
def test_a_header_that_looks_like_another_kind_is_a_header(name: str, tmp_path: Path) -> None:
    path = _made(tmp_path / "in.csv", f"{name},address1,address2\n1,甲路,乙路\n".encode())
    assert _pairs(path) == [("甲路", "乙路")]


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
    path = _made(tmp_path / "in.csv", text.encode())
    _refused(path, f"separated by .*: give --delimiter '?{'[|]' if '|' in flags else flags[1]}")
    assert _pairs(path, *flags) == [("甲路", "乙路")]
    written = (tmp_path / "out.csv").read_text("utf-8")
    assert written.startswith(text.splitlines()[0] + text[2])


@pytest.mark.parametrize("line", ["sep=;", "SEP=;", '"sep=;"', "sep=|"])
def test_a_line_that_names_the_delimiter_is_followed_and_kept(line: str, tmp_path: Path) -> None:
    delimiter = line.strip('"')[-1]
    text = f"\ufeff{line}\r\n{HEADER}1,甲路,乙路\r\n".replace(",", delimiter)
    path = _made(tmp_path / "in.csv", text.encode())
    assert _pairs(path) == [("甲路", "乙路")]
    written = (tmp_path / "out.csv").read_bytes().decode()
    assert written.startswith(f"\ufeff{line}\r\nid{delimiter}address1")
    bad = text.replace("甲", '"甲')
    _refused(_made(path, bad.encode()), "line 3: a quote opens")


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
    path = _made(tmp_path / "in.csv", f"{header}\n{row}\n".encode())
    assert _pairs(path) == [("甲路", "乙路")]
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
    path = _made(tmp_path / "in.csv", f"{header}\n1,2,3\n".encode())
    with pytest.raises(BulkError, match=message) as caught:
        _pairs(path)
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
    path = _made(tmp_path / f"in.{suffix}", text.encode())
    with pytest.raises(BulkError, match=message):
        _pairs(path)


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
    path = _made(tmp_path / "in.jsonl", bom + (line + end + "{}" + end).encode())
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
    assert _pairs(tmp_path / "in.parquet") == [("甲路", "乙路")]


@pytest.mark.parametrize("suffix", ["csv", "jsonl", "xlsx", "parquet"])
@pytest.mark.parametrize("groups", [0, 1])
def test_parquet_without_rows_has_none(suffix: str, groups: int, tmp_path: Path) -> None:
    table = pa.table({"address1": pa.array([], pa.string()), "address2": pa.array([], pa.string())})
    with pq.ParquetWriter(tmp_path / "in.parquet", table.schema) as writer:
        for _ in range(groups):
            writer.write_table(table)
    assert score(tmp_path / "in.parquet", "-o", tmp_path / f"out.{suffix}").pairs == []


def _command(*arguments: str, stdin: int | None = None, **more: object) -> tuple[int, str]:
    """The status and the standard error of `score` without a model: it does not get so far."""
    done = subprocess.run(
        [sys.executable, "-m", "service", "score", *arguments],
        stdin=stdin, capture_output=True, text=True, timeout=100, cwd=ROOT, **more,  # type: ignore[call-overload]
    )  # fmt: skip
    return done.returncode, done.stderr


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "before", "message"),
    [
        (("-", "-o", "-"), lambda: os.close(0), "standard input is closed"),
        (("in.csv", "-o", "-"), lambda: os.close(1), "standard output is closed"),
        (("a" * 300 + ".csv", "-o", "-"), None, "File name too long"),
    ],
)
def test_a_closed_stream_is_one_clear_line(
    arguments: tuple[str, ...], before: Callable[[], None] | None, message: str, tmp_path: Path
) -> None:
    path = _made(tmp_path / "in.csv", TEXT)
    arguments = tuple(str(path) if a == "in.csv" else a for a in arguments)
    status, told = _command(*arguments, preexec_fn=before)
    assert status == 2
    assert message in told
    assert "Traceback" not in told


def test_a_terminal_and_an_empty_stream_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    _, terminal = os.openpty()
    with open(terminal, encoding="utf-8") as stdin:
        monkeypatch.setattr("sys.stdin", stdin)
        with pytest.raises(BulkError, match="standard input is a terminal"):
            score("-", "-o", "-")
    with open(os.devnull, encoding="utf-8") as stdin:
        monkeypatch.setattr("sys.stdin", stdin)
        with pytest.raises(BulkError, match="- is empty"):
            score("-", "-o", "-")


def _fed(data: bytes) -> str:
    """The path of a stream that holds this, as `<(...)` gives it."""
    end, begin = os.pipe()
    os.write(begin, data)
    os.close(begin)
    return f"/dev/fd/{end}"


@pytest.mark.parametrize("suffix", ["csv", "jsonl"])
def test_a_pipe_is_read_by_its_path(suffix: str, tmp_path: Path) -> None:
    data = TEXT if suffix == "csv" else b'{"address1": "1", "address2": "2"}\n'
    output = tmp_path / f"out.{suffix}"
    assert len(score(_fed(data), "-o", output, "--from", suffix).pairs) == 1
    assert output.read_text("utf-8").count("\n") == data.count(b"\n")


def test_a_pipe_holds_neither_parquet_nor_a_workbook(tmp_path: Path) -> None:
    for name in ("parquet", "xlsx"):
        with pytest.raises(BulkError, match=f"{name} needs a file: streams take csv, tsv or jsonl"):
            score(_fed(b"x"), "-o", tmp_path / "out.csv", "--from", name)
    with pytest.raises(BulkError, match="packed by gzip, not text"):
        score(_fed(gzip.compress(TEXT)), "-o", tmp_path / "out.csv")
    with pytest.raises(BulkError, match="reads as UTF-16-LE"):
        score(_fed(TEXT.decode().encode("utf-16-le")), "-o", tmp_path / "out.csv")
    with pytest.raises(BulkError, match="not UTF-8; if it is GBK give --encoding gb18030"):
        score(_fed(TEXT.decode().encode("gbk")), "-o", tmp_path / "out.csv")


def test_the_summary_counts_labels(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _pairs(_made(tmp_path / "in.csv", TEXT + b"2,,\n"))
    assert "mgeo: of them exact_match 0, partial_match 1, not_match 0\n" in capsys.readouterr().err


def test_what_the_file_system_refuses_is_one_clear_line(tmp_path: Path) -> None:
    flags = parse("a" * 300 + ".csv", "-o", tmp_path / "out.csv")
    with pytest.raises(BulkError, match=r"File name too long; nothing is kept"):
        command.run(flags)


def test_a_line_without_an_end_is_not_read_into_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.bulk.streams._LONGEST_LINE", 1000)
    path = _made(tmp_path / "in.csv", TEXT + b"x" * 5000)
    _refused(path, "line 3: longer than 1,000 characters; is it text")
