"""Short runs with one part of the recipe left out, measured on real pairs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from training import metrics, operating_point
from training.evaluation import LabelledPairs, score
from training.gazetteer import check, read
from training.network import Network, Shape
from training.start import start
from training.trainer import Plan, Trainer
from training.variant import VARIANTS
from training.vocabulary import build_vocabulary, tokenizer
from training.world import World

HEADER = "variant               pairs  macro-F1  with offsets  exact  partial  not    AUC    a==b"


def ablate(folder: Path, out: Path, name: str, plan: Plan, real: LabelledPairs) -> str:
    """Train one variant and return its line of the table (see HEADER)."""
    check(folder)
    torch.set_num_threads(1)
    variant = VARIANTS[name]
    gazetteer = read(folder)
    world = World(gazetteer)
    vocabulary = build_vocabulary(gazetteer, variant.whole_numbers)
    tokens = tokenizer(vocabulary)
    network = Network(Shape(len(vocabulary)))
    start(network, vocabulary, plan.seed, variant.difference_start)
    trainer = Trainer(network, world, tokens, plan, out / name, variant)
    trainer.resume()
    measured = trainer.run()
    network.eval()
    logits = score(network, tokens, real.address1, real.address2)
    offsets = np.array(operating_point.choose(network, tokens, world, plan.seed))
    shifted = logits + offsets
    texts = list(dict.fromkeys(real.address1 + real.address2))[:4000]
    same = score(network, tokens, texts, texts) + offsets
    chances = metrics.softmax(logits)
    f1 = metrics.f1_by_class(metrics.confusion(real.label, shifted.argmax(1)))
    return (
        f"{name:20} {int(measured['pairs']):6}  "
        f"{metrics.macro_f1(real.label, logits.argmax(1)):.3f}     {f1.mean():.3f}         "
        f"{f1[0]:.3f}  {f1[1]:.3f}    {f1[2]:.3f}  "
        f"{metrics.auc(real.label != 2, 1 - chances[:, 2]):.3f}  "
        f"{(same.argmax(1) == 0).mean():.3f}"
    )
