"""Pipes, terminals and closed streams in place of a file."""

from __future__ import annotations

import gzip
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from service.errors import BulkError
from tests.bulk.field import TEXT, made
from tests.bulk.jobs import score
from tests.serving import ROOT


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
    path = made(tmp_path / "in.csv", TEXT)
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
