"""The file of models: what it declares, and what is wrong with one that declares something else."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from service.errors import SettingsError
from service.scoring import model_spec
from service.scoring.model_spec import ModelSpec
from service.settings import Settings
from tests.unit.conftest import assert_one_line

GOOD = {"name": "a", "source": "bundled", "weight": 1}


def test_without_a_file_the_one_model_is_a_list_of_one() -> None:
    assert model_spec.read(Settings(model="iic/x")) == (ModelSpec("model", "iic/x", 1.0, "serve"),)


def test_a_file_declares_models_their_weights_and_roles(tmp_path: Path) -> None:
    file = tmp_path / "models.json"
    shadow = {"name": "c-3.1_x", "source": "/models/c", "role": "shadow"}
    file.write_text(json.dumps({"models": [GOOD, {**GOOD, "name": "b", "weight": 0}, shadow]}))
    assert model_spec.read(Settings(models_file=str(file))) == (
        ModelSpec("a", "bundled", 1.0, "serve"),
        ModelSpec("b", "bundled", 0.0, "serve"),
        ModelSpec("c-3.1_x", "/models/c", 0.0, "shadow"),
    )


@pytest.mark.parametrize(
    ("models", "said"),
    [
        ([], "models must be a list of 1 to 8 models"),
        ([{**GOOD, "name": str(n)} for n in range(9)], "models must be a list of 1 to 8 models"),
        ({"a": GOOD}, "models must be a list of 1 to 8 models"),
        (["a"], r"models\[0\] must be an object with name, source, weight, role"),
        ([GOOD, {**GOOD, "wieght": 1}], r"models\[1\] has the unknown key 'wieght'"),
        ([{**GOOD, "name": "A b"}], r"models\[0\].name must be 1 to 40 small letters"),
        ([{**GOOD, "name": "a\n"}], r"models\[0\].name must be"),
        ([{**GOOD, "source": " "}], r"models\[0\].source must be text"),
        ([{**GOOD, "role": "canary"}], r"models\[0\].role must be one of serve, shadow"),
        ([{**GOOD, "role": ["serve"]}], r"models\[0\].role must be one of serve, shadow"),
        ([{**GOOD, "role": "shadow"}], r"models\[0\]: a shadow answers nobody"),
        ([{**GOOD, "weight": -0.1}], r"models\[0\].weight must be a number from 0 to 1e\+06"),
        ([{**GOOD, "weight": True}], r"models\[0\].weight must be a number"),
        ([{**GOOD, "weight": "1"}], r"models\[0\].weight must be a number"),
        ([{**GOOD, "weight": float("nan")}], r"models\[0\].weight must be a number"),
        ([{"name": "a", "source": "bundled"}], r"models\[0\].weight is missing: give a number"),
        ([GOOD, GOOD], "two models are named 'a'"),
        ([{**GOOD, "weight": 0}], "no model answers: give one of them a weight above 0"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(tmp_path: Path, models: Any, said: str) -> None:
    file = tmp_path / "models.json"
    file.write_text(json.dumps({"models": models}))
    with pytest.raises(SettingsError, match=said) as raised:
        model_spec.read(Settings(models_file=str(file)))
    assert str(raised.value).startswith("MGEO_MODELS_FILE='")
    assert_one_line(raised.value)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"{", "it is not JSON: Expecting property name"),
        (b"[" * 100_000, "it is not JSON"),
        (b"\xff", "cannot be read: it is not UTF-8"),
        (b"[]", 'an object with the one key "models" is expected'),
        (b'{"models": [], "more": 1}', 'an object with the one key "models" is expected'),
    ],
)
def test_what_is_no_document_is_refused(tmp_path: Path, content: bytes, said: str) -> None:
    file = tmp_path / "models.json"
    file.write_bytes(content)
    with pytest.raises(SettingsError, match=said) as raised:
        model_spec.read(Settings(models_file=str(file)))
    assert_one_line(raised.value)


def test_a_file_that_is_not_there_is_named() -> None:
    with pytest.raises(SettingsError, match=r"/no/such.json' cannot be read: No such file"):
        model_spec.read(Settings(models_file="/no/such.json"))


def test_two_ways_to_say_which_model_are_refused() -> None:
    with pytest.raises(SettingsError, match="set only one of them"):
        model_spec.read(Settings(model="iic/x", models_file="/models.json"))
