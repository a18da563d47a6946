"""The model in torch, as transformers' BertForSequenceClassification, on a CPU or a GPU."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import Literal

# Two shared cores: a thread that spins at a barrier takes the core that its peer needs. Read by
# OpenMP when torch loads it.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import torch
from transformers.models.bert.configuration_bert import BertConfig
from transformers.models.bert.modeling_bert import BertForSequenceClassification
from transformers.utils import logging as transformers_logging

from service.scoring import weights
from service.scoring.backends import (
    CPU_BATCH_TOKENS,
    GPU_BATCH_TOKENS,
    OutOfMemory,
    Probabilities,
    Progress,
)
from service.scoring.backends.layout import Padding, padded
from service.scoring.checkpoint import Checkpoint
from service.scoring.tokens import PAD, TokenizedPair


class TorchBackend:
    """On a CPU or a GPU; its fp32 is the reference that all others are measured against."""

    padding = Padding.LONGEST

    def __init__(
        self,
        checkpoint: Checkpoint,
        *,
        precision: Literal["f32", "bf16"],
        device: str,
        threads: int,
        progress: Progress,
    ) -> None:
        """Build the model and load its weights.

        Args:
            checkpoint: What to load.
            precision: Of weights and computation.
            device: `auto`, `cpu` or `cuda`.
            threads: CPU threads of one forward pass.
            progress: Told of the stages.

        Raises:
            CheckpointError: The weights do not match.
            OperatorError: The device cannot be had.
        """
        self.name = "torch" if precision == "f32" else "torch-bf16"
        torch.set_num_threads(threads)
        self.device = _device(device)
        self.streams = 1
        self.batch_tokens = CPU_BATCH_TOKENS if self.device == "cpu" else GPU_BATCH_TOKENS
        transformers_logging.disable_progress_bar()
        config = BertConfig(**checkpoint.bert, num_labels=len(checkpoint.labels))
        progress("reading weights", 0.6)
        tensors = {
            name: torch.from_numpy(values)
            for name, values in weights.load(checkpoint).tensors.items()
        }
        progress("building the model", 0.8)
        model, loading = BertForSequenceClassification.from_pretrained(
            None, config=config, state_dict=tensors, output_loading_info=True
        )
        if any(loading.values()):  # checked above; transformers must agree
            raise AssertionError(f"transformers did not load every tensor: {loading}")
        dtype = torch.float32 if precision == "f32" else torch.bfloat16
        self._model = model.to(self.device, dtype).eval()
        self._pad = checkpoint.vocabulary[PAD]

    def predict(self, pairs: Sequence[TokenizedPair], stream: int | None = None) -> Probabilities:
        """Score one batch in one forward pass, padded to its longest pair.

        Raises:
            OutOfMemory: It did not fit into the device's memory.
        """
        try:
            return self._forward(pairs, stream)
        except torch.OutOfMemoryError:
            pass
        except RuntimeError as error:
            # cuBLAS says it in its own way when its workspace does not fit.
            if "CUBLAS_STATUS_ALLOC_FAILED" not in str(error):
                raise
        # Not while handling the error: its traceback keeps the batch's tensors.
        if self.device != "cpu":
            torch.cuda.empty_cache()
        raise OutOfMemory(f"a batch of {len(pairs)} pairs did not fit into memory")

    def warm_up(self, tokens: int, progress: Callable[[float], None]) -> None:
        """Nothing: what torch keeps of a batch is not bound to its size."""

    @torch.inference_mode()
    def _forward(self, pairs: Sequence[TokenizedPair], stream: int | None) -> Probabilities:
        batch = padded(pairs, self._pad)
        ids, types, mask = torch.from_numpy(batch).to(self.device)
        # Without padding there is nothing to mask, and attention takes its faster path.
        is_full = bool(batch[2].all())
        found = self._probabilities(ids, types, None if is_full else mask)
        probabilities: Probabilities = found.cpu().numpy()
        return probabilities

    def _probabilities(
        self,
        ids: torch.Tensor,
        types: torch.Tensor,
        mask: torch.Tensor | None,
        positions: torch.Tensor | None = None,
    ) -> torch.Tensor:
        logits: torch.Tensor = self._model(
            input_ids=ids, token_type_ids=types, attention_mask=mask, position_ids=positions
        ).logits
        return logits.float().softmax(dim=-1)


def _device(wanted: str) -> str:
    from service.errors import OperatorError

    if wanted == "cpu":
        return "cpu"
    if torch.cuda.is_available():
        return f"cuda:{torch.cuda.current_device()}"
    if wanted == "cuda":
        raise OperatorError("the device is cuda, but torch finds no GPU; use auto or cpu")
    return "cpu"
