"""What Spark's workers do, without Spark: chunks, and the pairs of `dedupe` in their order."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, cast

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.errors import BulkError
from service.matching import pairs, spark_worker
from service.matching.reach import LeftOut, Reach
from service.matching.spark_worker import Work
from service.retrieval.index import Index, build
from service.retrieval.register import Entry
from service.settings import Settings
from tests.bulk.jobs import FakeScorer, result
from tests.conftest import examples


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> FakeScorer:
    """Every process's model."""
    scorer = FakeScorer()
    monkeypatch.setattr(spark_worker, "model", lambda settings: scorer)
    return scorer


def _batch(*rows: dict[str, Any]) -> pa.RecordBatch:
    return pa.RecordBatch.from_pylist([*rows])


def test_rows_are_scored_in_chunks_whatever_batches_they_come_in(fake: FakeScorer) -> None:
    rows = [{"a": f"文三路{n}号", "keep": n, "b": f"{n}号", "number": n} for n in range(7)]
    batches = [_batch(*rows[:1]), _batch(*rows[1:6]), _batch(*rows[6:])]
    names = {"my_similarity": float, "my_label": str, "e": float, "p": float, "n": float,
             "t": bool, "u": float, "my_error": str}  # fmt: skip
    found = pa.Table.from_batches(spark_worker.score(Work(Settings()), (0, 2), names, batches))
    assert fake.scored == [3, 3, 1]
    assert found.column_names == ["a", "keep", "b", *names]
    assert found["keep"].to_pylist() == [*range(7)]
    assert found["my_similarity"].to_pylist() == [
        result((row["a"], row["b"])).similarity for row in rows
    ]


def test_a_partition_without_rows_is_nothing(fake: FakeScorer) -> None:
    assert [*spark_worker.score(Work(Settings()), (0, 1), {}, [])] == []
    assert fake.scored == []


def test_a_worker_that_would_answer_otherwise_ends_the_job(fake: FakeScorer) -> None:
    [said] = spark_worker.describe(Work(Settings()), [_batch({"id": 0})])
    [told] = said.to_pylist()
    assert told["rows"] == fake.chunk_rows
    Work(Settings(), identity=told["identity"]).scorer()
    fake.identity = {**fake.identity, "setting": {"backend": "another"}}
    with pytest.raises(BulkError, match=r"workers differ.*another"):
        Work(Settings(), identity=told["identity"]).scorer()


@dataclass
class Held:
    """A register that is not on a disk."""

    addresses: Sequence[str]
    index: Index

    def __len__(self) -> int:
        return len(self.addresses)

    def entry(self, place: int) -> Entry:
        return Entry(str(place + 1), self.addresses[place])

    def candidates_with_shares(self, addresses: Sequence[str], most: int) -> list[Any]:
        return self.index.candidates_with_shares(addresses, most)


@settings(max_examples=examples(30))
@given(
    addresses=st.lists(
        st.text(st.sampled_from("文三路江南大道1289号"), min_size=1), min_size=1, max_size=12
    ),
    reach=st.builds(Reach, st.integers(1, 4), st.sampled_from([0.0, 0.4, 0.8])),
)
def test_pairs_to_compare_are_those_of_one_machine_in_its_order(
    addresses: list[str], reach: Reach
) -> None:
    register = Held(addresses, build(addresses))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("service.matching.reach._FEW", 0)
        patch.setattr(spark_worker, "stored", lambda name: register)
        places = [_batch({"id": place}) for place in range(len(addresses))]
        first: dict[tuple[int, int], tuple[int, int]] = {}
        near = _rows(spark_worker.near("", reach, places))
        for row in (row for row in near if row["first"] is not None):  # as Spark groups them
            pair, met = (row["first"], row["second"]), (row["at"], row["rank"])
            first[pair] = min(met, first.get(pair, met))
        ordered = [
            _batch({"first": one, "second": two, "number": number})
            for number, (one, two) in enumerate(sorted(first, key=lambda pair: first[pair]))
        ]
        got = [[*row.values()] for row in _rows(spark_worker.texts("", ordered))]
        left_out: list[LeftOut] = []
        told = lambda entries, without: left_out.append(without)  # noqa: E731
        expected = [*pairs.pairs(cast(Any, register), reach, told)]
    for number, name in enumerate(LeftOut._fields):
        assert sum(row[name] for row in near) == sum(one[number] for one in left_out)
    assert got == [[*row, number] for number, row in enumerate(expected)]


def _rows(batches: Iterable[pa.RecordBatch]) -> list[dict[str, Any]]:
    return [row for batch in batches for row in batch.to_pylist()]
