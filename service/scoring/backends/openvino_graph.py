"""MGeo's BERT as an OpenVINO graph over packed tokens, built from the checkpoint's tensors.

An export from torch would need torch, and pads: its linear layers see rows of equal length. Here
they see the tokens of the whole batch end to end (`layout.Packed`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import openvino
from openvino import Node, Type, opset13

Tensors = Mapping[str, npt.NDArray[np.float32]]

_LARGEST_INT8 = 127


def build(bert: Mapping[str, Any], tensors: Tensors, *, int8: bool) -> openvino.Model:
    """`[CLS] a [SEP] b [SEP]` through the encoder, tanh pooler on [CLS], linear, softmax.

    Args:
        bert: The checkpoint's sizes.
        tensors: Its tensors, by the names of transformers' BertForSequenceClassification.
        int8: Whether the encoder's weights are int8, with a scale for each output channel. The
            CPU plugin then also quantises what they multiply, at run time, by groups.

    Returns:
        A model whose inputs are the fields of `layout.Packed` and whose output is the
        probabilities, shape [pairs, labels].
    """
    return _OpenVinoBuilder(bert, tensors, int8).model()


class _OpenVinoBuilder:
    def __init__(self, bert: Mapping[str, Any], tensors: Tensors, int8: bool) -> None:
        self._tensors = tensors
        self._int8 = int8
        self._layers: int = bert["num_hidden_layers"]
        self._heads: int = bert["num_attention_heads"]
        self._hidden: int = bert["hidden_size"]
        self._epsilon: float = bert["layer_norm_eps"]
        self._activation: str = bert["hidden_act"]

    def model(self) -> openvino.Model:
        of_tokens = {
            name: opset13.parameter([-1], Type.i32, name=name)
            for name in ("ids", "types", "positions")
        }
        self._slots = opset13.parameter([-1, -1], Type.i32, name="slots")
        self._back = opset13.parameter([-1], Type.i32, name="back")
        self._bias = opset13.parameter([-1, 1, 1, -1], Type.f32, name="bias")
        hidden = self._embeddings(**of_tokens)
        for layer in range(self._layers - 1):
            hidden = self._layer(f"bert.encoder.layer.{layer}", hidden)
        # Nothing but [CLS] is read of the last layer: five sixths of its products are left out.
        first = self._layer(f"bert.encoder.layer.{self._layers - 1}", hidden, only_first=True)
        pooled = opset13.tanh(self._linear(["bert.pooler.dense"], first))
        probabilities = opset13.softmax(self._linear(["classifier"], pooled), -1)
        inputs = [*of_tokens.values(), self._slots, self._back, self._bias]
        return openvino.Model([probabilities], inputs, "mgeo")

    def _embeddings(self, ids: Node, types: Node, positions: Node) -> Node:
        name = "bert.embeddings"
        total = opset13.add(
            self._lookup(f"{name}.word_embeddings", ids),
            self._lookup(f"{name}.token_type_embeddings", types),
        )
        total = opset13.add(total, self._lookup(f"{name}.position_embeddings", positions))
        return self._norm(f"{name}.LayerNorm", total)

    def _layer(self, name: str, hidden: Node, *, only_first: bool = False) -> Node:
        """One layer's output, shape [tokens, hidden]; or that of each pair's first token."""
        if only_first:
            first = opset13.gather(self._slots, _ints(0), _ints(1))
            own = opset13.gather(hidden, first, _ints(0))
            attended = self._attention_of_first(f"{name}.attention.self", hidden, own)
            hidden = own
        else:
            attended = self._attention(f"{name}.attention.self", hidden)
        attended = self._linear([f"{name}.attention.output.dense"], attended, int8=self._int8)
        hidden = self._norm(f"{name}.attention.output.LayerNorm", opset13.add(attended, hidden))
        inner = self._linear([f"{name}.intermediate.dense"], hidden, int8=self._int8)
        outer = self._linear([f"{name}.output.dense"], self._activate(inner), int8=self._int8)
        return self._norm(f"{name}.output.LayerNorm", opset13.add(outer, hidden))

    def _attention(self, name: str, hidden: Node) -> Node:
        # One product for all three: fewer and larger ones are faster.
        query, key, value = self._by_head(name, ("query", "key", "value"), hidden)
        context = opset13.scaled_dot_product_attention(query, key, value, self._bias)
        context = opset13.transpose(context, _ints([0, 2, 1, 3]))
        context = opset13.reshape(context, _ints([-1, self._hidden]), special_zero=False)
        return opset13.gather(context, self._back, _ints(0))

    def _attention_of_first(self, name: str, hidden: Node, first: Node) -> Node:
        """What each pair's first token, a row of `first`, gathers from the pair's tokens."""
        key, value = self._by_head(name, ("key", "value"), hidden)
        query = opset13.reshape(
            self._linear([f"{name}.query"], first, int8=self._int8),
            _ints([0, self._heads, 1, self._hidden // self._heads]),
            special_zero=True,
        )
        context = opset13.scaled_dot_product_attention(query, key, value, self._bias)
        return opset13.reshape(context, _ints([-1, self._hidden]), special_zero=False)

    def _by_head(self, name: str, parts: Sequence[str], hidden: Node) -> list[Node]:
        """Linear `parts` of `hidden`, each of shape [pairs, heads, longest, hidden / heads]."""
        together = self._linear([f"{name}.{part}" for part in parts], hidden, int8=self._int8)
        rows = opset13.gather(together, self._slots, _ints(0))  # [pairs, longest, parts * hidden]
        heads = opset13.reshape(
            rows,
            _ints([0, 0, len(parts), self._heads, self._hidden // self._heads]),
            special_zero=True,
        )
        heads = opset13.transpose(heads, _ints([2, 0, 3, 1, 4]))
        return [opset13.gather(heads, _ints(i), _ints(0)) for i in range(len(parts))]

    def _activate(self, hidden: Node) -> Node:
        if self._activation == "relu":
            return opset13.relu(hidden)
        if self._activation == "silu":
            return opset13.swish(hidden)
        return opset13.gelu(hidden, "tanh" if self._activation == "gelu_new" else "erf")

    def _linear(self, names: list[str], hidden: Node, *, int8: bool = False) -> Node:
        """The linear layers `names` on the same input, their outputs side by side."""
        weight, bias = (
            np.concatenate([self._tensors[f"{name}.{part}"] for name in names])
            for part in ("weight", "bias")
        )
        factor = _quantised(weight) if int8 else opset13.constant(weight)
        product = opset13.matmul(hidden, factor, transpose_a=False, transpose_b=True)
        return opset13.add(product, opset13.constant(bias))

    def _norm(self, name: str, hidden: Node) -> Node:
        normal = opset13.mvn(
            hidden,
            _ints([-1]),
            normalize_variance=True,
            eps=self._epsilon,
            eps_mode="inside_sqrt",
        )
        scaled = opset13.multiply(normal, self._constant(f"{name}.weight"))
        return opset13.add(scaled, self._constant(f"{name}.bias"))

    def _lookup(self, name: str, indices: Node) -> Node:
        return opset13.gather(self._constant(f"{name}.weight"), indices, _ints(0))

    def _constant(self, name: str) -> Node:
        return opset13.constant(self._tensors[name])


def _quantised(weight: npt.NDArray[np.float32]) -> Node:
    """int8 with a scale for each output channel (row), as the plugin recognises it."""
    scale = np.abs(weight).max(axis=1, keepdims=True) / np.float32(_LARGEST_INT8)
    scale[scale == 0] = 1  # a row of zeros stays one
    values = np.round(weight / scale).astype(np.int8)
    return opset13.multiply(
        opset13.convert(opset13.constant(values), "f32"), opset13.constant(scale)
    )


def _ints(value: int | list[int]) -> Node:
    return opset13.constant(np.array(value, dtype=np.int32))
