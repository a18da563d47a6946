"""The network while it is trained: an ordinary post-LN BERT cross-encoder, written for speed.

Batches hold pairs of exactly one token length, so nothing is padded and nothing is masked. The
last layer is computed for [CLS] alone, which is all the classifier reads. Query, key and value
share one matrix product. Exported, it is plain BERT with MGeo's key names.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

LAYER_NORM_EPS = 1e-12


@dataclass(frozen=True)
class Shape:
    """Sizes of the network. hidden must be divisible by heads; positions bounds tokens a pair."""

    vocabulary: int
    hidden: int = 192
    layers: int = 4
    heads: int = 3
    intermediate: int = 512
    positions: int = 512
    labels: int = 3


class Layer(nn.Module):
    """One post-LN transformer layer."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        h, f = shape.hidden, shape.intermediate
        self.heads = shape.heads
        self.qkv = nn.Linear(h, 3 * h)
        self.out = nn.Linear(h, h)
        self.norm1 = nn.LayerNorm(h, eps=LAYER_NORM_EPS)
        self.up = nn.Linear(h, f)
        self.down = nn.Linear(f, h)
        self.norm2 = nn.LayerNorm(h, eps=LAYER_NORM_EPS)

    def forward(self, x: Tensor, cls_only: bool = False) -> Tensor:
        """[batch, tokens, hidden] -> the same, or [batch, 1, hidden] for `cls_only`."""
        batch, tokens, hidden = x.shape
        heads, size = self.heads, hidden // self.heads
        if cls_only:
            weight, bias = self.qkv.weight, self.qkv.bias
            top = x[:, :1]
            q = functional.linear(top, weight[:hidden], bias[:hidden])
            k, v = functional.linear(x, weight[hidden:], bias[hidden:]).chunk(2, dim=-1)
            x = top
        else:
            q, k, v = self.qkv(x).chunk(3, dim=-1)
        q = q.view(batch, -1, heads, size).transpose(1, 2) * (1.0 / math.sqrt(size))
        k = k.view(batch, tokens, heads, size).transpose(1, 2)
        v = v.view(batch, tokens, heads, size).transpose(1, 2)
        mixed = torch.softmax(q @ k.transpose(2, 3), dim=-1) @ v
        mixed = mixed.transpose(1, 2).reshape(batch, -1, hidden)
        x = self.norm1(x + self.out(mixed))
        out: Tensor = self.norm2(x + self.down(functional.gelu(self.up(x))))
        return out


class Network(nn.Module):
    """BERT cross-encoder with a tanh pooler and a linear classifier."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        h = shape.hidden
        self.words = nn.Embedding(shape.vocabulary, h)
        self.positions = nn.Embedding(shape.positions, h)
        self.types = nn.Embedding(2, h)
        self.norm = nn.LayerNorm(h, eps=LAYER_NORM_EPS)
        self.layers = nn.ModuleList(Layer(shape) for _ in range(shape.layers))
        self.pooler = nn.Linear(h, h)
        self.classifier = nn.Linear(h, shape.labels)

    def forward(self, ids: Tensor, types: Tensor) -> Tensor:
        """ids, types: int64 [batch, tokens], all real tokens -> logits [batch, labels]."""
        positions = self.positions.weight[: ids.shape[1]]
        x = self.norm(self.words(ids) + self.types(types) + positions)
        last = len(self.layers) - 1
        for index, layer in enumerate(self.layers):
            x = layer(x, cls_only=index == last)
        logits: Tensor = self.classifier(torch.tanh(self.pooler(x[:, 0])))
        return logits


def export(network: Network) -> dict[str, Tensor]:
    """The weights under MGeo's key names (`bert.text_encoder.*`, `classifier.*`), fp32."""
    s, out = network.state_dict(), {}
    embeddings = "bert.text_encoder.embeddings."
    out[embeddings + "word_embeddings.weight"] = s["words.weight"]
    out[embeddings + "position_embeddings.weight"] = s["positions.weight"]
    out[embeddings + "token_type_embeddings.weight"] = s["types.weight"]
    for part in ("weight", "bias"):
        out[embeddings + f"LayerNorm.{part}"] = s[f"norm.{part}"]
        for index in range(network.shape.layers):
            to, own = f"bert.text_encoder.encoder.layer.{index}.", f"layers.{index}."
            q, k, v = s[own + f"qkv.{part}"].chunk(3)
            out[to + f"attention.self.query.{part}"] = q
            out[to + f"attention.self.key.{part}"] = k
            out[to + f"attention.self.value.{part}"] = v
            out[to + f"attention.output.dense.{part}"] = s[own + f"out.{part}"]
            out[to + f"attention.output.LayerNorm.{part}"] = s[own + f"norm1.{part}"]
            out[to + f"intermediate.dense.{part}"] = s[own + f"up.{part}"]
            out[to + f"output.dense.{part}"] = s[own + f"down.{part}"]
            out[to + f"output.LayerNorm.{part}"] = s[own + f"norm2.{part}"]
        out[f"bert.text_encoder.pooler.dense.{part}"] = s[f"pooler.{part}"]
        out[f"classifier.{part}"] = s[f"classifier.{part}"]
    return {name: tensor.detach().clone().contiguous() for name, tensor in out.items()}
