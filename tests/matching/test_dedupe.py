"""`dedupe`: rows of one file that are one place, by a scorer without a model."""

from __future__ import annotations

import argparse
import contextlib
import itertools
import re
from collections import Counter
from pathlib import Path

import pytest

from service.bulk.tables import Chunk, Result
from service.comparison.compare import compare
from service.errors import MGeoError
from service.matching import command
from service.matching.dedupe_job import DedupeJob
from service.matching.reach import Reach
from tests.bulk.jobs import FakeScorer
from tests.conftest import TINY, Running
from tests.matching.jobs import rows, run

ROWS = ["文三路1号", "文三路一号", "无", "江南大道9号", "文三路1号", "", "长春", "江南大道９号"]
PLACE = {"文三路1号": 1, "文三路一号": 1, "江南大道9号": 2, "江南大道９号": 2, "长春": 3}


class Knowing(FakeScorer):
    """Says exact_match of the pairs that are one place."""

    def score(self, chunks, pair, report):  # type: ignore[no-untyped-def]
        for chunk, results in super().score(chunks, pair, report):
            yield chunk, [self._said(chunk, pair, at) for at in range(len(results))]

    def _said(self, chunk: Chunk, pair: tuple[int, int], at: int) -> Result:
        first, second = (str(chunk.values(column)[at]) for column in pair)
        if PLACE.get(first, first) == PLACE.get(second, second):
            return Result(0.9, "exact_match", 0.85, 0.1, 0.05, False)
        return Result(0.2, "not_match", 0.1, 0.2, 0.7, False)


@pytest.fixture
def table(tmp_path: Path) -> Path:
    path = tmp_path / "in.csv"
    path.write_text("n,address\n" + "".join(f"{n},{a}\n" for n, a in enumerate(ROWS)))
    return path


def dedupe(*words: str | Path, by: FakeScorer | None = None) -> FakeScorer:
    """Run a job by a scorer that knows the places, and return it."""
    return run(DedupeJob, command.add_dedupe_flags, words, by or Knowing())


def test_rows_of_one_place_have_one_cluster(table: Path) -> None:
    out = table.with_name("out.csv")
    dedupe(table, "-o", out)
    got = rows(out)
    assert [row["address"] for row in got] == ROWS
    assert [row["cluster"] for row in got] == ["1", "1", "", "4", "1", "", "7", "4"]
    assert [row["members"] for row in got] == ["3", "3", "", "2", "3", "", "1", "2"]
    assert [row["kind"] for row in got] == [
        "representative", "duplicate", "", "representative", "duplicate", "", "single", "duplicate",
    ]  # fmt: skip
    assert "placeholder" in got[2]["error"]
    assert got[5]["error"] == "address is empty"


def test_pairs_that_match_are_the_second_file(table: Path) -> None:
    dedupe(table, "-o", table.with_name("out.csv"), "--pairs", table.with_name("pairs.jsonl"))
    assert not table.with_name("out.pairs.csv").exists()
    dedupe(table, "-o", table.with_name("other.csv"))
    pairs = rows(table.with_name("other.pairs.csv"))
    # Rows 5 and 8 have the text of rows 1 and 4: nothing had to be compared.
    assert [(row["row1"], row["row2"]) for row in pairs] == [("1", "2")]
    for row in pairs:
        assert ROWS[int(row["row1"]) - 1] == row["address1"]
        assert row["similarity"] == "0.900000"


def test_each_pair_is_scored_once(table: Path) -> None:
    scorer = dedupe(table, "-o", table.with_name("out.csv"))
    counted = Counter(tuple(sorted(pair)) for pair in scorer.pairs)
    assert max(counted.values()) == 1
    assert len(scorer.pairs) <= len(list(itertools.combinations(range(4), 2)))


def test_a_text_that_stands_often_is_compared_once_and_hides_no_other(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Thirty rows of one text: all in one cluster with its other writing, which ten candidates of
    the same text would have kept out."""
    table, out = tmp_path / "in.csv", tmp_path / "out.csv"
    forms = ["文三路1号", "文三路１号", "文三路1号 ", "  文三路1号"]
    table.write_text("address\n" + "\n".join(forms * 7 + ["长春", "文三路一号"]) + "\n")
    scorer = dedupe(table, "-o", out)
    assert all(len(set(pair)) == 2 for pair in scorer.pairs)
    assert len(scorer.pairs) <= len(list(itertools.combinations(range(3), 2)))
    got = rows(out)
    assert [row["members"] for row in got] == ["29"] * 28 + ["1", "29"]
    assert {row["cluster"] for row in got[:28]} == {"1"}
    assert [row["similarity"] for row in got] == ["1.000000"] * 28 + ["", "0.900000"]
    assert "27 rows have the text of an earlier one" in capsys.readouterr().err


SOME = ["文三路478号华星时代广场", "江南大道1088号中赢星河", "人民大街9号", "中山北路77号3幢"]
"""Beside each of these stands one with another number, and one that has its district alone."""


@pytest.fixture
def wide(tmp_path: Path) -> Path:
    path = tmp_path / "wide.csv"
    written = [f"滨江区{one}{end}" for one in SOME for end in ("", "A座")]
    near = [f"滨江区{road}路{number}号" for road in "甲乙丙丁戊" for number in (3, 71, 800)]
    path.write_text("address\n" + "\n".join([*written, *near]) + "\n")
    return path


def test_rows_that_share_too_little_are_not_compared_and_counted(
    wide: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out, count = wide.with_name("out.csv"), len(SOME) * 2 + 15
    every = dedupe(wide, "-o", out).pairs
    assert "--least-share" not in capsys.readouterr().err  # so few rows are all compared
    monkeypatch.setattr("service.matching.reach._FEW", count - 1)
    some = dedupe(wide, "-o", out, "--force", "--least-share", "0.5").pairs
    [left_out] = re.findall(r"([\d,]+) times .*\(--least-share\)", capsys.readouterr().err)
    assert set(some) < set(every)
    # A pair is left out from one side or from both.
    gone = len(every) - len(some)
    assert gone <= int(left_out) <= 10 * count
    for one in SOME:
        assert (f"滨江区{one}", f"滨江区{one}A座") in some
    assert dedupe(wide, "-o", out, "--force", "--least-share", "0").pairs == every
    monkeypatch.setattr("service.matching.reach._FEW", count)
    assert dedupe(wide, "-o", out, "--force", "--least-share", "0.5").pairs == every


def test_a_run_goes_on_with_its_own_least_share(
    wide: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.matching.reach._FEW", 0)
    out, cut_off = wide.with_name("out.csv"), Knowing()
    cut_off.dies_after = 1
    with pytest.raises(KeyboardInterrupt):
        dedupe(wide, "-o", out, by=cut_off)
    with pytest.raises(MGeoError, match="another choice of duplicates"):
        dedupe(wide, "-o", out, "--least-share", "0.1")
    dedupe(wide, "-o", out)
    dedupe(wide, "-o", wide.with_name("whole.csv"))
    assert out.read_bytes() == wide.with_name("whole.csv").read_bytes()


def test_rows_that_contradict_each_other_are_not_compared_and_counted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = tmp_path / "in.csv"
    written = [
        "文三路1号",
        "文三路2号",
        "文三路1号3栋",
        "文三路1号4栋",
        "文三路",
        "宁波市文三路1号",
    ]
    table.write_text("address\n" + "\n".join([*written, "杭州市文三路1号"]) + "\n")
    scorer = dedupe(table, "-o", table.with_name("out.csv"))
    every = [frozenset(pair) for pair in itertools.combinations([*written, "杭州市文三路1号"], 2)]
    apart = [pair for pair in every if compare(*pair).conflicts]
    assert frozenset(("文三路1号", "文三路2号")) in apart
    assert frozenset(("宁波市文三路1号", "杭州市文三路1号")) in apart
    assert sorted(map(sorted, scorer.pairs)) == sorted(sorted(p) for p in every if p not in apart)
    [told] = re.findall(r"([\d,]+) times .*contradict each other, in", capsys.readouterr().err)
    assert int(told) == 2 * len(apart)  # each is found from both sides


@pytest.mark.slow
def test_a_service_gets_the_pairs_that_a_model_here_gets(
    wide: Path,
    running: Running,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Also the comparisons that are left out are those of a model here, and are said alike."""
    monkeypatch.setattr("service.matching.reach._FEW", 0)
    own = ["--model", TINY, "--backend", "openvino-f32", "--cpu-threads", "1"]
    said = {}
    for name, words in {"here": own, "there": ["--url", running.predictions]}.items():
        flags = ["--threshold", "0", "--least-share", "0.5"]  # each pair compared is a match
        parser = argparse.ArgumentParser()
        command.add_dedupe_flags(parser)
        given = [wide, "-o", wide.with_name(f"{name}.csv"), *flags, *words]
        DedupeJob(parser.parse_args([str(word) for word in given])).run()
        said[name] = re.findall(r"mgeo: .*--least-share.*|mgeo: .*cut.*", capsys.readouterr().err)
    assert "--least-share" in said["here"][0]
    assert said["there"] == said["here"]
    here, there = (rows(wide.with_name(f"{name}.pairs.csv")) for name in ("here", "there"))
    assert here
    assert [(row["row1"], row["row2"]) for row in there] == [
        (row["row1"], row["row2"]) for row in here
    ]


@pytest.mark.parametrize("rule", ["RULE", "COMPARES"])
def test_a_run_is_not_gone_on_with_by_the_search_of_another_release(
    table: Path, monkeypatch: pytest.MonkeyPatch, rule: str
) -> None:
    """Its pairs would be others, and the journal has only their scores."""
    out, cut_off = table.with_name("out.csv"), Knowing()
    cut_off.dies_after = 1
    with monkeypatch.context() as earlier:
        earlier.setattr(f"service.matching.dedupe_job.{rule}", "that of an earlier release")
        with pytest.raises(KeyboardInterrupt):
            dedupe(table, "-o", out, by=cut_off)
    with pytest.raises(MGeoError, match="another way of searching"):
        dedupe(table, "-o", out)
    dedupe(table, "-o", out, "--restart")


def test_what_an_earlier_run_found_is_not_searched_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.matching.pairs.ENTRIES", 4)
    table, out = tmp_path / "in.csv", tmp_path / "out.csv"
    names = [f"文三路{chr(0x5000 + number)}记面馆" for number in range(40)]
    table.write_text("address\n" + "\n".join(names) + "\n")
    searched: list[int] = []
    compared = Reach.compared

    def counted(self, register, places, addresses):  # type: ignore[no-untyped-def]
        searched.extend(places)
        yield from compared(self, register, places, addresses)

    monkeypatch.setattr(Reach, "compared", counted)
    cut_off = Knowing()
    cut_off.dies_after = 5
    with pytest.raises(KeyboardInterrupt):
        dedupe(table, "-o", out, by=cut_off)
    first, searched[:] = [*searched], []
    assert first
    dedupe(table, "-o", out)
    assert first + searched == [*range(40)]
    dedupe(table, "-o", tmp_path / "whole.csv")
    assert out.read_bytes() == (tmp_path / "whole.csv").read_bytes()


def test_blanks_that_part_two_numbers_part_two_texts(tmp_path: Path) -> None:
    table, out = tmp_path / "in.csv", tmp_path / "out.csv"
    table.write_text("address\n文三路1 2号\n文三路12号\n文三路1  2号\n")
    dedupe(table, "-o", out)
    assert [row["cluster"] for row in rows(out)] == ["1", "2", "1"]


@pytest.mark.parametrize("dies_after", [0, 1, 2])
def test_a_run_that_was_cut_off_ends_in_the_same_bytes(table: Path, dies_after: int) -> None:
    with table.open("a") as file:
        file.writelines(f"{n},文三路{name}记面馆\n" for n, name in enumerate("赵钱孙李周吴", 9))
    whole = dedupe(table, "-o", table.with_name("whole.csv"))
    assert len(whole.scored) > 2
    cut_off = Knowing()
    cut_off.dies_after = dies_after
    out = table.with_name("out.csv")
    with pytest.raises(KeyboardInterrupt):
        dedupe(table, "-o", out, by=cut_off)
    rest = dedupe(table, "-o", out)
    assert len(rest.scored) == len(whole.scored) - dies_after
    assert not list(table.parent.glob("*.candidates"))
    for name in ("{}.csv", "{}.pairs.csv"):
        one, other = (table.with_name(name.format(stem)) for stem in ("out", "whole"))
        assert one.read_bytes() == other.read_bytes()
    assert not list(table.parent.glob("*.journal"))
    assert not list(table.parent.glob("*.partial"))


@pytest.mark.parametrize(("dies_after", "from_before"), [(0, 0), (1, 0), (2, 4), (3, 8), (4, 12)])
def test_rows_whose_pairs_were_scored_before_are_said_to_be(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    dies_after: int,
    from_before: int,
) -> None:
    """The pairs of the last rows may be in the journal too: all rows are from before then."""
    monkeypatch.setattr("service.matching.pairs.ENTRIES", 4)
    table, out = tmp_path / "in.csv", tmp_path / "out.csv"
    table.write_text("address\n" + "".join(f"长春{name}\n" for name in "甲乙丙丁戊己庚辛壬癸子丑"))
    for dies in (dies_after, None):
        scorer = Knowing()
        scorer.chunk_rows, scorer.dies_after = 20, dies
        with pytest.raises(KeyboardInterrupt) if dies is not None else contextlib.nullcontext():
            dedupe(table, "-o", out, by=scorer)
    told = capsys.readouterr().err
    said = f", {from_before} of them from before" if from_before else ""
    assert f"12 rows{said}, in" in told


@pytest.mark.parametrize("dies_after", [None, 2])
def test_progress_counts_rows_and_ends_with_all_of_them(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    dies_after: int | None,
) -> None:
    monkeypatch.setattr("service.bulk.progress._EVERY_SECONDS", -1)
    monkeypatch.setattr("service.matching.pairs.ENTRIES", 10)
    table = tmp_path / "in.csv"
    many = [f"文三路{chr(0x5000 + number)}记面馆" for number in range(60)]
    table.write_text("address\n" + "\n".join(many) + "\n")
    out = table.with_name("out.csv")
    if dies_after is not None:
        cut_off = Knowing()
        cut_off.dies_after = dies_after
        with pytest.raises(KeyboardInterrupt):
            dedupe(table, "-o", out, by=cut_off)
        capsys.readouterr()
    dedupe(table, "-o", out)
    told = re.findall(r"([\d,]+) of ([\d,]+) rows", capsys.readouterr().err)
    assert told
    assert {total for _, total in told} == {"60"}
    assert max(int(done) for done, _ in told) == 60


@pytest.mark.parametrize("suffix", ["tsv", "jsonl", "parquet", "xlsx"])
def test_every_format_takes_the_results(table: Path, suffix: str) -> None:
    out = table.with_name(f"out.{suffix}")
    dedupe(table, "-o", out)
    again = table.with_name("again.csv")
    dedupe(out, "-o", again, "--prefix", "second_")
    kinds = [(row["kind"], row["second_kind"]) for row in rows(again)]
    assert len(kinds) == len(rows(table))
    assert [one for one, other in kinds] == [other for one, other in kinds]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("in.csv", "-o", "-"), "name files, not -"),
        (("in.csv", "-o", "out.csv", "--pairs", "in.csv"), "--pairs would overwrite"),
        (("in.csv", "-o", "out.csv", "--pairs", "out.csv"), "--pairs would overwrite"),
        (("in.csv", "-o", "out.csv", "--pairs", "pairs"), "the suffix names no format"),
        (("in.csv", "-o", "out.csv", "--address", "where"), "has no column 'where'"),
    ],
)
def test_what_cannot_be_is_said_in_one_line(
    table: Path, words: tuple[str, ...], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(table.parent)
    before = table.read_bytes()
    with pytest.raises(MGeoError, match=said):
        dedupe(*words)
    assert table.read_bytes() == before
    assert not table.with_name("out.csv").exists()


def test_files_that_exist_are_replaced_only_by_force(table: Path) -> None:
    out = table.with_name("out.csv")
    dedupe(table, "-o", out)
    out.unlink()
    with pytest.raises(MGeoError, match=r"out.pairs.csv exists; --force replaces it"):
        dedupe(table, "-o", out)
    dedupe(table, "-o", out, "--force")
    assert out.exists()


@pytest.mark.parametrize("is_ours", [False, True])
def test_a_resumed_run_replaces_no_pairs_but_its_own(
    table: Path, monkeypatch: pytest.MonkeyPatch, *, is_ours: bool
) -> None:
    """It may find its own, if it was cut off after they were complete."""
    out, pairs = table.with_name("out.csv"), table.with_name("mine.csv")
    with monkeypatch.context() as patch:
        patch.setattr("service.matching.dedupe_job.clusters", _interrupt)
        with pytest.raises(KeyboardInterrupt):
            dedupe(table, "-o", out, *(("--pairs", pairs) if is_ours else ()))
    if not is_ours:
        pairs.write_text("of another\n")
        with pytest.raises(MGeoError, match=r"mine.csv exists and is not of this run; --force"):
            dedupe(table, "-o", out, "--pairs", pairs)
        assert pairs.read_text() == "of another\n"
    words = () if is_ours else ("--force",)
    dedupe(table, "-o", out, "--pairs", pairs, *words)
    assert [(row["row1"], row["row2"]) for row in rows(pairs)] == [("1", "2")]


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt
