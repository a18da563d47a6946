"""The training loop: one optimiser, one or two worker threads, resumable."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional
from tqdm import tqdm

from service.scoring.tokens import PairTokenizer
from training.batches import Batch, chunk
from training.network import Network
from training.variant import Variant
from training.world import World

STATE = "training_state.pt"


@dataclass(frozen=True)
class Plan:
    """How long and how to train.

    pairs: length of the run, which the learning rate's decay follows. minutes: 0, or a bound on the
    wall-clock time of the run; the decay follows whichever of the two is further on, so the run
    always ends fully decayed, but a run that the clock ended cannot be repeated exactly.
    batch: rows a worker and step; threads: workers. full: share of the scenes in which both sides
    are written equally fully.
    """

    pairs: int
    minutes: float = 0.0
    batch: int = 64
    threads: int = 2
    learning_rate: float = 1.0e-3
    warmup: float = 0.03
    weight_decay: float = 0.02
    clip: float = 1.0
    full: float = 0.5
    seed: int = 1
    save_every_seconds: float = 120.0


def optimiser(network: Network, plan: Plan) -> torch.optim.AdamW:
    """AdamW; embeddings, biases and norms are not decayed."""
    decayed: list[Tensor] = []
    free: list[Tensor] = []
    for name, parameter in network.named_parameters():
        matrix = parameter.dim() > 1 and not name.startswith(("words", "positions", "types"))
        (decayed if matrix else free).append(parameter)
    groups = [
        {"params": decayed, "weight_decay": plan.weight_decay},
        {"params": free, "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=plan.learning_rate, betas=(0.9, 0.98), fused=True)


def loss_of(network: Network, batch: Batch) -> Tensor:
    """Cross-entropy against the relation's label distribution."""
    return functional.cross_entropy(network(batch.ids, batch.types), batch.targets)


class Trainer:
    """Trains `network` in place from the stream of generated pairs."""

    def __init__(
        self,
        network: Network,
        world: World,
        tokenizer: PairTokenizer,
        plan: Plan,
        folder: Path,
        variant: Variant | None = None,
    ) -> None:
        self.network, self.world, self.tokenizer, self.plan = network, world, tokenizer, plan
        self.folder = folder
        self.variant = variant or Variant()
        self.optimiser = optimiser(network, plan)
        self.pairs = 0
        self.chunk = 0
        self.seconds = 0.0
        self.parameters = list(network.parameters())

    def resume(self) -> bool:
        """Go on from the folder's saved state; False when there is none."""
        path = self.folder / STATE
        if not path.exists():
            return False
        state = torch.load(path, weights_only=True)
        self.network.load_state_dict(state["network"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.pairs, self.chunk, self.seconds = state["pairs"], state["chunk"], state["seconds"]
        return True

    def save(self) -> None:
        """Write the state whole or not at all."""
        self.folder.mkdir(parents=True, exist_ok=True)
        state = {
            "network": self.network.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "pairs": self.pairs,
            "chunk": self.chunk,
            "seconds": self.seconds,
        }
        partial = self.folder / (STATE + ".part")
        torch.save(state, partial)
        os.replace(partial, self.folder / STATE)
        (self.folder / "plan.json").write_text(json.dumps(asdict(self.plan), indent=2))

    def _batches(self) -> Iterator[list[Batch]]:
        """Per step one batch for each worker, all of about one length."""
        while True:
            group: list[Batch] = []
            size = self.plan.batch * self.plan.threads
            for batch in chunk(
                self.world,
                self.tokenizer,
                self.plan.seed,
                self.chunk,
                size,
                self.variant,
                self.plan.full,
            ):
                parts = zip(
                    batch.ids.chunk(self.plan.threads),
                    batch.types.chunk(self.plan.threads),
                    batch.targets.chunk(self.plan.threads),
                    batch.relations.chunk(self.plan.threads),
                    strict=True,
                )
                group = [Batch(*part) for part in parts]
                yield group
            self.chunk += 1

    def run(self) -> dict[str, float]:
        """Train to the end of the plan; returns pairs, seconds and the last smoothed loss."""
        plan, begun, saved = self.plan, time.monotonic(), time.monotonic()
        done_before, smooth, progress = self.seconds, float("nan"), 0.0

        def work(batch: Batch) -> tuple[float, tuple[Tensor, ...]]:
            loss = loss_of(self.network, batch)
            return float(loss.detach()), torch.autograd.grad(loss, self.parameters)

        workers = ThreadPoolExecutor(plan.threads, initializer=lambda: torch.set_num_threads(1))
        bar = tqdm(total=plan.pairs, initial=self.pairs, unit="pair", mininterval=5.0)
        with workers, bar:
            for group in self._batches():
                elapsed = time.monotonic() - begun
                progress = self.pairs / plan.pairs
                if plan.minutes:
                    progress = max(progress, (done_before + elapsed) / (plan.minutes * 60))
                if progress >= 1:
                    break
                rate = plan.learning_rate * min(1.0, progress / plan.warmup) * (1 - progress)
                for settings in self.optimiser.param_groups:
                    settings["lr"] = rate
                found = list(workers.map(work, group))
                for index, parameter in enumerate(self.parameters):
                    parameter.grad = sum_of([grads[index] for _, grads in found])
                torch.nn.utils.clip_grad_norm_(self.parameters, plan.clip)
                self.optimiser.step()
                count = sum(len(batch.ids) for batch in group)
                loss = sum(value for value, _ in found) / len(found)
                smooth = loss if smooth != smooth else smooth * 0.99 + loss * 0.01
                self.pairs += count
                self.seconds = done_before + elapsed
                bar.update(count)
                bar.set_postfix(loss=f"{smooth:.4f}", rate=f"{rate:.1e}", refresh=False)
                if time.monotonic() - saved > plan.save_every_seconds:
                    self.save()
                    saved = time.monotonic()
        self.save()
        return {"pairs": self.pairs, "seconds": self.seconds, "loss": smooth}


def sum_of(gradients: list[Tensor]) -> Tensor:
    """The mean of the workers' gradients."""
    total = gradients[0]
    for other in gradients[1:]:
        total = total + other
    return total / len(gradients)
