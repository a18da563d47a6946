"""The model on a GPU in captured graphs.

A GPU computes the kernels of a small batch faster than Python asks for them. So all kernels of a
forward pass are recorded once for each of some sizes of a batch, and asked for by one call; a batch
is padded to the next such size.

While one batch is computed another one is staged: the thread that has it writes it into memory that
the GPU reads by itself, asks for the copy, the graph and the copy of the answer, in the device's
own queue, and only then waits.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from typing_extensions import override

from service.errors import OperatorError
from service.scoring.backends import GPU_BATCH_TOKENS, Probabilities, Progress
from service.scoring.backends.layout import Padding, grid, on_grid, padded
from service.scoring.backends.torch_backend import TorchBackend
from service.scoring.checkpoint import Checkpoint
from service.scoring.tokens import TokenizedPair

STREAMS = 2
"""Batches under way: one that is computed, and one that is staged or whose answers are read."""


_capturing = threading.Lock()
"""torch captures one graph at a time, in all of the process."""


@dataclass(frozen=True, slots=True)
class Graph:
    """A recorded forward pass.

    Attributes:
        inputs: What it reads, on the device: int32 of shape [3, rows, tokens], as of `padded`.
        outputs: What it writes, on the device: probabilities, float32 of shape [rows, labels].
        replay: Asks the device for it once more.
    """

    inputs: torch.Tensor
    outputs: torch.Tensor
    replay: Callable[[], None]


class Device(Protocol):
    """Does what it is asked for in the order in which it is asked, and lets nobody wait for it."""

    def memory(self, like: torch.Tensor) -> torch.Tensor:
        """Memory of the host, of a tensor's shape and type, that the device reads and writes."""
        ...

    def capture(self, run: Callable[[torch.Tensor], torch.Tensor], inputs: torch.Tensor) -> Graph:
        """Record what `run` asks for. Not while anybody else asks the device for something."""
        ...

    def ask(self, graph: Graph, given: torch.Tensor, wanted: torch.Tensor) -> Callable[[], None]:
        """Ask for a graph's answer.

        Args:
            graph: Whose.
            given: Its inputs, in memory of the host that stays as it is until the answer is there.
            wanted: Where as many rows of its outputs as this has are to be written.

        Returns:
            Waits until they are.
        """
        ...


class Cuda:
    """A stream of the current GPU. Graphs that are replayed in one share their memory."""

    def __init__(self) -> None:
        self._stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]  # torch's own
        self._pool = torch.cuda.graph_pool_handle()

    def memory(self, like: torch.Tensor) -> torch.Tensor:
        """Pinned memory: of any other, a copy is made first, and waited for."""
        return torch.empty(like.shape, dtype=like.dtype, pin_memory=True)

    def capture(self, run: Callable[[torch.Tensor], torch.Tensor], inputs: torch.Tensor) -> Graph:
        """Record `run`, after it has run once: libraries choose and load their kernels then."""
        graph = torch.cuda.CUDAGraph()
        with _capturing:
            # The weights and `inputs` were written by the stream that is current.
            self._stream.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(self._stream):
                run(inputs)
            # Of one thread: another version of the model may serve on the same GPU meanwhile.
            with torch.cuda.graph(
                graph, pool=self._pool, stream=self._stream, capture_error_mode="thread_local"
            ):
                outputs = run(inputs)
        return Graph(inputs, outputs, graph.replay)

    def ask(self, graph: Graph, given: torch.Tensor, wanted: torch.Tensor) -> Callable[[], None]:
        """Ask for two copies and a graph between them; to wait costs no processor time."""
        with torch.cuda.stream(self._stream):
            graph.inputs.copy_(given, non_blocking=True)
            graph.replay()
            wanted.copy_(graph.outputs[: len(wanted)], non_blocking=True)
            done = torch.cuda.Event(blocking=True)  # type: ignore[no-untyped-call]
            done.record()
        return done.synchronize


@dataclass(frozen=True, slots=True)
class _Stage:
    """Memory of the host for one batch: only who computes on its stream touches it."""

    given: torch.Tensor
    wanted: torch.Tensor


class TorchGraphsBackend(TorchBackend):
    """bf16 on a GPU, a graph for each size of a batch. It is captured when the first one comes."""

    padding = Padding.GRID

    def __init__(
        self,
        checkpoint: Checkpoint,
        *,
        device: str,
        threads: int,
        progress: Progress,
        on: Callable[[], Device] = Cuda,
    ) -> None:
        """Build the model and load its weights; see `TorchBackend`.

        Args:
            checkpoint: What to load.
            device: `auto`, `cpu` or `cuda`.
            threads: CPU threads, for what is done there.
            progress: Told of the stages.
            on: Makes what captures and replays.

        Raises:
            CheckpointError: The weights do not match.
            OperatorError: There is no GPU to be had.
        """
        super().__init__(
            checkpoint, precision="bf16", device=device, threads=threads, progress=progress
        )
        self.name = "torch-bf16-graphs"
        if self.device == "cpu" and on is Cuda:
            raise OperatorError(f"{self.name} needs a GPU, and torch finds none; use torch-bf16")
        self.streams = STREAMS
        self.batch_tokens = STREAMS * GPU_BATCH_TOKENS
        self._longest = checkpoint.max_tokens
        self._positions = int(checkpoint.bert["max_position_embeddings"])
        self._on = on()
        # Held while the device is asked for anything: what one batch asks for stays together.
        self._asking = threading.Lock()
        self._graphs: dict[tuple[int, int], tuple[Graph, list[_Stage]]] = {}

    @override
    def warm_up(self, tokens: int, progress: Callable[[float], None]) -> None:
        """Capture every graph that batches within `tokens` need.

        Those of most tokens first: the others then find room in the same memory. From then on no
        batch takes more of it.

        Raises:
            OperatorError: They do not fit into the GPU's memory.
        """
        shapes = grid(tokens // self.streams, self._longest)
        for done, shape in enumerate(shapes):
            progress(done / len(shapes))
            try:
                self._graph(shape)
            except torch.OutOfMemoryError:
                raise OperatorError(
                    f"the GPU's memory does not hold {shape[0]} x {shape[1]} tokens: "
                    "free some, or set a smaller MGEO_BATCH_TOKENS"
                ) from None

    @override
    @torch.inference_mode()
    def _forward(self, pairs: Sequence[TokenizedPair], stream: int | None) -> Probabilities:
        graph, stages = self._graph(on_grid(len(pairs), max(len(pair.ids) for pair in pairs)))
        stage = stages[stream or 0]
        padded(pairs, self._pad, stage.given.numpy())
        wanted = stage.wanted[: len(pairs)]
        with self._asking:
            wait = self._on.ask(graph, stage.given, wanted)
        wait()
        probabilities: Probabilities = wanted.numpy().copy()
        return probabilities

    @torch.inference_mode()
    def _graph(self, shape: tuple[int, int]) -> tuple[Graph, list[_Stage]]:
        with self._asking:
            if shape not in self._graphs:
                inputs = torch.ones(3, *shape, dtype=torch.int32, device=self.device)
                graph = self._on.capture(self._run, inputs)
                self._graphs[shape] = (
                    graph,
                    [
                        _Stage(self._on.memory(graph.inputs), self._on.memory(graph.outputs))
                        for _ in range(self.streams)
                    ],
                )
            return self._graphs[shape]

    def _run(self, inputs: torch.Tensor) -> torch.Tensor:
        ids, types, mask = inputs
        # Of four dimensions, so that transformers takes it as it is and does not look into it. The
        # last length of the grid may be beyond the last position: there is only padding.
        positions = torch.arange(ids.shape[1], device=ids.device).clamp(max=self._positions - 1)
        return self._probabilities(ids, types, mask[:, None, None, :].bool(), positions[None])
