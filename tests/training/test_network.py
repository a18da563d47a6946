"""The exported weights are an ordinary BERT, and the start values do what they are for."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from training.checkpoint import CheckpointError, load, save
from training.full_width import tie
from training.network import Network, Shape, export
from training.start import start

SHAPE = Shape(vocabulary=60, hidden=24, layers=3, heads=3, intermediate=32, positions=64)
WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *map(chr, range(0x4E00, 0x4E37))]


@pytest.fixture
def network() -> Network:
    made = Network(SHAPE)
    start(made, WORDS, seed=3)
    return made.eval()


def _batch(rows: int = 5, tokens: int = 17) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    ids = torch.randint(5, 60, (rows, tokens), generator=generator)
    ids[:, 0] = 2
    types = (torch.arange(tokens) >= 8).long().expand(rows, -1).contiguous()
    return ids, types


def test_logits_equal_transformers_bert(network: Network) -> None:
    transformers = pytest.importorskip("transformers")
    config = transformers.BertConfig(
        vocab_size=SHAPE.vocabulary,
        hidden_size=SHAPE.hidden,
        num_hidden_layers=SHAPE.layers,
        num_attention_heads=SHAPE.heads,
        intermediate_size=SHAPE.intermediate,
        max_position_embeddings=SHAPE.positions,
        num_labels=3,
        attn_implementation="eager",
    )
    theirs = transformers.BertForSequenceClassification(config).eval()
    state = {
        name.replace("bert.text_encoder.", "bert.", 1): tensor
        for name, tensor in export(network).items()
    }
    theirs.load_state_dict(state, strict=True)
    ids, types = _batch()
    with torch.no_grad():
        expected = theirs(input_ids=ids, token_type_ids=types).logits
        found = network(ids, types)
    assert torch.allclose(found, expected, atol=1e-5)


def test_save_and_load_keep_the_logits_within_half_precision(
    network: Network, tmp_path: Path
) -> None:
    save(network, WORDS, tmp_path)
    again, _, words = load(tmp_path)
    assert words == WORDS
    ids, types = _batch()
    with torch.no_grad():
        assert torch.allclose(again(ids, types), network(ids, types), atol=2e-2)


def test_temperature_is_folded_into_the_classifier(network: Network, tmp_path: Path) -> None:
    save(network, WORDS, tmp_path / "plain")
    save(network, WORDS, tmp_path / "warm", temperature=2.0)
    ids, types = _batch()
    with torch.no_grad():
        plain, _, _ = load(tmp_path / "plain")
        warm, _, _ = load(tmp_path / "warm")
        assert torch.allclose(warm(ids, types) * 2, plain(ids, types), atol=1e-3)


def test_loading_a_folder_without_weights_says_which_file_is_missing(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"model\.safetensors: no such file"):
        load(tmp_path)


def test_loading_other_labels_is_refused(network: Network, tmp_path: Path) -> None:
    save(network, WORDS, tmp_path)
    config = tmp_path / "config.json"
    config.write_text(config.read_text().replace("exact_match", "LABEL_0"))
    with pytest.raises(CheckpointError, match="labels are"):
        load(tmp_path)


def test_the_first_layer_attends_to_the_twin_in_the_other_address(network: Network) -> None:
    # One token occurs in both addresses; its query must score its twin above everything else.
    ids = torch.tensor([[2, 10, 11, 12, 3, 20, 11, 22, 3]])
    types = torch.tensor([[0, 0, 0, 0, 0, 1, 1, 1, 1]])
    with torch.no_grad():
        x = network.norm(
            network.words(ids) + network.types(types) + network.positions.weight[: ids.shape[1]]
        )
        q, k, _ = network.layers[0].qkv(x).chunk(3, dim=-1)
        scores = (q @ k.transpose(1, 2))[0]
    assert scores[2].argmax().item() == 6
    assert scores[6].argmax().item() == 2


def test_full_width_entries_get_their_twins_vectors() -> None:
    words = [
        "[PAD]",
        "[UNK]",
        "[CLS]",
        "[SEP]",
        "[MASK]",
        "7",
        "12",
        "a",
        "##7",
        "７",
        "ａ",
        "##７",
        "路",
    ]
    network = Network(Shape(len(words), hidden=12, layers=1, heads=2, intermediate=8, positions=9))
    before = network.words.weight.detach().clone()
    longer = tie(network, words)
    ids = {word: index for index, word in enumerate(longer)}
    assert longer == [*words, "１２"]
    assert network.shape.vocabulary == len(longer)
    for wide, twin in (("７", "7"), ("１２", "12"), ("ａ", "a"), ("##７", "##7")):
        assert torch.equal(network.words.weight[ids[wide]], before[ids[twin]])
    assert torch.equal(network.words.weight[ids["路"]], before[ids["路"]])
