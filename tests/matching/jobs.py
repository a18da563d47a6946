"""Runs `match` and `dedupe` by a scorer without a model, and reads what they wrote."""

from __future__ import annotations

import argparse
import csv
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pytest

from service.bulk.job import BulkJob
from tests.bulk.jobs import FakeScorer


def run(
    job: Callable[[argparse.Namespace], BulkJob],
    add_flags: Callable[[argparse.ArgumentParser], None],
    words: Sequence[str | Path],
    scorer: FakeScorer,
) -> FakeScorer:
    """Run a job as its command line says, by a scorer, and return that."""
    parser = argparse.ArgumentParser()
    add_flags(parser)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(BulkJob, "_scorer", lambda self, note, stack: scorer)
        job(parser.parse_args([str(word) for word in words])).run()
    return scorer


def rows(path: Path) -> list[Mapping[str, str]]:
    """The rows of a CSV file."""
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))
