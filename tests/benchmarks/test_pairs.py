"""Generated pairs: lengths of real ones, one token a character, and never the same twice."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks import pairs
from benchmarks.checkpoint import vocabulary
from benchmarks.figures import percentile
from service.scoring.tokens import PairTokenizer

BUNDLED = Path(__file__).parents[2] / "service" / "models" / "default" / "vocab.txt"


@pytest.fixture(scope="module")
def tokenizer() -> PairTokenizer:
    ids = {token: number for number, token in enumerate(vocabulary())}
    return PairTokenizer(ids, lower_case=True, max_tokens=512)


def test_lengths_in_tokens_are_those_of_real_pairs(tokenizer: PairTokenizer) -> None:
    lengths = [float(len(pair.ids)) for pair in tokenizer.encode(pairs.pairs(0, 4000))]
    for share, tokens in pairs.LENGTHS[1:-1]:
        assert percentile(lengths, share) == pytest.approx(tokens, abs=2)


def test_the_characters_are_tokens_of_the_bundled_model_and_of_the_random_one() -> None:
    assert len(set(pairs.CHARACTERS)) == 64
    assert set(pairs.CHARACTERS) <= set(BUNDLED.read_text("utf-8").split("\n"))
    assert set(pairs.CHARACTERS) <= set(vocabulary())


def test_the_random_vocabulary_is_as_large_as_berts_and_repeats_nothing() -> None:
    assert len(vocabulary()) == len(set(vocabulary())) == 21128


@given(st.integers(0, 64**4 - 1), st.integers(0, 64**4 - 1))
def test_two_numbers_have_the_same_counter_only_if_they_are_equal(one: int, other: int) -> None:
    assert (pairs.counter(one) == pairs.counter(other)) == (one == other)


def test_the_counter_ends_with_an_error() -> None:
    with pytest.raises(ValueError, match="16777216"):
        pairs.counter(64**4)


def _document(request: bytes) -> dict[str, object]:
    head, content = request.split(b"\r\n\r\n", 1)
    assert f"Content-Length: {len(content)}".encode() in head
    document: dict[str, object] = json.loads(content)
    return document


def test_no_request_repeats_a_pair() -> None:
    following = pairs.requests("here", "/predict/batch", "batch", 3, first=4090, distinct=2)
    seen = []
    for _ in range(20):
        sent = _document(following())["pairs"]
        assert isinstance(sent, list)
        seen += [(pair["address1"], pair["address2"]) for pair in sent]
    assert len(set(seen)) == 60
    assert seen[10][0].startswith(pairs.counter(4100))


def test_each_kind_of_body_carries_its_pair() -> None:
    one, other = pairs.pair(7)
    single = json.loads(pairs.body("single", [(one, other)]))
    assert single == {"address1": one, "address2": other}
    assert json.loads(pairs.body("batch", [(one, other)])) == {"pairs": [single]}
    rerank = json.loads(pairs.body("rerank", [(one, other)]))
    assert rerank == {"query": one, "documents": [other]}
