"""Address pairs to token ids: BertTokenizer's result, by the Rust tokenizer alone.

Importing transformers for this would cost seconds at start. That ids and type ids are those of
transformers' BertTokenizer is held by tests.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tokenizers import Tokenizer
from tokenizers.models import WordPiece
from tokenizers.normalizers import BertNormalizer
from tokenizers.pre_tokenizers import BertPreTokenizer
from tokenizers.processors import BertProcessing

CLS, SEP, UNK, MASK, PAD = "[CLS]", "[SEP]", "[UNK]", "[MASK]", "[PAD]"

_LONGEST_WORD = 100
"""BertTokenizer's max_input_chars_per_word: a longer word becomes one [UNK]."""


@dataclass(frozen=True, slots=True)
class TokenizedPair:
    """One pair as the model reads it: `[CLS] a [SEP] b [SEP]`.

    Attributes:
        ids: Token ids, special tokens included.
        first: How many of them belong to segment 0 (`[CLS] a [SEP]`); the rest to segment 1.
        truncated: Whether tokens were cut off to fit the model.
    """

    ids: list[int]
    first: int
    truncated: bool

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
        self.max_tokens = max_tokens

    def encode(self, pairs: Sequence[tuple[str, str]]) -> list[TokenizedPair]:
        """Tokenise each pair. The interpreter lock is released for the whole list."""
        return [
            TokenizedPair(
                ids=encoding.ids,
                first=len(encoding.type_ids) - sum(encoding.type_ids),
                truncated=bool(encoding.overflowing),
            )
            # The fast one leaves out which characters each token came from.
            for encoding in self._tokenizer.encode_batch_fast(list(pairs))
        ]
