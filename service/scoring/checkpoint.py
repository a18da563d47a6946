"""What a model directory says of itself: MGeo's layout as ModelScope writes it, checked.

Reads the small files only and imports no torch; `weights.py` reads the tensors. Everything that a
directory can have wrong is refused here with one line that names the file and the fault.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import reprlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from service.answers import Label as Label
from service.errors import CheckpointError
from service.scoring.tokens import CLS, NORMALIZATIONS, PAD, SEP, UNK, Normalization

LABELS: tuple[Label, ...] = ("exact_match", "partial_match", "not_match")

REQUIRED_FILES = ("config.json", "configuration.json", "vocab.txt")
OPTIONAL_FILES = ("label_mapping.json", "tokenizer_config.json")
WEIGHT_FILES = ("pytorch_model.bin", "model.safetensors")
MODELSCOPE_MAX_TOKENS = 512
"""ModelScope's pipeline passes 512 unless configuration.json's preprocessor has `max_length`."""

_BERT_SIZES = (
    "vocab_size",
    "hidden_size",
    "num_hidden_layers",
    "num_attention_heads",
    "intermediate_size",
    "max_position_embeddings",
    "type_vocab_size",
)
_ACTIVATIONS = ("gelu", "gelu_new", "relu", "silu")
_LARGEST_SIZE = 1_000_000
_LARGEST_FILE = 64 * 1024 * 1024
"""Bytes of a file that is read whole: BERT's largest vocabularies take 2 MB."""

_LEAST_NAMED = 0.9
"""Share of the embeddings that must have a token in `vocab.txt`. Some models have a few more, up to
a multiple of 128. A file that was cut while it was copied has far fewer tokens."""

FEWEST_TOKENS = 5
"""`[CLS] a [SEP] b [SEP]`. The Rust tokenizer does not truncate at all to fewer than three."""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A model directory that passed every check that needs no tensors.

    Attributes:
        directory: Where it lies.
        name: `model.name` of configuration.json, else the directory's name.
        description: `model.description` of configuration.json: what this model is, in a sentence.
        version: First 12 hex digits of the sha256 over weights, vocabulary, configuration and,
            where they are there, label map and tokenizer configuration.
        labels: The label of each output of the classifier, in its order.
        max_tokens: Longest pair in tokens that the checkpoint was meant for.
        lower_case: Whether text is lower-cased.
        normalization: What is to be done to text before that: `preprocessor.normalization` of
            configuration.json, else nothing, as ModelScope has it.
        shorter_first: `preprocessor.shorter_first` of configuration.json, which is no key of
            ModelScope's: whether the shorter address of a pair is read first, whichever came first.
        bert: Arguments of transformers' BertConfig.
        layers_in_file: Encoder layers that config.json declares. MGeo runs the first
            `fusion_layer` of them on text; `bert["num_hidden_layers"]` is what runs.
        vocabulary: Token to id.
        weights: The file that holds the tensors.
    """

    directory: Path
    name: str
    description: str | None
    version: str
    labels: tuple[Label, ...]
    max_tokens: int
    lower_case: bool
    normalization: Normalization
    shorter_first: bool
    bert: dict[str, Any]
    layers_in_file: int
    vocabulary: dict[str, int]
    weights: Path


def read(directory: Path) -> Checkpoint:
    """Read and check a model directory.

    Raises:
        CheckpointError: Something is missing, malformed or of another architecture.
    """
    if not directory.is_dir():
        raise CheckpointError(f"{directory} is not a directory")
    configuration = _json_object(directory / "configuration.json")
    config = _json_object(directory / "config.json")
    _check_architecture(directory, configuration, config)
    bert = _bert_arguments(directory / "config.json", config)
    layers_in_file = bert["num_hidden_layers"]
    fusion_layer = config.get("fusion_layer", layers_in_file)
    if not _is_size(fusion_layer):
        raise CheckpointError(f"{directory / 'config.json'}: fusion_layer must be at least 1")
    bert["num_hidden_layers"] = min(fusion_layer, layers_in_file)
    weights = _weights_file(directory)
    _check_size(directory / "config.json", bert, weights)
    vocabulary = _vocabulary(directory / "vocab.txt", bert["vocab_size"])
    labels, lower_case = _labels(directory, configuration, config), _lower_case(directory)
    return Checkpoint(
        directory=directory,
        name=_text(directory, configuration, "name") or _directory_name(directory),
        description=_text(directory, configuration, "description"),
        version=_version(directory, weights),  # after the checks: a pipe would never end
        labels=labels,
        max_tokens=_max_tokens(directory, configuration, bert["max_position_embeddings"]),
        lower_case=lower_case,
        normalization=_normalization(directory, configuration),
        shorter_first=_shorter_first(directory / "configuration.json", configuration),
        bert=bert,
        layers_in_file=layers_in_file,
        vocabulary=vocabulary,
        weights=weights,
    )


def _bytes(path: Path) -> bytes:
    """A small file's content. Never a pipe, which would be waited for without end."""
    try:
        if path.exists() and not path.is_file():
            raise CheckpointError(f"{path} is not a file")
        if path.stat().st_size > _LARGEST_FILE:
            raise CheckpointError(f"{path} is over {_LARGEST_FILE // 2**20} MiB")
        return path.read_bytes()
    except FileNotFoundError:
        raise CheckpointError(
            f"{path} is missing: a model directory in ModelScope's layout has config.json, "
            "configuration.json, vocab.txt and model.safetensors or pytorch_model.bin"
        ) from None
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read: {error.strerror}") from None


def _json_object(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(_bytes(path))
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"{path} cannot be read as JSON: {one_line(error)}") from None
    if not isinstance(value, dict):
        raise CheckpointError(f"{path} must hold a JSON object")
    return value


def _section(configuration: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    section = configuration.get(key)
    return section if isinstance(section, dict) else {}


def _text(directory: Path, configuration: Mapping[str, Any], key: str) -> str | None:
    """A name or sentence of configuration.json's model, fit for metrics, logs and a terminal."""
    text = _section(configuration, "model").get(key)
    if text is None or text == "":
        return None
    if not isinstance(text, str) or not text.isprintable() or len(text) > 1000:
        raise CheckpointError(
            f"{directory / 'configuration.json'}: model.{key} must be one line of text"
        )
    return text


def _directory_name(directory: Path) -> str:
    directory = directory.resolve()
    if directory.parent.name == "snapshots":  # ModelScope: owner--name/snapshots/revision
        directory = directory.parent.parent
    # A file name may hold any bytes; what is said of the model must be text.
    name = directory.name.rpartition("--")[2].encode("utf-8", "replace").decode()
    return "".join(character if character.isprintable() else "?" for character in name)


def _check_architecture(
    directory: Path, configuration: Mapping[str, Any], config: Mapping[str, Any]
) -> None:
    path = directory / "configuration.json"
    for key in ("model", "preprocessor"):
        if not isinstance(configuration.get(key, {}), dict):
            raise CheckpointError(f"{path}: {key} must be an object")
    kind = _section(configuration, "model").get("type")
    if kind != "mgeo":
        raise CheckpointError(f"{path}: model.type is {reprlib.repr(kind)}, not 'mgeo'")
    task = configuration.get("task")
    if task != "sentence-similarity":
        raise CheckpointError(
            f"{path}: task is {reprlib.repr(task)}, not 'sentence-similarity'; other MGeo models "
            "have other heads, which this service does not run"
        )
    if config.get("position_embedding_type", "absolute") != "absolute":
        raise CheckpointError(
            f"{directory / 'config.json'}: position_embedding_type must be 'absolute'"
        )


def _is_size(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= _LARGEST_SIZE


def _shorter_first(path: Path, configuration: Mapping[str, Any]) -> bool:
    value = _section(configuration, "preprocessor").get("shorter_first", False)
    if not isinstance(value, bool):
        raise CheckpointError(f"{path}: preprocessor.shorter_first must be true or false")
    return value


def _bert_arguments(path: Path, config: Mapping[str, Any]) -> dict[str, Any]:
    arguments: dict[str, Any] = {}
    for key in _BERT_SIZES:
        if not _is_size(config.get(key)):
            raise CheckpointError(f"{path}: {key} must be a whole number from 1 to {_LARGEST_SIZE}")
        arguments[key] = config[key]
    if arguments["hidden_size"] % arguments["num_attention_heads"]:
        raise CheckpointError(f"{path}: hidden_size is not a multiple of num_attention_heads")
    if arguments["type_vocab_size"] < 2:
        raise CheckpointError(f"{path}: type_vocab_size must be 2, one type for each address")
    if arguments["max_position_embeddings"] < FEWEST_TOKENS:
        raise CheckpointError(f"{path}: max_position_embeddings must be at least {FEWEST_TOKENS}")
    activation = config.get("hidden_act", "gelu")
    if activation not in _ACTIVATIONS:
        raise CheckpointError(f"{path}: hidden_act must be one of {', '.join(_ACTIVATIONS)}")
    epsilon = config.get("layer_norm_eps", 1e-12)
    if not isinstance(epsilon, float) or not 0 < epsilon < 1:
        raise CheckpointError(f"{path}: layer_norm_eps must be between 0 and 1")
    padding = config.get("pad_token_id", 0)
    if type(padding) is not int or not 0 <= padding < arguments["vocab_size"]:
        raise CheckpointError(f"{path}: pad_token_id must be an id of the vocabulary")
    arguments |= {"hidden_act": activation, "layer_norm_eps": epsilon, "pad_token_id": padding}
    return arguments


def _vocabulary(path: Path, size: int) -> dict[str, int]:
    try:
        # Not splitlines(): it also splits at U+2028 and others, which are tokens.
        lines = re.split("\r\n|\r|\n", _bytes(path).decode("utf-8"))
    except UnicodeDecodeError as error:
        raise CheckpointError(f"{path} cannot be read as UTF-8: {one_line(error)}") from None
    if lines[-1] == "":
        lines.pop()
    vocabulary = {line: index for index, line in enumerate(lines)}
    if len(lines) > size:
        raise CheckpointError(
            f"{path} has {len(lines)} tokens, more than config.json's vocab_size of {size}"
        )
    missing = [token for token in (PAD, UNK, CLS, SEP) if token not in vocabulary]
    if missing:
        raise CheckpointError(f"{path} lacks {', '.join(missing)}")
    if len(lines) < _LEAST_NAMED * size:
        raise CheckpointError(
            f"{path} has {len(lines)} tokens, far fewer than config.json's vocab_size of {size}: "
            "was it cut? Copy it again"
        )
    return vocabulary


def _check_size(path: Path, bert: Mapping[str, Any], weights: Path) -> None:
    """Refuse sizes that the weights file cannot hold, before memory is taken for them."""
    hidden, inner = bert["hidden_size"], bert["intermediate_size"]
    embeddings = bert["vocab_size"] + bert["max_position_embeddings"] + bert["type_vocab_size"]
    layer = 4 * hidden * hidden + 2 * hidden * inner
    values = hidden * embeddings + layer * bert["num_hidden_layers"]
    size = weights.stat().st_size
    if values > size:  # weights are stored uncompressed, in at least a byte each
        raise CheckpointError(
            f"{path} describes a model of over {values} values, "
            f"but {weights.name} has only {size} bytes: one of the two is wrong or truncated"
        )


def _weights_file(directory: Path) -> Path:
    for name in WEIGHT_FILES:
        if (directory / name).is_file():
            return directory / name
    raise CheckpointError(f"{directory} has no weights: expected {' or '.join(WEIGHT_FILES)}")


def _labels(
    directory: Path, configuration: Mapping[str, Any], config: Mapping[str, Any]
) -> tuple[Label, ...]:
    """The label map that ModelScope would use: the first of these that is there."""
    model = _section(configuration, "model")
    preprocessor = _section(configuration, "preprocessor")
    mapping_file = directory / "label_mapping.json"
    candidates: list[tuple[str, object]] = []
    if os.path.lexists(mapping_file):
        candidates.append(("label_mapping.json", _json_object(mapping_file)))
    candidates += [
        ("configuration.json model.label2id", model.get("label2id")),
        ("configuration.json model.id2label", _inverted(model.get("id2label"))),
        ("configuration.json preprocessor.label2id", preprocessor.get("label2id")),
        ("configuration.json preprocessor.id2label", _inverted(preprocessor.get("id2label"))),
        ("config.json label2id", config.get("label2id")),
        ("config.json id2label", _inverted(config.get("id2label"))),
    ]
    for source, mapping in candidates:
        if mapping is None:
            continue
        if (
            not isinstance(mapping, dict)
            or set(mapping) != set(LABELS)
            or not all(isinstance(index, int | str) for index in mapping.values())
            or sorted(map(str, mapping.values())) != ["0", "1", "2"]
        ):
            # Generic names (LABEL_0) would make every answer a guess at their order.
            raise CheckpointError(
                f"{directory}: {source} must map {', '.join(LABELS)} to 0, 1 and 2"
            )
        order = sorted(mapping, key=lambda name: int(mapping[name]))
        return cast(tuple[Label, ...], tuple(order))
    raise CheckpointError(f"{directory}: no file maps the labels {', '.join(LABELS)} to 0, 1, 2")


def _inverted(id_to_label: object) -> object:
    if not isinstance(id_to_label, dict):
        return id_to_label
    return {label if isinstance(label, str) else "": index for index, label in id_to_label.items()}


def _max_tokens(directory: Path, configuration: Mapping[str, Any], positions: int) -> int:
    given = _section(configuration, "preprocessor").get("max_length")
    if given is None:
        return min(MODELSCOPE_MAX_TOKENS, positions)
    if not _is_size(given) or not FEWEST_TOKENS <= given <= positions:
        raise CheckpointError(
            f"{directory / 'configuration.json'}: preprocessor.max_length must be "
            f"from {FEWEST_TOKENS} to max_position_embeddings ({positions})"
        )
    return int(given)


def _lower_case(directory: Path) -> bool:
    path = directory / "tokenizer_config.json"
    config = _json_object(path) if os.path.lexists(path) else {}
    value = config.get("do_lower_case", True)
    if not isinstance(value, bool):
        raise CheckpointError(f"{path}: do_lower_case must be true or false")
    # What BertTokenizer would honour and this service's tokenizer does not.
    if config.get("tokenize_chinese_chars", True) is not True:
        raise CheckpointError(f"{path}: tokenize_chinese_chars must be true")
    if config.get("strip_accents") not in (None, value):
        raise CheckpointError(f"{path}: strip_accents must be as do_lower_case, or null")
    return value


def _normalization(directory: Path, configuration: Mapping[str, Any]) -> Normalization:
    given = _section(configuration, "preprocessor").get("normalization", "none")
    if given not in NORMALIZATIONS:
        raise CheckpointError(
            f"{directory / 'configuration.json'}: preprocessor.normalization must be one of "
            f"{', '.join(NORMALIZATIONS)}"
        )
    return cast(Normalization, given)


def _version(directory: Path, weights: Path) -> str:
    digest = hashlib.sha256()
    names = ["vocab.txt", "config.json", "configuration.json"]
    # These can turn one answer into another as well: a label map, say.
    names += [name for name in OPTIONAL_FILES if (directory / name).exists()]
    for path in (weights, *(directory / name for name in names)):
        try:
            with path.open("rb") as file:
                digest.update(hashlib.file_digest(file, "sha256").digest())
        except OSError as error:
            raise CheckpointError(f"{path} cannot be read: {error.strerror}") from None
    return digest.hexdigest()[:12]


def one_line(error: Exception) -> str:
    """What a library says is wrong, fit for a terminal: it may quote the file's own bytes."""
    words = " ".join(str(error).split())[:200]
    return "".join(c if c.isprintable() else "\ufffd" for c in words) or type(error).__name__
