"""Learns how much a candidate's place in the index's order counts beside its similarity.

`python -m benchmarks.order FOLDER --pairs FILE` takes real queries of one half that have an exact
match, and the register of `benchmarks.places prepare`, with all their candidates in it. The index
finds candidates, and the bundled model scores them. A logistic regression then learns from all
candidates whether one is the place that is meant. With `--gazetteer DIR` queries and their
candidates are generated, and the candidates are added to the register:

    log-odds = a · log-odds of the similarity − b · ln place + c

`b / a` is the weight of ln place. Printed beside it is how often the place that is meant comes
first by other weights, such as the one in `service.retrieval.ranking`.
"""

from __future__ import annotations

import argparse
import csv
import itertools
import math
import os
import tempfile
from pathlib import Path

from sklearn.linear_model import LogisticRegression

from benchmarks import machine
from benchmarks.retrieval import real_queries
from service.bulk.local import LocalScorer
from service.bulk.tables import Result, Rows
from service.retrieval import files
from service.retrieval.ranking import log_odds
from service.retrieval.register import CANDIDATES, Entry
from service.settings import Settings
from training import gazetteer
from training.generator import pairs
from training.relations import NAMES, TARGETS
from training.world import World

_SEED = 23
"""Other pairs than the register has (`benchmarks.retrieval`)."""

_SAME = 0.5
"""Share of raters from which two addresses are one place here."""


def main() -> None:
    """Learn the weight and print it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="of `benchmarks.places prepare`")
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--gazetteer", type=Path, help="folder of gazetteer files: generated ones")
    source.add_argument("--pairs", type=Path, help="labelled, JSON lines: real ones")
    parser.add_argument("--half", choices=("A", "B"), default="A", help="of --pairs [A]")
    parser.add_argument("--queries", type=int, default=300)
    flags = parser.parse_args()
    print(machine.in_a_line(), flush=True)
    with tempfile.TemporaryDirectory() as made:
        if flags.gazetteer:
            meant, candidates = generated(World(gazetteer.read(flags.gazetteer)), flags.queries)
            with (flags.folder / "right.csv").open(encoding="utf-8", newline="") as file:
                addresses = [*candidates, *(row["address"] for row in csv.DictReader(file))]
            entries = (Entry("", address) for address in dict.fromkeys(addresses))
            files.write(Path(made), entries)
            register = files.read(Path(made))
        else:
            queries, _ = real_queries(flags.pairs, flags.half)
            having = ((query, set(exact)) for query, exact, _ in queries if exact)
            meant = dict(itertools.islice(having, flags.queries))
            register = files.read(flags.folder / "register")
        found = [
            [register.entry(int(place)).address for place in places]
            for places in register.candidates([*meant], CANDIDATES)
        ]
    asked = [
        (query, address, rank)
        for query, addresses in zip(meant, found, strict=True)
        if meant[query] & {*addresses}
        for rank, address in enumerate(addresses, 1)
    ]
    results = _scored([[query, entry] for query, entry, _ in asked])
    features = [
        (log_odds(result.similarity or 0.0), math.log(rank))
        for result, (_, _, rank) in zip(results, asked, strict=True)
    ]
    is_meant = [entry in meant[query] for query, entry, _ in asked]
    model = LogisticRegression(C=math.inf).fit(features, is_meant)
    similar, place = model.coef_[0]
    print(f"{len(register):,} entries; {len(meant)} queries have {sum(is_meant)} entries of their "
          f"place among {CANDIDATES} candidates")  # fmt: skip
    print(f"log-odds of the similarity {similar:.3f}, ln place {place:.3f}: the place counts "
          f"{-place / similar:.2f}")  # fmt: skip
    print("| weight of ln place | the place that is meant comes first |\n|--:|--:|")
    for weight in (0.0, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 4.0):
        best: dict[str, tuple[float, bool]] = {}
        for (query, _, _), (odds, ln_rank), is_it in zip(asked, features, is_meant, strict=True):
            value = (odds - weight * ln_rank, is_it)
            best[query] = max(best.get(query, value), value, key=lambda one: one[0])
        first = sum(is_it for _, is_it in best.values())
        print(f"| {weight} | {first} of {len(best)} |")
    print(f"load at the end: {os.getloadavg()[0]:.1f}")


def generated(world: World, count: int) -> tuple[dict[str, set[str]], list[str]]:
    """So many queries with other writings of their place, and the candidates of all of them."""
    meant: dict[str, set[str]] = {}
    candidates = []
    for pair in pairs(world, _SEED, full=0.2):
        candidates.append(pair.address2)
        if TARGETS[NAMES[pair.relation]][0] >= _SAME and pair.address1 != pair.address2:
            meant.setdefault(pair.address1, set()).add(pair.address2)
        if len(meant) == count:
            break
    return meant, candidates


def _scored(cells: list[list[object]]) -> list[Result]:
    scorer = LocalScorer(Settings())
    size = scorer.chunk_rows
    chunks = (Rows(cells[at : at + size], {}) for at in range(0, len(cells), size))
    return [
        result for _, part in scorer.score(chunks, (0, 1), lambda rows: None) for result in part
    ]


if __name__ == "__main__":
    main()
