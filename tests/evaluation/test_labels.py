"""The names that a file has for the labels."""

from __future__ import annotations

import json
from pathlib import Path

import openpyxl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from service.errors import BulkError
from service.evaluation import labels
from service.scoring.checkpoint import LABELS
from tests.evaluation.labelled import ROWS, csv, evaluate, figures


@pytest.mark.parametrize(
    ("flag", "written"),
    [
        ("exact=2,partial=1,not=0", {"exact_match": "2", "partial_match": "1", "not_match": "0"}),
        ("exact=2,partial=1,not=0", {"exact_match": "2.0", "partial_match": "1", "not_match": "0"}),
        (
            "exact=1.0,partial=.5,not=-1.0",  # as they stand in the file
            {"exact_match": "1.0", "partial_match": ".5", "not_match": "-1"},
        ),
        (
            "exact_match=same|SAME HOUSE,partial_match=near,not_match=far",
            {"exact_match": "Same house", "partial_match": " near", "not_match": "FAR"},
        ),
        (
            "exact=完全匹配|一致，partial＝有关｜部分匹配,不匹配=无关",
            {"exact_match": "一致", "partial_match": "有关", "not_match": "无关"},
        ),
        (
            "not=不相关",  # the others keep the names that are known
            {"exact_match": "完全匹配", "partial_match": "部分匹配", "not_match": "不相关"},
        ),
        (
            "not=partial",  # a given name counts more than a known one
            {"exact_match": "exact", "partial_match": "partial_match", "not_match": "partial"},
        ),
        (None, {"exact_match": "是", "partial_match": "Partial", "not_match": "no-match"}),
        (None, {"exact_match": "ＹＥＳ", "partial_match": "部分匹配", "not_match": "Ｎｏ　Match"}),
    ],
)
def test_labels_go_by_the_names_that_a_file_has(
    tmp_path: Path,
    pairs: Path,
    flag: str | None,
    written: dict[str, str],
    capsys: pytest.CaptureFixture[str],
) -> None:
    evaluate(pairs, "--format", "json")
    expected = figures(capsys)
    path = csv(tmp_path / "other.csv", [(a, b, written[label]) for a, b, label in ROWS])
    if "2.0" in written.values():  # as Excel has numbers
        assert evaluate(path, "--format", "json", "--labels", str(flag)) == 0  # as pandas does
        assert figures(capsys) == expected
        names = ("address1", "address2", "label")
        book = openpyxl.Workbook()
        sheet = book.active
        assert sheet
        sheet.append(names)
        for a, b, label in ROWS:
            sheet.append((a, b, float(written[label])))
        path = tmp_path / "other.xlsx"
        book.save(path)
    assert evaluate(path, "--format", "json", *(("--labels", flag) if flag else ())) == 0
    assert figures(capsys) == expected


@pytest.mark.parametrize(
    ("flags", "kind", "written"),
    [
        (("--labels", "exact=2,partial=1,not=0"), pa.int64(), (2, 1, 0)),
        (("--labels", "exact=2.0,partial=1.0,not=0.0"), pa.float64(), (2.0, 1.0, 0.0)),
        (("--labels", "exact=2,partial=1,not=0"), pa.decimal128(3, 1), (2, 1, 0)),
        (("--labels", "partial=half"), pa.binary(), (b"yes", b"half", "否".encode())),
    ],
)
def test_labels_of_parquet_may_be_numbers_and_bytes(
    tmp_path: Path,
    pairs: Path,
    flags: tuple[str, ...],
    kind: pa.DataType,
    written: tuple[object, ...],
    capsys: pytest.CaptureFixture[str],
) -> None:
    evaluate(pairs, "--format", "json")
    expected = figures(capsys)
    values = dict(zip(LABELS, written, strict=True))
    first, second, truth = zip(*ROWS, strict=True)
    # Binary is how Hive writes text.
    texts = (pa.array([one.encode() for one in side], pa.binary()) for side in (first, second))
    path, errors = tmp_path / "pairs.parquet", tmp_path / "errors.jsonl"
    told = pa.array([values[label] for label in truth], kind)
    pq.write_table(pa.table([*texts, told], ["address1", "address2", "label"]), path)
    assert evaluate(path, "--format", "json", *flags, "--errors", str(errors)) == 0
    assert figures(capsys) == expected
    worst = json.loads(errors.read_text("utf-8").splitlines()[0])
    assert (worst["address1"], worst["address2"]) == ("甲", "3")


def test_a_missing_label_has_no_name(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "in.jsonl"
    rows: list[dict[str, str | None]] = [{"label": "none"}, {"label": None}, {}, {"label": "yes"}]
    lines = [json.dumps({"address1": "丙", "address2": "1"} | row) for row in rows]
    path.write_text("\n".join(lines), "utf-8")
    assert evaluate(path, "--format", "json", "--labels", "not=none|null") == 0
    assert figures(capsys)["labels"]["not_match"]["pairs"] == 1


@pytest.mark.parametrize(
    "given", ["exact", "exact=", "=2", "same=2", "exact=1,partial=1", "exact=1|1,not=|1"]
)
def test_names_of_another_form_are_refused(given: str) -> None:
    with pytest.raises(BulkError, match="--labels"):
        labels.names(given)
