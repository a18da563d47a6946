"""Full-width forms read exactly as their ASCII twins.

The tokenizer keeps full-width digits, letters and signs as they are. They mean what their ASCII
twins mean, so after training each gets its twin's embedding, and the numbers up to 999, which are
whole entries in ASCII, become whole entries in full width as well. The answer for １２号（Ａ座）
is then the answer for 12号(A座), whatever the generator showed of it.
"""

from __future__ import annotations

import dataclasses

import torch
from torch import nn

from training.network import Network
from training.numerals import full_width


def wide_numbers(vocabulary: list[str]) -> list[str]:
    """Full-width forms of the whole numbers in the vocabulary that are not entries yet."""
    known = set(vocabulary)
    wide = (full_width(entry) for entry in vocabulary if entry.isascii() and entry.isdigit())
    return [entry for entry in wide if entry not in known]


@torch.no_grad()
def tie(network: Network, vocabulary: list[str]) -> list[str]:
    """Give full-width entries their twins' embeddings, in place; returns the longer vocabulary."""
    longer = vocabulary + wide_numbers(vocabulary)
    old = network.words.weight
    words = nn.Embedding(len(longer), old.shape[1])
    words.weight.zero_()
    words.weight[: len(vocabulary)] = old
    ids = {entry: index for index, entry in enumerate(longer)}
    for entry in longer[5:]:  # after the special tokens
        mark = "##" if entry.startswith("##") else ""
        twin = mark + full_width(entry.removeprefix("##"))
        if twin != entry and twin in ids:
            words.weight[ids[twin]] = words.weight[ids[entry]]
    network.words = words
    network.shape = dataclasses.replace(network.shape, vocabulary=len(longer))
    return longer
