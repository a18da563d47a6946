"""`score` on the command line: its flags, and how it ends."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

from service import console, settings
from service.bulk import inputs
from service.bulk.formats import FORMATS
from service.errors import BulkError

if TYPE_CHECKING:
    from service.bulk.job import BulkJob

Number = TypeVar("Number", int, float)

MODEL_SETTINGS = (
    "model", "device", "backend", "cpu_threads", "max_tokens", "normalize",
    "batch_tokens", "max_address_chars",
)  # fmt: skip
"""Settings of a model that runs here. A service has its own."""

NOTHING_KEPT = "nothing is kept"


def add_flags(parser: argparse.ArgumentParser) -> None:
    """The flags of `score`."""
    parser.add_argument("input", metavar="INPUT", help=f"file ({', '.join(FORMATS)}), or -")
    parser.add_argument(
        "-o", "--output", required=True, metavar="OUTPUT", help="file for the results, or -"
    )
    add = parser.add_argument_group("reading").add_argument
    for place, name in enumerate(("address1", "address2"), 1):
        add(
            f"--{name}",
            metavar="COLUMN",
            help=f"column of {name}, by name or number from 1 [{name}; {place} with --no-header]",
        )
    inputs.add_flags(add)
    add_explaining_flags(parser)
    add_writing_flags(parser)
    add_model_flags(parser)


def add_explaining_flags(parser: argparse.ArgumentParser) -> None:
    """The flags of a command that can explain."""
    add = parser.add_argument_group("explaining").add_argument
    add("--explain", action="store_true", help="append in what the two addresses differ")
    for level, example in (("province", "浙江省"), ("city", "杭州市")):
        add(
            f"--default-{level}",
            metavar="NAME",
            help=f"the {level} of addresses that name none, such as {example}",
        )


def add_writing_flags(parser: argparse.ArgumentParser) -> None:
    """The flags of a command whose output is the input's rows with results."""
    add = parser.add_argument_group("writing").add_argument
    add("--to", dest="sink_format", choices=FORMATS, help="format of the output [from its suffix]")
    add("--prefix", default="", help="text before the names of the result columns")
    add("--force", action="store_true", help="replace the output if it exists")
    add("--restart", action="store_true", help="drop the results of an interrupted run")


def add_model_flags(parser: argparse.ArgumentParser) -> None:
    """The flags of a command that scores, here or by a service."""
    add = parser.add_argument_group("with a running service").add_argument
    add("--url", help="base URL of the service; without it the model runs here")
    add("--api-key-file", metavar="FILE", help="file with the service's API key, if it needs one")
    add("--in-flight", type=number(int, 1, 256), default=4, metavar="INT",
        help="requests at once [4]")  # fmt: skip
    add("--request-pairs", type=number(int, 1, 100_000), default=64, metavar="INT",
        help="pairs in a request [64]")  # fmt: skip
    add("--patience", type=number(float, 0, 86400), default=300.0, metavar="SECONDS",
        help="give up after this time without a result [300]")  # fmt: skip
    settings.add_flags(parser.add_argument_group("with the model here"), *MODEL_SETTINGS)


def run(flags: argparse.Namespace) -> int:
    """Score a file of pairs.

    Returns:
        The exit status.

    Raises:
        OperatorError: It cannot begin, or not go on.
    """
    from service.bulk.job import BulkJob

    return run_job(lambda: BulkJob(flags))


def run_job(make: Callable[[], BulkJob]) -> int:
    """Run a job, and say how it stands if it is cut off.

    Returns:
        The exit status.

    Raises:
        OperatorError: It cannot begin, or not go on.
    """
    job: BulkJob | None = None

    def work() -> None:
        nonlocal job
        job = make()
        job.run()

    return run_to_the_end(work, lambda: job.standing() if job else NOTHING_KEPT)


def run_to_the_end(work: Callable[[], None], standing: Callable[[], str]) -> int:
    """Do the work of a command that reads or writes files.

    Args:
        work: The work.
        standing: What is kept of it, for the message if it is cut off.

    Returns:
        The exit status.

    Raises:
        BulkError: A file cannot be read or written.
    """
    try:
        work()
    except KeyboardInterrupt:
        print(f"mgeo: interrupted: {standing()}", file=sys.stderr)
        return console.INTERRUPTED
    except BrokenPipeError:
        raise
    except OSError as error:
        raise BulkError(
            f"{error.filename or 'the output'}: {error.strerror or error}; {standing()}"
        ) from None
    return 0


def number(kind: type[Number], low: float, high: float) -> Callable[[str], Number]:
    """A type of a flag: a number in a range."""

    def parse(text: str) -> Number:
        try:
            value = kind(text)
        except ValueError:
            value = None
        if value is None or not low <= value <= high:
            raise argparse.ArgumentTypeError(f"{text!r}: must be from {low:,} to {high:,}")
        return value

    return parse
