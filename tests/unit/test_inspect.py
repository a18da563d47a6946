"""`model info`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from service.__main__ import main
from service.scoring import checkpoint
from tests.unit.conftest import edit


def test_info_says_what_a_directory_holds(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["model", "info", str(model)]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["version"] == checkpoint.read(model).version
    assert {key: facts[key] for key in ("name", "weights", "stored_as", "layers", "labels")} == {
        "name": "tiny",
        "weights": "pytorch_model.bin",
        "stored_as": ["float32"],
        "layers": 2,
        "labels": ["exact_match", "not_match", "partial_match"],
    }


def test_info_refuses_what_the_service_would(
    model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    edit(model / "configuration.json", lambda value: value.update(task="text-ranking"))
    assert main(["model", "info", str(model)]) == 2
    out, err = capsys.readouterr()
    assert not out
    assert err.count("\n") == 1
    assert err.startswith(f"mgeo: error: {model / 'configuration.json'}: task is 'text-ranking'")
