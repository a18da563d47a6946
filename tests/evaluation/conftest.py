"""What tests of `evaluate` share: pairs in a file, and a model that answers at once."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.evaluation.labelled import ROWS, FakeScorer, csv


@pytest.fixture(autouse=True)
def scorer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.bulk.local.LocalScorer", FakeScorer)


@pytest.fixture
def pairs(tmp_path: Path) -> Path:
    return csv(tmp_path / "pairs.csv", ROWS)
