"""`score` on a cluster of Spark: two workers against one, in turn, on this machine.

`python -m benchmarks.spark` makes pairs, starts a cluster of one worker and one of two, three times
by turns, and prints the rows a second of each. A worker has one processor. The model is read and
warm before the clock starts; the results are made and thrown away, as Spark's `noop` does. Spark
itself, the driver and whatever else runs here share the processors with the workers.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks import machine
from benchmarks.bulk import CHUNK_ROWS, pairs
from benchmarks.processes import ROOT, end_what_was_started

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

_WORKERS = (1, 2)
_WARM_CHUNKS = 4


def main() -> None:
    """Measure by turns, or be one of the runs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=32 * CHUNK_ROWS)
    parser.add_argument("--repetitions", type=int, default=3)
    parser.add_argument("--run", nargs=2, metavar=("WORKERS", "FOLDER"), help=argparse.SUPPRESS)
    flags = parser.parse_args()
    if flags.run:
        _run(int(flags.run[0]), Path(flags.run[1]))
        return
    end_what_was_started()
    print(machine.in_a_line(), flush=True)
    rates: dict[int, list[float]] = {workers: [] for workers in _WORKERS}
    with tempfile.TemporaryDirectory() as folder:
        _write(Path(folder), flags.pairs)
        for _ in range(flags.repetitions):
            for workers in _WORKERS:
                command = [sys.executable, "-m", "benchmarks.spark", "--run", str(workers), folder]
                printed = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)  # noqa: S603
                rates[workers].append(flags.pairs / float(printed.stdout.split()[-1]))
                print(f"workers: {workers}, {rates[workers][-1]:.0f} pairs a second", flush=True)
    ratios = [two / one for one, two in zip(*rates.values(), strict=True)]
    one, two = (statistics.median(found) for found in rates.values())
    print(f"{flags.pairs:,} pairs: {one:.0f} a second with one worker, {two:.0f} with two "
          f"(medians); two to one: {', '.join(f'{ratio:.2f}' for ratio in ratios)}")  # fmt: skip
    print(f"load at the end: {os.getloadavg()[0]:.1f}")


def _write(folder: Path, count: int) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    first, second = zip(*pairs(count, seed=0), strict=True)
    pq.write_table(pa.table({"address1": first, "address2": second}), folder / "pairs.parquet")


def session(workers: int, options: Mapping[str, str] | None = None) -> SparkSession:
    """Start a cluster of Spark on this machine; each worker has one core and 1,024 MiB.

    Args:
        workers: How many.
        options: Further settings of Spark.
    """
    from pyspark.sql import SparkSession

    os.environ |= {"PYSPARK_PYTHON": sys.executable, "SPARK_LOCAL_IP": "127.0.0.1"}
    builder = (
        SparkSession.builder.master(f"local-cluster[{workers},1,1024]")
        .config("spark.driver.host", "127.0.0.1")
        .config("spark.driver.bindAddress", "127.0.0.1")
        .config("spark.ui.enabled", "false")
        .config("spark.executorEnv.PYTHONPATH", str(ROOT))
        .config(map={**(options or {})})
    )
    started = builder.getOrCreate()
    started.sparkContext.setLogLevel("ERROR")
    return started


def _run(workers: int, folder: Path) -> None:
    """Print the seconds that a cluster takes for the pairs."""
    from service.matching import spark as mgeo

    spark = session(workers)
    asked = spark.read.parquet(str(folder / "pairs.parquet")).cache()
    asked.count()
    warm = asked.limit(_WARM_CHUNKS * workers * CHUNK_ROWS)
    mgeo.score(warm).write.format("noop").mode("overwrite").save()
    begun = time.perf_counter()
    mgeo.score(asked).write.format("noop").mode("overwrite").save()
    print(time.perf_counter() - begun)
    spark.stop()


if __name__ == "__main__":
    main()
