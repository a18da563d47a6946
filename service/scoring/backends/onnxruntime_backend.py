"""The model in ONNX Runtime on a CPU, its products of 8-bit numbers.

For processors without VNNI, on which OpenVINO unpacks int8 weights and computes in fp32.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait

import numpy as np
import onnxruntime

from service.scoring import weights
from service.scoring.backends import (
    CPU_BATCH_TOKENS,
    CPU_STREAMS,
    FEWEST_OF_A_STREAM,
    OutOfMemory,
    Probabilities,
    Progress,
    onnx_graph,
)
from service.scoring.backends.layout import Padding, packed, shares
from service.scoring.checkpoint import Checkpoint
from service.scoring.tokens import PAD, TokenizedPair

_ERRORS = 3
"""ONNX Runtime's level of log lines: errors and worse. Its warnings are of its own optimiser."""


class OnnxRuntimeBackend:
    """A session that has all threads, and one or more that compute side by side."""

    name = "onnxruntime-int8"
    device = "cpu"
    batch_tokens = CPU_BATCH_TOKENS
    padding = Padding.ROUNDED

    def __init__(
        self,
        checkpoint: Checkpoint,
        *,
        threads: int,
        progress: Progress,
    ) -> None:
        """Build the graph from the checkpoint and load it.

        Args:
            checkpoint: What to load.
            threads: CPU threads in all. Streams that compute side by side share them.
            progress: Told of the stages.

        Raises:
            CheckpointError: The weights do not match.
        """
        progress("reading weights", 0.4)
        tensors = weights.load(checkpoint).tensors
        progress("building the model", 0.6)
        model, constants = onnx_graph.build(checkpoint.bert, tensors)
        content = model.SerializeToString()
        # All sessions read numpy's own memory, and none keeps it from being freed.
        self._constants = constants
        shared = [onnxruntime.OrtValue.ortvalue_from_numpy(values) for values in constants.values()]
        progress("compiling the model", 0.7)

        def session(of_threads: int) -> onnxruntime.InferenceSession:
            options = onnxruntime.SessionOptions()
            options.intra_op_num_threads = of_threads
            options.log_severity_level = _ERRORS
            # It would keep a plan of the memory for each shape that it has seen.
            options.enable_mem_pattern = False
            # Its threads wait for each other by spinning, but not for the next batch.
            options.add_session_config_entry("session.force_spinning_stop", "1")
            options.add_external_initializers(list(constants), shared)
            return onnxruntime.InferenceSession(content, options, ["CPUExecutionProvider"])

        self._whole = session(threads)
        self._streams: list[onnxruntime.InferenceSession] = []
        if threads >= CPU_STREAMS:
            each = threads // CPU_STREAMS
            # One of a single thread computes on the thread that calls it: all streams can share it.
            own = [session(each) for _ in range(CPU_STREAMS if each > 1 else 1)]
            self._streams = [own[index % len(own)] for index in range(CPU_STREAMS)]
        self.streams = len(self._streams) or 1
        self._threads = ThreadPoolExecutor(self.streams, thread_name_prefix="onnxruntime")
        self._pad = checkpoint.vocabulary[PAD]
        self._longest = checkpoint.max_tokens

    def predict(self, pairs: Sequence[TokenizedPair], stream: int | None = None) -> Probabilities:
        """Score one batch: in one forward pass, or on the whole device in several side by side.

        Raises:
            OutOfMemory: It did not fit into memory.
        """
        if stream is not None and self._streams:
            return self._by(self._streams[stream], pairs)
        if not self._streams or len(pairs) < FEWEST_OF_A_STREAM * len(self._streams):
            return self._by(self._whole, pairs)
        parts = shares([len(pair.ids) for pair in pairs], len(self._streams))
        under_way = [
            self._threads.submit(self._by, session, [pairs[index] for index in part])
            for session, part in zip(self._streams, parts, strict=True)
        ]
        # All have ended before any result is read: none holds memory once one has failed.
        wait(under_way)
        results = [one.result() for one in under_way]
        probabilities = np.empty((len(pairs), results[0].shape[1]), dtype=np.float32)
        for part, result in zip(parts, results, strict=True):
            probabilities[part] = result
        return probabilities

    def warm_up(self, tokens: int, progress: Callable[[float], None]) -> None:
        """Compute the largest batches once: what they need of memory is kept for the next ones."""
        longest = max(1, min(tokens, self._longest))
        pair = TokenizedPair([self._pad] * longest, 1, False)
        sessions = {id(one): one for one in (self._whole, *self._streams)}
        for done, one in enumerate(sessions.values()):
            progress(done / len(sessions))
            self._by(one, [pair] * max(1, tokens // self.streams // longest))

    def _by(
        self, session: onnxruntime.InferenceSession, pairs: Sequence[TokenizedPair]
    ) -> Probabilities:
        try:
            [probabilities] = session.run(None, packed(pairs, self._pad)._asdict())
        except Exception as error:
            # It has no type of its own for this.
            if "allocate memory" not in str(error):
                raise
        else:
            result: Probabilities = probabilities
            return result
        # Not while handling the error: its traceback keeps the batch's arrays.
        raise OutOfMemory(f"a batch of {len(pairs)} pairs did not fit into memory")
