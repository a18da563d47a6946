"""The vocabulary, counted from the gazetteers, and the tokenizer over it.

The tokenizer is the service's: text in its plain, simplified form, then BertTokenizer's rules. It
lower-cases, strips accents, splits Chinese per character and cuts the rest greedily into word
pieces. Full-width forms are entries of their own, for who reads the folder without that form.
Numbers up to 999 are whole entries: 135 is one token that either has its twin in the other address
or has not. Longer numbers start with such an entry and go on digit by digit.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from service.scoring.tokens import PairTokenizer
from training import words
from training.gazetteer import Gazetteer
from training.numerals import DIGITS, full_width

PAD, UNK, CLS, SEP, MASK = "[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"
SPECIAL = (PAD, UNK, CLS, SEP, MASK)
LETTERS = "abcdefghijklmnopqrstuvwxyz"
ASCII_SIGNS = "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~"
OTHER_SIGNS = "·、。，；：？！“”‘’《》〈〉「」『』【】—…～￥°№＃－（）"
MINIMUM_COUNT = 2
MAX_TOKENS = 512


def build_vocabulary(gazetteer: Gazetteer, whole_numbers: bool = True) -> list[str]:
    """The entries of vocab.txt in order; special tokens first.

    Without `whole_numbers` every number is spelled digit by digit.
    """
    counts: Counter[str] = Counter()
    for town in gazetteer.towns:
        counts.update(town.province + town.city + town.district + town.town)
    for name, _ in gazetteer.roads + gazetteer.places:
        counts.update(name)
    for name in gazetteer.communities + gazetteer.companies:
        counts.update(name)
    for letters in gazetteer.syllables.values():
        counts.update(letters)
    texts: list[str] = []
    for value in vars(words).values():
        if isinstance(value, tuple):
            texts.append(str(value))
    own = set("".join(texts)) | set(DIGITS) | set("零百千號门東西南北號樓")
    chinese = {letter for letter, count in counts.items() if count >= MINIMUM_COUNT} | own
    entries: list[str] = list(SPECIAL)
    entries += [str(number) for number in range(1000 if whole_numbers else 10)]
    entries += [f"0{digit}" for digit in range(10) if whole_numbers]
    pieces = "0123456789" + LETTERS
    entries += list(LETTERS) + ["##" + piece for piece in pieces]
    wide = full_width(pieces)
    entries += list(wide) + ["##" + piece for piece in wide]
    entries += list(ASCII_SIGNS)
    entries += list(OTHER_SIGNS + full_width(ASCII_SIGNS))
    entries += sorted(letter for letter in chinese if "\u3400" <= letter <= "\u9fff")
    entries += ["〇"]
    return list(dict.fromkeys(entries))


def write_vocabulary(entries: list[str], path: Path) -> None:
    """Write vocab.txt: one entry a line, its line number is its id."""
    path.write_text("\n".join(entries) + "\n", encoding="utf-8")


def read_vocabulary(path: Path) -> list[str]:
    """Read the entries of a vocab.txt in order."""
    return path.read_text(encoding="utf-8").splitlines()


def tokenizer(entries: list[str]) -> PairTokenizer:
    """The service's tokenizer over these entries, as `checkpoint.configuration` asks for it."""
    return PairTokenizer(
        {entry: index for index, entry in enumerate(entries)},
        lower_case=True,
        max_tokens=MAX_TOKENS,
        normalization="simplified",
        shorter_first=True,
    )
