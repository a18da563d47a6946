"""Every command of docs/bulk.md runs, and shows what the page shows."""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from service.bulk import command
from tests.conftest import Running
from tests.serving import ROOT

PAGE = (ROOT / "docs" / "bulk.md").read_text("utf-8")

_NUMBER = re.compile(r"\b[01]\.\d{6}\b")
"""Their last decimals differ between processors."""


@pytest.mark.slow
def test_the_commands_run_in_their_order(running: Running, tmp_path: Path) -> None:
    given = re.search(r"```csv\n(.*?)```", PAGE, re.DOTALL)
    assert given
    (tmp_path / "pairs.csv").write_text(given[1], "utf-8")
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "python").write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
    (tmp_path / "bin" / "python").chmod(0o755)
    environment = os.environ | {
        "PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "MGEO_BACKEND": "openvino-f32",  # whose numbers the page shows
    }
    commands = 0
    for block in re.findall(r"```console\n(.*?)```", PAGE, re.DOTALL):
        for written, shown in re.findall(r"^\$ (.*)\n((?:[^$\n].*\n)*)", block, re.MULTILINE):
            line = written.replace("http://127.0.0.1:5000", running.predictions)
            done = subprocess.run(
                ["bash", "-euo", "pipefail", "-c", line],
                cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60,
            )  # fmt: skip
            assert done.returncode == 0, (line, done.stderr)
            assert _NUMBER.sub("N", done.stdout.replace("\r\n", "\n")) == _NUMBER.sub("N", shown)
            told, promised = ([*map(float, _NUMBER.findall(t))] for t in (done.stdout, shown))
            assert told == pytest.approx(promised, abs=5e-6)
            commands += 1
    assert commands == 9
    for name in ("named.parquet", "book.xlsx", "book.jsonl", "by-service.csv"):
        assert (tmp_path / name).stat().st_size
    assert "杭州市" in (tmp_path / "windows-scores.csv").read_text("gb18030")


def test_every_flag_named_on_the_page_exists() -> None:
    known = set(re.findall(r"--[a-z0-9-]+", _help()))
    named = set(re.findall(r"`(--[a-z0-9-]+)", PAGE)) - {"--pairs"}
    assert len(named) > 10
    assert named <= known


def _help() -> str:
    parser = argparse.ArgumentParser()
    command.add_flags(parser)
    return parser.format_help()
