"""Which file of a model directory names the labels, and every refusal of a map."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from service.scoring import checkpoint
from tests.unit.checkpoints import DEEP, ORDER, Object, refusal, setting
from tests.unit.conftest import edit

LABELS = ("partial_match", "not_match", "exact_match")
"""What `ORDER` gives."""

INVERTED = {str(index): label for label, index in ORDER.items()}


def _without_labels(model: Path) -> None:
    edit(model / "config.json", lambda config: (config.pop("label2id"), config.pop("id2label")))


PRECEDENCE: list[tuple[str, tuple[str, ...], Object]] = [
    ("label_mapping.json", (), ORDER),
    ("configuration.json", ("model", "label2id"), ORDER),
    ("configuration.json", ("model", "id2label"), INVERTED),
    ("configuration.json", ("preprocessor", "label2id"), ORDER),
    ("configuration.json", ("preprocessor", "id2label"), INVERTED),
    ("config.json", ("label2id",), ORDER),
    ("config.json", ("id2label",), INVERTED),
]


def _put(model: Path, level: tuple[str, tuple[str, ...], Object]) -> None:
    file, path, mapping = level
    if path:
        edit(model / file, setting(*path, to=mapping))
    else:
        (model / file).write_text(json.dumps(mapping))


@pytest.mark.parametrize("level", range(len(PRECEDENCE)))
def test_each_level_of_the_label_map_goes_before_those_below(model: Path, level: int) -> None:
    other = {"exact_match": 0, "partial_match": 1, "not_match": 2}
    for file, path, _ in PRECEDENCE[level + 1 :]:
        inverted = bool(path) and path[-1] == "id2label"
        below = {str(i): label for label, i in other.items()} if inverted else other
        _put(model, (file, path, below))
    if level == len(PRECEDENCE) - 1:
        _without_labels(model)
    _put(model, PRECEDENCE[level])
    assert checkpoint.read(model).labels == LABELS


@pytest.mark.parametrize("level", range(len(PRECEDENCE)))
@pytest.mark.parametrize(
    "names",
    [
        ["LABEL_0", "LABEL_1", "LABEL_2"],
        ["exact_match", "not_match"],
        ["exact_match", "not_match", "partial_match", "other"],
        ["exact_match", "exact_match", "not_match"],
        [],
    ],
)
def test_label_names_that_are_a_guess(model: Path, level: int, names: list[str]) -> None:
    file, path, _ = PRECEDENCE[level]
    _without_labels(model)
    inverted = bool(path) and path[-1] == "id2label"
    mapping: Object = {label: index for index, label in enumerate(names)}
    if inverted:
        mapping = {str(index): label for index, label in enumerate(names)}
    _put(model, (file, path, mapping))
    line = refusal(model)
    assert file in line
    assert ".".join(path) in line
    assert "must map exact_match, partial_match, not_match to 0, 1 and 2" in line


@pytest.mark.parametrize(
    "mapping",
    [
        [], "exact_match", 3, True, DEEP,
        ORDER | {"exact_match": 3},
        ORDER | {"exact_match": 0},
        ORDER | {"exact_match": 2.0},
        ORDER | {"exact_match": None},
        ORDER | {"exact_match": True},
        ORDER | {"exact_match": "two"},
        ORDER | {"exact_match": "２"},
        ORDER | {"exact_match": DEEP},
        ORDER | {"exact_match": 10**400},
    ],
)  # fmt: skip
def test_label_maps_of_wrong_types(model: Path, mapping: Any) -> None:
    edit(model / "config.json", setting("label2id", to=mapping))
    assert "config.json label2id must map" in refusal(model)


@pytest.mark.parametrize(
    "mapping",
    [["exact_match", "not_match", "partial_match"], {"0": DEEP}, {"a": "exact_match"}, "x", 0],
)
def test_inverted_label_maps_of_wrong_types(model: Path, mapping: Any) -> None:
    _without_labels(model)
    edit(model / "config.json", setting("id2label", to=mapping))
    assert "config.json id2label must map" in refusal(model)


def test_ids_may_be_text(model: Path) -> None:
    edit(model / "config.json", setting("label2id", to={k: str(v) for k, v in ORDER.items()}))
    assert checkpoint.read(model).labels == LABELS


def test_no_label_map(model: Path) -> None:
    _without_labels(model)
    assert refusal(model).startswith(f"{model}: no file maps the labels exact_match")
