"""`evaluate`: labelled pairs of one's own in, figures out."""

from __future__ import annotations

import json
import os
from pathlib import Path
from xml.etree import ElementTree

import openpyxl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from service.bulk import columns
from service.errors import BulkError
from service.evaluation.accumulator import NO_LABEL
from tests.evaluation.labelled import ROWS, csv, evaluate, figures


def test_the_figures_are_those_worked_out_by_hand(
    pairs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert evaluate(pairs, "--format", "json", "--precision", "0.65", "1") == 0
    told = figures(capsys)
    assert (told["rows"], told["pairs"], told["accuracy"]) == (8, 8, 0.625)
    assert told["model"] == {"name": "fake", "version": "1", "backend": "none"}
    # Exact: 3 true, 3 guessed, 2 right. Partial: 2, 2, 1. Not: 3, 3, 2.
    assert told["macro_f1"] == pytest.approx((2 / 3 + 1 / 2 + 2 / 3) / 3)
    assert told["labels"]["exact_match"] == {
        "pairs": 3,
        **dict.fromkeys(("precision", "recall", "f1"), pytest.approx(2 / 3)),
    }
    assert told["confusion"]["exact_match"] == {
        "exact_match": 2,
        "partial_match": 1,
        "not_match": 0,
    }
    # Confidence .9, .7 and .8; right are 2 of 3, 1 of 2 and 2 of 3.
    gaps = 3 / 8 * (0.9 - 2 / 3) + 2 / 8 * (0.7 - 1 / 2) + 3 / 8 * (0.8 - 2 / 3)
    assert told["ece"] == pytest.approx(gaps)
    at_half = told["thresholds"]["exact_match or partial_match"][4]
    assert at_half["similarity"] == 0.5
    assert at_half["precision"] == pytest.approx(2 / 3)  # three 甲, one of them none
    assert at_half["recall"] == pytest.approx(2 / 5)
    [at_70] = [
        one
        for one in told["thresholds"]["exact_match or partial_match by probability"]
        if one["probability"] == 0.7
    ]  # five of 甲 and 乙, two of them none
    assert (at_70["precision"], at_70["recall"]) == (4 / 5, 4 / 5)
    enough, never = told["threshold_for_precision"]["exact_match"]
    assert (enough["similarity"], enough["precision"]) == (0.451, pytest.approx(2 / 3))
    assert enough["pairs"] == 3  # three 甲
    nothing = dict.fromkeys(("similarity", "precision", "recall"))
    assert never == {"wanted": 1.0, **nothing, "pairs": 0}


def test_the_text_has_the_figures(pairs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert evaluate(pairs, "--precision", "0.65", "1") == 0
    out = capsys.readouterr().out
    assert "macro-F1   0.6111" in out
    assert (
        "exact_match with a precision of 0.65: similarity >= 0.451 (precision 0.667 of 3 pairs"
        in out
    )
    assert "exact_match with a precision of 1: no similarity is so precise" in out
    assert not set("甲乙丙") & set(out)


def test_the_table_of_thresholds_is_printed_for_a_page(
    pairs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert evaluate(pairs, "--format", "markdown") == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[1] == "|---|---|---|---|---|---|---|"
    assert "| ≥ 0.50 | 0.667 | 0.667 | 0.667 | 0.400 | 0.800 | 0.800 |" in lines
    assert lines[-1] == "| ≥ 0.98 | - | 0.000 | - | 0.000 | 0.667 | 0.400 |"


@pytest.mark.parametrize("kind", ["tsv", "jsonl", "parquet", "xlsx"])
def test_every_format_of_score_is_read(
    tmp_path: Path, pairs: Path, kind: str, capsys: pytest.CaptureFixture[str]
) -> None:
    evaluate(pairs, "--format", "json")
    expected = figures(capsys)
    path = tmp_path / f"pairs.{kind}"
    names = ("address1", "address2", "label")
    if kind == "tsv":
        path.write_text("\n".join("\t".join(row) for row in (names, *ROWS)), "utf-8")
    elif kind == "jsonl":
        path.write_text("\n".join(json.dumps(dict(zip(names, row, strict=True))) for row in ROWS))
    elif kind == "parquet":
        pq.write_table(
            pa.table(dict(zip(names, map(list, zip(*ROWS, strict=True)), strict=True))), path
        )
    else:
        book = openpyxl.Workbook()
        sheet = book.active
        assert sheet
        for row in (names, *ROWS):
            sheet.append(row)
        book.save(path)
    assert evaluate(path, "--format", "json") == 0
    assert figures(capsys) == expected


def test_a_file_as_a_chinese_excel_saves_it_is_read(
    tmp_path: Path, pairs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    evaluate(pairs, "--format", "json")
    expected = figures(capsys)
    names = {"exact_match": "完全匹配", "partial_match": "部分匹配", "not_match": "不相关"}
    rows = [("地址1", "地址2", "标签"), *((a, b, names[label]) for a, b, label in ROWS)]
    path = tmp_path / "customers.csv"
    path.write_bytes("".join(f"{','.join(row)}\r\n" for row in rows).encode("gb18030"))
    flags = (
        "--address1",
        "地址1",
        "--address2",
        "地址2",
        "--label",
        "标签",
        "--labels",
        "not=不相关",
    )
    assert evaluate(path, "--encoding", "gb18030", *flags, "--format", "json") == 0
    assert figures(capsys) == expected


def test_bad_rows_are_counted_and_their_content_is_not_shown(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = csv(tmp_path / "in.csv", [*ROWS, ("", "9", "not_match"), ("甲", "9", "秘密")])
    assert evaluate(path, "--format", "json") == 0
    out, err = capsys.readouterr()
    assert (json.loads(out)["rows"], json.loads(out)["pairs"]) == (10, 8)
    assert "rows that count for nothing: 2: row 9: " in err
    assert f"row 10: {NO_LABEL}" in err
    assert "秘密" not in err + out


@pytest.mark.parametrize(("rows", "read"), [(4, "4"), (1100, "1,002")])
def test_a_file_without_a_known_label_is_refused_before_the_model_is_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rows: int, read: str
) -> None:
    monkeypatch.setattr(columns, "pairs", lambda *_: pytest.fail("a row was scored"))
    path = csv(tmp_path / "in.csv", [("甲", "1", "7")] * rows)
    with pytest.raises(BulkError, match=rf"the first {read} rows .* as in --labels exact=2"):
        evaluate(path)


def test_rows_before_the_first_label_count_as_rows(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = csv(tmp_path / "in.csv", [*[("甲", "1", "")] * 11, *ROWS])
    assert evaluate(path, "--format", "json") == 0
    out, err = capsys.readouterr()
    assert (json.loads(out)["rows"], json.loads(out)["pairs"]) == (19, 8)
    assert f"rows 1, 2, 3, 4, 5, 6, 7, 8, 9, 10: {NO_LABEL}; ..." in err


@pytest.mark.parametrize(
    ("rows", "why"), [([], "there is none"), ([("", "1", "是")] * 2, "rows 1, 2: address1 ")]
)
def test_a_file_without_a_pair_is_refused(
    tmp_path: Path, rows: list[tuple[str, str, str]], why: str
) -> None:
    with pytest.raises(BulkError, match=f"no row has a score and a label: {why}"):
        evaluate(csv(tmp_path / "in.csv", rows))


def test_a_label_that_no_row_has_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    evaluate(csv(tmp_path / "in.csv", [row for row in ROWS if row[2] != "partial_match"]))
    assert "no row is partial_match: macro-F1 counts it as 0" in capsys.readouterr().out


def test_the_worst_mistakes_go_to_the_file_that_was_asked_for(pairs: Path, tmp_path: Path) -> None:
    errors = tmp_path / "errors.jsonl"
    assert evaluate(pairs, "--errors", str(errors), "--worst", "2") == 0
    told = [json.loads(line) for line in errors.read_text("utf-8").splitlines()]
    assert [(one["row"], one["label"], one["answered"]) for one in told] == [
        (3, "not_match", "exact_match"),
        (5, "exact_match", "partial_match"),
    ]
    assert (told[0]["address1"], told[0]["address2"]) == ("甲", "3")
    assert told[0]["probability_of_label"] == 0.0


def test_the_picture_has_all_curves(pairs: Path, tmp_path: Path) -> None:
    picture = tmp_path / "curves.svg"
    assert evaluate(pairs, "--picture", str(picture)) == 0
    root = ElementTree.fromstring(picture.read_text("utf-8"))
    space = "{http://www.w3.org/2000/svg}"
    assert len(root.findall(f"{space}circle")) == 3  # one a bin
    assert len(root.findall(f"{space}polyline")) == 7  # two of each rule, and the diagonal
    shown = " ".join(one.text or "" for one in root.iter(f"{space}text"))
    assert "taken for exact_match or partial_match" in shown
    assert "macro-F1 0.611 on 8 pairs pairs.csv; fake, 1, none" in shown


@pytest.mark.parametrize("name", ["pairs\udcc4\udce3", "pairs\x01\x1b", "pairs&<"])
def test_the_picture_can_name_every_file(pairs: Path, tmp_path: Path, name: str) -> None:
    picture = tmp_path / "curves.svg"
    path = pairs.rename(tmp_path / f"{name}.csv")
    assert evaluate(path, "--picture", str(picture)) == 0
    root = ElementTree.fromstring(picture.read_text("utf-8"))
    shown = name.translate(dict.fromkeys(map(ord, "\udcc4\udce3\x01\x1b"), "\ufffd"))
    assert f"{shown}.csv; fake, 1, none" in " ".join(root.itertext())


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("--worst", "-3"), "argument --worst: '-3': must be from 1 to"),
        (("--precision", "95"), "argument --precision: '95': must be above 0 and at most 1"),
        (("--precision", ".9", "more.csv"), "argument --precision: 'more.csv': must be a number; "
         "the name of FILE goes before this flag"),
    ],
)  # fmt: skip
def test_flags_that_cannot_be_right_are_refused(
    flags: tuple[str, ...], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        evaluate(Path("pairs.csv"), *flags)
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("--label", "2"), "name the same column twice"),
        (("--label", "class"), "has no column 'class'"),
        (("--picture", "curves.png"), r"--picture curves.png: its name must end in \.svg"),
        (("--errors", "errors.csv"), r"--errors errors.csv: its name must end in \.jsonl"),
        (("--errors", "input.jsonl", "--from", "csv"), "--errors would overwrite the input"),
        (("--errors", "there.jsonl"), "exists; give --force"),
        (("--errors", "no/where.jsonl"), "there is no folder"),
        (("--picture", "folder.svg", "--force"), "folder.svg is a folder"),
        (("--picture", "locked/new.svg"), "locked/new.svg cannot be written"),
        (("--errors", "locked/old.jsonl", "--force"), "locked/old.jsonl cannot be written"),
    ],
)
def test_what_cannot_be_right_is_refused_before_any_work(
    pairs: Path, monkeypatch: pytest.MonkeyPatch, flags: tuple[str, ...], message: str
) -> None:
    monkeypatch.chdir(pairs.parent)
    for folder in ("folder.svg", "locked"):
        Path(folder).mkdir()
    for file in ("there.jsonl", "locked/old.jsonl"):
        Path(file).touch()
    # Root may write everywhere, so no file mode makes a folder that it cannot write to.
    monkeypatch.setattr(os, "access", lambda path, mode: "locked" not in str(path))
    monkeypatch.setattr(
        "service.bulk.local.LocalScorer", lambda settings: pytest.fail("a model was loaded")
    )
    name = "input.jsonl" if "input.jsonl" in flags else "pairs.csv"
    pairs.rename(name)
    with pytest.raises(BulkError, match=message):
        evaluate(Path(name), *flags)
    with pytest.raises(BulkError, match="there is no file"):
        evaluate(Path("none.csv"))
