"""A labelled file, and a model that answers it without any weights."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

from service.bulk import columns
from service.bulk.tables import Chunk, Result
from service.evaluation import command
from service.http.schemas import Limits
from service.settings import Settings

ANSWERS = {
    "甲": Result(0.95, "exact_match", 0.9, 0.1, 0.0, False, 0.0),
    "乙": Result(0.45, "partial_match", 0.1, 0.7, 0.2, False, 0.0),
    "丙": Result(0.1, "not_match", 0.0, 0.2, 0.8, False, 0.0),
}
"""By the first address."""

ROWS = [
    ("甲", "1", "exact_match"),
    ("甲", "2", "exact_match"),
    ("甲", "3", "not_match"),
    ("乙", "4", "partial_match"),
    ("乙", "5", "exact_match"),
    ("丙", "6", "not_match"),
    ("丙", "7", "not_match"),
    ("丙", "8", "partial_match"),
]


class FakeScorer:
    """Answers by the first address alone, three rows at a time."""

    chunk_rows = 3
    model = ("fake", "1", "none")

    def __init__(self, settings: Settings) -> None:
        pass

    def score(
        self, chunks: Iterable[Chunk], pair: tuple[int, int], report: Callable[[int], None]
    ) -> Iterator[tuple[Chunk, list[Result]]]:
        for chunk in chunks:
            read = columns.pairs(chunk, pair, Limits(512, 1))
            report(len(chunk))
            yield (
                chunk,
                [Result(error=one) if isinstance(one, str) else ANSWERS[one[0]] for one in read],
            )


def evaluate(path: Path, *flags: str) -> int:
    parser = argparse.ArgumentParser()
    command.add_flags(parser)
    return command.run(parser.parse_args([str(path), *flags]))


def csv(path: Path, rows: list[tuple[str, str, str]]) -> Path:
    lines = ["address1,address2,label", *map(",".join, rows)]
    path.write_text("\n".join(lines) + "\n", "utf-8")
    return path


def figures(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    told: dict[str, Any] = json.loads(capsys.readouterr().out)
    return told
