"""Training ids are exactly what BertTokenizer gives on the same vocab.txt."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.scoring.readable import plain
from service.scoring.tokens import shorter_first
from training.full_width import wide_numbers
from training.gazetteer import Gazetteer
from training.vocabulary import (
    build_vocabulary,
    read_vocabulary,
    tokenizer,
    write_vocabulary,
)

transformers = pytest.importorskip("transformers")

SAMPLES = (
    "青州市南湖区阳光小区3栋2单元1205室",
    "Ｂ座１２０５（东门）",
    "3#楼 12-5号附1",
    "No. 105, Café Blvd",
    "KTV会所🎉(店)",
    "龘靐 \u200b空 格\t制表",
    "013800000000",
    "",
    "０１２３ａｂｃ",
    "１2３ 4５",
)


@pytest.fixture(scope="module")
def pair_of_tokenizers(tiny_gazetteer: Gazetteer, tmp_path_factory: pytest.TempPathFactory):
    path = tmp_path_factory.mktemp("vocabulary") / "vocab.txt"
    entries = build_vocabulary(tiny_gazetteer)
    write_vocabulary(entries + wide_numbers(entries), path)
    theirs = transformers.BertTokenizer(str(path), do_lower_case=True)
    return tokenizer(read_vocabulary(path)), theirs


def _expected(theirs, a: str, b: str) -> tuple[list[int], list[int]]:
    encoded = theirs(*shorter_first(plain(a), plain(b)))
    return encoded["input_ids"], encoded["token_type_ids"]


@pytest.mark.parametrize("text", SAMPLES)
def test_ids_agree_on_samples(pair_of_tokenizers, text: str) -> None:
    ours, theirs = pair_of_tokenizers
    [found] = ours.encode([(text, "青州市3栋")])
    ids, types = _expected(theirs, text, "青州市3栋")
    assert (found.ids, found.first) == (ids, types.count(0))


@given(
    st.text(alphabet="青州市0123456789０３ＡaBZé-#()（）号楼栋 ·🎉龘", min_size=1, max_size=24),
    st.text(alphabet="青州市0123456789０３ＡaBZé-#()（）号楼栋 ·🎉龘", min_size=1, max_size=24),
)
def test_ids_agree_on_any_mixture_in_either_order(pair_of_tokenizers, a: str, b: str) -> None:
    ours, theirs = pair_of_tokenizers
    ids, types = _expected(theirs, a, b)
    for found in ours.encode([(a, b), (b, a)]):
        assert (found.ids, found.first) == (ids, types.count(0))


def test_vocabulary_has_no_duplicates_and_starts_with_the_special_tokens(
    tiny_gazetteer: Gazetteer,
) -> None:
    entries = build_vocabulary(tiny_gazetteer)
    assert len(entries) == len(set(entries))
    assert entries[:5] == ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]


@pytest.mark.parametrize("number", [0, 7, 42, 135, 999])
def test_numbers_up_to_999_are_one_token(pair_of_tokenizers, number: int) -> None:
    ours, _ = pair_of_tokenizers
    [pair] = ours.encode([(str(number), str(number))])
    assert len(pair.ids) == 5


def test_full_width_digits_are_known(pair_of_tokenizers) -> None:
    _, theirs = pair_of_tokenizers
    assert (
        theirs.unk_token_id not in theirs.encode("１２３号（Ａ座）", add_special_tokens=False)[1:4]
    )
