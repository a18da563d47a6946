"""`index build` and `index info`: build and inspect a register, which `match` searches."""

from __future__ import annotations

import argparse
import contextlib
import shutil
from pathlib import Path

from service import console, settings
from service.bulk import formats, inputs
from service.bulk.command import NOTHING_KEPT, run_to_the_end
from service.bulk.formats import FORMATS
from service.errors import BulkError


def add_commands(parser: argparse.ArgumentParser) -> None:
    """Add the subcommands of `index`."""
    verbs = parser.add_subparsers(required=True, metavar="VERB")
    build = verbs.add_parser("build", help="write a register from a table of addresses")
    build.add_argument("input", metavar="FILE", help=f"one address a row ({', '.join(FORMATS)})")
    build.add_argument(
        "-o", "--output", required=True, metavar="DIR", help="a new directory, or a register's"
    )
    build.add_argument("--force", action="store_true", help="replace the register that is there")
    add = build.add_argument_group("reading").add_argument
    add("--address", metavar="COLUMN",
        help="column of addresses, by name or number [address; 1 with --no-header]")  # fmt: skip
    add("--id", metavar="COLUMN", help="column whose values name the entries [the row's number]")
    inputs.add_flags(add)
    settings.add_flags(build, "max_address_chars")
    build.set_defaults(run=_build)
    info = verbs.add_parser("info", help="say what a register holds, and whether it is whole")
    info.add_argument("register", metavar="DIR", type=Path)
    info.set_defaults(run=_info)


def _build(flags: argparse.Namespace) -> int:
    return run_to_the_end(lambda: _write(flags), lambda: NOTHING_KEPT)


def _write(flags: argparse.Namespace) -> None:
    from service.bulk.progress import Progress, duration
    from service.matching.table import Table
    from service.retrieval import files

    directory = Path(flags.output)
    _check(directory, replaced=flags.force)
    name, reading = inputs.reading(flags)
    most_chars = settings.load(flags).max_address_chars
    with contextlib.closing(formats.open_source(name, reading)) as source:
        table = Table(source, flags.address, flags.id, ("--address", "--id"), most_chars)
        progress = Progress(reading.name, source.count())
        if source.notice:
            progress.note(source.notice)
        was_there = directory.exists()
        try:
            with progress:
                version, entries = files.write(directory, table.entries(progress.advance))
        except BaseException:
            if not was_there:
                shutil.rmtree(directory, ignore_errors=True)
            raise
    if notice := table.notice(reading.name):
        progress.note(notice)
    progress.note(
        f"{directory}: {entries:,} entries, version {version}, in {duration(progress.seconds)}"
    )


def _info(flags: argparse.Namespace) -> int:
    from service.retrieval import files

    files.check(flags.register)
    manifest = files.manifest(flags.register)
    console.show_json(
        {
            "register": str(flags.register),
            "version": manifest["version"],
            "entries": manifest["entries"],
            "bytes": sum(one["bytes"] for one in manifest["files"].values()),
            "files": {name: one["sha256"] for name, one in manifest["files"].items()},
        }
    )
    return 0


def _check(directory: Path, *, replaced: bool) -> None:
    from service.retrieval import files

    if not directory.exists():
        return
    if not directory.is_dir():
        raise BulkError(f"{directory} is not a directory; name another -o")
    if (directory / files.MANIFEST).exists():
        if not replaced:
            raise BulkError(f"{directory} holds a register; --force replaces it")
    elif any(directory.iterdir()):
        raise BulkError(f"{directory} holds other files; name a new directory")
