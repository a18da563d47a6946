"""Writes BERT-base in MGeo's layout with RANDOM weights: for speed alone, it knows nothing.

`python -m benchmarks.checkpoint DIRECTORY` makes three directories of the same tensors:
`random-mgeo` in ModelScope's layout, which ModelScope's pipeline and this service read;
`random-bert` as transformers reads it, for the peers; and `random-bert-one-logit` with one output
instead of three, which is all that infinity can serve of pairs.
"""

from __future__ import annotations

import argparse
import json
import shutil
import string
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from benchmarks.pairs import CHARACTERS
from service.scoring.architecture import tensor_shapes
from service.scoring.weights import PREFIX

CONFIG: dict[str, Any] = {
    "model_type": "bert",
    "hidden_act": "gelu",
    "hidden_size": 768,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "intermediate_size": 3072,
    "layer_norm_eps": 1e-12,
    "max_position_embeddings": 512,
    "type_vocab_size": 2,
    "vocab_size": 21128,
    "pad_token_id": 0,
    "attention_probs_dropout_prob": 0.1,
    "hidden_dropout_prob": 0.1,
    "initializer_range": 0.02,
}
"""BERT-base's sizes, the vocabulary as large as bert-base-chinese's."""

LABELS = ["exact_match", "not_match", "partial_match"]

MGEO, BERT, ONE_LOGIT = "random-mgeo", "random-bert", "random-bert-one-logit"

_SPREAD = 0.04
"""Standard deviation of the weights: answers differ from pair to pair in the second digit. They say
nothing of accuracy: random weights with wider answers are chaotic, trained ones are not."""


def vocabulary() -> list[str]:
    """21,128 tokens: special ones, numbers, letters, and Chinese characters by code point."""
    tokens = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    tokens += [str(number) for number in range(1000)]
    tokens += [f"##{digit}" for digit in string.digits]
    tokens += list(string.ascii_lowercase) + [f"##{letter}" for letter in string.ascii_lowercase]
    tokens += CHARACTERS
    others = (chr(code) for code in range(0x4E00, 0x9FFF) if chr(code) not in CHARACTERS)
    while len(tokens) < CONFIG["vocab_size"]:
        tokens.append(next(others))
    return tokens


def random_tensors(labels: int, config: dict[str, Any] = CONFIG) -> dict[str, torch.Tensor]:
    """Tensors under transformers' names; the same at every call."""
    generator = torch.Generator().manual_seed(20261123)
    tensors = {}
    for name, shape in tensor_shapes(config, labels).items():
        if name.endswith("LayerNorm.weight"):
            tensors[name] = torch.ones(shape)
        elif name.endswith(".bias"):
            tensors[name] = torch.zeros(shape)
        else:
            tensors[name] = torch.randn(shape, generator=generator) * _SPREAD
    return tensors


def write(directory: Path, config: dict[str, Any] = CONFIG) -> None:
    """Write the three directories into `directory`; those that are complete are kept."""
    ids = {label: index for index, label in enumerate(LABELS)}
    names = {str(index): label for label, index in ids.items()}
    of_mgeo = config | {
        "architectures": ["MGeoForSequenceClassification"], "label2id": ids, "id2label": names,
        "fusion_layer": config["num_hidden_layers"], "encoder_width": config["hidden_size"],
        "gis_embedding": 0,
    }  # fmt: skip
    of_bert = config | {"architectures": ["BertForSequenceClassification"]}
    for name, labels, document in (
        (MGEO, 3, of_mgeo),
        (BERT, 3, of_bert | {"label2id": ids, "id2label": names}),
        (ONE_LOGIT, 1, of_bert | {"label2id": {"LABEL_0": 0}, "id2label": {"0": "LABEL_0"}}),
    ):
        target = directory / name
        if target.is_dir():
            continue
        partial = directory / f"{name}.partial"
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        _json(partial / "config.json", document)
        (partial / "vocab.txt").write_text("\n".join(vocabulary()) + "\n", "utf-8")
        tensors = random_tensors(labels, config)
        if name == MGEO:
            _write_mgeo(partial, tensors)
        else:
            tokenizer = {"tokenizer_class": "BertTokenizer", "do_lower_case": True}
            _json(partial / "tokenizer_config.json", tokenizer | {"model_max_length": 512})
            save_file(tensors, partial / "model.safetensors", metadata={"format": "pt"})
        partial.rename(target)


def _write_mgeo(directory: Path, tensors: dict[str, torch.Tensor]) -> None:
    configuration = {
        "framework": "pytorch",
        "task": "sentence-similarity",
        "model": {
            "type": "mgeo",
            "name": "bert-base-random",
            "description": "BERT-base with random weights: its answers mean nothing.",
        },
        "preprocessor": {"type": "sen-sim-tokenizer"},
        "pipeline": {"type": "sentence-similarity"},
    }
    _json(directory / "configuration.json", configuration)
    renamed = {
        PREFIX + name.removeprefix("bert.") if name.startswith("bert.") else name: tensor
        for name, tensor in tensors.items()
    }
    torch.save(renamed, directory / "pytorch_model.bin")


def _json(path: Path, document: dict[str, Any]) -> None:
    path.write_text(json.dumps(document, ensure_ascii=False, indent=2) + "\n", "utf-8")


def main() -> None:
    """Write them where the command line says."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("directory", type=Path)
    write(parser.parse_args().directory)


if __name__ == "__main__":
    main()
