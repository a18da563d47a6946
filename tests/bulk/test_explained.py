"""`score --explain` and `match --explain`: what stands behind a row, and how a run goes on."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from service.bulk import formats
from service.errors import BulkError
from service.matching import command as matching
from service.matching.match_job import MatchJob
from service.retrieval import files
from service.retrieval.register import Entry
from tests.bulk.jobs import FakeScorer, score
from tests.matching.jobs import rows, run

PAIRS = [
    ("杭州市西湖区文三路88号", "宁波市文三路188号"),
    ("文三路88号", "文三路八十八号"),
    ("", "文三路88号"),
    ("3栋2单元501", "3栋502"),
    ("文三路88号", "宁波市文三路88号"),
]
CONFLICTS = ["city number", "", "", "room", ""]


@pytest.fixture
def given(tmp_path: Path) -> Path:
    path = tmp_path / "in.csv"
    path.write_text("address1,address2\n" + "".join(f"{a},{b}\n" for a, b in PAIRS), "utf-8")
    return path


def test_each_row_says_in_what_its_addresses_differ(given: Path) -> None:
    plain, out = given.with_name("plain.csv"), given.with_name("out.csv")
    score(given, "-o", plain)
    score(given, "-o", out, "--explain")
    got = rows(out)
    assert [row["conflicts"] for row in got] == CONFLICTS
    assert [*got[0]][-3:] == ["conflicts", "differences", "error"]
    assert json.loads(got[3]["differences"]) == [
        {"kind": "unit", "address1": "2单元", "address2": None},
        {"kind": "room", "address1": "501", "address2": "502"},
    ]
    assert json.loads(got[1]["differences"]) == []
    assert (got[2]["differences"], bool(got[2]["error"])) == ("", True)
    for row in got:
        del row["conflicts"], row["differences"]  # type: ignore[attr-defined]
    assert got == rows(plain)


@pytest.mark.parametrize("name", formats.FORMATS)
def test_a_run_that_was_cut_off_ends_in_the_same_bytes(given: Path, name: str) -> None:
    whole, out = given.with_name(f"whole.{name}"), given.with_name(f"out.{name}")
    score(given, "-o", whole, "--explain")
    dying = FakeScorer()
    dying.dies_after = 1
    with pytest.raises(KeyboardInterrupt):
        score(given, "-o", out, "--explain", by=dying)
    resumed = score(given, "-o", out, "--explain")
    assert sum(resumed.scored) < len(PAIRS)
    assert out.read_bytes() == whole.read_bytes()


@pytest.mark.parametrize("then", [(), ("--explain", "--default-city", "杭州")])
def test_other_explanations_are_no_part_of_the_same_run(given: Path, then: tuple[str, ...]) -> None:
    out = given.with_name("out.csv")
    dying = FakeScorer()
    dying.dies_after = 1
    with pytest.raises(KeyboardInterrupt):
        score(given, "-o", out, "--explain", by=dying)
    with pytest.raises(BulkError, match="--restart"):
        score(given, "-o", out, *then)


def test_a_default_counts_for_rows_that_do_not_say(given: Path) -> None:
    out = given.with_name("out.csv")
    score(given, "-o", out, "--explain", "--default-province", "浙江", "--default-city", "杭州")
    assert [row["conflicts"] for row in rows(out)] == [*CONFLICTS[:-1], "city"]


def test_the_best_entry_is_explained(tmp_path: Path) -> None:
    files.write(tmp_path / "register", [Entry("R1", "宁波市文三路188号")])
    left, out = tmp_path / "left.csv", tmp_path / "out.csv"
    left.write_text("address\n杭州市文三路88号\n无\n长春\n", "utf-8")
    run(MatchJob, matching.add_flags, [left, tmp_path / "register", "-o", out, "--explain"],
        FakeScorer())  # fmt: skip
    first, *others = rows(out)
    assert (first["match_id"], first["conflicts"]) == ("R1", "city number")
    assert {(row["conflicts"], row["differences"]) for row in others} == {("", "")}


BAD = [
    (["--explain", "--default-city", "火星"], "--default-city is no city"),
    (["--explain", "--default-province", "杭州"], "--default-province is no province"),
    (
        ["--explain", "--default-province", "浙江", "--default-city", "南京"],
        "--default-city is in another province",
    ),
    (["--default-city", "杭州"], "--default-city is for an explanation: give --explain"),
    (["--default-province", "浙江"], "--default-province is for an explanation"),
]


@pytest.mark.parametrize(("flags", "said"), BAD)
def test_flags_that_cannot_be_meant_are_refused_before_any_work(
    given: Path, flags: list[str], said: str
) -> None:
    out = given.with_name("out.csv")
    with pytest.raises(BulkError, match=said):
        score(given, "-o", out, *flags)
    assert not out.exists()


def test_text_that_parquet_holds_as_bytes_is_explained_as_text(given: Path) -> None:
    """As Hive writes it. Its address was compared as the Base64 that a cell of bytes becomes."""
    names, out = ("address1", "address2"), given.with_name("out.csv")
    columns = [pa.array(texts).cast(pa.binary()) for texts in zip(*PAIRS, strict=True)]
    pq.write_table(pa.table(columns, names), given.with_name("in.parquet"))
    score(given.with_name("in.parquet"), "-o", out, "--explain")
    assert [row["conflicts"] for row in rows(out)] == CONFLICTS
