"""MGeo's BERT as an ONNX graph over packed tokens, its products of 8-bit numbers.

It is the graph of `openvino_graph.py` in ONNX Runtime's operators, for processors on which OpenVINO
has no such product. Each linear layer quantises what it gets by a scale of each token's own.
ONNX Runtime's tools take one for the whole batch: then the answer to a pair depends on the pairs
that happen to be computed beside it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from onnx import ModelProto, NodeProto, TensorProto, ValueInfoProto, helper, numpy_helper

Array = npt.NDArray[Any]
Tensors = Mapping[str, npt.NDArray[np.float32]]

_OPSET, _IR_VERSION = 21, 10

_MICROSOFT = "com.microsoft"
"""The domain of the operators that ONNX Runtime has beyond the standard."""

_LARGEST_VALUE = 127
_ZERO = 128
"""A token's numbers and those of the weights are kept as 1 to 255: from -127 to 127, and 128 more.
Weights are unsigned, too, because of what such a processor multiplies: for signed ones ONNX Runtime
uses `vpmaddubsw`, which adds two products in 16 bits and cuts off what those do not hold, so that
the weights would have to be a third smaller, and coarser by as much. Unsigned ones it widens to 16
bits first, and sums in 32 (`vpmaddwd`): nothing is cut off, and it takes as long."""

_LARGEST_UNSIGNED = 255

_LOWEST = {"gelu": 0.17, "gelu_new": 0.1701, "relu": 0.0, "silu": 0.2785}
"""How far below zero each activation goes at most. What comes out of it is kept as 0 to 255 from
there to the token's largest: symmetric about zero, nearly half of the numbers would stand for
nothing."""

_SMALLEST_SCALE = 1e-10
"""Of a token that is all zeros, and so has none of its own."""


def build(bert: Mapping[str, Any], tensors: Tensors) -> tuple[ModelProto, dict[str, Array]]:
    """`[CLS] a [SEP] b [SEP]` through the encoder, tanh pooler on [CLS], linear, softmax.

    Args:
        bert: The checkpoint's sizes.
        tensors: Its tensors, by the names of transformers' BertForSequenceClassification.

    Returns:
        A model whose inputs are the fields of `layout.Packed` and whose output is the
        probabilities, shape [pairs, labels]; and its large constants by their names, which are not
        in it, so that several sessions can share them.
    """
    builder = _OnnxBuilder(bert, tensors)
    return builder.model(), builder.large


class _Quantised(NamedTuple):
    """Tokens in 8 bits.

    Attributes:
        values: The numbers, shape [tokens, ...].
        scales: What to multiply each token's by, shape [tokens, 1].
        zero: Which number stands for zero.
    """

    values: str
    scales: str
    zero: str


class _OnnxBuilder:
    def __init__(self, bert: Mapping[str, Any], tensors: Tensors) -> None:
        self._tensors = tensors
        self._layers: int = bert["num_hidden_layers"]
        self._heads: int = bert["num_attention_heads"]
        self._hidden: int = bert["hidden_size"]
        self._epsilon: float = bert["layer_norm_eps"]
        self._activation: str = bert["hidden_act"]
        self._nodes: list[NodeProto] = []
        self._small: dict[str, Array] = {}
        self.large: dict[str, Array] = {}

    def model(self) -> ModelProto:
        self._present = self._node(
            "Cast",
            self._node(
                "Equal",
                self._node("Squeeze", "bias", self._ints("middle axes", [1, 2])),
                self._constant("nothing", np.array(0, np.float32)),
            ),
            to=TensorProto.INT32,
        )
        hidden = self._embeddings()
        for layer in range(self._layers - 1):
            hidden = self._layer(f"bert.encoder.layer.{layer}", hidden)
        # Nothing but [CLS] is read of the last layer: five sixths of its products are left out.
        first = self._layer(f"bert.encoder.layer.{self._layers - 1}", hidden, only_first=True)
        pooled = self._node("Tanh", self._linear("bert.pooler.dense", first))
        logits = self._linear("classifier", pooled)
        self._nodes.append(helper.make_node("Softmax", [logits], ["probabilities"], axis=-1))
        graph = helper.make_graph(
            self._nodes,
            "mgeo",
            [
                *(_input(name, TensorProto.INT32, 1) for name in ("ids", "types", "positions")),
                _input("slots", TensorProto.INT32, 2),
                _input("back", TensorProto.INT32, 1),
                _input("bias", TensorProto.FLOAT, 4),
            ],
            [helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, None)],
            [
                *(numpy_helper.from_array(values, name) for name, values in self._small.items()),
                *(_elsewhere(name, values) for name, values in self.large.items()),
            ],
        )
        return helper.make_model(
            graph,
            ir_version=_IR_VERSION,
            opset_imports=[helper.make_opsetid("", _OPSET), helper.make_opsetid(_MICROSOFT, 1)],
        )

    def _embeddings(self) -> str:
        name = "bert.embeddings"
        return self._norm_of_sum(
            f"{name}.LayerNorm",
            self._lookup(f"{name}.word_embeddings", "ids"),
            self._lookup(f"{name}.token_type_embeddings", "types"),
            self._lookup(f"{name}.position_embeddings", "positions"),
        )

    def _layer(self, name: str, hidden: str, *, only_first: bool = False) -> str:
        """One layer's output, shape [tokens, hidden]; or that of each pair's first token."""
        if only_first:
            first = self._node("Gather", "slots", self._ints("first", 0), axis=1)
            own = self._node("Gather", hidden, first)
            context = self._attention_of_first(f"{name}.attention.self", hidden, own)
            hidden = own
        else:
            context = self._attention(f"{name}.attention.self", hidden)
        attended = self._product([f"{name}.attention.output.dense"], self._quantised(context))
        hidden = self._norm_of_sum(
            f"{name}.attention.output.LayerNorm",
            attended,
            self._tensor(f"{name}.attention.output.dense.bias"),
            hidden,
        )
        inner = self._product([f"{name}.intermediate.dense"], self._quantised(hidden))
        inner = self._activate(inner, self._tensor(f"{name}.intermediate.dense.bias"))
        return self._norm_of_sum(
            f"{name}.output.LayerNorm", *self._outer(f"{name}.output.dense", inner), hidden
        )

    def _attention(self, name: str, hidden: str) -> str:
        # One product for all three: fewer and larger ones are faster.
        parts = [f"{name}.{part}" for part in ("query", "key", "value")]
        together = self._product(parts, self._quantised(hidden))
        rows = self._node("Gather", together, "slots")  # [pairs, longest, 3 hidden]
        query, key, value = self._split(rows, 3)
        return self._node("Gather", self._attended(name, query, key, value), "back")

    def _attention_of_first(self, name: str, hidden: str, first: str) -> str:
        """What each pair's first token, a row of `first`, gathers from the pair's tokens."""
        parts = [f"{name}.{part}" for part in ("key", "value")]
        together = self._product(parts, self._quantised(hidden))
        key, value = self._split(self._node("Gather", together, "slots"), 2)
        query = self._product([f"{name}.query"], self._quantised(first))
        query = self._node("Unsqueeze", query, self._ints("second axis", [1]))
        return self._attended(name, query, key, value)

    def _attended(self, name: str, query: str, key: str, value: str) -> str:
        """Attention of unbiased rows, shape [pairs, places, hidden] each, as one row a place."""
        biases = [self._tensors[f"{name}.{part}.bias"] for part in ("query", "key", "value")]
        context = self._node(
            "MultiHeadAttention",
            query,
            key,
            value,
            self._constant(f"{name}.bias", np.concatenate(biases)),
            self._present,
            domain=_MICROSOFT,
            num_heads=self._heads,
        )
        return self._node("Reshape", context, self._ints("rows", [-1, self._hidden]))

    def _activate(self, inner: str, bias: str) -> str:
        if self._activation == "gelu":
            return self._node("BiasGelu", inner, bias, domain=_MICROSOFT)
        if self._activation == "gelu_new":
            return self._node("FastGelu", inner, bias, domain=_MICROSOFT)
        inner = self._node("Add", inner, bias)
        if self._activation == "relu":
            return self._node("Relu", inner)
        return self._node("QuickGelu", inner, domain=_MICROSOFT, alpha=1.0)  # that is silu

    def _outer(self, name: str, inner: str) -> tuple[str, str]:
        """The linear layer `name` on an activation's output, and its bias.

        What is multiplied are the numbers' distances from the activation's lowest value. What that
        adds to the products is the same for every token, and is taken from the bias.
        """
        lowest = np.float32(_LOWEST[self._activation])
        above = self._node("Add", inner, self._constant("lowest", np.array(lowest)))
        quantised = self._in_8_bits(above, self._largest(above), _LARGEST_UNSIGNED, "nought", 0)
        numbers, step = quantised_weight(self._tensors[f"{name}.weight"])
        added = lowest * step * (numbers.astype(np.float32) - _ZERO).sum(axis=1)
        bias = self._constant(f"{name}.bias", self._tensors[f"{name}.bias"] - added)
        return self._product([name], quantised), bias

    def _quantised(self, values: str) -> _Quantised:
        largest = self._largest(self._node("Abs", values))
        return self._in_8_bits(values, largest, _LARGEST_VALUE, "zero", _ZERO)

    def _largest(self, values: str) -> str:
        return self._node("ReduceMax", values, self._ints("last axis", [-1]), keepdims=0)

    def _in_8_bits(
        self, values: str, largest: str, levels: int, name: str, zero: int
    ) -> _Quantised:
        """Each token's numbers in 8 bits, the largest of them `levels` from the zero."""
        step = self._constant(f"step of {levels}", np.array(1 / levels, np.float32))
        least = self._constant("smallest scale", np.array(_SMALLEST_SCALE, np.float32))
        scale = self._node("Max", self._node("Mul", largest, step), least)
        zero_point = self._constant(name, np.array(zero, np.uint8))
        zeros = self._node("Expand", zero_point, self._node("Shape", scale))
        small = self._node("QuantizeLinear", values, scale, zeros, axis=0)
        scales = self._node("Unsqueeze", scale, self._ints("last axis", [-1]))
        return _Quantised(small, scales, zero_point)

    def _product(self, names: Sequence[str], quantised: _Quantised) -> str:
        """The linear layers `names` on the same tokens side by side, without their biases."""
        weight = np.concatenate([self._tensors[f"{name}.weight"] for name in names])
        small, step = quantised_weight(weight)
        label = "+".join(names)
        product = self._node(
            "MatMulIntegerToFloat",
            quantised.values,
            self._constant(f"{label}.weight", np.ascontiguousarray(small.T)),
            self._constant("one", np.array(1, np.float32)),
            self._constant(f"{label}.step", step),
            quantised.zero,
            self._constant("zero", np.array(_ZERO, np.uint8)),
            domain=_MICROSOFT,
        )
        return self._node("Mul", product, quantised.scales)

    def _linear(self, name: str, values: str) -> str:
        weight, bias = self._tensor(f"{name}.weight"), self._tensor(f"{name}.bias")
        return self._node("Gemm", values, weight, bias, transB=1)

    def _norm_of_sum(self, name: str, *terms: str) -> str:
        # Not SkipLayerNormalization, which is this in one: it took four times as long.
        total = terms[0]
        for term in terms[1:]:
            total = self._node("Add", total, term)
        weight, bias = self._tensor(f"{name}.weight"), self._tensor(f"{name}.bias")
        return self._node("LayerNormalization", total, weight, bias, epsilon=self._epsilon)

    def _lookup(self, name: str, indices: str) -> str:
        return self._node("Gather", self._tensor(f"{name}.weight"), indices)

    def _tensor(self, name: str) -> str:
        return self._constant(name, self._tensors[name])

    def _ints(self, name: str, value: int | list[int]) -> str:
        return self._constant(name, np.array(value, np.int64))

    def _constant(self, name: str, values: Array) -> str:
        # Shapes are inferred from small ones: those must be in the model.
        (self.large if values.ndim > 1 else self._small)[name] = values
        return name

    def _split(self, values: str, parts: int) -> list[str]:
        names = [f"{len(self._nodes)}.{part}" for part in range(parts)]
        self._nodes.append(helper.make_node("Split", [values], names, axis=-1, num_outputs=parts))
        return names

    def _node(self, kind: str, *inputs: str, domain: str = "", **attributes: Any) -> str:
        """Add a node; returns the name of its only output."""
        name = str(len(self._nodes))
        self._nodes.append(helper.make_node(kind, inputs, [name], domain=domain, **attributes))
        return name


def quantised_weight(
    weight: npt.NDArray[np.float32],
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.float32]]:
    """The weights of a linear layer as 8-bit numbers.

    Args:
        weight: Shape [outputs, inputs].

    Returns:
        The numbers, of the same shape, 128 standing for zero; and what those of each output are
        multiplied by.
    """
    step = np.abs(weight).max(axis=1) / np.float32(_LARGEST_VALUE)
    step[step == 0] = 1  # a row of zeros stays one
    return (np.round(weight / step[:, None]) + _ZERO).astype(np.uint8), step


def _input(name: str, kind: int, axes: int) -> ValueInfoProto:
    return helper.make_tensor_value_info(name, kind, [f"{name} {axis}" for axis in range(axes)])


def _elsewhere(name: str, values: Array) -> TensorProto:
    """A constant that a session is given by its name."""
    tensor = TensorProto(
        name=name,
        dims=values.shape,
        data_type=helper.np_dtype_to_tensor_dtype(values.dtype),
        data_location=TensorProto.EXTERNAL,
    )
    tensor.external_data.add(key="location", value="constants")
    return tensor
