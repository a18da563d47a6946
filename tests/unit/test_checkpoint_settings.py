"""The settings in config.json and configuration.json, and every refusal of one."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from service.scoring import checkpoint
from tests.unit.checkpoints import DEEP, Object, assert_refused, setting
from tests.unit.conftest import SIZES, edit


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (setting("model", "type", to="bert"), "model.type is 'bert', not 'mgeo'"),
        (setting("model", "type", to=None), "model.type is None"),
        (setting("model", "type", to="x" * 10_000), "not 'mgeo'"),
        (setting("model", "type", to="a\nb"), "not 'mgeo'"),
        (setting("model", "type", to=DEEP), "not 'mgeo'"),
        (setting("model", to="mgeo"), "model must be an object"),
        (setting("model", to=None), "model must be an object"),
        (setting("task", to="text-ranking"), "task is 'text-ranking', not 'sentence-similarity'"),
        (setting("task", to=["sentence-similarity"]), "not 'sentence-similarity'"),
        (setting("preprocessor", to=[]), "preprocessor must be an object"),
        (setting("model", "name", to=5), "model.name must be one line of text"),
        (setting("model", "name", to="a\nb"), "model.name must be one line of text"),
        (setting("model", "name", to="\ud800"), "model.name must be one line of text"),
        (setting("model", "name", to="x" * 2000), "model.name must be one line of text"),
        (setting("model", "description", to=DEEP), "model.description must be one line of text"),
        (setting("preprocessor", "max_length", to=0), "max_length must be from 5 to"),
        (setting("preprocessor", "max_length", to=4), "max_length must be from 5 to"),
        (setting("preprocessor", "max_length", to=513), "(512)"),
        (setting("preprocessor", "max_length", to=True), "max_length"),
        (setting("preprocessor", "max_length", to="128"), "max_length"),
        (setting("preprocessor", "max_length", to=128.0), "max_length"),
        (setting("preprocessor", "max_length", to=10**400), "max_length"),
        (setting("preprocessor", "shorter_first", to="yes"), "shorter_first must be true or false"),
        (setting("preprocessor", "shorter_first", to=1), "shorter_first must be true or false"),
        (setting("preprocessor", "shorter_first", to=None), "shorter_first must be true or false"),
    ],
)
def test_configuration_json(model: Path, change: Callable[[Object], None], fault: str) -> None:
    edit(model / "configuration.json", change)
    assert_refused(model, "configuration.json", fault)


def test_the_checkpoints_own_length_and_name_are_taken(model: Path) -> None:
    edit(model / "configuration.json", setting("preprocessor", "max_length", to=128))
    edit(model / "configuration.json", setting("model", "name", to="地址"))
    edit(model / "configuration.json", setting("model", "description", to="Two addresses."))
    found = checkpoint.read(model)
    assert (found.max_tokens, found.name, found.description) == (128, "地址", "Two addresses.")


def test_what_is_done_to_text_is_the_checkpoints_own_word(model: Path) -> None:
    assert checkpoint.read(model).normalization == "none"
    edit(model / "configuration.json", setting("preprocessor", "normalization", to="simplified"))
    assert checkpoint.read(model).normalization == "simplified"
    edit(model / "configuration.json", setting("preprocessor", "normalization", to="NFKC"))
    assert_refused(model, "configuration.json", "normalization must be one of none, nfkc")


@pytest.mark.parametrize("value", [True, False])
def test_the_shorter_address_first_is_the_checkpoints_choice(model: Path, value: bool) -> None:
    assert checkpoint.read(model).shorter_first is False
    edit(model / "configuration.json", setting("preprocessor", "shorter_first", to=value))
    assert checkpoint.read(model).shorter_first is value


def test_a_directory_whose_name_is_no_text(model: Path) -> None:
    odd = model.parent / os.fsdecode(b"\xff\n")
    model.rename(odd)
    assert checkpoint.read(odd).name == "??"


@pytest.mark.parametrize("value", [None, 0, -1, 1.5, 32.0, "32", True, [], {}, 10**7, 10**400])
@pytest.mark.parametrize("key", SIZES)
def test_a_size_that_is_none(model: Path, key: str, value: Any) -> None:
    edit(model / "config.json", setting(key, to=value))
    assert_refused(model, "config.json", f"{key} must be a whole number from 1 to 1000000")


@pytest.mark.parametrize("key", SIZES)
def test_a_size_that_is_absent(model: Path, key: str) -> None:
    edit(model / "config.json", lambda config: config.pop(key))
    assert_refused(model, "config.json", key)


@pytest.mark.parametrize(
    "key", [key for key in SIZES if key not in ("num_attention_heads", "num_hidden_layers")]
)
def test_a_size_that_the_weights_cannot_hold(model: Path, key: str) -> None:
    edit(model / "config.json", setting(key, to=1_000_000))
    assert_refused(model, "config.json", "but pytorch_model.bin has only")


def test_layers_that_the_weights_cannot_hold(model: Path) -> None:
    edit(model / "config.json", setting("num_hidden_layers", to=1_000_000))
    edit(model / "config.json", setting("fusion_layer", to=1_000_000))
    assert_refused(model, "config.json", "one of the two is wrong or truncated")


@pytest.mark.parametrize("content", [b"", b"\0", b"x" * 1000])
def test_weights_too_small_for_the_sizes(model: Path, content: bytes) -> None:
    (model / "pytorch_model.bin").write_bytes(content)
    assert_refused(model, "config.json", f"but pytorch_model.bin has only {len(content)} bytes")


@pytest.mark.parametrize(
    ("key", "value", "fault"),
    [
        ("num_attention_heads", 5, "hidden_size is not a multiple of num_attention_heads"),
        ("num_attention_heads", 64, "hidden_size is not a multiple of num_attention_heads"),
        ("type_vocab_size", 1, "type_vocab_size must be 2"),
        ("max_position_embeddings", 4, "max_position_embeddings must be at least 5"),
        ("hidden_act", "swiglu", "hidden_act must be one of gelu"),
        ("hidden_act", ["gelu"], "hidden_act"),
        ("hidden_act", None, "hidden_act"),
        ("layer_norm_eps", "1e-12", "layer_norm_eps"),
        ("layer_norm_eps", 0, "layer_norm_eps"),
        ("layer_norm_eps", -1e-12, "layer_norm_eps"),
        ("layer_norm_eps", float("nan"), "layer_norm_eps"),
        ("layer_norm_eps", float("inf"), "layer_norm_eps"),
        ("pad_token_id", -1, "pad_token_id"),
        ("pad_token_id", 434, "pad_token_id"),
        ("pad_token_id", True, "pad_token_id"),
        ("pad_token_id", 0.0, "pad_token_id"),
        ("fusion_layer", 0, "fusion_layer must be at least 1"),
        ("fusion_layer", None, "fusion_layer must be at least 1"),
        ("fusion_layer", "2", "fusion_layer must be at least 1"),
        ("fusion_layer", True, "fusion_layer must be at least 1"),
        ("position_embedding_type", "relative_key", "position_embedding_type must be 'absolute'"),
        ("position_embedding_type", None, "position_embedding_type must be 'absolute'"),
    ],
)
def test_config_json(model: Path, key: str, value: Any, fault: str) -> None:
    edit(model / "config.json", setting(key, to=value))
    assert_refused(model, "config.json", fault)


def test_fewer_layers_run_than_there_are(model: Path) -> None:
    edit(model / "config.json", setting("fusion_layer", to=1))
    found = checkpoint.read(model)
    assert (found.bert["num_hidden_layers"], found.layers_in_file) == (1, 2)


def test_all_layers_run_without_a_fusion_layer(model: Path) -> None:
    edit(model / "config.json", lambda config: config.pop("fusion_layer"))
    assert checkpoint.read(model).bert["num_hidden_layers"] == 2
