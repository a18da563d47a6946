"""The model in OpenVINO on a CPU, in one of three precisions.

`f32` is the reference's own. `bf16` computes matrix products in bfloat16, which pays where the
processor has AMX. `int8` keeps the encoder's weights in int8 and quantises what they multiply at
run time, by groups of values of each token: no calibration data is needed, and no file to keep.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np
import openvino

from service.scoring import weights
from service.scoring.backends import (
    CPU_BATCH_TOKENS,
    Probabilities,
    Progress,
    background,
    openvino_graph,
)
from service.scoring.backends.layout import packed
from service.scoring.checkpoint import Checkpoint
from service.scoring.tokens import PAD, TokenizedPair

Precision = Literal["f32", "bf16", "int8"]

QUANTISED_GROUP = 64
"""Values of a token that share a scale at run time. 64 and 768 were equally fast on a Xeon with
VNNI; the smaller the group, the more exact."""

_HINTS: Mapping[Precision, Mapping[str, object]] = {
    "f32": {"INFERENCE_PRECISION_HINT": "f32"},
    "bf16": {"INFERENCE_PRECISION_HINT": "bf16"},
    "int8": {
        "INFERENCE_PRECISION_HINT": "f32",
        "DYNAMIC_QUANTIZATION_GROUP_SIZE": QUANTISED_GROUP,
    },
}


class OpenVinoBackend:
    """One compiled model for all batch sizes and lengths."""

    device = "cpu"
    batch_tokens = CPU_BATCH_TOKENS
    pads = False

    def __init__(
        self,
        checkpoint: Checkpoint,
        *,
        precision: Precision,
        threads: int,
        progress: Progress,
        in_background: bool = False,
    ) -> None:
        """Build the graph from the checkpoint and compile it.

        Args:
            checkpoint: What to load.
            precision: Of the matrix products.
            threads: CPU threads of one forward pass.
            progress: Told of the stages.
            in_background: Whether these threads are to run only where a processor is idle.

        Raises:
            CheckpointError: The weights do not match.
        """
        self.name = f"openvino-{precision}"
        progress("reading weights", 0.4)
        tensors = weights.load(checkpoint).tensors
        progress("building the model", 0.6)
        model = openvino_graph.build(checkpoint.bert, tensors, int8=precision == "int8")
        progress("compiling the model", 0.7)

        def compiled_model() -> openvino.CompiledModel:
            return openvino.Core().compile_model(
                model,
                "CPU",
                {
                    **_HINTS[precision],
                    "PERFORMANCE_HINT": "LATENCY",
                    "INFERENCE_NUM_THREADS": threads,
                    "NUM_STREAMS": 1,
                },
            )

        self._in_background = in_background
        # Compiling starts the threads that will compute.
        compiled = background.built(compiled_model) if in_background else compiled_model()
        self._request = compiled.create_infer_request()
        self._pad = checkpoint.vocabulary[PAD]

    def predict(self, pairs: Sequence[TokenizedPair]) -> Probabilities:
        """Score one batch in one forward pass."""
        inputs = list(packed(pairs, self._pad))
        if self._in_background:
            # Not `infer`: that computes on the thread that calls it, which is as urgent as any.
            self._request.start_async(inputs)
            self._request.wait()
            result = self._request.results
        else:
            result = self._request.infer(inputs)
        probabilities: Probabilities = np.array(result[0], dtype=np.float32)
        return probabilities
