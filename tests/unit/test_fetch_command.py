"""`model fetch`: what it prints, and how it ends."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from service.__main__ import main
from service.scoring import checkpoint, source
from tests.unit.conftest import MODEL_FILES
from tests.unit.hub import FILES, PUBLISHED, Hub


def test_the_command_prints_directory_sums_and_setting(
    hub: Hub, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["model", "fetch", PUBLISHED]) == 0
    out, err = capsys.readouterr()
    directory, *sums, setting = out.splitlines()
    assert {line.split("  ")[1] for line in sums} == set(MODEL_FILES)
    assert all((Path(directory) / line.split("  ")[1]).is_file() for line in sums)
    assert setting == f"MGEO_MODEL={PUBLISHED}@v1.2.0"
    assert f"{PUBLISHED}@v1.2.0: 0.2 of 0.2 MB" in err.splitlines()
    assert err.splitlines()[-1] == "Its licence is its own: read it on the model's card."
    assert source.resolve(setting.partition("=")[2], lambda *_: None) == Path(directory)


def test_the_command_fetches_to_a_directory(
    hub: Hub, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["model", "fetch", PUBLISHED, "--to", str(tmp_path / "my model")]) == 0
    assert capsys.readouterr().out.endswith(f"MGEO_MODEL='{tmp_path / 'my model'}'\n")
    assert checkpoint.read(tmp_path / "my model").labels[0] == "exact_match"


def test_the_command_refuses_a_model_that_does_not_load(
    hub: Hub, capsys: pytest.CaptureFixture[str]
) -> None:
    hub.models["some/ranker"] = {
        "master": FILES | {"configuration.json": b'{"task": "text-ranking"}'}
    }
    assert main(["model", "fetch", "some/ranker"]) == 2
    out, err = capsys.readouterr()
    assert not out
    assert "model.type is None, not 'mgeo'" in err.splitlines()[-1]


@pytest.mark.slow
def test_the_command_draws_a_bar_on_a_terminal(hub: Hub) -> None:
    import pty
    import termios

    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (24, 80))
    command = [sys.executable, "-m", "service", "model", "fetch", PUBLISHED]
    done = subprocess.run(command, stderr=theirs, stdout=subprocess.PIPE, timeout=60)
    os.close(theirs)
    drawn = os.read(ours, 100_000).decode()
    os.close(ours)
    assert done.returncode == 0, drawn
    assert "100%" in drawn
    assert "Downloading" not in drawn, "the client's own bars"
