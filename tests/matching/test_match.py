"""`match`: a file of addresses against a register, by a scorer without a model."""

from __future__ import annotations

import argparse
import contextlib
import json
from itertools import pairwise
from pathlib import Path

import openpyxl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.bulk.tables import Result
from service.errors import MGeoError
from service.matching import command
from service.matching.choice import Choice
from service.matching.match_job import MatchJob
from service.retrieval import files
from service.retrieval.ranking import ranked
from service.retrieval.register import Entry
from tests.bulk.jobs import FakeScorer, result
from tests.matching.jobs import rows, run

RIGHT = [
    Entry("R1", "杭州市西湖区文三路478号华星时代广场A座"),
    Entry("R2", "杭州市西湖区文三路479号"),
    Entry("R3", "杭州市滨江区江南大道1088号"),
    Entry("R4", "南京市栖霞区文枢东路2号"),
]
LEFT = ["文三路478号", "无", "", "长春", "江南大道1088号", "文枢东路2号书店", "文三路"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    files.write(tmp_path / "register", RIGHT)
    (tmp_path / "left.csv").write_text(
        "n,address\n" + "".join(f"{n},{a}\n" for n, a in enumerate(LEFT))
    )
    (tmp_path / "right.csv").write_text(
        "k,address\n" + "".join(f"{e.id},{e.address}\n" for e in RIGHT)
    )
    return tmp_path


def match(*words: str | Path, by: FakeScorer | None = None) -> FakeScorer:
    """Run a job by a fake scorer, and return it."""
    scorer = by or FakeScorer()
    scorer.chunk_rows = 40
    return run(MatchJob, command.add_flags, words, scorer)


def test_each_row_gets_the_entry_that_the_model_likes_best(folder: Path) -> None:
    out = folder / "out.csv"
    scorer = match(folder / "left.csv", folder / "register", "-o", out)
    got = rows(out)
    assert [row["address"] for row in got] == LEFT
    by_left = {
        left: sorted(
            (right for one, right in scorer.pairs if one == left),
            key=lambda right: -(result((left, right)).similarity or 0),
        )
        for left, _ in scorer.pairs
    }
    addresses = {entry.address: entry.id for entry in RIGHT}
    for row in got:
        candidates = by_left.get(row["address"], [])
        assert row["candidates"] in ("", str(len(candidates)))
        if candidates:
            assert row["answer"] == "match"
            assert row["match_address"] == candidates[0]
            assert row["match_id"] == addresses[candidates[0]]


def test_rows_without_an_address_keep_their_place_and_say_why(folder: Path) -> None:
    out = folder / "out.csv"
    match(folder / "left.csv", folder / "register", "-o", out)
    got = rows(out)
    assert "placeholder" in got[1]["error"]
    assert got[2]["error"] == "address is empty"
    assert [row["answer"] for row in got[1:3]] == ["", ""]


def test_an_address_that_shares_nothing_is_answered_with_no_match(folder: Path) -> None:
    out = folder / "out.csv"
    match(folder / "left.csv", folder / "register", "-o", out)
    row = rows(out)[3]
    assert (row["answer"], row["candidates"], row["match_id"], row["error"]) == (
        "no_match",
        "0",
        "",
        "",
    )


def test_below_the_threshold_is_no_match(folder: Path) -> None:
    out = folder / "out.csv"
    match(folder / "left.csv", folder / "register", "-o", out, "--threshold", "1")
    got = rows(out)
    assert {row["answer"] for row in got if not row["error"]} == {"no_match"}
    assert got[0]["similarity"]
    assert got[0]["match_id"] == ""


def test_further_answers_have_columns_of_their_own(folder: Path) -> None:
    out = folder / "out.jsonl"
    match(folder / "left.csv", folder / "register", "-o", out, "--top", "3")
    [first, *_] = [json.loads(line) for line in out.read_text("utf-8").splitlines()]
    similarities = [first["similarity"], first["similarity_2"]]
    assert similarities == sorted(similarities, reverse=True)
    assert first["margin"] == round(similarities[0] - similarities[1], 6)
    assert {first["match_id"], first["match_id_2"]} < {entry.id for entry in RIGHT}


@pytest.mark.parametrize("suffix", ["csv", "tsv", "jsonl", "parquet", "xlsx"])
def test_every_format_takes_the_results(folder: Path, suffix: str) -> None:
    out = folder / f"out.{suffix}"
    match(folder / "left.csv", folder / "register", "-o", out)
    again = folder / "again.jsonl"
    match(out, folder / "register", "-o", again, "--prefix", "second_")
    lines = [json.loads(line) for line in again.read_text("utf-8").splitlines()]
    assert [str(line["answer"] or "") for line in lines] == [
        str(line["second_answer"] or "") for line in lines
    ]


def test_a_table_is_made_into_a_register_first(folder: Path) -> None:
    match(folder / "left.csv", folder / "register", "-o", folder / "one.csv")
    match(folder / "left.csv", folder / "right.csv", "-o", folder / "other.csv", "--id", "k")
    assert (folder / "one.csv").read_bytes() == (folder / "other.csv").read_bytes()


@pytest.mark.parametrize("dies_after", range(4))
def test_a_run_that_was_cut_off_ends_in_the_same_bytes(folder: Path, dies_after: int) -> None:
    many = folder / "many.csv"
    many.write_text("address\n" + "".join(f"文三路{n}号\n" for n in range(470, 480)))
    whole = match(many, folder / "register", "-o", folder / "whole.csv")
    assert len(whole.scored) > 4
    cut_off = FakeScorer()
    cut_off.dies_after = dies_after
    with pytest.raises(KeyboardInterrupt):
        match(many, folder / "register", "-o", folder / "out.csv", by=cut_off)
    rest = match(many, folder / "register", "-o", folder / "out.csv")
    assert len(rest.scored) == len(whole.scored) - dies_after
    assert (folder / "out.csv").read_bytes() == (folder / "whole.csv").read_bytes()


def test_another_register_or_choice_is_not_gone_on_with(folder: Path) -> None:
    out = folder / "out.csv"
    cut_off = FakeScorer()
    cut_off.dies_after = 0
    with pytest.raises(KeyboardInterrupt):
        match(folder / "left.csv", folder / "register", "-o", out, by=cut_off)
    with pytest.raises(MGeoError, match="another choice of answers"):
        match(folder / "left.csv", folder / "register", "-o", out, "--threshold", "0.5")
    files.write(folder / "register", RIGHT[1:])
    with pytest.raises(MGeoError, match="another register"):
        match(folder / "left.csv", folder / "register", "-o", out)


@pytest.mark.parametrize(
    ("rule", "said"), [("ORDER", "another order of answers"), ("RULE", "another way of searching")]
)
def test_a_run_is_not_gone_on_with_by_the_rules_of_another_release(
    folder: Path, monkeypatch: pytest.MonkeyPatch, rule: str, said: str
) -> None:
    out = folder / "out.csv"
    cut_off = FakeScorer()
    cut_off.dies_after = 0
    with monkeypatch.context() as earlier:
        earlier.setattr(f"service.matching.matcher.{rule}", "that of an earlier release")
        with pytest.raises(KeyboardInterrupt):
            match(folder / "left.csv", folder / "register", "-o", out, by=cut_off)
    with pytest.raises(MGeoError, match=said):
        match(folder / "left.csv", folder / "register", "-o", out)
    match(folder / "left.csv", folder / "register", "-o", out, "--restart")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--top", "21"), "--top 21 needs as many --candidates"),
        (("--id", "k"), "--right-address and --id are for a table"),
        (("--address", "where"), "has no column 'where'"),
        (("--url", "http://127.0.0.1:1", "--model", "x"), "--model has no effect with --url"),
    ],
)
def test_what_cannot_be_is_said_in_one_line(
    folder: Path, words: tuple[str, ...], said: str
) -> None:
    with pytest.raises(MGeoError, match=said):
        match(folder / "left.csv", folder / "register", "-o", folder / "out.csv", *words)
    assert not (folder / "out.csv").exists()


def test_a_right_side_that_is_none_is_said(folder: Path) -> None:
    out = folder / "out.csv"
    with pytest.raises(MGeoError, match="there is no file"):
        match(folder / "left.csv", folder / "nothing.csv", "-o", out)
    with pytest.raises(MGeoError, match="is no register"):
        match(folder / "left.csv", folder, "-o", out)


@pytest.mark.parametrize("end", ["", ".partial", ".journal"])
def test_the_output_does_not_overwrite_the_right_side(folder: Path, end: str) -> None:
    right = folder / f"right.csv{end}"
    right.write_bytes((folder / "right.csv").read_bytes())
    before = right.read_bytes()
    with pytest.raises(MGeoError, match="would overwrite RIGHT"):
        match(folder / "left.csv", right, "-o", folder / "right.csv", "--force")
    assert right.read_bytes() == before


def test_standard_input_is_not_both_sides(folder: Path) -> None:
    with pytest.raises(MGeoError, match="cannot both be standard input"):
        match("-", "-", "-o", folder / "out.csv")


@pytest.mark.parametrize(
    ("encoding", "text", "said"),
    [
        ("gb18030", None, "give --encoding gb18030. "),
        ("utf-8", "文三路1号,文三路2号\n文三路3号,文三路4号\n", "give --no-header. "),
        ("utf-8", "表\n,\nk,address\n1,文三路1号\n", "give --header-row 3. "),
    ],
)
def test_flags_that_would_read_the_right_side_are_those_of_index_build(
    folder: Path, encoding: str, text: str | None, said: str
) -> None:
    """Given to `match`, as the message would have it, they are for the left side."""
    right = folder / "right.csv"
    right.write_bytes((text or right.read_text("utf-8")).encode(encoding))
    with pytest.raises(MGeoError) as raised:
        match(folder / "left.csv", right, "-o", folder / "out.csv")
    assert str(raised.value).endswith(
        f"{said}Here such flags are for LEFT: make a register of RIGHT by `index build`"
    )


def test_which_sheet_of_the_right_side_is_read_is_said(folder: Path) -> None:
    book = openpyxl.Workbook()
    for row in (["address"], ["文三路478号"]):
        book.worksheets[0].append(row)
    book.create_sheet("other")
    book.save(folder / "right.xlsx")
    told: list[str] = []
    words = [str(folder / name) for name in ("left.csv", "right.xlsx")]
    parser = argparse.ArgumentParser()
    command.add_flags(parser)
    job = MatchJob(parser.parse_args([*words, "-o", str(folder / "out.csv")]))
    with contextlib.ExitStack() as stack:
        job._register(told.append, stack, 512)
    assert any(
        "the sheet Sheet is read; --sheet reads another: other. Here" in line for line in told
    )


def test_candidates_that_the_model_fails_on_are_passed_over() -> None:
    good, bad = result(("a", "b")), Result(error="the model failed on this pair")
    assert [best.candidate for best in ranked([(7, bad), (8, good)], lambda _: True)] == [8]
    assert ranked([(7, bad)], lambda _: True) == []


def _of(shares: list[float]) -> list[Result]:
    return [Result(share, "partial_match", 0.0, 1.0, 0.0, False) for share in shares]


@given(st.lists(st.floats(0, 1).map(lambda share: round(share, 6)), max_size=8), st.floats(0, 1))
def test_answers_come_first_and_of_equals_the_likelier(shares: list[float], from_: float) -> None:
    best = ranked(enumerate(_of(shares)), lambda result: (result.similarity or 0) >= from_)
    found = [one.score.similarity or 0 for one in best]
    assert sorted(found) == sorted(shares)
    answers = [similarity >= from_ for similarity in found]
    assert answers == sorted(answers, reverse=True)
    for one, following in pairwise(best):
        assert one.margin == (one.score.similarity or 0) - (following.score.similarity or 0)
        if (one.margin <= 0) and answers[best.index(one)] == answers[best.index(following)]:
            assert one.candidate < following.candidate  # it was likelier by the index
    if best:
        assert best[-1].margin is None


@pytest.mark.parametrize(
    ("shares", "first"),
    [
        ([0.5, 0.51], 0),  # about as similar: the index decides
        ([0.5, 0.7], 1),  # the model is sure
        ([0.6, *[0.1] * 18, 0.9], 0),  # the further down, the surer it has to be
        ([0.6, *[0.1] * 18, 0.97], 19),
        ([1.0, 1.0], 0),
        ([0.0, 0.0], 0),
        ([0.0, 1.0], 1),
    ],
)
def test_model_and_index_decide_together(shares: list[float], first: int) -> None:
    best = ranked(enumerate(_of(shares)), lambda _: True)
    assert best[0].candidate == first
    assert best[0].margin == shares[first] - (best[1].score.similarity or 0)


@pytest.mark.parametrize(
    ("threshold", "similarity", "label", "is_answer"),
    [
        (None, 0.9, "not_match", False), (None, 0.1, "partial_match", True),
        (None, 0.9, "exact_match", True), (0.5, 0.5, "not_match", True),
        (0.5, 0.499, "exact_match", False), (0.0, 0.0, "not_match", True),
        (0.0, None, None, False), (None, None, None, False),
    ],
)  # fmt: skip
def test_what_counts_as_an_answer(
    threshold: float | None, similarity: float | None, label: str | None, is_answer: bool
) -> None:
    assert Choice(threshold=threshold).is_answer(Result(similarity, label)) is is_answer


@pytest.mark.parametrize(
    ("threshold", "exact", "partial", "is_answer"),
    [(0.7, 0.1, 0.6, True), (0.7, 0.7, 0.0, True), (0.701, 0.1, 0.6, False), (0.0, 0.0, 0.0, True)],
)
def test_a_threshold_can_be_for_the_sum_of_both_probabilities(
    threshold: float, exact: float, partial: float, is_answer: bool
) -> None:
    choice = Choice(threshold=threshold, by="probability")
    assert choice.is_answer(Result(exact + partial / 2, "not_match", exact, partial)) is is_answer


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--by", "probability"], "by probability needs a threshold"),
        (["--threshold", "0.5", "--by", "label"], "invalid choice: 'label'"),
    ],
)
def test_what_a_threshold_cannot_be_compared_with_is_said(
    folder: Path, words: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises((MGeoError, SystemExit)) as raised:
        match(folder / "left.csv", folder / "register", "-o", folder / "out.csv", *words)
    assert said in capsys.readouterr().err + str(raised.value)


def test_a_run_is_not_gone_on_with_by_another_kind_of_threshold(folder: Path) -> None:
    words = (folder / "left.csv", folder / "register", "-o", folder / "out.csv", "--threshold", "0")
    cut_off = FakeScorer()
    cut_off.dies_after = 1
    with pytest.raises(KeyboardInterrupt):
        match(*words, by=cut_off)
    with pytest.raises(MGeoError, match="another choice of answers"):
        match(*words, "--by", "probability")
