"""From the gazetteer folder to a model folder: world, vocabulary, training, card."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

import torch

from training import card, checkpoint, full_width, gazetteer, operating_point
from training.evaluation import LabelledPairs, evaluate, score
from training.families import rates
from training.metrics import fit_temperature
from training.network import Network, Shape
from training.start import start
from training.trainer import Plan, Trainer
from training.vocabulary import build_vocabulary, tokenizer
from training.world import World


@dataclass(frozen=True)
class Sizes:
    """The sizes of the network that are chosen, not counted."""

    hidden: int = 192
    layers: int = 4
    heads: int = 3
    intermediate: int = 512


@dataclass(frozen=True)
class RealPairs:
    """Labelled pairs, only looked at: a temperature from `tune`, figures from `report`."""

    tune: LabelledPairs
    report: LabelledPairs


def build(
    folder: Path,
    out: Path,
    plan: Plan,
    sizes: Sizes,
    real: RealPairs | None = None,
    sources: tuple[gazetteer.Source, ...] = gazetteer.SOURCES,
    resume: bool = True,
    go_on_from: Path | None = None,
    keep: float = 0.0,
) -> dict[str, float]:
    """Train and write a model folder with its card; returns what the trainer measured.

    The training state lies in `out`/training and is gone on from when `resume` and it is there.
    go_on_from: a model folder that an earlier build wrote; its weights, vocabulary and sizes are
    the start values, and `sizes` is not looked at. keep: the share of those start values in the
    weights that are written: between what the model could and what it learned now, the mean of the
    weights keeps most of both.
    Raises GazetteerError when the gazetteer is not the expected one, CheckpointError when
    `go_on_from` is no such folder.
    """
    gazetteer.check(folder, sources)
    torch.set_num_threads(1)
    read = gazetteer.read(folder)
    if go_on_from is None:
        vocabulary = build_vocabulary(read)
        network = Network(
            Shape(len(vocabulary), sizes.hidden, sizes.layers, sizes.heads, sizes.intermediate)
        )
        start(network, vocabulary, plan.seed)
    else:
        # Offsets and temperature are folded into its classifier: a few hundred steps undo them.
        network, _, vocabulary = checkpoint.load(go_on_from)
        network.train()
    began = {name: value.clone() for name, value in network.state_dict().items()}
    tokens = tokenizer(vocabulary)
    state = out / "training"
    world = World(read)
    trainer = Trainer(network, world, tokens, plan, state)
    if not resume:
        shutil.rmtree(state, ignore_errors=True)
    trainer.resume()
    measured = trainer.run()
    for name, value in network.state_dict().items():
        value.lerp_(began[name], keep)
    finish(network.eval(), vocabulary, world, out, plan, measured, real, sources)
    return measured


def finish(
    network: Network,
    vocabulary: list[str],
    world: World,
    out: Path,
    plan: Plan,
    measured: dict[str, float],
    real: RealPairs | None,
    sources: tuple[gazetteer.Source, ...] = gazetteer.SOURCES,
) -> None:
    """Fold in offsets and temperature, write the model folder, measure it, write its card.

    The offsets come from generated pairs; the temperature is the one figure fitted on real pairs
    (1 when there are none).
    """
    vocabulary = full_width.tie(network, vocabulary)
    tokens = tokenizer(vocabulary)
    offsets = operating_point.choose(network, tokens, world, plan.seed)
    with torch.no_grad():
        network.classifier.bias.add_(torch.tensor(offsets))
    temperature = 1.0
    if real is not None:
        logits = score(network, tokens, real.tune.address1, real.tune.address2)
        temperature = fit_temperature(logits, real.tune.label)
    checkpoint.save(network, vocabulary, out, temperature)
    written, tokens, _ = checkpoint.load(out)
    report = evaluate(written, tokens, real.report) if real is not None else None
    found = card.Found(offsets, temperature, report, rates(written, tokens))
    text = card.write(written.shape, plan, measured, found, sources)
    (out / "README.md").write_text(text, encoding="utf-8")
    (out / "NOTICE").write_text(card.notice(sources), encoding="utf-8")
