"""`score` as a process: killed, interrupted, and run again."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.conftest import TINY
from tests.serving import ROOT, run
from tests.waiting import RunningClock

pytestmark = pytest.mark.slow

FLAGS = (
    "--model",
    str(TINY),
    "--backend",
    "openvino-f32",
    "--cpu-threads",
    "1",
    "--batch-tokens",
    "64",
)


@pytest.fixture
def given(tmp_path: Path) -> Path:
    """Three thousand rows: two dozen chunks at this batch size."""
    source = random.Random(1)
    pairs = [
        f"紫萱路{source.randrange(999)}号,紫萱路{'人' * source.randrange(30)}" for _ in range(3000)
    ]
    pairs[100] = ",x"
    path = tmp_path / "in.csv"
    path.write_text("\n".join(["address1,address2", *pairs]) + "\n", "utf-8")
    return path


def _cut_off(
    given: Path, output: Path, journal_bytes: int, number: signal.Signals
) -> tuple[int, str]:
    """Start a run, and send it a signal when its journal has grown to a size."""
    process = subprocess.Popen(
        [sys.executable, "-m", "service", "score", given, "-o", output, *FLAGS],
        cwd=ROOT, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    journal = output.with_name(output.name + ".journal")
    clock = RunningClock()
    while process.poll() is None and clock.seconds() < 60:
        if journal.exists() and journal.stat().st_size >= journal_bytes:
            break
        time.sleep(0.001)
    process.send_signal(number)
    _, told = process.communicate(timeout=60)
    return process.returncode, told


def test_killed_again_and_again_it_leaves_the_same_bytes(given: Path, tmp_path: Path) -> None:
    whole = run("score", str(given), "-o", str(tmp_path / "whole.csv"), *FLAGS)
    assert whole.returncode == 0, whole.stderr
    assert "rows without a score: 1 (rows 101, counted from 1, without the header)" in whole.stderr
    output = tmp_path / "out.csv"
    size = 0
    for step in (1_000, 40_000, 50_000):
        status, _ = _cut_off(given, output, size + step, signal.SIGKILL)
        assert status == -signal.SIGKILL
        assert not output.exists()
        journal = tmp_path / "out.csv.journal"
        assert journal.stat().st_size >= size
        size = journal.stat().st_size
    again = run("score", str(given), "-o", str(output), *FLAGS)
    assert again.returncode == 0, again.stderr
    assert "of them from before" in again.stderr
    assert output.read_bytes() == (tmp_path / "whole.csv").read_bytes()
    assert sorted(os.listdir(tmp_path)) == ["in.csv", "out.csv", "whole.csv"]


def test_interrupted_it_says_in_one_line_how_to_go_on(given: Path, tmp_path: Path) -> None:
    output = tmp_path / "out.csv"
    status, told = _cut_off(given, output, 1_000, signal.SIGINT)
    assert status == 130
    [line] = told.splitlines()
    assert line.startswith("mgeo: interrupted: ")
    assert line.endswith(" of 3,000 rows were done; the same command goes on")
    again = run("score", str(given), "-o", str(output), *FLAGS)
    assert again.returncode == 0, again.stderr


def test_an_error_is_one_line_and_status_2(tmp_path: Path) -> None:
    refused = run("score", str(tmp_path / "none.csv"), "-o", str(tmp_path / "out.csv"))
    assert refused.returncode == 2
    assert refused.stderr == f"mgeo: error: there is no file {tmp_path / 'none.csv'}\n"
