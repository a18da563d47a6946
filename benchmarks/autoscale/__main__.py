"""Simulates the autoscaler on each load and writes what docs/capacity.md shows.

    python -m benchmarks.autoscale             simulate; write results.json and the picture
    python -m benchmarks.autoscale --measure   measure this machine first (about nine minutes);
                                               of one model: --measure bundled

Run `make docs` afterwards: the tables are generated from what this records.
"""

from __future__ import annotations

import argparse
import json
import sys

from benchmarks.autoscale import measure, report, scenarios

_SECONDS = {"bundled": 10.0, measure.PUBLISHED_SIZE: 20.0}
"""Length of each measurement: the large model answers few requests a second."""


def main() -> int:
    """Measure if asked to, simulate, and record."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.autoscale", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--measure", nargs="*", choices=list(_SECONDS), metavar="MODEL",
                        help="measure a replica with these models anew; default: all")  # fmt: skip
    options = parser.parse_args()
    if options.measure is not None:
        known = {m["model"]: m for m in report.measured()} if report.MEASURED.exists() else {}
        for model in options.measure or _SECONDS:
            print(f"measuring {model}, {_SECONDS[model]:.0f} s for each figure", flush=True)
            known[model] = measure.measure(model, _SECONDS[model])
            print(json.dumps(known[model]), flush=True)
        found = [known[model] for model in _SECONDS if model in known]
        report.MEASURED.write_text(json.dumps(found, indent=1) + "\n", "utf-8")
    replica = report.model_of("bundled")
    print(f"one replica: {replica}")
    courses = {
        load: {
            setting: scenarios.as_document(scenarios.run(load, setting, replica))
            for setting in scenarios.SETTINGS
        }
        for load in scenarios.LOADS
    }
    report.RESULTS.write_text(_document(courses), "utf-8")
    report.PICTURE.write_text(report.picture(), "utf-8")
    print(report.autoscale_table())
    return 0


def _document(courses: dict[str, dict[str, dict[str, object]]]) -> str:
    """JSON with a line for each course."""
    loads = [
        f'"{load}": {{\n'
        + ",\n".join(f"{json.dumps(name)}: {json.dumps(course)}" for name, course in found.items())
        + "\n}"
        for load, found in courses.items()
    ]
    return "{\n" + ",\n".join(loads) + "\n}\n"


if __name__ == "__main__":
    sys.exit(main())
