"""What an explanation costs, and which conflicts labelled pairs have.

python -m benchmarks.explanation PAIRS.jsonl

PAIRS has an object a line, with `address1`, `address2` and `label`. Prints the processor's time for
a pair, and for each label the share of pairs with a conflict of each kind, as JSON.
"""

from __future__ import annotations

import argparse
import json
import time
from collections import Counter
from pathlib import Path

from service.answers import PART_KINDS
from service.comparison.compare import compare

_ANY, _DIVISION = "any", "division"


def measure(pairs: Path) -> dict[str, object]:
    """Microseconds for a pair, and shares in percent by label and kind of conflict."""
    rows = [json.loads(line) for line in pairs.read_text("utf-8").splitlines()]
    compare("", "")  # reads the tables
    begun = time.process_time_ns()
    found = [compare(row["address1"], row["address2"]) for row in rows]
    spent = time.process_time_ns() - begun
    labels = Counter(row["label"] for row in rows)
    conflicts: Counter[tuple[str, str]] = Counter()
    for row, comparison in zip(rows, found, strict=True):
        kinds: set[str] = set(comparison.conflicts)
        if kinds & {"province", "city", "district"}:
            kinds.add(_DIVISION)
        if kinds:
            kinds.add(_ANY)
        conflicts.update((row["label"], kind) for kind in kinds)
    return {
        "pairs": len(rows),
        "microseconds": round(spent / len(rows) / 1000),
        "percent": {
            label: {
                kind: round(100 * conflicts[label, kind] / count, 2)
                for kind in (_ANY, _DIVISION, *PART_KINDS)
                if conflicts[label, kind]
            }
            for label, count in labels.items()
        },
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("pairs", type=Path, help="JSONL with address1, address2 and label")
    print(json.dumps(measure(parser.parse_args().pairs), indent=1))
