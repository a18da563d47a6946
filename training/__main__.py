"""Command line: build the default model, evaluate a model, look at generated pairs."""

from __future__ import annotations

import argparse
import itertools
import sys
from pathlib import Path

import torch

from training import gazetteer
from training.ablation import HEADER, ablate
from training.build import RealPairs, Sizes, build
from training.checkpoint import CheckpointError, load
from training.evaluation import PairsError, evaluate, read_pairs
from training.families import families, rates
from training.generator import pairs
from training.relations import LABELS, NAMES, TARGETS
from training.trainer import Plan
from training.variant import VARIANTS
from training.world import World


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m training", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    formatter = argparse.ArgumentDefaultsHelpFormatter

    make = commands.add_parser(
        "build", help="train a model from nothing", formatter_class=formatter
    )
    make.add_argument("--gazetteer", type=Path, required=True, help="folder of the gazetteer files")
    make.add_argument("--out", type=Path, required=True, help="folder to write the model to")
    make.add_argument("--pairs", type=int, default=3_000_000, help="generated pairs to train on")
    make.add_argument(
        "--minutes", type=float, default=0.0, help="end earlier by the clock; 0: never"
    )
    make.add_argument("--threads", type=int, default=2, help="worker threads, one core each")
    make.add_argument("--batch", type=int, default=64, help="pairs a worker and step")
    make.add_argument("--learning-rate", type=float, default=1.0e-3)
    make.add_argument("--seed", type=int, default=1)
    make.add_argument("--hidden", type=int, default=192)
    make.add_argument("--layers", type=int, default=4)
    make.add_argument("--heads", type=int, default=3)
    make.add_argument("--intermediate", type=int, default=512)
    make.add_argument(
        "--full", type=float, default=0.5, help="share of pairs with both sides written in full"
    )
    make.add_argument(
        "--from", dest="go_on_from", type=Path, help="a model folder whose weights to start from"
    )
    make.add_argument(
        "--keep", type=float, default=0.0, help="share of the weights of --from in the result"
    )
    make.add_argument("--fresh", action="store_true", help="do not go on from a saved state")
    make.add_argument(
        "--real-pairs",
        type=Path,
        help="labelled pairs: half A fits the one temperature, half B gives the card's figures",
    )

    judge = commands.add_parser("evaluate", help="measure a model", formatter_class=formatter)
    judge.add_argument("--model", type=Path, required=True, help="model folder")
    judge.add_argument("--pairs", type=Path, required=True, help="labelled pairs, JSON lines")
    judge.add_argument("--half", choices=("A", "B", "all"), default="all")
    judge.add_argument("--rounds", type=int, default=1000, help="bootstrap rounds")

    kinds = commands.add_parser("families", help="measure a model on families of minimal pairs")
    kinds.add_argument("--model", type=Path, required=True, help="model folder")

    show = commands.add_parser("sample", help="print generated pairs", formatter_class=formatter)
    show.add_argument("--gazetteer", type=Path, required=True, help="folder of the gazetteer files")
    show.add_argument("--count", type=int, default=40)
    show.add_argument("--seed", type=int, default=1)
    show.add_argument("--full", type=float, default=0.5, help="as in build")

    part = commands.add_parser("ablate", help="leave one part out", formatter_class=formatter)
    part.add_argument("--gazetteer", type=Path, required=True, help="folder of the gazetteer files")
    part.add_argument(
        "--real-pairs", type=Path, required=True, help="labelled pairs; half A is used"
    )
    part.add_argument("--out", type=Path, required=True, help="folder for the training states")
    part.add_argument("--variant", choices=sorted(VARIANTS), required=True)
    part.add_argument("--pairs", type=int, default=60_000)
    part.add_argument("--threads", type=int, default=1)
    part.add_argument("--batch", type=int, default=128)
    part.add_argument("--seed", type=int, default=1)
    return parser


def _ablate(args: argparse.Namespace) -> None:
    plan = Plan(pairs=args.pairs, batch=args.batch, threads=args.threads, seed=args.seed)
    real = read_pairs(args.real_pairs, "A")
    line = ablate(args.gazetteer, args.out, args.variant, plan, real)
    print(HEADER, line, sep="\n")


def _build(args: argparse.Namespace) -> None:
    real = None
    if args.real_pairs is not None:
        real = RealPairs(read_pairs(args.real_pairs, "A"), read_pairs(args.real_pairs, "B"))
    plan = Plan(
        pairs=args.pairs,
        minutes=args.minutes,
        batch=args.batch,
        threads=args.threads,
        learning_rate=args.learning_rate,
        seed=args.seed,
        full=args.full,
    )
    sizes = Sizes(args.hidden, args.layers, args.heads, args.intermediate)
    measured = build(
        args.gazetteer,
        args.out,
        plan,
        sizes,
        real,
        resume=not args.fresh,
        go_on_from=args.go_on_from,
        keep=args.keep,
    )
    print(f"{int(measured['pairs']):,} pairs in {measured['seconds']:.0f} s; wrote {args.out}")


def _evaluate(args: argparse.Namespace) -> None:
    torch.set_num_threads(1)
    network, tokens, _ = load(args.model)
    report = evaluate(network, tokens, read_pairs(args.pairs, args.half), args.rounds)
    print("\n".join(report.lines()))


def _families(args: argparse.Namespace) -> None:
    torch.set_num_threads(1)
    network, tokens, _ = load(args.model)
    every = families()
    for name, rate in rates(network, tokens).items():
        mark = "" if rate >= every[name].floor else f"  below {every[name].floor}"
        print(f"{rate:.3f}  {LABELS[every[name].label]:14} {name}{mark}")


def _sample(args: argparse.Namespace) -> None:
    gazetteer.check(args.gazetteer)
    world = World(gazetteer.read(args.gazetteer))
    for pair in itertools.islice(pairs(world, args.seed, full=args.full), args.count):
        name = NAMES[pair.relation]
        chances = "/".join(f"{chance:.2f}" for chance in TARGETS[name])
        print(f"{name:32} {chances:15} {pair.address1}  |  {pair.address2}")


def main(arguments: list[str] | None = None) -> int:
    """Run one command; a user's mistake is one line on stderr and exit status 2."""
    args = _parser().parse_args(arguments)
    commands = {
        "build": _build,
        "evaluate": _evaluate,
        "sample": _sample,
        "ablate": _ablate,
        "families": _families,
    }
    try:
        commands[args.command](args)
    except (gazetteer.GazetteerError, CheckpointError, PairsError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
