"""The model in this process: batches, and pairs that it fails on."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest

from service.bulk.local import LocalScorer
from service.bulk.tables import Result, Rows
from service.errors import BulkError
from service.scoring.backends import Probabilities
from service.scoring.tokens import TokenizedPair
from service.settings import Settings
from tests.conftest import TINY

PAIRS = [(f"紫萱路{n}号{'人' * (n % 23)}", "紫萱路") for n in range(60)]
FAULTY = ("力社保局", "紫萱路")


@pytest.fixture(scope="module")
def scorer() -> LocalScorer:
    return LocalScorer(
        Settings(model=str(TINY), backend="openvino-f32", cpu_threads=1, batch_tokens=100)
    )


def _score(scorer: LocalScorer, pairs: Sequence[tuple[str, str]]) -> list[Result]:
    done: list[int] = []
    rows = [list[object](pair) for pair in pairs]
    [(_, results)] = scorer.score(iter([Rows(rows, {})]), (0, 1), done.append)
    assert sum(done) == len(pairs)
    return results


def test_results_are_in_the_order_of_the_rows_and_batches_within_the_budget(
    scorer: LocalScorer, monkeypatch: pytest.MonkeyPatch
) -> None:
    predict: Callable[[Sequence[TokenizedPair]], Probabilities] = scorer._model.backend.predict
    alone = [_score(scorer, [pair])[0] for pair in PAIRS]
    tokens: list[int] = []

    def watched(pairs: Sequence[TokenizedPair], stream: int | None) -> Probabilities:
        tokens.append(sum(len(pair.ids) for pair in pairs))
        return predict(pairs)

    monkeypatch.setattr(scorer._model.backend, "predict", watched)
    together = _score(scorer, PAIRS)
    for one, other in zip(together, alone, strict=True):
        assert (one.label, one.truncated) == (other.label, other.truncated)
        assert one.similarity == pytest.approx(other.similarity, abs=2e-6)
    assert max(tokens) <= 100
    assert len(tokens) <= 1.2 * sum(tokens) / 100


def test_a_pair_that_the_model_fails_on_fails_alone(
    scorer: LocalScorer, monkeypatch: pytest.MonkeyPatch
) -> None:
    predict = scorer._model.backend.predict
    [faulty] = scorer._model.tokenizer.encode([FAULTY])

    def failing(pairs: Sequence[TokenizedPair], stream: int | None) -> Probabilities:
        if any(pair.ids == faulty.ids for pair in pairs):
            raise RuntimeError("no")
        return predict(pairs)

    monkeypatch.setattr(scorer._model.backend, "predict", failing)
    results = _score(scorer, [*PAIRS[:20], FAULTY, *PAIRS[20:]])
    assert results.pop(20) == Result(error="the model failed on this pair")
    assert all(result.error is None for result in results)


def test_a_model_that_fails_on_every_pair_ends_the_run(
    scorer: LocalScorer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(pairs: Sequence[TokenizedPair], stream: int | None) -> Probabilities:
        raise RuntimeError("no")

    monkeypatch.setattr(scorer._model.backend, "predict", failing)
    with pytest.raises(BulkError, match=r"fails on every pair \(RuntimeError\); the same command"):
        _score(scorer, PAIRS)


def test_a_row_tells_what_is_not_read_and_what_is_no_address() -> None:
    reader = LocalScorer(
        Settings(model=str(TINY), backend="openvino-f32", cpu_threads=1, normalize="simplified")
    )
    pairs = [
        ("建国路１号", "建国路1號"),
        ("建国路🏥", "建国路🏫"),
        ("无", "无"),
        ("建国路1号", "#N/A"),
        ("ул. Ленина, 5", "пр. Мира, 5"),
    ]
    read, rare, nothing, excel, foreign = _score(reader, pairs)
    assert (read.unread, rare.unread) == (0, 0.25)
    assert rare.exact_match == 0
    for row, fault in ((nothing, "address1 is a"), (excel, "address2 is a"), (foreign, "73%")):
        assert row.label is None
        assert row.error is not None
        assert row.error.startswith(fault)
    assert reader.identity["setting"]["normalize"] == "simplified"  # type: ignore[index]
