"""Every refusal of a model directory and its files, each with a really damaged copy."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from service.errors import CheckpointError
from service.scoring import checkpoint
from tests.conftest import examples
from tests.unit.checkpoints import ORDER, Object, assert_refused, refusal, setting
from tests.unit.conftest import SIZES, assert_one_line, edit


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


# Vocabulary


def test_a_vocabulary_larger_than_the_embeddings(model: Path) -> None:
    with (model / "vocab.txt").open("a", encoding="utf-8") as file:
        file.write("新\n")
    assert_refused(model, "vocab.txt", "has 435 tokens, more than config.json's vocab_size of 434")


def test_a_vocabulary_that_was_cut(model: Path) -> None:
    path = model / "vocab.txt"
    lines = path.read_text("utf-8").splitlines(keepends=True)
    path.write_text("".join(lines[:390]), "utf-8")
    assert_refused(model, "vocab.txt", "has 390 tokens, far fewer than config.json's vocab_size of")
    path.write_text("".join(lines[:400]), "utf-8")  # some embeddings have no token
    assert len(checkpoint.read(model).vocabulary) == 400


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
                edit(model / file, setting(*path, to=value))
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
