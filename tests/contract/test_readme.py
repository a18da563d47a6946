"""What the README shows is what the service does."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from service.http import schemas
from service.scoring import model, scorer
from service.settings import Settings

ROOT = Path(__file__).parent.parent.parent
README = (ROOT / "README.md").read_text("utf-8")
CARD = (ROOT / "service" / "models" / "default" / "README.md").read_text("utf-8")


def test_the_first_answer_is_the_one_shown() -> None:
    sent = re.search(r"-d '(\{.*?\})'", README)
    shown = re.search(r"```json\n(\{\s*\"similarity\".*?\})\n```", README, re.S)
    assert sent
    assert shown
    pair, answer = json.loads(sent[1]), json.loads(shown[1])
    loaded = model.load(Settings(device="cpu"), lambda stage, progress: None)
    score = scorer.score_now(loaded, (pair["address1"], pair["address2"]))
    assert answer["probabilities"] == pytest.approx(score.probabilities, abs=6e-4)
    assert answer["similarity"] == pytest.approx(score.similarity, abs=6e-4)
    assert answer["model"] == schemas.identity(loaded)
    told = schemas.prediction(score)
    assert {key: answer[key] for key in ("label", "truncated")} == {
        key: told[key] for key in ("label", "truncated")
    }


def test_the_model_is_described_with_the_figure_of_its_card() -> None:
    figure = re.search(r"macro-F1 at argmax \| \*\*(0\.\d+)\*\*", CARD)
    assert figure
    assert f"its macro-F1 is {figure[1]}" in README
