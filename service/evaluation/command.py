"""The command `evaluate`: reads a file of labelled pairs and reports the model's figures."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from service import console, settings
from service.bulk import inputs
from service.bulk.columns import FIELDS
from service.bulk.command import MODEL_SETTINGS, NOTHING_KEPT, number, run_to_the_end
from service.bulk.formats import FORMATS
from service.bulk.tables import decoded
from service.errors import BulkError
from service.evaluation.labels import EXAMPLE

if TYPE_CHECKING:
    from service.bulk.tables import Chunk, Result, Source
    from service.evaluation.accumulator import Accumulator, Mistake
    from service.scoring.checkpoint import Label

_OUTPUTS = {"picture": ".svg", "errors": ".jsonl"}
"""Flags that name an output file, and the only suffix that says what is in it."""

_NO_LABEL_AFTER = 1000
"""Rows in which to look for a known label, before the model is asked."""


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Add the flags of `evaluate`."""
    parser.add_argument("input", metavar="FILE", help=f"labelled pairs ({', '.join(FORMATS)})")
    group = parser.add_argument_group("reading")
    for place, name in enumerate((*FIELDS, "label"), 1):
        group.add_argument(
            f"--{name}",
            metavar="COLUMN",
            help=f"column of {name}, by name or number from 1 [{name}; {place} with --no-header]",
        )
    inputs.add_flags(group.add_argument)
    group.add_argument(
        "--labels",
        metavar="NAMES",
        help=f"what the file calls the labels, as in {EXAMPLE}; several names of one label are "
        "separated by |; they add to the known names [exact_match, 完全匹配, yes and others]",
    )
    add = parser.add_argument_group("results").add_argument
    add("--precision", type=_share, nargs="+", default=[0.95], metavar="SHARE",
        help="find the lowest threshold with this precision [0.95]")  # fmt: skip
    add("--format", choices=("text", "json", "markdown"), default="text",
        help="format of the report; markdown has the table of thresholds only [text]")  # fmt: skip
    add("--picture", type=Path, metavar="FILE.svg", help="draw the curves into this file")
    add("--errors", type=Path, metavar="FILE.jsonl",
        help="write the worst mistakes, with their addresses, into this file")  # fmt: skip
    add(
        "--worst",
        type=number(int, 1, 1_000_000),
        default=20,
        metavar="INT",
        help="how many mistakes [20]",
    )
    add("--force", action="store_true", help="replace these files if they exist")
    settings.add_flags(parser.add_argument_group("the model"), *MODEL_SETTINGS)


def run(flags: argparse.Namespace) -> int:
    """Evaluate a model on a file.

    Returns:
        The exit status.

    Raises:
        OperatorError: It cannot start, or cannot continue.
    """
    return run_to_the_end(lambda: _evaluate(flags), lambda: NOTHING_KEPT)


def _evaluate(flags: argparse.Namespace) -> None:
    from service.bulk import formats
    from service.bulk.local import LocalScorer
    from service.bulk.progress import Progress
    from service.evaluation import labels, picture, report
    from service.evaluation.accumulator import Accumulator

    formatted: Mapping[str, Callable[[dict[str, Any]], str]] = {
        "text": report.text,
        "json": lambda summary: json.dumps(summary, ensure_ascii=False, indent=2),
        "markdown": report.threshold_table,
    }
    known = labels.names(flags.labels)
    name, reading = inputs.reading(flags)
    _check_outputs(flags, reading.path)
    totals = Accumulator(flags.worst if flags.errors else 0)
    with contextlib.closing(formats.open_source(name, reading)) as source:
        *pair, label = _columns(flags, source)
        progress = Progress(flags.input, source.count())
        if source.notice:
            progress.note(source.notice)
        scorer = LocalScorer(settings.load(flags))
        with progress:
            chunks = _labelled(source.chunks(scorer.chunk_rows), label, known, flags.input)
            for chunk, results in scorer.score(chunks, (pair[0], pair[1]), progress.advance):
                _count(totals, chunk, results, (pair[0], pair[1], label), known)
    if not totals.pairs:
        why = _bad(totals) or "there is none"
        raise BulkError(f"{flags.input}: no row has a score and a label: {why}")
    model = dict(zip(("name", "version", "backend"), scorer.model, strict=True))
    summary = report.document(totals, model, flags.precision)
    console.show(formatted[flags.format](summary))
    if flags.picture:
        title = f"macro-F1 {summary['macro_f1']:.3f} on {totals.pairs:,} pairs"
        subtitle = f"{Path(flags.input).name}; {', '.join(scorer.model)}"
        flags.picture.write_text(picture.svg(totals, title, subtitle), "utf-8")
    if flags.errors:
        flags.errors.write_text("".join(map(_line, totals.worst())), "utf-8")
    if totals.bad:
        progress.note(f"rows that count for nothing: {totals.bad:,}: {_bad(totals)}")


def _count(
    totals: Accumulator,
    chunk: Chunk,
    results: Sequence[Result],
    columns: tuple[int, int, int],
    known: Mapping[str, Label],
) -> None:
    from service.evaluation import labels

    first, second, label = (map(decoded, chunk.values(column)) for column in columns)
    truth = [labels.label_of(cell, known) for cell in label]
    totals.add(truth, results, list(zip(first, second, strict=True)))


def _labelled(
    chunks: Iterable[Chunk], column: int, known: Mapping[str, Label], name: str
) -> Iterator[Chunk]:
    """The chunks, none before a known label was found: a large model takes minutes for some."""
    from service.evaluation import labels

    held: list[Chunk] = []
    rows, found = 0, False
    for chunk in chunks:
        held.append(chunk)
        rows += len(chunk)
        cells = map(decoded, chunk.values(column))
        found = found or any(labels.label_of(cell, known) for cell in cells)
        if found:
            yield from held
            held.clear()
        elif rows >= _NO_LABEL_AFTER:
            break
    if held:
        raise BulkError(
            f"{name}: the labels of the first {rows:,} rows have no known names: say what they "
            f"are called, as in {labels.EXAMPLE}, or name their column by --label"
        )


def _columns(flags: argparse.Namespace, source: Source) -> list[int]:
    fields = (*FIELDS, "label")
    defaults = fields if source.has_header else ("1", "2", "3")
    found = [
        source.column(getattr(flags, name) or default, f"--{name}", must_be_text=name in FIELDS)
        for name, default in zip(fields, defaults, strict=True)
    ]
    if len(set(found)) < len(found):
        raise BulkError("--address1, --address2 and --label name the same column twice")
    return found


def _check_outputs(flags: argparse.Namespace, source: Path | None) -> None:
    for flag, suffix in _OUTPUTS.items():
        path: Path | None = getattr(flags, flag)
        if path is None:
            continue
        if path.suffix.lower() != suffix:
            raise BulkError(f"--{flag} {path}: its name must end in {suffix}, its format")
        if source and path.exists() and path.samefile(source):
            raise BulkError(f"--{flag} would overwrite the input; name another file")
        if path.exists() and not flags.force:
            raise BulkError(f"{path} exists; give --force to replace it")
        if not path.parent.is_dir():
            raise BulkError(f"--{flag}: there is no folder {path.parent}")
        if path.is_dir():
            raise BulkError(f"--{flag}: {path} is a folder; name a file")
        if not os.access(path if path.exists() else path.parent, os.W_OK):
            raise BulkError(f"--{flag}: {path} cannot be written; name another file")


def _bad(totals: Accumulator) -> str:
    """The first bad rows by reason."""
    by_reason: dict[str, list[str]] = {}
    for row, reason in totals.first_bad:
        by_reason.setdefault(reason, []).append(str(row))
    listed = "; ".join(
        f"row{'s' if len(rows) > 1 else ''} {', '.join(rows)}: {reason}"
        for reason, rows in by_reason.items()
    )
    return listed + ("; ..." if totals.bad > len(totals.first_bad) else "")


def _line(mistake: Mistake) -> str:
    result = mistake.result
    summary: dict[str, Any] = {
        "row": mistake.row,
        **dict(zip(FIELDS, mistake.addresses, strict=True)),
        "label": mistake.label,
        "answered": result.label,
        "similarity": result.similarity,
        "probability_of_label": mistake.probability,
    }
    return json.dumps(summary, ensure_ascii=False) + "\n"


def _share(text: str) -> float:
    try:
        value = float(text)
    except ValueError:  # the flag takes several, and so the file behind them
        raise argparse.ArgumentTypeError(
            f"{text!r}: must be a number; the name of FILE goes before this flag"
        ) from None
    if not 0 < value <= 1:
        raise argparse.ArgumentTypeError(f"{text!r}: must be above 0 and at most 1")
    return value
