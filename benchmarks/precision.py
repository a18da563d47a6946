"""How exact and how fast lower precision is on random BERT-base checkpoints of several kinds.

`python -m benchmarks.precision` compares int8 and bf16 with fp32 on each kind of weights below. The
figures are those of the accuracy check that `auto` makes; times are taken in turns. bf16 is
emulated, and very slow, on a processor without AMX: leave it out there (`--backends`).
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from safetensors.numpy import save_file

from benchmarks.checkpoint import CONFIG, LABELS, vocabulary
from service.scoring import checkpoint as checkpoints
from service.scoring.architecture import tensor_shapes
from service.scoring.backends import Backend, calibration, choose, compare
from service.scoring.backends.accuracy_check import BATCH, compared
from service.scoring.model import tokenizer_of
from service.scoring.weights import PREFIX
from service.settings import Settings

KINDS = {
    "normal .02": (0.02, 0, False),
    "normal .04": (0.04, 0, False),
    "normal .08": (0.08, 0, False),
    "heavy tails .03": (0.03, 3, False),
    "outliers in norms .04": (0.04, 0, True),
}
"""Standard deviation, degrees of freedom of Student's t (0: normal), and whether six channels of
every normalisation are 6 to 20 times as large as the others, as trained models have them."""


def write(directory: Path, kind: str, seed: int) -> Path:
    """Write a random BERT-base of one kind in MGeo's layout."""
    spread, degrees, has_outliers = KINDS[kind]
    random = np.random.default_rng(seed)
    outliers = random.choice(CONFIG["hidden_size"], 6, replace=False)
    scales = random.uniform(6, 20, 6).astype(np.float32)
    tensors: dict[str, npt.NDArray[np.float32]] = {}
    for name, shape in tensor_shapes(CONFIG, len(LABELS)).items():
        if name.endswith(".bias"):
            values = np.zeros(shape, np.float32)
        elif name.endswith("LayerNorm.weight"):
            values = np.ones(shape, np.float32)
            if has_outliers:
                values[outliers] = scales
        elif degrees:
            wide = random.standard_t(degrees, shape) * np.sqrt((degrees - 2) / degrees)
            values = (spread * wide).astype(np.float32)
        else:
            values = np.float32(spread) * random.standard_normal(shape, dtype=np.float32)
        stored = PREFIX + name.removeprefix("bert.") if name.startswith("bert.") else name
        tensors[stored] = values
    directory.mkdir(parents=True, exist_ok=True)
    ids = {label: index for index, label in enumerate(LABELS)}
    config: dict[str, Any] = CONFIG | {
        "architectures": ["MGeoForSequenceClassification"],
        "label2id": ids,
        "id2label": {str(index): label for label, index in ids.items()},
    }
    configuration = {"task": "sentence-similarity", "model": {"type": "mgeo", "name": kind}}
    (directory / "config.json").write_text(json.dumps(config), "utf-8")
    (directory / "configuration.json").write_text(json.dumps(configuration), "utf-8")
    (directory / "vocab.txt").write_text("\n".join(vocabulary()) + "\n", "utf-8")
    save_file(tensors, directory / "model.safetensors")
    return directory


def measure(model: Path, names: list[str], most: int) -> None:
    """Print how each backend compares with fp32 on one checkpoint."""
    checkpoint = checkpoints.read(model)
    settings = Settings(device="cpu")
    pairs = tokenizer_of(checkpoint, settings).encode(calibration.pairs())
    pairs = pairs[:: max(1, len(pairs) // most)]
    backends: list[Backend] = [
        choose.make(name, checkpoint, settings, lambda stage, done: None)
        for name in (choose.CPU_REFERENCE, *names)
    ]
    answers: list[list[npt.NDArray[np.float32]]] = [[] for _ in backends]
    seconds = [[0.0, 0.0] for _ in backends]
    for at in range(0, len(pairs), BATCH):
        for place, backend in enumerate(backends):
            wall, processor = time.perf_counter(), time.process_time()
            answers[place].append(backend.predict(pairs[at : at + BATCH]))
            if at:  # the first batch warms up
                seconds[place][0] += time.perf_counter() - wall
                seconds[place][1] += time.process_time() - processor
    expected = np.concatenate(answers[0])
    timed = len(pairs) - BATCH
    spread = float(expected.std(axis=0).max())
    print(f"{checkpoint.name}: {len(pairs)} pairs; probabilities spread by {spread:.4f}")
    for backend, rows, (wall, processor) in zip(backends, answers, seconds, strict=True):
        found = compared(backend.name, np.concatenate(rows), expected)
        print(
            f"  {backend.name:17} largest difference {found.difference:.4f}, labels kept "
            f"{found.agreement:.1%}, {timed / wall:.1f} pairs/s, "
            f"{1e3 * processor / timed:.0f} ms of processor a pair; {found.verdict}",
            flush=True,
        )


def main() -> None:
    """Measure the kinds that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--kinds", nargs="*", choices=KINDS, default=list(KINDS))
    parser.add_argument("--backends", nargs="*", default=list(compare.ON_CPU[1:]))
    parser.add_argument("--pairs", type=int, default=64, help="of the calibration list [64]")
    parser.add_argument("--seed", type=int, default=1)
    flags = parser.parse_args()
    for kind in flags.kinds:
        with tempfile.TemporaryDirectory(prefix="mgeo-precision-") as folder:
            measure(write(Path(folder) / "model", kind, flags.seed), flags.backends, flags.pairs)


if __name__ == "__main__":
    main()
