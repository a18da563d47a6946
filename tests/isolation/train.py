"""Trains for seconds on a gazetteer of its own. A program: `build` takes the real files alone."""

from __future__ import annotations

import hashlib
from pathlib import Path

from tests.training.conftest import write_gazetteer
from training import batches, operating_point
from training.build import Sizes, build
from training.gazetteer import Source
from training.trainer import Plan


def main() -> None:
    """Write the gazetteer into the working folder, train, and write the model into `out`."""
    folder = Path("gazetteer")
    folder.mkdir()
    write_gazetteer(folder)
    sources = tuple(
        Source(path.name, hashlib.sha256(path.read_bytes()).hexdigest(), "test", "this test")
        for path in sorted(folder.iterdir())
    )
    batches.CHUNK_PAIRS = 2048
    operating_point.PAIRS = 400
    plan = Plan(pairs=1500, batch=16, threads=2, seed=4)
    build(folder, Path("out"), plan, Sizes(24, 2, 2, 32), sources=sources)


if __name__ == "__main__":
    main()
