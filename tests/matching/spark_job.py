"""What a user of Spark would run: `python -m tests.matching.spark_job FOLDER`."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

import pyarrow as pa

from benchmarks.spark import session
from service.matching import spark as mgeo
from service.matching import spark_worker as worker

ROOT = Path(__file__).parents[2]
SETTINGS = {"backend": "onnxruntime-int8", "batch_tokens": 100}


def main() -> None:
    """Score, match and dedupe a folder's tables."""
    folder = Path(sys.argv[1])
    spark = session(
        2,
        {
            "spark.sql.shuffle.partitions": "3",
            "spark.sql.files.maxPartitionBytes": "16k",  # several partitions, unlike chunks
            "spark.sql.parquet.outputTimestampType": "TIMESTAMP_MICROS",  # not INT96
        },
    )
    pairs = spark.read.parquet(str(folder / "pairs.parquet"))
    mgeo.score(pairs, **SETTINGS).write.parquet(str(folder / "spark-score.parquet"))
    rows = spark.read.parquet(str(folder / "rows.parquet"))
    matched = mgeo.match(rows, folder / "register", top=2, candidates=5, **SETTINGS)
    matched.write.parquet(str(folder / "spark-match.parquet"))
    clusters, linked = mgeo.dedupe(rows, threshold=0.4, by="probability", **SETTINGS)
    clusters.write.parquet(str(folder / "spark-dedupe.parquet"))
    linked.write.parquet(str(folder / "spark-dedupe.pairs.parquet"))
    many = spark.read.parquet(str(folder / "many.parquet"))
    found, _ = mgeo.dedupe(many, candidates=2, least_share=0.9, **SETTINGS)
    found.write.parquet(str(folder / "spark-many.parquet"))
    told = spark.range(0, 8, 1, 8).mapInArrow(_loads, "executor long, process long, loads long")
    (folder / "processes.json").write_text(json.dumps([[*row] for row in told.collect()]))
    spark.stop()


def _loads(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Which process has the task, the one that all of an executor descend from, and its models."""
    for _ in batches:
        time.sleep(0.5)  # so that no worker takes all tasks
        told = {"executor": os.getppid(), "process": os.getpid()}
        yield pa.RecordBatch.from_pylist([{**told, "loads": worker.model.cache_info().misses}])


if __name__ == "__main__":
    main()
