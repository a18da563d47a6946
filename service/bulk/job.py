"""One call of `score`, from its flags to the summary. Everything is checked before work starts."""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from service import settings
from service.bulk import explained, formats, inputs
from service.bulk.columns import FIELDS
from service.bulk.command import MODEL_SETTINGS, NOTHING_KEPT
from service.bulk.journal import Journal
from service.bulk.output import Output
from service.bulk.progress import Progress, duration
from service.bulk.run import Counts, RowScorer, run
from service.bulk.tables import RESULT_TYPES, Chunk, Reading, Result, Source, Writing
from service.errors import BulkError
from service.scoring.checkpoint import LABELS


class BulkJob:
    """A file of pairs to score. The jobs of `match` and `dedupe` are subclasses.

    Attributes:
        result: Named tuple of a row's result; its fields name the appended columns.
        result_types: Types of these fields.
        counted: The field by which the summary counts rows.
        values: The values of that field.

    Raises:
        BulkError: The flags contradict each other, or the output would overwrite a file.
    """

    result: type[Any] = Result
    result_types = RESULT_TYPES
    counted: str = "label"
    values: Sequence[str] = LABELS

    def __init__(self, flags: argparse.Namespace) -> None:
        self._flags = flags
        self._progress: Progress | None = None
        self._is_kept = False
        self._source_format, self._reading = inputs.reading(flags)
        source = self._reading.path
        sink = None if flags.output == "-" else Path(flags.output)
        text_format = self._source_format if self._source_format in formats.TEXT_FORMATS else None
        self._sink_format = formats.of(
            sink, flags.sink_format or (None if sink else text_format), "--to"
        )
        self._output = sink and Output(sink, is_replaced=flags.force, is_restarted=flags.restart)
        if source and self._output and self._output.is_at(source):
            raise BulkError("the output would overwrite the input; name another -o")
        self._check_flags()
        self._explain = explained.asked(flags)
        if self._explain is not None:
            self.result, self.result_types = explained.with_explanation(
                self.result, self.result_types
            )

    def run(self) -> None:
        """Score the file and report the summary.

        Raises:
            OperatorError: It cannot start, or cannot continue.
            OSError: A file cannot be read or written.
        """
        source = formats.open_source(self._source_format, self._reading)
        with contextlib.ExitStack() as stack:
            stack.callback(source.close)
            totals = self._score(source, stack)
            if totals:
                self._summarise(totals)

    def _score(self, source: Source, stack: contextlib.ExitStack) -> Counts | None:
        result_columns = tuple(self._flags.prefix + name for name in self.result._fields)
        formats.check_columns(self._sink_format, source, result_columns, self._reading.name)
        pair = self._columns(source)
        rows = source.count()
        snapshot = self._reading.path and _Snapshot.of(self._reading.path)
        self._progress = Progress(self._reading.name, rows)
        if source.notice:
            self._progress.note(source.notice)
        scorer = self._scorer(self._progress.note, stack)
        if self._explain is not None:
            scorer = explained.ExplainingScorer(scorer, self.result, self._seconds, self._explain)
        journal = None
        if self._output and snapshot:
            identity = {
                "input": snapshot.sha256,
                "way of reading": self._reading_options(),
                "choice of columns": pair,
                **scorer.identity,
            }
            journal = stack.enter_context(self._output.journal(identity))
            if self._output.is_done(journal):
                self._progress.note(f"{self._flags.output} is complete already")
                return None
        self._is_kept = journal is not None
        file = stack.enter_context(self._output.open()) if self._output else sys.stdout.buffer
        writing = Writing(file, self._flags.output, result_columns, self.result_types)
        stack.enter_context(self._progress)
        totals = Counts(self.counted)
        self._write(source, pair, scorer, writing, journal, self._progress, totals)
        if snapshot:
            snapshot.check(self._reading)
        file.flush()
        if self._output:
            self._output.finish(file, journal)
        return totals

    def _write(
        self,
        source: Source,
        pair: tuple[int, int],
        scorer: RowScorer[Any],
        writing: Writing,
        journal: Journal | None,
        progress: Progress,
        totals: Counts,
    ) -> None:
        sink = formats.open_sink(self._sink_format, writing, source)
        chunks = source.chunks(scorer.chunk_rows)
        run(chunks, pair, scorer, sink, journal, progress, totals, self.result)

    def standing(self) -> str:
        """How far an interrupted run came, in one line."""
        if not self._is_kept or self._progress is None:
            return NOTHING_KEPT
        return f"{self._progress.done} were done; the same command goes on"

    def _check_flags(self) -> None:
        flags = self._flags
        if self._reading.path is None and self._source_format == "jsonl" != self._sink_format:
            raise BulkError(
                "the columns of JSONL are known when all of it is read: name a file, or --to jsonl"
            )
        if flags.url:
            for name in MODEL_SETTINGS:
                if getattr(flags, name) is not None:
                    flag = "--" + name.replace("_", "-")
                    raise BulkError(f"{flag} has no effect with --url: the service has its own")

    def _columns(self, source: Source) -> tuple[int, int]:
        defaults = FIELDS if source.has_header else ("1", "2")
        first, second = (
            source.column(getattr(self._flags, name) or default, f"--{name}")
            for name, default in zip(FIELDS, defaults, strict=True)
        )
        if first == second:
            raise BulkError("--address1 and --address2 name the same column")
        return first, second

    def _seconds(self, chunk: Chunk, pair: tuple[int, int], results: Any) -> Sequence[object]:
        """The second address of each row, for explanations; None for a row without one."""
        return chunk.values(pair[1])

    def _reading_options(self) -> list[object]:
        reading = self._reading
        return [
            self._source_format, reading.encoding, reading.has_header, reading.sheet,
            reading.header_row, reading.delimiter, reading.quotes,
        ]  # fmt: skip

    def _scorer(self, note: Callable[[str], None], stack: contextlib.ExitStack) -> RowScorer[Any]:
        flags = self._flags
        wanted = settings.load(flags)
        if flags.url:
            from service.bulk.client import PatientClient
            from service.bulk.remote import RemoteScorer

            client = PatientClient(
                flags.url,
                api_key=flags.api_key_file and _key(Path(flags.api_key_file)),
                connections=flags.in_flight,
                patience=flags.patience,
                note=note,
            )
            stack.callback(client.close)
            return RemoteScorer(
                client, in_flight=flags.in_flight, request_pairs=flags.request_pairs
            )
        from service.bulk.local import LocalScorer

        return LocalScorer(wanted)

    def _summarise(self, totals: Counts) -> None:
        progress = self._progress
        if progress is None:
            return
        line = f"{self._flags.output}: {totals.rows:,} rows"
        if progress.resumed:
            line += f", {progress.resumed:,} of them from before"
        line += f", in {duration(progress.seconds)} ({progress.rate:,.0f} a second)"
        progress.note(line)
        if totals.counts:
            shares = (f"{value} {totals.counts[value]:,}" for value in self.values)
            progress.note(f"of them {', '.join(shares)}")
        if totals.bad:
            more = " ..." if totals.bad > len(totals.first_bad) else ""
            listed = ", ".join(map(str, totals.first_bad))
            header = ", without the header" if self._reading.has_header else ""
            progress.note(
                f"rows without a score: {totals.bad:,} (rows {listed}{more}, counted from 1"
                f"{header}); the column {self._flags.prefix}error says why"
            )


def _key(path: Path) -> str:
    try:
        key = path.read_text("ascii").strip()
    except (OSError, UnicodeDecodeError):
        key = ""
    if not key.isprintable() or not key:
        raise BulkError(f"--api-key-file: {path} cannot be read, or holds no key on one line")
    return key


@dataclass(frozen=True, slots=True)
class _Snapshot:
    """The content and state of the input at the start of the run."""

    sha256: str
    state: tuple[int, int]

    @classmethod
    def of(cls, path: Path) -> Self:
        with path.open("rb") as file:
            return cls(hashlib.file_digest(file, "sha256").hexdigest(), _state(path))

    def check(self, reading: Reading) -> None:
        """Raise BulkError if the input has changed since the start."""
        if reading.path and _state(reading.path) != self.state:
            raise BulkError(f"{reading.name} was changed while it was read; run it with --restart")


def _state(path: Path) -> tuple[int, int]:
    found: Any = path.stat()
    return found.st_size, found.st_mtime_ns
