"""`dedupe` on generated rows of which it is known which are one place.

`python -m benchmarks.duplicates --gazetteer DIR --rows 50000` draws places as the bundled model's
training did, with another seed: a place has up to three writings, and beside it stand addresses
that look alike and are other places. Printed are precision and recall over pairs of rows, and the
largest cluster that mixes places. A million rows take two hours: with `--folder DIR`, the same
command continues an interrupted run.
"""

from __future__ import annotations

import argparse
import contextlib
import csv
import itertools
import os
import random
import tempfile
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path

from benchmarks import machine
from benchmarks.places import run
from benchmarks.processes import end_what_was_started
from training import gazetteer
from training.minimal import minimal_pair
from training.place import draw_place, draw_style, write
from training.relations import TARGETS
from training.world import World

_SEED = 11
_WRITINGS = 3
_OTHERS = 2
"""Addresses drawn beside a place that differ from it in one element."""

_PASSED_ON = ("--threshold", "--candidates", "--least-share")

_SURE = 0.9
"""Share of raters from which such an address is another place for certain."""

_AREAS = {"full.province", "full.city", "full.district", "full.town"}
"""Elements that a writing may leave out: without them nobody can tell the two places apart."""


def main() -> None:
    """Generate, run, and compare."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--gazetteer", type=Path, required=True, help="folder of gazetteer files")
    parser.add_argument("--rows", type=int, default=50_000)
    parser.add_argument("--folder", type=Path, help="keep rows and results here")
    for name in _PASSED_ON:
        parser.add_argument(name, help="as of `dedupe`")
    flags = parser.parse_args()
    end_what_was_started()
    print(machine.in_a_line(), flush=True)
    with contextlib.ExitStack() as stack:
        folder = flags.folder or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        folder.mkdir(parents=True, exist_ok=True)
        given, output = folder / "rows.csv", folder / "clusters.csv"
        rows = list(itertools.islice(places(World(gazetteer.read(flags.gazetteer))), flags.rows))
        with given.open("w", encoding="utf-8", newline="") as file:
            csv.writer(file).writerows([("place", "address"), *rows])
        given_on = ((name, getattr(flags, name[2:].replace("-", "_"))) for name in _PASSED_ON)
        chosen = [f"{name}={value}" for name, value in given_on if value is not None]
        seconds, processor, memory, told = run("dedupe", str(given), "-o", str(output), *chosen)
        print(told.strip())
        print(f"{seconds:.0f} s, {processor:.0f} s of processor time, {memory:,.0f} MB at most")
        with output.open(encoding="utf-8", newline="") as file:
            print(compared([(row["place"], row["cluster"]) for row in csv.DictReader(file)]))
    print(f"load at the end: {os.getloadavg()[0]:.1f}")


def places(world: World) -> Iterator[tuple[int, str]]:
    """Endless rows of a place's number and an address, each address once."""
    source = random.Random(_SEED)  # noqa: S311 - no secret is drawn
    known: set[str] = set()
    numbers = itertools.count()
    while True:
        place = draw_place(source, world)
        times = source.randint(1, _WRITINGS)
        writings = {write(source, place, draw_style(source, world)): None for _ in range(times)}
        others = [
            other
            for _, other, relation in (minimal_pair(source, world, place) for _ in range(_OTHERS))
            if TARGETS[relation][2] >= _SURE and relation not in _AREAS
        ]
        for group in (writings, *([other] for other in others)):
            number = next(numbers)
            for address in group:
                if address not in known:
                    known.add(address)
                    yield number, address


def compared(rows: list[tuple[str, str]]) -> str:
    """What clusters are worth.

    Args:
        rows: Place and cluster of each.
    """
    true, found, both = (
        sum(count * (count - 1) // 2 for count in Counter(keys).values())
        for keys in ([p for p, _ in rows], [c for _, c in rows], rows)
    )
    mixed: dict[str, Counter[str]] = defaultdict(Counter)
    for place, cluster in rows:
        mixed[cluster][place] += 1
    wrong = [places.total() for places in mixed.values() if len(places) > 1]
    sizes = Counter(Counter(place for place, _ in rows).values())
    return (
        f"{len(rows):,} rows, places by their number of writings: {dict(sorted(sizes.items()))}\n"
        f"pairs of rows: precision {both / max(1, found):.3f}, recall {both / max(1, true):.3f}; "
        f"{len(wrong):,} clusters mix places, the largest of {max(wrong, default=0)} rows"
    )


if __name__ == "__main__":
    main()
