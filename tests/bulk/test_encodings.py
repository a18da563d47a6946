"""Files in other encodings: recognised, or refused with the flag that reads them."""

from __future__ import annotations

from pathlib import Path

import pytest

from service.bulk import encodings
from service.errors import BulkError
from tests.bulk.field import HEADER, made, pairs_of, refused
from tests.bulk.jobs import parse, score

SIMPLIFIED = "1,浙江省杭州市西湖区文三路478号华星时代广场A座,文三路478号华星时代广场\n"
TRADITIONAL = "1,臺北市信義區市府路45號臺北101大樓89樓,信義區市府路四十五號臺北一百樓\n"


@pytest.mark.parametrize("name", ["utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be"])
@pytest.mark.parametrize("delimiter", [",", "\t"])
def test_utf_16_and_32_are_recognised_by_their_bom(
    name: str, delimiter: str, tmp_path: Path
) -> None:
    text = ("\ufeff" + HEADER + SIMPLIFIED).replace("\n", "\r\n").replace(",", delimiter)
    suffix = "csv" if delimiter == "," else "tsv"
    path = made(tmp_path / f"in.{suffix}", text.encode(name))
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
    path = made(tmp_path / "in.csv", text.encode(name))
    refused(path, f"it reads as {name.upper()}, so give --encoding {name}", "--encoding", given)
    flags = () if text.startswith("id") else ("--no-header", "--address1=2", "--address2=3")
    assert len(pairs_of(path, "--encoding", name, *flags)) == text.count("\n") - (not flags)


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
    path = made(tmp_path / "in.csv", (HEADER + text).encode(written))
    said = refused(path, f"line 2: not UTF-8; all of the file reads as {shown.upper()}")
    hinted = said.rsplit("give ", 1)[1].split()
    assert hinted == ["--encoding", shown]
    assert pairs_of(path, *hinted)[0] == tuple(text.splitlines()[0].split(",")[1:])


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
    path = made(tmp_path / "in.csv", (HEADER + text).encode(written))
    refused(path, hint, "--encoding", given)


def test_lines_in_several_encodings_lead_into_no_circle(tmp_path: Path) -> None:
    mixed = (HEADER + SIMPLIFIED * 2).encode() + SIMPLIFIED.encode("gbk") + SIMPLIFIED.encode()
    path = made(tmp_path / "in.csv", mixed)
    said = refused(path, "line 4: not UTF-8; nor is the whole file in another encoding")
    assert "--encoding" not in said
    path = made(tmp_path / "cut.csv", (HEADER + SIMPLIFIED).encode()[:-3])
    assert "--encoding" not in refused(path, "line 2: not UTF-8")


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
    path = made(
        tmp_path / "in.jsonl", '{"address1": "甲", "address2": "\\ud83d\\ude00"}'.encode("big5")
    )
    with pytest.raises(BulkError, match="BIG5 does not have all characters of these rows"):
        score(path, "-o", tmp_path / "out.csv", "--encoding", "big5")
