"""`match` and `dedupe` on the command line."""

from __future__ import annotations

import argparse
from collections.abc import Callable

from service.bulk import command, inputs
from service.bulk.command import number
from service.bulk.formats import FORMATS
from service.matching.choice import BY, LEAST_SHARE, SIMILARITY
from service.retrieval.register import CANDIDATES


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Add the flags of `match`."""
    parser.add_argument(
        "input", metavar="LEFT", help=f"addresses to find ({', '.join(FORMATS)}), or -"
    )
    parser.add_argument(
        "right", metavar="RIGHT", help="where to find them: a register of `index build`, or a table"
    )
    parser.add_argument(
        "-o", "--output", required=True, metavar="OUTPUT", help="file for the results, or -"
    )
    add = parser.add_argument_group("answers").add_argument
    add("--top", type=number(int, 1, 100), default=1, metavar="INT",
        help="most answers for a row [1]")  # fmt: skip
    _add_threshold(add, "an answer", "any but not_match")
    add("--candidates", type=number(int, 1, 1000), default=CANDIDATES, metavar="INT",
        help=f"entries that the model compares with each row [{CANDIDATES}]")  # fmt: skip
    add("--id", metavar="COLUMN", help="column of a table RIGHT whose values name its entries "
        "[the row's number]")  # fmt: skip
    add("--right-address", metavar="COLUMN", help="column of a table RIGHT to search [address]")
    command.add_explaining_flags(parser)
    _add_shared_flags(parser, "reading LEFT")


def add_dedupe_flags(parser: argparse.ArgumentParser) -> None:
    """Add the flags of `dedupe`."""
    parser.add_argument("input", metavar="FILE", help=f"addresses ({', '.join(FORMATS)})")
    parser.add_argument(
        "-o", "--output", required=True, metavar="OUTPUT", help="file for the rows with clusters"
    )
    add = parser.add_argument_group("clusters").add_argument
    add("--pairs", metavar="FILE",
        help="file for the pairs that match [OUTPUT with .pairs in its name]")  # fmt: skip
    _add_threshold(add, "a match", "exact_match")
    add("--candidates", type=number(int, 1, 1000), default=10, metavar="INT",
        help="rows that the model compares with each row, at most [10]")  # fmt: skip
    add("--least-share", type=number(float, 0, 1), default=LEAST_SHARE, metavar="SHARE",
        help="leave out those that share less than this of what is rare in the row, in a file of "
        f"over 1,000 texts [{LEAST_SHARE:g}]")  # fmt: skip
    _add_shared_flags(parser, "reading")


def _add_threshold(add: Callable[..., object], what: str, labels: str) -> None:
    add("--threshold", type=number(float, 0, 1), metavar="NUMBER",
        help=f"lowest similarity of {what} [the label decides: {labels}]")  # fmt: skip
    add("--by", choices=BY, default=SIMILARITY,
        help="what --threshold is compared with: the similarity, or the probability "
        f"P(exact) + P(partial) [{SIMILARITY}]")  # fmt: skip


def _add_shared_flags(parser: argparse.ArgumentParser, reading: str) -> None:
    add = parser.add_argument_group(reading).add_argument
    add("--address", metavar="COLUMN",
        help="column of addresses, by name or number [address; 1 with --no-header]")  # fmt: skip
    inputs.add_flags(add)
    command.add_writing_flags(parser)
    command.add_model_flags(parser)


def run(flags: argparse.Namespace) -> int:
    """Match a file of addresses against a register.

    Returns:
        The exit status.

    Raises:
        OperatorError: It cannot start, or cannot continue.
    """
    from service.matching.match_job import MatchJob

    return command.run_job(lambda: MatchJob(flags))


def run_dedupe(flags: argparse.Namespace) -> int:
    """Find the rows of a file that are the same place.

    Returns:
        The exit status.

    Raises:
        OperatorError: It cannot start, or cannot continue.
    """
    from service.matching.dedupe_job import DedupeJob

    return command.run_job(lambda: DedupeJob(flags))
