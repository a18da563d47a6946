"""`score`, `match` and `dedupe` as functions of Spark's DataFrames: docs/spark.md.

The last digit of a result can depend on which pairs share a batch. So rows are numbered, and each
partition holds the same chunks as a run on one machine. The results are then identical, and in the
order of the input.
"""

from __future__ import annotations

import argparse
import itertools
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from pyspark.sql import DataFrame
from pyspark.sql import functions as f
from pyspark.sql import types as t

from service import settings
from service.bulk import columns
from service.bulk.columns import FIELDS
from service.bulk.command import MODEL_SETTINGS
from service.bulk.progress import Progress
from service.bulk.tables import RESULT_TYPES, Result, Rows, batched
from service.errors import BulkError
from service.http.schemas import Limits
from service.matching import spark_worker as worker
from service.matching.choice import LEAST_SHARE, SIMILARITY, Choice
from service.matching.clusters import clusters
from service.matching.dedupe_job import (
    DUPLICATES,
    Clustered,
    DedupeJob,
    address_of_row,
    notices,
    of_row,
)
from service.matching.matcher import fields
from service.matching.pairs import PAIR
from service.matching.reach import LeftOut, Reach
from service.matching.same_texts import firsts
from service.matching.spark_worker import Work
from service.matching.table import ADDRESS, fault_of
from service.retrieval import files
from service.retrieval.register import CANDIDATES, Entry
from service.settings import Settings

_NUMBER = "mgeo row number"
_RESULT = dict(zip(Result._fields, RESULT_TYPES, strict=True))
_CLUSTER = dict(zip(Clustered._fields, DedupeJob.result_types, strict=True))
_TYPES = {float: t.DoubleType(), str: t.StringType(), bool: t.BooleanType(), int: t.LongType()}

_CHUNKS = 16
"""Most chunks in a partition. A worker holds a partition in memory; if it is lost, the partition is
computed again."""

_TASKS = 4
"""Partitions for each core of the cluster, if there are enough chunks."""


def score(
    pairs: DataFrame,
    *,
    address1: str = FIELDS[0],
    address2: str = FIELDS[1],
    prefix: str = "",
    **model: object,
) -> DataFrame:
    """Append the columns of `score`; rows keep their order.

    Args:
        pairs: Rows with two columns of text.
        address1: Name of the first.
        address2: Name of the second.
        prefix: Put before the names of the appended columns.
        model: Settings of the model, such as `model` and `backend`.

    Raises:
        OperatorError: A column is missing, holds no text or exists already; or a setting is
            unknown or invalid.
    """
    work = Work(_settings(model))
    return _scored(*_numbered(pairs), (address1, address2), work, _named(_RESULT, prefix))


def match(
    left: DataFrame,
    register: str | Path,
    *,
    address: str = ADDRESS,
    top: int = 1,
    threshold: float | None = None,
    by: str = SIMILARITY,
    candidates: int = CANDIDATES,
    prefix: str = "",
    **model: object,
) -> DataFrame:
    """Append the columns of `match`; rows keep their order.

    Args:
        left: Rows with a column of text.
        register: Directory that `index build` wrote, on the driver. It is sent to the workers.
        address: Name of the column.
        top: Most answers for a row, 1 or more.
        threshold: Lowest similarity of an answer, from 0 to 1; None to decide by label.
        by: What the threshold is compared with: "similarity", or "probability", which is
            P(exact) + P(partial).
        candidates: Entries that the model compares with each row.
        prefix: Put before the names of the appended columns.
        model: Settings of the model, such as `model` and `backend`.

    Raises:
        OperatorError: The register cannot be read; or as for `score`.
    """
    if candidates < top:
        raise BulkError(f"top={top} needs as many candidates at least")
    choice, wanted = Choice(top, threshold, candidates, by=by), _settings(model)
    work = Work(wanted, worker.send(left.sparkSession.sparkContext, Path(register)), choice)
    return _scored(*_numbered(left), (address, address), work, _named(fields(top), prefix))


def dedupe(
    rows: DataFrame,
    *,
    address: str = ADDRESS,
    threshold: float | None = None,
    by: str = SIMILARITY,
    candidates: int = 10,
    least_share: float = LEAST_SHARE,
    prefix: str = "",
    **model: object,
) -> tuple[DataFrame, DataFrame]:
    """Append the columns of `dedupe`; rows keep their order.

    The model runs when this is called, not when its result is used. The workers find candidates
    and score them; the driver builds the register of the rows, and the clusters. It writes to
    standard error what the command does: how many rows have the same text, how many comparisons
    were left out, and how many clusters were cut.

    Args:
        rows: Rows with a column of text.
        address: Name of the column.
        threshold: Lowest similarity of two rows that match, from 0 to 1; None to require the
            label exact_match.
        by: What the threshold is compared with, as for `match`.
        candidates: Rows that the model compares with each row, at most.
        least_share: Of what is rare in a row, that another must have to be compared with it.
        prefix: Put before the names of the appended columns.
        model: Settings of the model, such as `model` and `backend`.

    Returns:
        The rows with their clusters, and the pairs that match.

    Raises:
        OperatorError: No row has an address; or as for `score`.
    """
    work, spark = Work(_settings(model)), rows.sparkSession
    limit = work.settings.max_address_chars
    choice = Choice(threshold=threshold, candidates=candidates, labels=DUPLICATES, by=by)
    names = _named(_CLUSTER, prefix)
    column, schema = _place(rows, address), _extended(rows.schema, names)
    numbered, count = _numbered(rows.persist())
    same: dict[int, list[int]] = {}
    with tempfile.TemporaryDirectory(prefix="mgeo-register-") as folder:
        cells = numbered.select(rows.columns[column]).toLocalIterator()
        _, size = files.write(Path(folder), firsts(_entries(cells, limit), same))
        register = worker.send(spark.sparkContext, Path(folder))
    reach = Reach(candidates, least_share)
    near = spark.range(size).mapInArrow(
        partial(worker.near, register, reach),
        _extended(t.StructType(), dict.fromkeys(worker.NEAR, int)),
    )
    near.persist()
    [left_out] = near.agg(*map(f.sum, LeftOut._fields)).collect()
    # A pair that both of its rows find stands where a run on one machine would meet it first.
    pairs = near.dropna(subset=["first"]).groupBy("first", "second")
    once = pairs.agg(f.min(f.struct("at", "rank")).alias("found"))
    ordered, total = _numbered(once.orderBy("found").select("first", "second").persist())
    near.unpersist()
    texts = ordered.mapInArrow(
        partial(worker.texts, register), _extended(t.StructType(), {**PAIR, _NUMBER: int})
    )
    scored = _scored(texts, total, ("address1", "address2"), work, _RESULT)
    matching = scored.mapInArrow(partial(worker.answers, choice), scored.schema).persist()
    edges = [
        (edge.row1 - 1, edge.row2 - 1, edge.similarity)
        for edge in matching.select("row1", "row2", "similarity").collect()
    ]
    made = clusters(count, edges, same, address_of_row(worker.stored(register)))
    progress = Progress("dedupe", count)
    for line in notices(same, LeftOut(*left_out), reach, made):
        progress.note(line)
    assign = partial(worker.assign, of_row(made), column, limit, names)
    return numbered.mapInArrow(assign, schema), matching


def _settings(given: Mapping[str, object]) -> Settings:
    for name in given:
        if name not in MODEL_SETTINGS:
            raise BulkError(f"{name} is no setting of the model: {', '.join(MODEL_SETTINGS)}")
    return settings.load(argparse.Namespace(**given))


def _named(results: Mapping[str, type], prefix: str) -> dict[str, type]:
    return {prefix + name: kind for name, kind in results.items()}


def _scored(
    numbered: DataFrame, count: int, addresses: tuple[str, str], work: Work, names: dict[str, type]
) -> DataFrame:
    """The rows in order; the columns of results replace the last one, the row number.

    Each partition holds whole chunks, the same ones that a run on one machine has.
    """
    rows = numbered.drop(_NUMBER)
    first, second = (_place(rows, name) for name in addresses)
    schema, spark = _extended(rows.schema, names), rows.sparkSession
    # Asked of a worker: the driver needs no model, and may have another processor.
    said = spark.range(1).mapInArrow(partial(worker.describe, work), "identity string, rows long")
    [[identity, size]] = said.collect()
    chunks = -(-count // size)
    least = _TASKS * spark.sparkContext.defaultParallelism
    parts = max(1, min(chunks, max(least, chunks // _CHUNKS)))
    ordered = numbered.repartitionByRange(parts, f.floor(f.col(_NUMBER) / size))
    score = partial(worker.score, replace(work, identity=identity), (first, second), names)
    return ordered.sortWithinPartitions(_NUMBER).mapInArrow(score, schema)


def _place(rows: DataFrame, name: str) -> int:
    if name not in rows.columns:
        raise BulkError(f"there is no column {name!r} among {', '.join(rows.columns)}")
    kind = rows.schema[name].dataType
    if not isinstance(kind, t.StringType | t.BinaryType):
        raise BulkError(f"column {name} holds {kind.simpleString()}, not text: cast it")
    return rows.columns.index(name)


def _extended(schema: t.StructType, names: Mapping[str, type]) -> t.StructType:
    for name in names:
        if name in schema.names:
            raise BulkError(f"there is a column {name} already: give a prefix")
    added = [t.StructField(name, _TYPES[kind]) for name, kind in names.items()]
    return t.StructType([*schema.fields, *added])


def _numbered(rows: DataFrame) -> tuple[DataFrame, int]:
    """Number the rows from 0, in a last column; also return how many there are."""
    part = f.spark_partition_id()
    counts = {row.part: row["count"] for row in rows.groupBy(part.alias("part")).count().collect()}
    before = [0, *itertools.accumulate(counts.get(at, 0) for at in range(max(counts, default=0)))]
    within = f.monotonically_increasing_id().bitwiseAND((1 << 33) - 1)
    return rows.withColumn(_NUMBER, f.get(f.lit(before), part) + within), sum(counts.values())


def _entries(rows: Iterator[Sequence[object]], most_chars: int) -> Iterator[Entry]:
    """Yield each row that has an address; its id is its row number from 1."""
    limits, number = Limits(most_chars), itertools.count(1)
    for part in batched(rows, 1024):
        read = columns.addresses(Rows([[*row] for row in part], {}), 0, limits, ADDRESS)
        for address in read:
            at = next(number)
            if not fault_of(address):
                yield Entry(str(at), address)
