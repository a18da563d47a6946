"""`python -m benchmarks`: measure this service against its peers on this machine, and report."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks import checkpoint, environments, machine, report, schedule
from benchmarks.bench import Bench
from benchmarks.processes import ROOT, BenchmarkError, end_what_was_started
from benchmarks.results import Results

_BACKENDS = ("auto", "openvino-f32")
_LEAST_MEMORY_GB = 16
"""All contenders of one section are alive at once, frozen while others are measured."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what the command line says; returns the exit status."""
    options = _parser().parse_args(arguments)
    end_what_was_started()
    try:
        if options.report:
            results = Results.read(options.report)
        else:
            results = _measure(options)
            where = options.results or _results_file(results, quick=options.quick)
            results.write(where)
            print(f"bench: raw figures in {where}")
        document = options.document or _document(quick=options.quick)
        report.write(results, document)
        print(f"bench: report in {document}")
    except BenchmarkError as error:
        print(f"bench: error: {error}", file=sys.stderr)
        return 2
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    add = parser.add_argument
    add("--quick", action="store_true",
        help="a few minutes, to see that everything runs; no figures to quote")  # fmt: skip
    add(
        "--backends",
        nargs="+",
        default=_BACKENDS,
        metavar="NAME",
        help="as in MGEO_BACKEND; comparisons are made with the first",
    )
    add("--device", default="cpu", choices=("cpu", "cuda"), help="of everything [cpu]")
    add("--only", nargs="+", default=schedule.SECTIONS, choices=schedule.SECTIONS,
        metavar="SECTION", help=f"some of: {', '.join(schedule.SECTIONS)}")  # fmt: skip
    add("--no-peers", action="store_true", help="this service and its bare backends alone")
    add("--results", type=Path, help="JSON file for the raw figures")
    add("--document", type=Path, help="Markdown file for the report; its picture goes beside it")
    add("--report", type=Path, metavar="FILE", help="measure nothing: report on these raw figures")
    add("--install-only", action="store_true", help="install the peers and measure nothing")
    return parser


def _measure(options: argparse.Namespace) -> Results:
    failures: dict[str, str] = {}
    if not options.no_peers:
        for name in environments.NAMES:
            try:
                environments.install(name)
            except BenchmarkError as error:
                failures[name] = str(error)
    if options.install_only:
        raise SystemExit("\n".join(failures.values()) or 0)
    _refuse_without_memory(options)
    models = environments.CACHE / "models"
    checkpoint.write(models)
    results = Results(
        machine=machine.describe() | {"date": time.strftime("%Y-%m-%d", time.gmtime())},
        options={
            "quick": options.quick,
            "device": options.device,
            "backends": list(options.backends),
            "sections": list(options.only),
            "peers": not options.no_peers,
        },
        failures=failures,
    )
    subject = schedule.Subject(
        backends=options.backends, device=options.device, models=models,
        with_peers=not options.no_peers,
    )  # fmt: skip
    plan = schedule.QUICK if options.quick else schedule.FULL
    bench = Bench(results, ROOT / "build" / "benchmarks")
    schedule.Schedule(bench, plan, subject).run(options.only)
    return results


def _refuse_without_memory(options: argparse.Namespace) -> None:
    import psutil

    available = psutil.virtual_memory().available / 1e9
    if "peers" in options.only and not options.no_peers and available < _LEAST_MEMORY_GB:
        raise BenchmarkError(
            f"{available:.0f} GB of memory are free, the peers together need {_LEAST_MEMORY_GB}: "
            "free some, or measure this service alone (--no-peers)"
        )


def _results_file(results: Results, *, quick: bool) -> Path:
    if quick:
        return ROOT / "build" / "benchmarks" / "quick.json"
    name = f"{results.options['device']}-{results.machine['date']}.json"
    return Path(__file__).parent / "results" / name


def _document(*, quick: bool) -> Path:
    if quick:
        return ROOT / "build" / "benchmarks" / "quick.md"
    return ROOT / "docs" / "benchmarks.md"


if __name__ == "__main__":
    sys.exit(main())
