"""The model in OpenVINO on a CPU, in one of three precisions.

`f32` is the reference's own. `bf16` computes matrix products in bfloat16, which pays where the
processor has AMX. `int8` keeps the encoder's weights in int8 and quantises what they multiply at
run time, by groups of values of each token: no calibration data is needed, and no file to keep.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Literal

import numpy as np
import openvino

from service.scoring import weights
from service.scoring.backends import (
    CPU_BATCH_TOKENS,
    CPU_STREAMS,
    FEWEST_OF_A_STREAM,
    Probabilities,
    Progress,
    background,
    openvino_graph,
)
from service.scoring.backends.layout import Padding, packed, shares, sizes
from service.scoring.checkpoint import Checkpoint
from service.scoring.tokens import PAD, TokenizedPair

Precision = Literal["f32", "bf16", "int8"]

QUANTISED_GROUP = 64
"""Values of a token that share a scale at run time. 64 and 768 were equally fast on a Xeon with
VNNI; the smaller the group, the more exact."""

_WARM_TOKENS_ALONE = 128
"""One pair alone seldom has more: two addresses of sixty characters each."""

_WARM_TOKENS_AT_MOST = 512
"""So that a large `MGEO_BATCH_TOKENS` does not take minutes to start."""

_WARM_PAIR_TOKENS = 32
"""About as long as a pair is."""

_HINTS: Mapping[Precision, Mapping[str, object]] = {
    "f32": {"INFERENCE_PRECISION_HINT": "f32"},
    "bf16": {"INFERENCE_PRECISION_HINT": "bf16"},
    "int8": {
        "INFERENCE_PRECISION_HINT": "f32",
        "DYNAMIC_QUANTIZATION_GROUP_SIZE": QUANTISED_GROUP,
    },
}


class OpenVinoBackend:
    """The model compiled twice: for a batch by all threads, and for several side by side."""

    device = "cpu"
    batch_tokens = CPU_BATCH_TOKENS
    padding = Padding.ROUNDED

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
            threads: CPU threads in all. Streams that compute side by side share them.
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

        def requests(streams: int) -> list[openvino.InferRequest]:
            """As many as can be computed side by side; compiling starts their threads."""
            compiled = openvino.Core().compile_model(
                model,
                "CPU",
                {
                    **_HINTS[precision],
                    "PERFORMANCE_HINT": "LATENCY",
                    "INFERENCE_NUM_THREADS": threads,
                    # It would put them on the first processors, with those of every other process.
                    "ENABLE_CPU_PINNING": False,
                    "NUM_STREAMS": streams,
                },
            )
            return [compiled.create_infer_request() for _ in range(streams)]

        def both() -> tuple[list[openvino.InferRequest], list[openvino.InferRequest]]:
            return requests(1), requests(CPU_STREAMS) if threads >= CPU_STREAMS else []

        self._in_background = in_background
        [self._whole], self._streams = background.built(both) if in_background else both()
        self.streams = len(self._streams) or 1
        self._pad = checkpoint.vocabulary[PAD]
        self._pair_tokens = min(_WARM_PAIR_TOKENS, checkpoint.max_tokens)

    def predict(self, pairs: Sequence[TokenizedPair], stream: int | None = None) -> Probabilities:
        """Score one batch: in one forward pass, or on the whole device in several side by side."""
        if stream is not None and self._streams:
            return self._by(self._streams[stream], pairs)
        if not self._streams or len(pairs) < FEWEST_OF_A_STREAM * len(self._streams):
            return self._by(self._whole, pairs)
        parts = shares([len(pair.ids) for pair in pairs], len(self._streams))
        for request, part in zip(self._streams, parts, strict=True):
            request.start_async(list(packed([pairs[index] for index in part], self._pad)))
        # All have ended before any result is read: a later batch needs every one of them.
        failures = [failure for request in self._streams if (failure := _failure_of(request))]
        if failures:
            raise failures[0]
        results = [request.results[0] for request in self._streams]
        probabilities = np.empty((len(pairs), results[0].shape[1]), dtype=np.float32)
        for part, result in zip(parts, results, strict=True):
            probabilities[part] = result
        return probabilities

    def warm_up(self, tokens: int, progress: Callable[[float], None]) -> None:
        """Compute every size of a batch once: its kernels are made then, and kept.

        That is 1 MB for each number of tokens with the bundled model and up to 4 with BERT-base,
        which would else be taken over the first hours of serving. Streams share theirs. What is
        larger than the limits above is left to its day.
        """
        by_one = sizes(min(tokens, _WARM_TOKENS_ALONE if self._streams else _WARM_TOKENS_AT_MOST))
        by_streams = sizes(min(tokens // self.streams, _WARM_TOKENS_AT_MOST))
        passes = [([self._whole], [size]) for size in by_one]
        if self._streams:
            passes += [
                (self._streams, by_streams[at : at + self.streams])
                for at in range(0, len(by_streams), self.streams)
            ]
        for done, (requests, together) in enumerate(passes):
            progress(done / len(passes))
            started = list(zip(requests, together, strict=False))
            for request, size in started:
                request.start_async(list(packed(self._of_tokens(size), self._pad)))
            for request, _ in started:
                request.wait()

    def _of_tokens(self, tokens: int) -> list[TokenizedPair]:
        lengths = [self._pair_tokens] * (tokens // self._pair_tokens)
        if rest := tokens % self._pair_tokens:
            lengths.append(rest)
        return [TokenizedPair([self._pad] * length, 1, False) for length in lengths]

    def _by(self, request: openvino.InferRequest, pairs: Sequence[TokenizedPair]) -> Probabilities:
        inputs = list(packed(pairs, self._pad))
        if request is not self._whole or self._in_background:
            # Not `infer`: that computes on the thread that calls it, which belongs to no stream,
            # and is as urgent as any.
            request.start_async(inputs)
            request.wait()
            result = request.results
        else:
            result = request.infer(inputs)
        probabilities: Probabilities = np.array(result[0], dtype=np.float32)
        return probabilities


def _failure_of(request: openvino.InferRequest) -> Exception | None:
    """Wait until a request has ended; why it failed, if it did."""
    try:
        request.wait()
    except Exception as failure:
        return failure
    return None
