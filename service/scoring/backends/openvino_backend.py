"""The model in OpenVINO on a CPU: the graph is built from the tensors, without torch.

`bf16` computes matrix products in bfloat16 where the processor can (AMX, AVX512-BF16); `f32` is the
reference's own precision.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import openvino
from openvino import Node, Type, opset13

from service.scoring import weights
from service.scoring.backends import CPU_BATCH_TOKENS, Probabilities, Progress
from service.scoring.backends.padding import padded
from service.scoring.checkpoint import Checkpoint
from service.scoring.tokens import PAD, TokenizedPair

Precision = Literal["f32", "bf16"]
Tensors = Mapping[str, npt.NDArray[np.float32]]

_MASKED = np.float32(-10_000.0)
"""MGeo's own additive mask; its softmax is 0 in fp32, as with minus infinity."""


class OpenVinoBackend:
    """One compiled model for all batch sizes and lengths."""

    device = "cpu"
    batch_tokens = CPU_BATCH_TOKENS

    def __init__(
        self, checkpoint: Checkpoint, *, precision: Precision, threads: int, progress: Progress
    ) -> None:
        """Build the graph from the checkpoint and compile it.

        Args:
            checkpoint: What to load.
            precision: Of the matrix products.
            threads: CPU threads of one forward pass.
            progress: Told of the stages.

        Raises:
            CheckpointError: The weights do not match.
        """
        self.name = f"openvino-{precision}"
        progress("reading weights", 0.4)
        tensors = weights.load(checkpoint).tensors
        progress("building the model", 0.6)
        model = _graph(checkpoint.bert, tensors)
        progress("compiling the model", 0.7)
        compiled = openvino.Core().compile_model(
            model,
            "CPU",
            {
                "INFERENCE_PRECISION_HINT": precision,
                "PERFORMANCE_HINT": "LATENCY",
                "INFERENCE_NUM_THREADS": threads,
                "NUM_STREAMS": 1,
            },
        )
        self._request = compiled.create_infer_request()
        self._pad = checkpoint.vocabulary[PAD]

    def predict(self, pairs: Sequence[TokenizedPair]) -> Probabilities:
        """Score one batch in one forward pass, padded to its longest pair."""
        ids, types, mask = padded(pairs, self._pad)
        result = self._request.infer([ids, types, mask])
        probabilities: Probabilities = np.array(result[0], dtype=np.float32)
        return probabilities


def _graph(bert: Mapping[str, Any], tensors: Tensors) -> openvino.Model:
    """BERT over `[CLS] a [SEP] b [SEP]`, tanh pooler on [CLS], linear, softmax."""
    return _Builder(bert, tensors).model()


class _Builder:
    """Builds the graph. Inputs `ids`, `types`, `mask`: int32, shape [pairs, tokens]."""

    def __init__(self, bert: Mapping[str, Any], tensors: Tensors) -> None:
        self._tensors = tensors
        self._layers: int = bert["num_hidden_layers"]
        self._heads: int = bert["num_attention_heads"]
        self._hidden: int = bert["hidden_size"]
        self._epsilon: float = bert["layer_norm_eps"]
        self._activation: str = bert["hidden_act"]

    def model(self) -> openvino.Model:
        ids, types, mask = (
            opset13.parameter([-1, -1], Type.i32, name=name) for name in ("ids", "types", "mask")
        )
        absent = opset13.subtract(_ints(1), mask)
        bias = opset13.multiply(opset13.convert(absent, "f32"), opset13.constant(_MASKED))
        bias = opset13.unsqueeze(bias, _ints([1, 2]))  # [pairs, 1, 1, tokens]
        hidden = self._embeddings(ids, types)
        for layer in range(self._layers):
            hidden = self._layer(f"bert.encoder.layer.{layer}", hidden, bias)
        first = opset13.gather(hidden, _ints(0), _ints(1))
        pooled = opset13.tanh(self._linear("bert.pooler.dense", first))
        probabilities = opset13.softmax(self._linear("classifier", pooled), -1)
        return openvino.Model([probabilities], [ids, types, mask], "mgeo")

    def _embeddings(self, ids: Node, types: Node) -> Node:
        tokens = opset13.gather(opset13.shape_of(ids, "i32"), _ints(1), _ints(0))
        positions = opset13.range(_ints(0), tokens, _ints(1), "i32")
        name = "bert.embeddings"
        total = opset13.add(
            self._lookup(f"{name}.word_embeddings", ids),
            self._lookup(f"{name}.token_type_embeddings", types),
        )
        total = opset13.add(total, self._lookup(f"{name}.position_embeddings", positions))
        return self._norm(f"{name}.LayerNorm", total)

    def _layer(self, name: str, hidden: Node, bias: Node) -> Node:
        query, key, value = (
            self._split(self._linear(f"{name}.attention.self.{part}", hidden))
            for part in ("query", "key", "value")
        )
        context = opset13.scaled_dot_product_attention(query, key, value, bias)
        context = opset13.transpose(context, _ints([0, 2, 1, 3]))
        context = opset13.reshape(context, _ints([0, 0, self._hidden]), special_zero=True)
        attended = self._linear(f"{name}.attention.output.dense", context)
        hidden = self._norm(f"{name}.attention.output.LayerNorm", opset13.add(attended, hidden))
        inner = self._activate(self._linear(f"{name}.intermediate.dense", hidden))
        outer = self._linear(f"{name}.output.dense", inner)
        return self._norm(f"{name}.output.LayerNorm", opset13.add(outer, hidden))

    def _split(self, hidden: Node) -> Node:
        """[pairs, tokens, hidden] to [pairs, heads, tokens, hidden / heads]."""
        shape = _ints([0, 0, self._heads, self._hidden // self._heads])
        return opset13.transpose(
            opset13.reshape(hidden, shape, special_zero=True), _ints([0, 2, 1, 3])
        )

    def _activate(self, hidden: Node) -> Node:
        if self._activation == "relu":
            return opset13.relu(hidden)
        if self._activation == "silu":
            return opset13.swish(hidden)
        return opset13.gelu(hidden, "tanh" if self._activation == "gelu_new" else "erf")

    def _linear(self, name: str, hidden: Node) -> Node:
        product = opset13.matmul(
            hidden, self._constant(f"{name}.weight"), transpose_a=False, transpose_b=True
        )
        return opset13.add(product, self._constant(f"{name}.bias"))

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


def _ints(value: int | list[int]) -> Node:
    return opset13.constant(np.array(value, dtype=np.int32))
