"""`dedupe`: rows of one file that are one place, by a scorer without a model."""

from __future__ import annotations

import itertools
import re
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.bulk.tables import Chunk, Result
from service.errors import MGeoError
from service.matching import command
from service.matching.clusters import clusters
from service.matching.dedupe_job import DedupeJob
from tests.bulk.jobs import FakeScorer
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
    assert {(row["row1"], row["row2"]) for row in pairs} == {
        ("1", "2"), ("1", "5"), ("2", "5"), ("4", "8"),
    }  # fmt: skip
    for row in pairs:
        assert ROWS[int(row["row1"]) - 1] == row["address1"]
        assert row["similarity"] == "0.900000"


def test_each_pair_is_scored_once(table: Path) -> None:
    scorer = dedupe(table, "-o", table.with_name("out.csv"))
    counted = Counter(tuple(sorted(pair)) for pair in scorer.pairs)
    # Rows 1 and 5 are the same text: with each other text they make two pairs.
    assert max(counted.values()) <= 2
    assert len(scorer.pairs) <= len(list(itertools.combinations(range(6), 2)))


@pytest.mark.parametrize("dies_after", [0, 1, 2])
def test_a_run_that_was_cut_off_ends_in_the_same_bytes(table: Path, dies_after: int) -> None:
    whole = dedupe(table, "-o", table.with_name("whole.csv"))
    assert len(whole.scored) > 2
    cut_off = Knowing()
    cut_off.dies_after = dies_after
    out = table.with_name("out.csv")
    with pytest.raises(KeyboardInterrupt):
        dedupe(table, "-o", out, by=cut_off)
    rest = dedupe(table, "-o", out)
    assert len(rest.scored) == len(whole.scored) - dies_after
    for name in ("{}.csv", "{}.pairs.csv"):
        one, other = (table.with_name(name.format(stem)) for stem in ("out", "whole"))
        assert one.read_bytes() == other.read_bytes()
    assert not list(table.parent.glob("*.journal"))
    assert not list(table.parent.glob("*.partial"))


@pytest.mark.parametrize("dies_after", [None, 2])
def test_progress_counts_rows_and_ends_with_all_of_them(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    dies_after: int | None,
) -> None:
    monkeypatch.setattr("service.bulk.progress._EVERY_SECONDS", -1)
    monkeypatch.setattr("service.matching.dedupe_job._ENTRIES", 10)
    table = tmp_path / "in.csv"
    many = [f"文三路{number}号" for number in range(1, 61)]
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


def test_a_chain_is_cut_where_its_ends_do_not_match() -> None:
    chain = [(row, row + 1, 0.9) for row in range(6)]
    found = clusters(8, chain)
    assert all(cluster.is_cut for cluster in found)
    for cluster in found:
        for row in cluster.similarities:
            assert row == cluster.representative or abs(row - cluster.representative) == 1


def test_a_clique_stays_whole() -> None:
    clique = [(one, other, 0.9) for one, other in itertools.combinations(range(2, 6), 2)]
    [found] = clusters(9, clique)
    assert (set(found.similarities), found.is_cut) == ({2, 3, 4, 5}, False)


edges = st.lists(
    st.tuples(st.integers(0, 11), st.integers(0, 11), st.floats(0.5, 1)).filter(
        lambda edge: edge[0] < edge[1]
    ),
    max_size=30, unique_by=lambda edge: edge[:2],
)  # fmt: skip


@given(edges, st.randoms(use_true_random=False))
def test_each_member_matches_its_representative(edges, random) -> None:  # type: ignore[no-untyped-def]
    """Laws: no row in two clusters, every member matches its representative, order is nothing."""
    found = clusters(12, edges)
    rows = [row for cluster in found for row in cluster.similarities]
    assert len(rows) == len(set(rows))
    pairs = {frozenset(edge[:2]): edge[2] for edge in edges}
    for cluster in found:
        assert len(cluster.similarities) > 1
        for row, similarity in cluster.similarities.items():
            if row != cluster.representative:
                assert pairs[frozenset((row, cluster.representative))] == similarity
    shuffled = [*edges]
    random.shuffle(shuffled)
    assert clusters(12, shuffled) == found
