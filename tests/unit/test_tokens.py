"""The tokenizer is transformers' BertTokenizer, without its cost and without its injection."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from transformers import BertTokenizer

from service.scoring import checkpoint
from service.scoring.tokens import CLS, MASK, PAD, SEP, UNK, PairTokenizer, TokenizedPair
from tests.conftest import TINY, examples

VOCABULARY = checkpoint.read(TINY).vocabulary
SPECIAL = {VOCABULARY[token] for token in (CLS, SEP, MASK, PAD)}
REFERENCE = BertTokenizer.from_pretrained(TINY)

LENGTHS = (5, 6, 7, 16, 128, 512)
OURS = {n: PairTokenizer(VOCABULARY, lower_case=True, max_tokens=n) for n in LENGTHS}
PARITY = {
    n: PairTokenizer(VOCABULARY, lower_case=True, max_tokens=n, literal_special_tokens=False)
    for n in LENGTHS
}


def reference(first: str, second: str, length: int) -> tuple[list[int], list[int]]:
    encoded = REFERENCE(first, second, truncation=True, max_length=length)
    return encoded["input_ids"], encoded["token_type_ids"]


def types(pair: TokenizedPair) -> list[int]:
    return [0] * pair.first + [1] * (len(pair.ids) - pair.first)


def rows(golden: dict[str, Any], run: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = golden["runs"][run]["rows"]
    assert len(found) == 22
    return found


@pytest.mark.parametrize(("run", "length"), [("default", 512), ("seq128_nopad", 128)])
def test_the_golden_pairs(golden: dict[str, Any], run: str, length: int) -> None:
    for row in rows(golden, run):
        [pair] = PARITY[length].encode([(row["a"], row["b"])])
        assert (pair.ids, types(pair)) == (row["input_ids"], row["token_type_ids"]), row["a"]
        assert (pair.ids, types(pair)) == reference(row["a"], row["b"], length)


@pytest.mark.parametrize("length", [128, 512])
def test_the_golden_pairs_without_injection(golden: dict[str, Any], length: int) -> None:
    for row in rows(golden, "default"):
        text = row["a"] + row["b"]
        if not any(token in text for token in (CLS, SEP, MASK, PAD, UNK)):
            [pair] = OURS[length].encode([(row["a"], row["b"])])
            assert (pair.ids, types(pair)) == reference(row["a"], row["b"], length)


# What an address may hold: the vocabulary's own characters, and what tokenizers trip over.
_KNOWN = sorted({token for token in VOCABULARY if len(token) == 1})
_ODD = [
    *"０９ＡｚＦ（）－　，。、·—～",  # full-width, which is not folded
    *"ÀéïÖüñçßİıſΣσςǅ",  # accents and letters whose lower case is longer or shorter
    *"\0\t\n\r\x0b\x0c\x1c\x7f\x80\x85\xa0\xad",  # controls and their spaces
    *"\u200b\u200c\u200d\u200e\u2028\u2029\u202e\u2060\u3000\ufeff\ufffd\ufffe",
    *"\u0300\u0301\u0327\u093f\u0e33\u1100\u1161\uac00",  # marks that combine
    *"😀👨\U0001f3fd\U0001f468\U0001f1e8\ufe0f\u20e3",  # emoji and what joins them
    *"㐀䶵\U00020000\U0002a6df\U0002f800\uf900",  # the ideographs' other blocks
    *"\U000e0001\U000f0000\U0010ffff\ue000",  # tags and private use
]  # fmt: skip
TEXT = st.lists(
    st.sampled_from(_KNOWN)
    | st.sampled_from(_ODD)
    | st.characters(codec="utf-8")
    | st.text("0123456789abcXYZ号路-#.", max_size=8),
    max_size=40,
).map("".join)


@settings(max_examples=examples(200))
# transformers takes an empty second text for none at all.
@given(first=TEXT, second=TEXT.filter(bool), length=st.sampled_from(LENGTHS))
@example(first="a" * 101, second="a" * 100, length=512)
@example(first="", second="路", length=512)
@example(first="#" * 3 + "路##路", second="[UNK", length=512)
@example(first="号" * 600, second="1", length=512)
@example(first="1", second="号" * 600, length=512)
@example(first="1 " * 300, second="号" * 300, length=128)
@example(first="1 " * 299, second="号" * 300, length=5)
def test_any_text_is_tokenized_as_transformers_does(first: str, second: str, length: int) -> None:
    special = any(token in text for text in (first, second) for token in (CLS, SEP, MASK, PAD, UNK))
    ours = PARITY if special else OURS
    [pair] = ours[length].encode([(first, second)])
    assert (pair.ids, types(pair)) == reference(first, second, length)
    whole = len(REFERENCE(first, second)["input_ids"])
    assert pair.truncated == (whole > length)
    assert len(pair.ids) == min(whole, length)


@given(
    parts=st.lists(TEXT | st.sampled_from([CLS, SEP, MASK, PAD, UNK, "[sep]", "[SEP"]), max_size=8)
)
def test_no_text_makes_a_special_token(parts: list[str]) -> None:
    text = "".join(parts)
    [pair] = OURS[512].encode([(text, text)])
    assert pair.ids[0] == VOCABULARY[CLS]
    assert pair.ids[pair.first - 1] == pair.ids[-1] == VOCABULARY[SEP]
    inside = pair.ids[1 : pair.first - 1] + pair.ids[pair.first : -1]
    assert SPECIAL.isdisjoint(inside)


@pytest.mark.parametrize("token", [CLS, SEP, MASK, PAD])
def test_a_literal_special_token_is_text_unless_asked_for(token: str) -> None:
    addresses = (f"紫萱路{token}363号", "紫萱路")
    [ours] = OURS[512].encode([addresses])
    [parity] = PARITY[512].encode([addresses])
    inside = slice(1, ours.first - 1)
    assert VOCABULARY[token] not in ours.ids[inside]
    assert VOCABULARY[token] in parity.ids[inside]


def test_the_golden_row_with_a_literal_token_shows_the_injection(golden: dict[str, Any]) -> None:
    [row] = [row for row in rows(golden, "default") if SEP in row["a"] + row["b"]]
    [parity] = PARITY[512].encode([(row["a"], row["b"])])
    [ours] = OURS[512].encode([(row["a"], row["b"])])
    assert parity.ids == row["input_ids"]
    assert parity.ids.count(VOCABULARY[SEP]) > 2
    assert ours.ids.count(VOCABULARY[SEP]) == 2


@pytest.mark.parametrize("lower", [True, False])
def test_lower_case_is_the_checkpoints_choice(lower: bool) -> None:
    ours = PairTokenizer(VOCABULARY, lower_case=lower, max_tokens=512)
    theirs = BertTokenizer.from_pretrained(TINY, do_lower_case=lower)
    pairs = [("ABC abc Àé 363", "紫萱路A座")]
    [pair] = ours.encode(pairs)
    assert pair.ids == theirs(*pairs[0])["input_ids"]


def test_pairs_keep_their_order() -> None:
    pairs = [("紫萱路" * n, "363号") for n in (3, 1, 2)]
    assert [len(pair.ids) for pair in OURS[512].encode(pairs)] == [
        len(reference(*pair, 512)[0]) for pair in pairs
    ]
    assert OURS[512].encode([]) == []


BLANKS = st.text(" \t\n\r\u3000\xa0\u2028\u200b\u200d\ufeff\0\x7f\u0301", max_size=6)


@given(first=BLANKS, second=BLANKS)
def test_blanks_are_not_readable(first: str, second: str) -> None:
    readable = [pair.is_readable for pair in OURS[512].encode([(first, "路"), ("路", second)])]
    assert readable == [False, False]


@given(first=TEXT, second=TEXT, length=st.sampled_from(LENGTHS))
def test_readable_is_that_each_address_has_a_token(first: str, second: str, length: int) -> None:
    [pair] = OURS[length].encode([(first, second)])
    each = [REFERENCE.tokenize(text) for text in (first, second)]
    if not any(token in first + second for token in (CLS, SEP, MASK, PAD, UNK)):
        assert pair.is_readable == all(each), "whatever is cut off"


@given(st.text(), st.text())
@example("文三路478号", "西湖区文三路478号")
@example("12号", "21号")
def test_the_shorter_address_first_makes_one_answer_of_both_orders(first: str, second: str) -> None:
    ours = PairTokenizer(VOCABULARY, lower_case=True, max_tokens=512, shorter_first=True)
    given_, swapped = ours.encode([(first, second), (second, first)])
    assert given_ == swapped
    assert given_ in OURS[512].encode([(first, second), (second, first)])


def test_the_given_order_is_kept_where_the_checkpoint_does_not_say_so() -> None:
    longer, shorter = "西湖区文三路478号", "文三路478号"
    first, second = OURS[512].encode([(longer, shorter), (shorter, longer)])
    assert first.first > second.first
