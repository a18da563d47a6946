"""One call of `match`: a bulk job that scores rows against a register."""

from __future__ import annotations

import argparse
import contextlib
import re
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from typing_extensions import override

from service import settings
from service.bulk import formats, inputs
from service.bulk.job import BulkJob
from service.bulk.run import Counts, RowScorer
from service.bulk.tables import Chunk, Source
from service.errors import BulkError
from service.matching.choice import Choice
from service.matching.matcher import ANSWERS, Matcher, fields, result_of
from service.matching.table import Table, address_column
from service.retrieval import files
from service.retrieval.files import StoredRegister

_READING_FLAG = re.compile("--(from|no-header|header-row|sheet|encoding|delimiter|quotes)")


class MatchJob(BulkJob):
    """A file of addresses to find in a register.

    Raises:
        BulkError: The flags contradict each other, or the output would overwrite a file.
    """

    counted = "answer"
    values = ANSWERS

    def __init__(self, flags: argparse.Namespace) -> None:
        self._choice = Choice(flags.top, flags.threshold, flags.candidates, by=flags.by)
        if flags.candidates < flags.top:
            raise BulkError(f"--top {flags.top} needs as many --candidates at least")
        names = fields(flags.top)
        self.result, self.result_types = result_of(flags.top), tuple(names.values())
        self._matcher: Matcher | None = None
        self._right = Path(flags.right)
        if self._is_register() and (flags.right_address or flags.id):
            raise BulkError("--right-address and --id are for a table: a register has them in it")
        super().__init__(flags)
        if self._output and self._output.is_at(self._right):
            raise BulkError("the output would overwrite RIGHT; name another -o")
        if flags.input == flags.right == "-":
            raise BulkError("LEFT and RIGHT cannot both be standard input: name a file for one")

    @override
    def _columns(self, source: Source) -> tuple[int, int]:
        column = address_column(source, self._flags.address, "--address")
        return column, column  # one address a row: the other comes from the register

    @override
    def _scorer(self, note: Callable[[str], None], stack: contextlib.ExitStack) -> RowScorer[Any]:
        most_chars = settings.load(self._flags).max_address_chars
        register = self._register(note, stack, most_chars)
        scorer = super()._scorer(note, stack)
        self._matcher = Matcher(scorer, register, self._choice, most_chars)
        return self._matcher

    @override
    def _seconds(self, chunk: Chunk, pair: tuple[int, int], results: Any) -> Sequence[object]:
        return [result.match_address for result in results]

    @override
    def _summarise(self, totals: Counts) -> None:
        super()._summarise(totals)
        if self._progress and self._matcher:
            self._progress.note(f"finding candidates took {self._matcher.seconds:.1f} s of that")

    def _is_register(self) -> bool:
        return self._right.is_dir()

    def _register(
        self, note: Callable[[str], None], stack: contextlib.ExitStack, most_chars: int
    ) -> StoredRegister:
        if self._is_register():
            return files.read(self._right)
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="mgeo-register-")))
        try:
            self._make_register(folder, note, most_chars)
        except BulkError as error:
            raise BulkError(_of_right(str(error))) from None
        return files.read(folder)

    def _make_register(self, folder: Path, note: Callable[[str], None], most_chars: int) -> None:
        """Make a register of the table RIGHT."""
        flags = argparse.Namespace(**{**vars(inputs.defaults()), "input": self._flags.right})
        name, reading = inputs.reading(flags)
        with contextlib.closing(formats.open_source(name, reading)) as source:
            flag_names = ("--right-address", "--id")
            table = Table(source, self._flags.right_address, self._flags.id, flag_names, most_chars)
            note(f"making a register of {reading.name}; `index build` makes one to keep")
            if source.notice:
                note(_of_right(source.notice))
            files.write(folder, table.entries(lambda rows: None))
        if notice := table.notice(reading.name):
            note(notice)


def _of_right(told: str) -> str:
    """What is told of reading RIGHT, with what to do about a flag that it names."""
    if not _READING_FLAG.search(told):
        return told
    return f"{told}. Here such flags are for LEFT: make a register of RIGHT by `index build`"
