"""Scoring labelled pairs with a model folder, and the report."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from service.scoring.tokens import PairTokenizer
from training import metrics
from training.metrics import Floats, Ints
from training.network import Network
from training.relations import LABELS


class PairsError(Exception):
    """A file of labelled pairs cannot be used."""


@dataclass(frozen=True)
class LabelledPairs:
    """Columns of equal length; label indexes LABELS, group numbers the query."""

    address1: list[str]
    address2: list[str]
    label: Ints
    group: Ints

    def __len__(self) -> int:
        return len(self.address1)


def half_of(query_id: str) -> str:
    """A or B, by the parity of sha256(query_id): the same for everyone, for ever."""
    return "AB"[hashlib.sha256(query_id.encode()).digest()[-1] % 2]


def read_pairs(path: Path, half: str = "all") -> LabelledPairs:
    """Read JSON lines with query_id, address1, address2, label. `half`: A, B or all."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise PairsError(
            f"{path}: cannot be read: {error.strerror}; give a JSON-lines file"
        ) from error
    rows, numbers = [], {label: index for index, label in enumerate(LABELS)}
    for at, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
            rows.append(
                (str(row["query_id"]), row["address1"], row["address2"], numbers[row["label"]])
            )
        except (ValueError, KeyError, TypeError) as error:
            raise PairsError(
                f"{path}, line {at}: needs query_id, address1, address2 and a label of "
                f"{', '.join(LABELS)}; found {error!r}"
            ) from error
    if half != "all":
        rows = [row for row in rows if half_of(row[0]) == half]
    if not rows:
        raise PairsError(f"{path}: no pairs in half {half}")
    queries = {query: at for at, query in enumerate(dict.fromkeys(row[0] for row in rows))}
    return LabelledPairs(
        [row[1] for row in rows],
        [row[2] for row in rows],
        np.array([row[3] for row in rows], dtype=np.int64),
        np.array([queries[row[0]] for row in rows], dtype=np.int64),
    )


@torch.no_grad()
def score(
    network: Network,
    tokenizer: PairTokenizer,
    first: list[str],
    second: list[str],
    batch: int = 256,
) -> Floats:
    """Logits [pairs, labels]; the tokenizer makes both orders of a pair the same."""
    pairs = tokenizer.encode(list(zip(first, second, strict=True)))
    logits = np.zeros((len(pairs), len(LABELS)))
    by_length: dict[int, list[int]] = {}
    for index, pair in enumerate(pairs):
        by_length.setdefault(len(pair.ids), []).append(index)
    for length, members in by_length.items():
        for at in range(0, len(members), batch):
            rows = members[at : at + batch]
            block = torch.tensor([pairs[i].ids for i in rows])
            starts = torch.tensor([pairs[i].first for i in rows]).unsqueeze(1)
            types = torch.arange(length) >= starts
            logits[rows] = network(block, types.long()).double().numpy()
    return logits


@dataclass(frozen=True)
class Report:
    """Figures of one model on one set. Shares lie in 0..1; f1 follows LABELS."""

    pairs: int
    macro_f1: float
    interval: tuple[float, float]
    f1: tuple[float, ...]
    auc: float
    ece: float
    temperature: float
    reliability: list[tuple[float, float, int]]
    same_is_exact: float
    confusion: list[list[int]]
    guessed: tuple[float, ...]

    def lines(self) -> list[str]:
        """The report as text."""
        per_class = ", ".join(f"{n} {v:.3f}" for n, v in zip(LABELS, self.f1, strict=True))
        shares = ", ".join(f"{n} {v:.3f}" for n, v in zip(LABELS, self.guessed, strict=True))
        rows = [
            f"pairs                     {self.pairs}",
            f"macro-F1 (argmax)         {self.macro_f1:.4f}  "
            f"[{self.interval[0]:.3f}, {self.interval[1]:.3f}] 95 %, bootstrap by query",
            f"F1 by class               {per_class}",
            f"guessed shares            {shares}",
            f"AUC of 1 - P(not)         {self.auc:.4f}",
            f"ECE (10 bins)             {self.ece:.4f}",
            f"best temperature here     {self.temperature:.3f}",
            f"a == b gives exact_match  {self.same_is_exact:.4f}",
            "confusion (true rows)     "
            + " / ".join(" ".join(map(str, r)) for r in self.confusion),
            "reliability: confidence, accuracy, pairs",
        ]
        rows += [f"  {sure:.3f}  {right:.3f}  {n}" for sure, right, n in self.reliability]
        return rows


def evaluate(
    network: Network, tokenizer: PairTokenizer, data: LabelledPairs, rounds: int = 1000
) -> Report:
    """Score the pairs and a == b, and compute every figure."""
    logits = score(network, tokenizer, data.address1, data.address2)
    texts = list(dict.fromkeys(data.address1 + data.address2))
    same = score(network, tokenizer, texts, texts)
    guess = logits.argmax(1)
    probabilities = metrics.softmax(logits)
    table = metrics.confusion(data.label, guess)
    interval = metrics.bootstrap_by_group(
        data.group, lambda rows: metrics.macro_f1(data.label[rows], guess[rows]), rounds
    )
    not_match = LABELS.index("not_match")
    return Report(
        pairs=len(data),
        macro_f1=metrics.macro_f1(data.label, guess),
        interval=interval,
        f1=tuple(float(v) for v in metrics.f1_by_class(table)),
        auc=metrics.auc(data.label != not_match, 1 - probabilities[:, not_match]),
        ece=metrics.ece(probabilities, data.label),
        temperature=metrics.fit_temperature(logits, data.label),
        reliability=metrics.reliability(probabilities, data.label),
        same_is_exact=float((same.argmax(1) == 0).mean()),
        confusion=table.tolist(),
        guessed=tuple(float(v) for v in np.bincount(guess, minlength=3) / len(guess)),
    )
