"""Address pairs to token ids: BertTokenizer's result, by the Rust tokenizer alone.

Importing transformers for this would cost seconds at start. That ids and type ids are those of
transformers' BertTokenizer is held by tests.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple, get_args

from tokenizers import Encoding, Tokenizer
from tokenizers.models import WordPiece
from tokenizers.normalizers import BertNormalizer
from tokenizers.pre_tokenizers import BertPreTokenizer
from tokenizers.processors import BertProcessing

from service.scoring.readable import plain

CLS, SEP, UNK, MASK, PAD = "[CLS]", "[SEP]", "[UNK]", "[MASK]", "[PAD]"

Normalization = Literal["none", "nfkc", "simplified"]
"""What is done to a text before it is tokenised: nothing; compatibility forms and look-alikes in
their plain form (`readable.plain`); that, and traditional characters as simplified ones."""

NORMALIZATIONS: tuple[Normalization, ...] = get_args(Normalization)

_LONGEST_WORD = 100
"""BertTokenizer's max_input_chars_per_word: a longer word becomes one [UNK]."""


_STAND_INS: Final = frozenset("?*\ufffd□■▯〓")
"""What stands for a character that an encoding, a font or a mask has taken away."""

_NEVER_LOST: Final = re.compile(
    "[^\t\n\r !-)+->@-~\u00a0-\u02ff\u2000-\u206f\u3000-\u3012\u3014-\u3029"
    "\u3400-\u4db5\u4e00-\u9fa5\uff01-\uff5e]"
)
"""Finds the characters that a tokenizer may drop without a trace, and `_STAND_INS`."""


def shorter_first(first: str, second: str) -> tuple[str, str]:
    """The two addresses in an order that does not depend on which came first."""
    return min((first, second), (second, first), key=lambda pair: (len(pair[0]), pair))


@dataclass(frozen=True, slots=True)
class TokenizedPair:
    """One pair as the model reads it: `[CLS] a [SEP] b [SEP]`.

    Attributes:
        ids: Token ids, special tokens included.
        first: How many of them belong to segment 0 (`[CLS] a [SEP]`); the rest to segment 1.
        truncated: Whether tokens were cut off to fit the model.
        unread: Share of the characters of an address that the model cannot read, the larger one of
            both addresses, from 0 to 1; blanks and what is invisible do not count.
        unread_differs: Whether these characters are others in one address than in the other.
        never_exact: Whether exact_match is ruled out by that. Not where text is read as ModelScope
            reads it, without normalization: answers are the published model's then.
    """

    ids: list[int]
    first: int
    truncated: bool
    unread: float = 0.0
    unread_differs: bool = False
    never_exact: bool = False

    @property
    def is_readable(self) -> bool:
        """Whether each address has at least one token: blanks and control characters have none."""
        return self.first > 2 and len(self.ids) - self.first > 1


class PairTokenizer:
    """Tokenises pairs with a checkpoint's vocabulary. Safe to share between threads.

    Args:
        vocabulary: Token to id. Must hold [CLS], [SEP], [UNK] and [PAD].
        lower_case: Whether the checkpoint was trained on lower-cased text.
        max_tokens: Longest result; tokens are cut from the longer address first.
        normalization: What is done to a text before that.
        shorter_first: Whether the shorter text becomes segment 0, whichever came first, as a
            checkpoint may have been trained. (a, b) and (b, a) then have one answer.
        literal_special_tokens: Whether a literal `[SEP]` in an address is text. False is what
            ModelScope's pipeline does, and lets an address forge the pair's structure; it exists
            to compare with that pipeline.
    """

    def __init__(
        self,
        vocabulary: dict[str, int],
        *,
        lower_case: bool,
        max_tokens: int,
        normalization: Normalization = "none",
        shorter_first: bool = False,
        literal_special_tokens: bool = True,
    ) -> None:
        tokenizer = Tokenizer(
            WordPiece(vocabulary, unk_token=UNK, max_input_chars_per_word=_LONGEST_WORD)
        )
        tokenizer.normalizer = BertNormalizer(lowercase=lower_case)
        tokenizer.pre_tokenizer = BertPreTokenizer()
        tokenizer.post_processor = BertProcessing((SEP, vocabulary[SEP]), (CLS, vocabulary[CLS]))
        if not literal_special_tokens:
            tokenizer.add_special_tokens([t for t in (CLS, SEP, UNK, MASK, PAD) if t in vocabulary])
        # Set once: changing it while another thread encodes raises "Already borrowed".
        tokenizer.enable_truncation(max_tokens, strategy="longest_first")
        self._tokenizer = tokenizer
        self._unknown = vocabulary[UNK]
        self._normalize = _normalizer(normalization, vocabulary)
        self._shorter_first = shorter_first
        self.max_tokens = max_tokens
        self.normalization = normalization

    def encode(self, pairs: Sequence[tuple[str, str]]) -> list[TokenizedPair]:
        """Tokenise each pair. The interpreter lock is released for the whole list."""
        normalize = self._normalize
        texts = [(normalize(a), normalize(b)) for a, b in pairs] if normalize else list(pairs)
        if self._shorter_first:
            texts = [shorter_first(*pair) for pair in texts]
        return [
            self._pair(pair, encoding)
            # The fast one leaves out which characters each token came from.
            for pair, encoding in zip(texts, self._tokenizer.encode_batch_fast(texts), strict=True)
        ]

    def _pair(self, texts: tuple[str, str], encoding: Encoding) -> TokenizedPair:
        ids = encoding.ids
        first = len(encoding.type_ids) - sum(encoding.type_ids)
        truncated = bool(encoding.overflowing)
        if self._unknown not in ids and not any(map(_may_be_lost, texts)):
            return TokenizedPair(ids, first, truncated)
        one, other = self._unread(texts, truncated=truncated)
        differs = one.characters != other.characters
        return TokenizedPair(
            ids,
            first,
            truncated,
            unread=max(one.share, other.share),
            unread_differs=differs,
            never_exact=differs and self._normalize is not None,
        )

    def _unread(self, texts: tuple[str, str], *, truncated: bool) -> list[_Unread]:
        """What is not read of each text, by where its tokens came from."""
        encoding = self._tokenizer.encode(*texts)
        found = list(zip(encoding.sequence_ids, encoding.ids, encoding.offsets, strict=True))
        result = []
        for sequence, text in enumerate(texts):
            ends = [stop for of, _, (_, stop) in found if of == sequence]
            known = [span for of, token, span in found if of == sequence and token != self._unknown]
            end = max(ends, default=0) if truncated else len(text)
            result.append(_unread_of(text, known, end))
        return result


def _normalizer(
    normalization: Normalization, vocabulary: dict[str, int]
) -> Callable[[str], str] | None:
    if normalization == "none":
        return None
    if normalization == "nfkc":
        return plain
    # Imported where it is needed: most models do not.
    from service.scoring import simplified

    table = simplified.table(vocabulary)
    traditional = re.compile(f"[{''.join(table)}]") if table else re.compile("(?!)")

    def simplify(text: str) -> str:
        text = plain(text)
        if traditional.search(text) is None:
            return text
        return traditional.sub(lambda found: table[found[0]], text)

    return simplify


class _Unread(NamedTuple):
    """What is not read of one text.

    Attributes:
        share: Of its characters, from 0 to 1; blanks and what is invisible do not count.
        characters: These characters, in order and lower case.
    """

    share: float
    characters: str


_NOTHING: Final = _Unread(0.0, "")


def _may_be_lost(text: str) -> bool:
    """Whether a character could be lost that no unknown token tells of. Takes one search."""
    return _NEVER_LOST.search(text) is not None


def _unread_of(text: str, spans: list[tuple[int, int]], end: int) -> _Unread:
    """What is not read of a text.

    Args:
        text: As the tokenizer was given it.
        spans: Start and end of each token that the vocabulary has, in characters.
        end: Where the model's view of the text ends; what was cut off does not count.
    """
    read = {at for start, stop in spans for at in range(start, stop)}
    lost: list[str] = []
    visible = 0
    for at, char in enumerate(text[:end]):
        category = unicodedata.category(char)
        if category[0] == "Z" or category in ("Cc", "Cf"):
            continue
        if category[0] == "M":
            # Without the vowel sign of a letter that is not read two words would be one.
            lost += [char] if lost and at - 1 not in read else []
            continue
        visible += 1
        # A private or unassigned character is dropped, also within the span of a token.
        if at not in read or char in _STAND_INS or category in ("Co", "Cn"):
            lost.append(char)
    return _Unread(min(1.0, len(lost) / visible), "".join(lost).lower()) if lost else _NOTHING
