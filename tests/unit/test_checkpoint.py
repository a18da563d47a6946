"""Every refusal of a model directory's small files, each with a really damaged copy."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from service.errors import CheckpointError
from service.scoring import checkpoint
from tests.conftest import examples
from tests.unit.conftest import SIZES, assert_one_line, edit

Object = dict[str, Any]

ORDER = {"exact_match": 2, "partial_match": 0, "not_match": 1}
LABELS = ("partial_match", "not_match", "exact_match")
"""An order that none of the small checkpoint's own files has, as a map and as what it gives."""

INVERTED = {str(index): label for label, index in ORDER.items()}


def refusal(directory: Path) -> str:
    with pytest.raises(CheckpointError) as caught:
        checkpoint.read(directory)
    assert_one_line(caught.value)
    return str(caught.value)


def assert_refused(model: Path, file: str, fault: str) -> None:
    line = refusal(model)
    assert str(model / file) in line
    assert fault in line


def test_the_small_checkpoint_is_read(model: Path) -> None:
    found = checkpoint.read(model)
    assert found.name == "tiny"
    assert found.labels == ("exact_match", "not_match", "partial_match")
    assert (found.max_tokens, found.lower_case, found.layers_in_file) == (512, True, 2)
    assert len(found.vocabulary) == found.bert["vocab_size"] == 434
    assert len(found.version) == 12


# The directory


def test_a_directory_that_is_missing(tmp_path: Path) -> None:
    assert refusal(tmp_path / "none") == f"{tmp_path / 'none'} is not a directory"


def test_a_file_in_place_of_the_directory(model: Path) -> None:
    assert "is not a directory" in refusal(model / "config.json")


@pytest.mark.parametrize("file", ["config.json", "configuration.json", "vocab.txt"])
def test_a_file_that_is_missing(model: Path, file: str) -> None:
    (model / file).unlink()
    assert_refused(model, file, "is missing")
    assert refusal(model).endswith("vocab.txt and model.safetensors or pytorch_model.bin")


@pytest.mark.parametrize("file", ["config.json", "configuration.json", "vocab.txt"])
def test_a_directory_in_place_of_a_file(model: Path, file: str) -> None:
    (model / file).unlink()
    (model / file).mkdir()
    assert_refused(model, file, "is not a file")


@pytest.mark.parametrize("file", ["config.json", "vocab.txt", "label_mapping.json"])
def test_a_pipe_in_place_of_a_file_is_not_waited_for(model: Path, file: str) -> None:
    (model / file).unlink(missing_ok=True)
    os.mkfifo(model / file)
    assert_refused(model, file, "is not a file")


def test_a_pipe_in_place_of_the_weights_is_not_waited_for(model: Path) -> None:
    (model / "pytorch_model.bin").unlink()
    os.mkfifo(model / "pytorch_model.bin")
    assert "has no weights" in refusal(model)


@pytest.mark.parametrize("file", ["label_mapping.json", "tokenizer_config.json", "vocab.txt"])
def test_a_link_to_nothing_is_not_taken_for_an_absent_file(model: Path, file: str) -> None:
    (model / file).unlink(missing_ok=True)
    (model / file).symlink_to(model / "gone")
    assert_refused(model, file, "is missing")


def test_no_weights(model: Path) -> None:
    (model / "pytorch_model.bin").unlink()
    assert refusal(model) == (
        f"{model} has no weights: expected pytorch_model.bin or model.safetensors"
    )


def test_a_file_too_large_to_be_what_it_is_called(model: Path) -> None:
    os.truncate(model / "vocab.txt", 10**12)
    assert_refused(model, "vocab.txt", "is over 64 MiB")


# JSON


@pytest.mark.parametrize(
    "content",
    [
        b"", b"\0" * 100, b"{", b'{"a": 1', b"{'a': 1}", b"\xff\xfe\x00", b"\xff" * 10, b"1" * 5000,
        b"[" * 100_000, b'{"a":' * 100_000, b'{"a": "\xe5"}', b"<html>", b"{} {}",
    ],
)  # fmt: skip
@pytest.mark.parametrize("file", ["config.json", "configuration.json", "label_mapping.json"])
def test_what_is_not_json(model: Path, file: str, content: bytes) -> None:
    (model / file).write_bytes(content)
    assert_refused(model, file, "cannot be read as JSON")


@pytest.mark.parametrize("content", ["[]", "null", "1", '"text"', "NaN", "true"])
@pytest.mark.parametrize("file", ["config.json", "configuration.json", "tokenizer_config.json"])
def test_json_that_is_no_object(model: Path, file: str, content: str) -> None:
    (model / file).write_text(content)
    assert_refused(model, file, "must hold a JSON object")


# Architecture


def _set(*path: str, to: Any) -> Callable[[Object], None]:
    def change(value: Object) -> None:
        for key in path[:-1]:
            value = value.setdefault(key, {})
        value[path[-1]] = to

    return change


DEEP: Any = []
for _ in range(900):
    DEEP = [DEEP]


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (_set("model", "type", to="bert"), "model.type is 'bert', not 'mgeo'"),
        (_set("model", "type", to=None), "model.type is None"),
        (_set("model", "type", to="x" * 10_000), "not 'mgeo'"),
        (_set("model", "type", to="a\nb"), "not 'mgeo'"),
        (_set("model", "type", to=DEEP), "not 'mgeo'"),
        (_set("model", to="mgeo"), "model must be an object"),
        (_set("model", to=None), "model must be an object"),
        (_set("task", to="text-ranking"), "task is 'text-ranking', not 'sentence-similarity'"),
        (_set("task", to=["sentence-similarity"]), "not 'sentence-similarity'"),
        (_set("preprocessor", to=[]), "preprocessor must be an object"),
        (_set("model", "name", to=5), "model.name must be one line of text"),
        (_set("model", "name", to="a\nb"), "model.name must be one line of text"),
        (_set("model", "name", to="\ud800"), "model.name must be one line of text"),
        (_set("model", "name", to="x" * 2000), "model.name must be one line of text"),
        (_set("model", "description", to=DEEP), "model.description must be one line of text"),
        (_set("preprocessor", "max_length", to=0), "max_length must be from 5 to"),
        (_set("preprocessor", "max_length", to=4), "max_length must be from 5 to"),
        (_set("preprocessor", "max_length", to=513), "(512)"),
        (_set("preprocessor", "max_length", to=True), "max_length"),
        (_set("preprocessor", "max_length", to="128"), "max_length"),
        (_set("preprocessor", "max_length", to=128.0), "max_length"),
        (_set("preprocessor", "max_length", to=10**400), "max_length"),
        (_set("preprocessor", "shorter_first", to="yes"), "shorter_first must be true or false"),
        (_set("preprocessor", "shorter_first", to=1), "shorter_first must be true or false"),
        (_set("preprocessor", "shorter_first", to=None), "shorter_first must be true or false"),
    ],
)
def test_configuration_json(model: Path, change: Callable[[Object], None], fault: str) -> None:
    edit(model / "configuration.json", change)
    assert_refused(model, "configuration.json", fault)


def test_the_checkpoints_own_length_and_name_are_taken(model: Path) -> None:
    edit(model / "configuration.json", _set("preprocessor", "max_length", to=128))
    edit(model / "configuration.json", _set("model", "name", to="地址"))
    edit(model / "configuration.json", _set("model", "description", to="Two addresses."))
    found = checkpoint.read(model)
    assert (found.max_tokens, found.name, found.description) == (128, "地址", "Two addresses.")


def test_what_is_done_to_text_is_the_checkpoints_own_word(model: Path) -> None:
    assert checkpoint.read(model).normalization == "none"
    edit(model / "configuration.json", _set("preprocessor", "normalization", to="simplified"))
    assert checkpoint.read(model).normalization == "simplified"
    edit(model / "configuration.json", _set("preprocessor", "normalization", to="NFKC"))
    assert_refused(model, "configuration.json", "normalization must be one of none, nfkc")


@pytest.mark.parametrize("value", [True, False])
def test_the_shorter_address_first_is_the_checkpoints_choice(model: Path, value: bool) -> None:
    assert checkpoint.read(model).shorter_first is False
    edit(model / "configuration.json", _set("preprocessor", "shorter_first", to=value))
    assert checkpoint.read(model).shorter_first is value


def test_a_directory_whose_name_is_no_text(model: Path) -> None:
    odd = model.parent / os.fsdecode(b"\xff\n")
    model.rename(odd)
    assert checkpoint.read(odd).name == "??"


@pytest.mark.parametrize("value", [None, 0, -1, 1.5, 32.0, "32", True, [], {}, 10**7, 10**400])
@pytest.mark.parametrize("key", SIZES)
def test_a_size_that_is_none(model: Path, key: str, value: Any) -> None:
    edit(model / "config.json", _set(key, to=value))
    assert_refused(model, "config.json", f"{key} must be a whole number from 1 to 1000000")


@pytest.mark.parametrize("key", SIZES)
def test_a_size_that_is_absent(model: Path, key: str) -> None:
    edit(model / "config.json", lambda config: config.pop(key))
    assert_refused(model, "config.json", key)


@pytest.mark.parametrize(
    "key", [key for key in SIZES if key not in ("num_attention_heads", "num_hidden_layers")]
)
def test_a_size_that_the_weights_cannot_hold(model: Path, key: str) -> None:
    edit(model / "config.json", _set(key, to=1_000_000))
    assert_refused(model, "config.json", "but pytorch_model.bin has only")


def test_layers_that_the_weights_cannot_hold(model: Path) -> None:
    edit(model / "config.json", _set("num_hidden_layers", to=1_000_000))
    edit(model / "config.json", _set("fusion_layer", to=1_000_000))
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
    edit(model / "config.json", _set(key, to=value))
    assert_refused(model, "config.json", fault)


def test_fewer_layers_run_than_there_are(model: Path) -> None:
    edit(model / "config.json", _set("fusion_layer", to=1))
    found = checkpoint.read(model)
    assert (found.bert["num_hidden_layers"], found.layers_in_file) == (1, 2)


def test_all_layers_run_without_a_fusion_layer(model: Path) -> None:
    edit(model / "config.json", lambda config: config.pop("fusion_layer"))
    assert checkpoint.read(model).bert["num_hidden_layers"] == 2


# Vocabulary


def test_a_vocabulary_larger_than_the_embeddings(model: Path) -> None:
    with (model / "vocab.txt").open("a", encoding="utf-8") as file:
        file.write("新\n")
    assert_refused(model, "vocab.txt", "has 435 tokens, more than config.json's vocab_size of 434")


@pytest.mark.parametrize("token", ["[PAD]", "[UNK]", "[CLS]", "[SEP]"])
def test_a_vocabulary_without_a_special_token(model: Path, token: str) -> None:
    path = model / "vocab.txt"
    path.write_text(path.read_text("utf-8").replace(token, "[X]"), "utf-8")
    assert_refused(model, "vocab.txt", f"lacks {token}")


@pytest.mark.parametrize("content", [b"\xff\xfe", "[PAD]\n地".encode("gb18030"), b"[PAD]\n\xe5\n"])
def test_a_vocabulary_that_is_not_utf_8(model: Path, content: bytes) -> None:
    (model / "vocab.txt").write_bytes(content)
    assert_refused(model, "vocab.txt", "cannot be read as UTF-8")


def test_an_empty_vocabulary(model: Path) -> None:
    (model / "vocab.txt").write_bytes(b"")
    assert_refused(model, "vocab.txt", "lacks [PAD], [UNK], [CLS], [SEP]")


def test_a_vocabulary_with_windows_line_ends_and_odd_tokens(model: Path) -> None:
    path = model / "vocab.txt"
    tokens = path.read_text("utf-8").split("\n")[:-1]
    tokens[-3:] = ["\u2028", "\x85", tokens[10]]  # line separators of Unicode; a token twice
    path.write_bytes("\r\n".join(tokens).encode())
    vocabulary = checkpoint.read(model).vocabulary
    assert vocabulary["\u2028"] == 431
    assert vocabulary["\x85"] == 432
    assert vocabulary[tokens[10]] == 433, "the last one counts, as for BertTokenizer"


# Labels


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
        edit(model / file, _set(*path, to=mapping))
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
    edit(model / "config.json", _set("label2id", to=mapping))
    assert "config.json label2id must map" in refusal(model)


@pytest.mark.parametrize(
    "mapping",
    [["exact_match", "not_match", "partial_match"], {"0": DEEP}, {"a": "exact_match"}, "x", 0],
)
def test_inverted_label_maps_of_wrong_types(model: Path, mapping: Any) -> None:
    _without_labels(model)
    edit(model / "config.json", _set("id2label", to=mapping))
    assert "config.json id2label must map" in refusal(model)


def test_ids_may_be_text(model: Path) -> None:
    edit(model / "config.json", _set("label2id", to={k: str(v) for k, v in ORDER.items()}))
    assert checkpoint.read(model).labels == LABELS


def test_no_label_map(model: Path) -> None:
    _without_labels(model)
    assert refusal(model).startswith(f"{model}: no file maps the labels exact_match")


# Tokenizer configuration


def test_lower_case_may_be_off(model: Path) -> None:
    (model / "tokenizer_config.json").write_text('{"do_lower_case": false, "strip_accents": null}')
    assert checkpoint.read(model).lower_case is False


@pytest.mark.parametrize(
    "config",
    [
        {"do_lower_case": "true"},
        {"do_lower_case": None},
        {"do_lower_case": 1},
        {"tokenize_chinese_chars": False},
        {"strip_accents": False},
        {"do_lower_case": False, "strip_accents": True},
    ],
)
def test_a_tokenizer_that_is_not_run(model: Path, config: Object) -> None:
    (model / "tokenizer_config.json").write_text(json.dumps(config))
    assert_refused(model, "tokenizer_config.json", [*config][-1])


# Version


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("label_mapping.json", json.dumps(ORDER)),
        ("tokenizer_config.json", '{"do_lower_case": false}'),
        ("config.json", None),
        ("pytorch_model.bin", None),
    ],
)
def test_whatever_changes_answers_changes_the_version(
    model: Path, file: str, content: str | None
) -> None:
    before = checkpoint.read(model).version
    if content is None:
        with (model / file).open("ab") as end:
            end.write(b"\n")
    else:
        (model / file).write_text(content)
    assert checkpoint.read(model).version != before


# Anything

JSON: st.SearchStrategy[Any] = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-3, 600)
    | st.integers()
    | st.floats()
    | st.text(max_size=5)
    | st.sampled_from(["mgeo", "sentence-similarity", "exact_match", "0", "gelu", 10**30]),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=6,
)
KEYS = [
    (file, path)
    for file, paths in {
        "config.json": [(key,) for key in SIZES]
        + [("hidden_act",), ("layer_norm_eps",), ("pad_token_id",), ("fusion_layer",),
           ("label2id",), ("id2label",), ("id2label", "0"), ("label2id", "exact_match"),
           ("position_embedding_type",), ("unknown",)],
        "configuration.json": [("model",), ("model", "type"), ("model", "name"), ("task",),
           ("model", "description"), ("model", "id2label"), ("preprocessor",),
           ("preprocessor", "max_length"), ("preprocessor", "label2id"), ("framework",)],
    }.items()
    for path in paths
]  # fmt: skip


@settings(max_examples=examples(120), suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(changes=st.lists(st.tuples(st.sampled_from(KEYS), JSON), min_size=1, max_size=3))
def test_any_json_is_read_or_refused(
    model: Path, changes: list[tuple[tuple[str, tuple[str, ...]], Any]]
) -> None:
    originals = {
        file: (model / file).read_bytes() for file in ("config.json", "configuration.json")
    }
    try:
        for (file, path), value in changes:
            try:
                edit(model / file, _set(*path, to=value))
            except (AttributeError, TypeError):
                continue  # the way to the key is no object any more
        try:
            found = checkpoint.read(model)
        except CheckpointError as error:
            assert_one_line(error)
        else:
            assert sorted(found.labels) == sorted(checkpoint.LABELS)
            assert found.name.isprintable()
    finally:
        for file, content in originals.items():
            (model / file).write_bytes(content)
