"""What is checked before any work, and what is said of it."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from service.bulk import formats
from service.bulk.progress import Progress, duration
from service.errors import BulkError
from tests.bulk.jobs import parse, result, score


@pytest.fixture
def given_csv(tmp_path: Path) -> Path:
    path = tmp_path / "in.csv"
    path.write_text("id,from,to,label,7,7\n1,甲,乙,x,,\n", "utf-8")
    return path


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ((), "has no column 'address1' among its 6 .'id', 'from', .*; give --address1 a name"),
        (("--address1", "9"), "has no column '9' among its 6"),
        (("--address1", "0"), "has no column '0' among its 6"),
        (("--address1", "7"), "has several columns '7'"),
        (("--address1", "from", "--address2", "2", "--prefix", "x_"), "name the same column"),
        (("--address1", "from", "--address2", "to"), "has a column label already; .* --prefix"),
        (("--prefix", "x_", "--to", "jsonl"), "two columns of one name"),
        (("--sheet", "1"), "--sheet is for Excel"),
        (
            ("--url", "http://h", "--model", "m"),
            "--model has no effect with --url: the service has its own",
        ),
        (("--from", "jsonl", "--no-header"), "jsonl has names in it always"),
    ],
)
def test_what_cannot_be_right_is_refused(
    given_csv: Path, flags: tuple[str, ...], message: str
) -> None:
    if message.startswith("has "):
        message = r"in\.csv " + message
    if "already" not in message:
        flags = (*flags, "--prefix", "x_")
    with pytest.raises(BulkError, match=message) as caught:
        score(given_csv, "-o", given_csv.with_name("out.csv"), *flags)
    assert "\n" not in str(caught.value)
    assert "甲" not in str(caught.value)
    assert [path.name for path in given_csv.parent.iterdir()] == ["in.csv"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("none.csv", "-o", "o.csv"), "there is no file none.csv"),
        ((".", "-o", "o.csv"), r"\. is a directory: name a file"),
        (("in.csv", "-o", "no/o.csv"), "there is no directory no"),
        (("in.csv", "-o", "/dev/null", "--to", "csv"), "/dev/null is not a regular file"),
        (("in.csv", "-o", "o.doc"), "o.doc: the suffix names no format; give --to csv, tsv"),
        (("-", "-o", "o.csv", "--from", "xlsx"), "xlsx needs a file"),
        (("-", "-o", "o.csv", "--from", "jsonl"), "name a file, or --to jsonl"),
    ],
)
def test_paths_that_cannot_be_used_are_refused(
    given_csv: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], message: str
) -> None:
    monkeypatch.chdir(given_csv.parent)
    with pytest.raises(BulkError, match=message):
        score(*arguments)


@pytest.mark.parametrize("suffix", formats.FORMATS)
def test_an_empty_file_is_told_as_such(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"in.{suffix}"
    path.touch()
    with pytest.raises(BulkError, match=rf"in\.{suffix} is empty$"):
        score(path, "-o", tmp_path / "out.csv")


@pytest.mark.parametrize(
    ("content", "message"),
    [("\ufeff", "is empty"), ("\n甲,乙\n", "does not begin with a row")],
)
def test_what_has_no_first_row_is_refused(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "in.csv"
    path.write_text(content, "utf-8")
    with pytest.raises(BulkError, match=rf"in\.csv {message}$"):
        score(path, "-o", tmp_path / "out.csv")


@pytest.mark.parametrize("value", ["0", "257", "x", "nan"])
def test_a_flag_out_of_range_is_refused(value: str) -> None:
    with pytest.raises(SystemExit):
        parse("in.csv", "-o", "out.csv", "--in-flight", value)


def test_large_bounds_are_whole_numbers(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parse("in.csv", "-o", "out.csv", "--request-pairs", "0")
    assert "'0': must be from 1 to 100,000" in capsys.readouterr().err


def test_columns_are_named_or_counted(given_csv: Path) -> None:
    wanted = f"{result(('甲', '乙')).similarity:.6f}"
    for number, (first, second) in enumerate((("from", "to"), ("2", "3"), ("from", "3"))):
        output = given_csv.with_name(f"{number}.csv")
        score(given_csv, "-o", output, "--address1", first, "--address2", second, "--prefix", "x_")
        header, row = output.read_text("utf-8").splitlines()
        assert header.startswith("id,from,to,label,7,7,x_similarity,x_label,")
        assert row.split(",")[6] == wanted


def test_without_a_header_the_first_row_is_a_pair(tmp_path: Path) -> None:
    (tmp_path / "in.tsv").write_text("甲\t乙\t1\n丙\t丁\t2\n", "utf-8")
    score(tmp_path / "in.tsv", "-o", tmp_path / "out.tsv", "--no-header")
    lines = (tmp_path / "out.tsv").read_text("utf-8").splitlines()
    assert [line.split("\t")[:3] for line in lines] == [["甲", "乙", "1"], ["丙", "丁", "2"]]
    assert lines[1].split("\t")[3] == f"{result(('丙', '丁')).similarity:.6f}"


def test_progress_is_a_line_now_and_then(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [0.0]
    monkeypatch.setattr("service.bulk.progress.time.monotonic", lambda: now[0])
    with Progress("in.csv", 2000) as progress:
        progress.resume(1000)
        for _ in range(21):
            now[0] += 1
            progress.advance(10)
    assert capsys.readouterr().err.splitlines() == [
        "mgeo: in.csv: 1,100 of 2,000 rows, 10 a second, 1 min 30 s left",
        "mgeo: in.csv: 1,200 of 2,000 rows, 10 a second, 1 min 20 s left",
    ]


def test_durations_are_readable() -> None:
    assert [duration(s) for s in (0.4, 59, 61, 7500)] == ["0 s", "59 s", "1 min 1 s", "2 h 5 min"]


def test_progress_is_a_bar_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setattr("sys.stderr", terminal := Terminal())
    with Progress("in.csv", 100) as progress:
        progress.resume(40)
        progress.note("the service does not answer")
        progress.advance(60)
    shown = terminal.getvalue()
    assert "in.csv:   0%" in shown
    assert "in.csv: 100%" in shown
    assert "100/100" in shown
    assert "mgeo: the service does not answer\n" in shown
