"""A run that was cut off anywhere and run again leaves the same bytes, and does little twice."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.bulk import formats
from service.bulk.journal import Journal
from service.errors import BulkError
from tests.bulk.jobs import FakeScorer, score
from tests.conftest import examples

ROWS = [("甲路1号", "甲路一号"), ("", "乙"), ('"丙"\n', "a,b"), ("丁", "=1"), ("戊", "己")] * 2


@pytest.fixture(scope="module")
def given_csv(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten rows: four chunks of the fake scorer."""
    path = tmp_path_factory.mktemp("given") / "in.csv"
    lines = [",".join('"' + c.replace('"', '""') + '"' for c in row) for row in ROWS]
    path.write_text("\n".join(["address1,address2", *lines]) + "\n", "utf-8")
    return path


def _journal(output: Path) -> Path:
    return output.with_name(output.name + ".journal")


def _cut_off(given: Path, output: Path, chunks: int) -> None:
    scorer = FakeScorer()
    scorer.dies_after = chunks
    with pytest.raises(KeyboardInterrupt):
        score(given, "-o", output, by=scorer)


@pytest.fixture(scope="module")
def whole(given_csv: Path) -> dict[str, bytes]:
    """The output of a run that was not cut off, for each format."""
    outputs = {}
    for name in formats.FORMATS:
        output = given_csv.with_name(f"whole.{name}")
        score(given_csv, "-o", output)
        outputs[name] = output.read_bytes()
    return outputs


@pytest.fixture(scope="module")
def journal(given_csv: Path) -> bytes:
    """The journal of a run that was cut off when all chunks were scored."""
    output = given_csv.with_name("cut.csv")
    _cut_off(given_csv, output, 4)
    return _journal(output).read_bytes()


@settings(max_examples=examples(150))
@given(share=st.floats(0, 1), partial=st.binary(max_size=30))
def test_a_journal_cut_at_any_byte_leads_to_the_same_bytes(
    share: float, partial: bytes, given_csv: Path, whole: dict[str, bytes], journal: bytes
) -> None:
    cut = journal[: round(share * len(journal))]
    output = given_csv.with_name("resumed.csv")
    output.unlink(missing_ok=True)
    _journal(output).write_bytes(cut)
    output.with_name("resumed.csv.partial").write_bytes(partial)
    scorer = score(given_csv, "-o", output)
    assert output.read_bytes() == whole["csv"]
    stored = max(0, cut.count(b"\n") - 1)
    assert scorer.scored == [3, 3, 3, 1][stored:]
    assert not _journal(output).exists()
    assert not output.with_name("resumed.csv.partial").exists()


@pytest.mark.parametrize("name", formats.FORMATS)
@pytest.mark.parametrize("chunks", [0, 2, 4])
def test_every_format_resumes_to_the_same_bytes(
    name: str, chunks: int, given_csv: Path, whole: dict[str, bytes], tmp_path: Path
) -> None:
    output = tmp_path / f"out.{name}"
    _cut_off(given_csv, output, chunks)
    assert not output.exists()
    scorer = score(given_csv, "-o", output)
    assert output.read_bytes() == whole[name]
    assert scorer.scored == [3, 3, 3, 1][chunks:]
    assert [path.name for path in tmp_path.iterdir()] == [output.name]


def test_a_damaged_chunk_and_all_after_it_are_scored_again(
    given_csv: Path, whole: dict[str, bytes], journal: bytes, tmp_path: Path
) -> None:
    lines = journal.splitlines(keepends=True)
    lines[2] = lines[2].replace(b"partial", b"partiAl", 1)
    output = tmp_path / "out.csv"
    _journal(output).write_bytes(b"".join(lines))
    assert score(given_csv, "-o", output).scored == [3, 3, 1]
    assert output.read_bytes() == whole["csv"]


def test_a_run_killed_before_its_journal_was_removed_is_complete(
    given_csv: Path,
    whole: dict[str, bytes],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    output = tmp_path / "out.csv"
    with monkeypatch.context() as patched:
        patched.setattr(Journal, "remove", lambda self: None)
        score(given_csv, "-o", output)
    assert _journal(output).exists()
    assert score(given_csv, "-o", output).scored == []
    assert "is complete already" in capsys.readouterr().err
    assert output.read_bytes() == whole["csv"]
    assert not _journal(output).exists()


def test_a_run_killed_before_its_output_was_named_scores_nothing_again(
    given_csv: Path, whole: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output = tmp_path / "out.csv"

    def killed(self: Path, target: Path) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(Path, "replace", killed)
        with pytest.raises(KeyboardInterrupt):
            score(given_csv, "-o", output)
    assert score(given_csv, "-o", output).scored == []
    assert output.read_bytes() == whole["csv"]


class OtherModel(FakeScorer):
    identity = FakeScorer.identity | {"model": ["fake", "2"]}  # type: ignore[operator]


class OtherSettings(FakeScorer):
    identity = FakeScorer.identity | {"setting": {"backend": "x"}}  # type: ignore[operator]


@pytest.mark.parametrize(
    ("flags", "scorer", "message"),
    [
        ((), OtherModel(), "another model:"),
        ((), OtherSettings(), "another setting:"),
        (("--address1", "2", "--address2", "1"), FakeScorer(), "another choice of columns:"),
        (("--encoding", "gb18030"), FakeScorer(), "another way of reading:"),
    ],
)
def test_another_run_does_not_go_on_with_the_journal(
    flags: tuple[str, ...], scorer: FakeScorer, message: str, tmp_path: Path
) -> None:
    given = tmp_path / "in.csv"
    given.write_text("address1,address2\n" + "1,2\n" * 9)
    output = tmp_path / "out.csv"
    _cut_off(given, output, 1)
    before = _journal(output).read_bytes()
    with pytest.raises(BulkError, match=message):
        score(given, "-o", output, *flags, by=scorer)
    assert _journal(output).read_bytes() == before
    score(given, "-o", output, *flags, "--restart", by=scorer)
    assert scorer.scored == [3, 3, 3]


def test_another_input_does_not_go_on_with_the_journal(given_csv: Path, tmp_path: Path) -> None:
    output = tmp_path / "out.csv"
    _cut_off(given_csv, output, 1)
    (tmp_path / "other.csv").write_bytes(given_csv.read_bytes() + b"1,2\n")
    with pytest.raises(BulkError, match="another input: run the command as it was begun"):
        score(tmp_path / "other.csv", "-o", output)
    (tmp_path / "moved.csv").write_bytes(given_csv.read_bytes())  # the same by another name
    assert score(tmp_path / "moved.csv", "-o", output).scored == [3, 3, 1]


def test_an_input_that_changes_while_it_is_read_gives_no_output(tmp_path: Path) -> None:
    given = tmp_path / "in.csv"
    given.write_text("address1,address2\n1,2\n")

    class Changing(FakeScorer):
        chunk_rows = 1

        def score(self, *arguments: object) -> object:  # type: ignore[override]
            with given.open("a") as file:
                file.write("3,4\n")
            return super().score(*arguments)  # type: ignore[arg-type]

    with pytest.raises(BulkError, match=r"in\.csv was changed while it was read"):
        score(given, "-o", tmp_path / "out.csv", by=Changing())
    assert not (tmp_path / "out.csv").exists()


def test_two_processes_do_not_share_a_journal(given_csv: Path, tmp_path: Path) -> None:
    output = tmp_path / "out.csv"
    with (
        Journal(_journal(output), FakeScorer.identity, restart=False),
        pytest.raises(BulkError, match="another process is at work"),
    ):
        score(given_csv, "-o", output)


def test_a_file_that_is_no_journal_is_left_alone(given_csv: Path, tmp_path: Path) -> None:
    output = tmp_path / "out.csv"
    _journal(output).write_text("dear diary")
    for flags in ((), ("--restart",)):
        with pytest.raises(BulkError, match="is no journal of a run"):
            score(given_csv, "-o", output, *flags)
    assert _journal(output).read_text() == "dear diary"


def test_an_output_that_exists_is_replaced_by_force_alone(
    given_csv: Path, whole: dict[str, bytes], tmp_path: Path
) -> None:
    output = tmp_path / "out.csv"
    output.write_text("precious")
    for flags in ((), ("--restart",)):
        with pytest.raises(BulkError, match=r"out\.csv exists; --force replaces it"):
            score(given_csv, "-o", output, *flags)
    scorer = FakeScorer()
    scorer.dies_after = 2
    with pytest.raises(KeyboardInterrupt):
        score(given_csv, "-o", output, "--force", by=scorer)
    assert output.read_text() == "precious"
    with pytest.raises(BulkError, match=r"out\.csv exists; --force replaces it"):
        score(given_csv, "-o", output)
    assert score(given_csv, "-o", output, "--force").scored == [3, 1]
    assert output.read_bytes() == whole["csv"]


def test_the_input_is_never_overwritten(given_csv: Path) -> None:
    before = given_csv.read_bytes()
    with pytest.raises(BulkError, match="would overwrite the input"):
        score(given_csv, "-o", given_csv, "--force")
    assert given_csv.read_bytes() == before
