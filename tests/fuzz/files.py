"""Scores faulty files: each row comes out in its place and is scored on its own text, or the file
is refused in one clear line.

A case is made from its number and a seed alone, so that one that failed can be made again. Each
cell of a table carries the number of its row, so that text of another row is seen in it.
"""

from __future__ import annotations

import contextlib
import csv
import io
import os
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from service.bulk import encodings
from service.errors import BulkError
from tests.bulk.jobs import FakeScorer, score
from tests.fuzz import books, pool

_BOOKS = 10
"""One case in this many is a damaged workbook or Parquet file; the others are CSV or TSV."""

_HEADER = ["id", "address1", "address2", "note"]
_WIDTH = len(_HEADER)
_TEXTS = (
    "文三路{n}号", "金鼎大厦{n}号", "人民路{n}弄{n}室", "中山东路{n}号 B座", "Main St {n}, NY",
    "“甲”路{n}号", "（{n}）号楼", "a;b|{n}", "{n}",
)  # fmt: skip
_MARK = re.compile(r"<(\d+)>")
"""What says of a text which row it belongs to. No fault changes it."""

_ENCODINGS = ("utf-8",) * 6 + ("utf-8-sig", "gb18030", "utf-16", "utf-16-le", "utf-32")


@dataclass
class Case:
    """A faulty file.

    Attributes:
        rows: Rows of the table.
        delimiter: Between cells.
        end: Of lines.
        blank: Rows that faults added, which hold no text of a row.
        is_cut: Whether the last row may lack its end.
        faults: Names of what was done to it.
        name: Of the file.
        data: Its bytes.
        flags: Of the call.
    """

    rows: int
    delimiter: str
    end: str
    blank: int = 0
    is_cut: bool = False
    faults: list[str] = field(default_factory=list)
    name: str = ""
    data: bytes = b""
    flags: list[str] = field(default_factory=list)


def make(number: int, seed: int) -> Case:
    """The CSV or TSV file of that number."""
    chance = Random(f"{seed}:{number}")
    case = Case(
        chance.choice((1, 2, 4, 4, 8, 30)),
        chance.choice(",,,\t\t;|"),
        chance.choice(("\n", "\n", "\r\n", "\r\n", "\r")),
    )
    if chance.random() < 0.15:
        case.flags += ["--quotes", "text"]
    quoting = chance.choice((csv.QUOTE_MINIMAL, csv.QUOTE_MINIMAL, csv.QUOTE_ALL))
    rows = [[_cell(chance, n) for _ in _HEADER] for n in range(1, case.rows + 1)]
    lines = [_line(row, case.delimiter, quoting) for row in (_HEADER, *rows)]
    for _ in range(chance.choice((0, 1, 1, 1, 2, 3))):
        fault = chance.choice(_FAULTS)
        case.faults.append(fault.__name__.strip("_"))
        fault(chance, lines, case)
    text = case.end.join(lines) + (case.end if chance.random() < 0.8 else "")
    if chance.random() < 0.03:
        text = text[: -chance.randrange(1, 12)]
        case.is_cut = True
    if chance.random() < 0.05:
        text += "\x1a"
    encoding = chance.choice(_ENCODINGS)
    case.data = text.encode(encoding)
    case.name = "in.tsv" if case.delimiter == "\t" and chance.random() < 0.9 else "in.csv"
    if case.delimiter != {"in.tsv": "\t", "in.csv": ","}[case.name]:
        case.flags += ["--delimiter", {"\t": "tab"}.get(case.delimiter, case.delimiter)]
    if not encoding.startswith("utf-8") and chance.random() < 0.9:
        case.flags += ["--encoding", encoding]
    return case


def read(case: Case, folder: Path) -> str:
    """Score a file, and check what comes out.

    Returns:
        What it is refused for, or nothing if it was read.

    Raises:
        Exception: A row is lost or has text of another, or the refusal is not one line.
    """
    path, output = folder / case.name, folder / f"out{case.name[2:]}"
    path.write_bytes(case.data)
    scorer = FakeScorer()
    refusal = scored(path, output, case.flags, scorer)
    for pair in scorer.pairs:
        marks = set(_MARK.findall(" ".join(pair)))
        if len(marks) > 1:
            raise AssertionError(f"a pair of the rows {sorted(marks)} was scored")
    if not refusal:
        _check(case, output)
    return refusal


def scored(path: Path, output: Path, flags: Sequence[str], scorer: FakeScorer) -> str:
    """Score a file.

    Returns:
        What it is refused for, or nothing.

    Raises:
        Exception: The refusal is not one line.
    """
    try:
        with contextlib.redirect_stderr(io.StringIO()):
            score(path, "-o", output, "--force", "--restart", *flags, by=scorer)
    except BulkError as error:
        line = str(error)
        if "\n" in line or not line.isprintable() or len(line) > 2000:
            raise AssertionError(f"not one clear line: {line!r}") from None
        return line
    return ""


def _check(case: Case, output: Path) -> None:
    """Whether all rows came out, each in its place and with its own text."""
    data = output.read_bytes()
    named = (
        case.flags[case.flags.index("--encoding") + 1] if "--encoding" in case.flags else "utf-8"
    )
    encoding, bom = encodings.of_bom(data) or (encodings.normalized(named) or "", b"")
    text = io.StringIO(data[len(bom) :].decode(encoding), newline="")
    delimiter = (
        "\t" if case.name == "in.tsv" and "--delimiter" not in case.flags else case.delimiter
    )
    header, *rows = csv.reader(text, delimiter=delimiter)
    if len(rows) != case.rows + case.blank:
        raise AssertionError(f"{case.rows + case.blank} rows became {len(rows)}")
    numbers = []
    for row in rows:
        if len(row) != len(header):
            raise AssertionError(f"a row has {len(row)} cells, not {len(header)}")
        marks = set(_MARK.findall(" ".join(row)))
        if len(marks) > 1:
            raise AssertionError(f"a row holds text of {sorted(marks)}")
        numbers += marks
    wanted = [str(n) for n in range(1, case.rows + 1)]
    if numbers != wanted and not (case.is_cut and numbers == wanted[:-1]):
        raise AssertionError(f"rows {numbers} came out of {case.rows}")


def run(numbers: Sequence[int], seed: int) -> tuple[Counter[str], list[str]]:
    """Make and score the cases of these numbers.

    Returns:
        How many of each sort were refused and read, and a line for each that broke a rule.
    """
    seen: Counter[str] = Counter()
    failures = []
    for number in numbers:
        is_book = number % _BOOKS == _BOOKS - 1
        with pool.case() as folder:
            made = ""
            try:
                if is_book:
                    made = books.make(number, seed, folder)
                    refused = scored(folder / made, folder / "out.csv", (), FakeScorer())
                else:
                    case = make(number, seed)
                    made = f"{case.name} {case.faults} {case.flags}"
                    refused = read(case, folder)
                sort = "damaged" if is_book else "faulty"
                seen[f"{sort}: {'refused' if refused else 'read'}"] += 1
            except Exception as error:
                why = f"{type(error).__name__}: {str(error)[:200]}"
                failures.append(f"case {number} ({made}): {why}")
    return seen, failures


def main(numbers: Sequence[int], seed: int, workers: int) -> int:
    """Run the cases in processes of their own; the exit status is 1 if one broke a rule."""
    return pool.main("files", run, _let_disks_be, numbers, seed, workers)


def _let_disks_be() -> None:
    """Wait for no disk: what would survive a power cut is not looked at here."""
    os.fsync = lambda fd: None


def _cell(chance: Random, n: int) -> str:
    return f"{chance.choice(_TEXTS).format(n=n)}<{n}>"


def _line(row: list[str], delimiter: str, quoting: int) -> str:
    written = io.StringIO()
    csv.writer(written, delimiter=delimiter, quoting=quoting).writerow(row)  # type: ignore[arg-type]
    return written.getvalue().removesuffix("\r\n")


def _at(chance: Random, lines: list[str]) -> int:
    """The place of one of the rows."""
    return chance.randrange(1, len(lines))


def _in_cell(chance: Random, lines: list[str], case: Case, *changes: tuple[str, str]) -> None:
    """Put text before and after what a cell holds, in rows one after the other.

    Not in rows that lack cells: with a quote such a row can be, byte for byte, the first line of a
    cell that goes on over a line end.
    """
    whole = [n for n in range(1, len(lines)) if lines[n].count(case.delimiter) >= _WIDTH - 1]
    at = sorted(chance.sample(whole, min(len(changes), len(whole))))
    for place, (before, after) in zip(at, changes, strict=False):
        cells = lines[place].split(case.delimiter)
        cell = chance.randrange(len(cells))
        cells[cell] = before + cells[cell] + after
        lines[place] = case.delimiter.join(cells)


def _a_quote_opens(chance: Random, lines: list[str], case: Case) -> None:
    _in_cell(chance, lines, case, ('"', ""))


def _a_quote_opens_and_another_closes(chance: Random, lines: list[str], case: Case) -> None:
    _in_cell(chance, lines, case, ('"', ""), ("", '"'))


def _a_quote_opens_and_another_opens(chance: Random, lines: list[str], case: Case) -> None:
    _in_cell(chance, lines, case, ('"', ""), ('"', ""))


def _quotes_open_in_one_column(chance: Random, lines: list[str], case: Case) -> None:
    column = chance.randrange(len(_HEADER))
    share = chance.random()
    for at in range(1, len(lines)):
        cells = lines[at].split(case.delimiter)
        if len(cells) >= _WIDTH and chance.random() < share:
            cells[column] = '"' + cells[column] + chance.choice(("", "", '"', '"号'))
            lines[at] = case.delimiter.join(cells)


def _text_follows_a_quote(chance: Random, lines: list[str], case: Case) -> None:
    _in_cell(chance, lines, case, ('"金鼎"', ""))


def _quotes_within_quotes(chance: Random, lines: list[str], case: Case) -> None:
    _in_cell(chance, lines, case, (chance.choice(('"a "b" ', '"a ""b"" ', '"a \\"b\\" ')), '"'))


def _a_quote_within(chance: Random, lines: list[str], case: Case) -> None:
    _in_cell(chance, lines, case, chance.choice((('a"b', ""), ("", '5"'), ("", '"'), ('""', ""))))


def _a_cell_over_lines(chance: Random, lines: list[str], case: Case) -> None:
    """A fault of none, where the standard's quotes are read."""
    at = _at(chance, lines)
    if "text" in case.flags or '"' in lines[at] or lines[at].count(case.delimiter) != 3:
        return
    cells = lines[at].split(case.delimiter)
    cell = chance.randrange(len(cells))
    cells[cell] = f"一层{case.end}{cells[cell]}{chance.choice(('', case.end, ', 二层'))}"
    lines[at] = _line(cells, case.delimiter, csv.QUOTE_MINIMAL)


def _a_blank_line(chance: Random, lines: list[str], case: Case) -> None:
    lines.insert(_at(chance, lines), chance.choice(("", "", " ", case.delimiter * 3)))
    case.blank += 1


def _the_header_again(chance: Random, lines: list[str], case: Case) -> None:
    lines.insert(_at(chance, lines), lines[0])
    case.blank += 1


def _a_cell_too_many(chance: Random, lines: list[str], case: Case) -> None:
    lines[_at(chance, lines)] += case.delimiter + chance.choice(("", "x", '"x"'))


def _a_cell_too_few(chance: Random, lines: list[str], case: Case) -> None:
    at = _at(chance, lines)
    if '"' not in lines[at]:
        lines[at] = case.delimiter.join(lines[at].split(case.delimiter)[:-1]) or lines[at]


def _delimiters_at_every_end(chance: Random, lines: list[str], case: Case) -> None:
    lines[1:] = [line + case.delimiter for line in lines[1:]]


def _a_delimiter_within(chance: Random, lines: list[str], case: Case) -> None:
    _in_cell(chance, lines, case, (f"a{case.delimiter}", ""))


def _a_carriage_return_within(chance: Random, lines: list[str], case: Case) -> None:
    if case.end != "\r":
        _in_cell(chance, lines, case, ("一层\r", ""))


def _a_carriage_return_too_many(chance: Random, lines: list[str], case: Case) -> None:
    if case.end != "\r":
        lines[_at(chance, lines)] += "\r"


def _another_line_end(chance: Random, lines: list[str], case: Case) -> None:
    at = _at(chance, lines)
    if at + 1 < len(lines) and lines[at].strip():  # that of a blank line is text of the next
        lines[at : at + 2] = [lines[at] + chance.choice(("\n", "\r\n", "\r")) + lines[at + 1]]


def _strange_characters(chance: Random, lines: list[str], case: Case) -> None:
    signs = ("\0", "\ufeff", "\u200b", "\x0b", "\x0c", "\x1a", "\x1c", "\u2028", "\x85", "\\", "'")
    _in_cell(chance, lines, case, (chance.choice(signs), ""), ("", chance.choice(signs)))


def _a_large_cell(chance: Random, lines: list[str], case: Case) -> None:
    _in_cell(chance, lines, case, ("", "x" * 140_000))


_FAULTS = (
    *(_a_quote_opens, _a_quote_opens_and_another_closes, _a_quote_opens_and_another_opens) * 2,
    _quotes_open_in_one_column, _text_follows_a_quote, _quotes_within_quotes, _a_quote_within,
    *(_a_cell_over_lines,) * 2, _a_blank_line, _the_header_again, _a_cell_too_many,
    _a_cell_too_few, _delimiters_at_every_end, _a_delimiter_within, _a_carriage_return_within,
    _a_carriage_return_too_many, _another_line_end, _strange_characters, _a_large_cell,
)  # fmt: skip
