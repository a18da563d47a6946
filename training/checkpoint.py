"""Writing the model in ModelScope's layout, and loading it back for evaluation."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from safetensors.torch import save as serialize

from service.scoring.tokens import PairTokenizer
from training.network import LAYER_NORM_EPS, Network, Shape, export
from training.relations import LABELS
from training.vocabulary import read_vocabulary, tokenizer, write_vocabulary

WEIGHTS, CONFIG, CONFIGURATION, VOCABULARY = (
    "model.safetensors",
    "config.json",
    "configuration.json",
    "vocab.txt",
)


class CheckpointError(Exception):
    """A model folder is incomplete or holds something else than this trainer writes."""


def config(shape: Shape) -> dict[str, object]:
    """config.json: the usual BERT keys and the three that MGeo adds."""
    return {
        "model_type": "bert",
        "architectures": ["MGeoForSequenceClassification"],
        "vocab_size": shape.vocabulary,
        "hidden_size": shape.hidden,
        "num_hidden_layers": shape.layers,
        "num_attention_heads": shape.heads,
        "intermediate_size": shape.intermediate,
        "hidden_act": "gelu",
        "hidden_dropout_prob": 0.0,
        "attention_probs_dropout_prob": 0.0,
        "max_position_embeddings": shape.positions,
        "type_vocab_size": 2,
        "layer_norm_eps": LAYER_NORM_EPS,
        "initializer_range": 0.02,
        "pad_token_id": 0,
        "position_embedding_type": "absolute",
        "fusion_layer": shape.layers,
        "encoder_width": shape.hidden,
        "gis_embedding": 0,
        "label2id": {label: index for index, label in enumerate(LABELS)},
        "id2label": {str(index): label for index, label in enumerate(LABELS)},
    }


def configuration() -> dict[str, object]:
    """configuration.json, which ModelScope's pipelines read first."""
    return {
        "framework": "pytorch",
        "task": "sentence-similarity",
        "model": {
            "type": "mgeo",
            "name": "mgeo-small-generated",
            "description": "A small model trained on generated address pairs; "
            "not the published MGeo.",
        },
        "preprocessor": {
            "type": "sen-sim-tokenizer",
            "normalization": "simplified",
            "shorter_first": True,
        },
        "pipeline": {"type": "sentence-similarity"},
    }


def save(network: Network, vocabulary: list[str], folder: Path, temperature: float = 1.0) -> None:
    """Write the four files; `temperature` divides the logits, through the classifier's weights.

    The weights are stored as fp16 safetensors: plain data, read without torch.
    """
    folder.mkdir(parents=True, exist_ok=True)
    weights = export(network)
    for part in ("weight", "bias"):
        weights[f"classifier.{part}"] /= temperature
    halves = {name: tensor.to(torch.float16) for name, tensor in weights.items()}
    # Not save_file: that one makes a file which only its owner may read.
    (folder / WEIGHTS).write_bytes(serialize(halves))
    write_vocabulary(vocabulary, folder / VOCABULARY)
    for name, content in (
        (CONFIG, config(network.shape)),
        (CONFIGURATION, configuration()),
    ):
        text = json.dumps(content, ensure_ascii=False, indent=2)
        (folder / name).write_text(text + "\n", encoding="utf-8")


def load(folder: Path) -> tuple[Network, PairTokenizer, list[str]]:
    """Read a folder that `save` wrote. Raises CheckpointError when it is not one."""
    for name in (WEIGHTS, CONFIG, VOCABULARY):
        if not (folder / name).is_file():
            raise CheckpointError(f"{folder / name}: no such file; give a folder made by `build`")
    try:
        keys = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
        shape = Shape(
            vocabulary=keys["vocab_size"],
            hidden=keys["hidden_size"],
            layers=keys["num_hidden_layers"],
            heads=keys["num_attention_heads"],
            intermediate=keys["intermediate_size"],
            positions=keys["max_position_embeddings"],
        )
        labels = [keys["id2label"][str(index)] for index in range(shape.labels)]
        weights = load_file(folder / WEIGHTS)
        network = Network(shape)
        names = {to: own for own, to in _names(shape).items()}
        network.load_state_dict(_import(weights, names, shape))
    except (KeyError, ValueError, RuntimeError, SafetensorError) as error:
        raise CheckpointError(f"{folder}: not a model made by `build`: {error}") from error
    if tuple(labels) != LABELS:
        raise CheckpointError(f"{folder}: labels are {labels}, expected {list(LABELS)}")
    vocabulary = read_vocabulary(folder / VOCABULARY)
    return network.eval(), tokenizer(vocabulary), vocabulary


def _names(shape: Shape) -> dict[str, str]:
    """Own name -> MGeo name, for the parameters that are stored one to one."""
    names = {
        "words.weight": "bert.text_encoder.embeddings.word_embeddings.weight",
        "positions.weight": "bert.text_encoder.embeddings.position_embeddings.weight",
        "types.weight": "bert.text_encoder.embeddings.token_type_embeddings.weight",
    }
    parts = {"norm": "bert.text_encoder.embeddings.LayerNorm"}
    for index in range(shape.layers):
        own, to = f"layers.{index}.", f"bert.text_encoder.encoder.layer.{index}."
        parts[own + "out"] = to + "attention.output.dense"
        parts[own + "norm1"] = to + "attention.output.LayerNorm"
        parts[own + "up"] = to + "intermediate.dense"
        parts[own + "down"] = to + "output.dense"
        parts[own + "norm2"] = to + "output.LayerNorm"
    parts["pooler"] = "bert.text_encoder.pooler.dense"
    parts["classifier"] = "classifier"
    for own, to in parts.items():
        for kind in ("weight", "bias"):
            names[f"{own}.{kind}"] = f"{to}.{kind}"
    return names


def _import(
    weights: dict[str, torch.Tensor], names: dict[str, str], shape: Shape
) -> dict[str, torch.Tensor]:
    state = {own: weights[to].float() for to, own in names.items()}
    for index in range(shape.layers):
        to = f"bert.text_encoder.encoder.layer.{index}.attention.self."
        for kind in ("weight", "bias"):
            three = [weights[f"{to}{part}.{kind}"] for part in ("query", "key", "value")]
            state[f"layers.{index}.qkv.{kind}"] = torch.cat(three).float()
    return state
