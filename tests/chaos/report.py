"""What came of the faults, as a page of the documentation."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence

from tests.chaos.run import Outcome, Report
from tests.chaos.table import Fault

_INTRODUCTION = (
    "# Faults, and how soon an alert fires\n\n"
    "What can go wrong, which [alert](runbooks.md) fires and after how long, and what clients see "
    "meanwhile. `tests/chaos` causes each fault on the real stack under load, with six instances. "
    "`make chaos` writes this page. `make test` does the same with rules, scrapes and exports ten "
    "times as fast, from the same rule files (`tools/timescale.py`). The times are from the fault "
    "until Prometheus fires. Alertmanager waits another half a minute before it sends, to group "
    "alerts that belong together."
)


def markdown(report: Report) -> str:
    """The whole page."""
    speed = (
        "The rules, scrapes and exports ran as shipped."
        if report.scale == 1
        else f"The rules, scrapes and exports ran {report.scale:g} times as fast; the times are "
        "what that would be as shipped, thresholds in seconds aside."
    )
    rows = [_row(report, outcome) for outcome in report.outcomes]
    return "\n".join(
        [
            _INTRODUCTION,
            "",
            speed,
            "",
            _figures(report),
            "",
            "| fault | alert | fires after | clients see | seen | may come with it |",
            "|---|---|---|---|---|---|",
            *rows,
            "",
            "`refused`: no connection could be made, so nothing was lost. `lost`: there was a "
            "connection, and no answer came.",
            "",
            companions([outcome.fault for outcome in report.outcomes]),
        ]
    )


def companions(faults: Sequence[Fault]) -> str:
    """Which alerts may come with a fault that is not their own, and why."""
    reasons: dict[str, list[str]] = {}
    for fault in faults:
        for alert, reason in fault.permitted.items():
            known = reasons.setdefault(alert, [])
            if reason not in known:
                known.append(reason)
    lines = [f"- `{alert}`: {'; or '.join(why)}." for alert, why in reasons.items()]
    return "\n".join(["Why an alert may come with a fault that is not its own:", "", *lines, ""])


def detection(report: Report) -> list[float]:
    """Seconds to each alert that tells of its fault, at production speed."""
    return [
        outcome.production(report.scale)
        for outcome in report.outcomes
        if outcome.fault.alert and not outcome.fault.comes_back
    ]


def _figures(report: Report) -> str:
    times = detection(report)
    heard = [time for time in times if math.isfinite(time)]
    if not heard:
        return "No alert fired."
    return (
        f"{len(times)} of {len(report.outcomes)} faults need action, and {len(heard)} raised their "
        f"alert: after {statistics.median(heard):.0f} s in the median and {max(heard):.0f} s at "
        f"worst, of 90 s allowed. False alerts in {report.clean:.0f} s of "
        f"load without a fault: {len(report.false_alerts)}. Alerts that no fault explains: "
        f"{len(report.unexplained)}."
    )


def alert(fault: Fault) -> str:
    """The alert of a fault, in words."""
    if not fault.alert:
        return "none: nothing is to be done"
    if fault.comes_back:
        return f"none: nothing is to be done; `{fault.alert}`, which always fires, is back"
    return f"`{fault.alert}`"


def _row(report: Report, outcome: Outcome) -> str:
    fault = outcome.fault
    seconds = outcome.production(report.scale)
    heard = f"{seconds:.0f} s" if math.isfinite(seconds) else "**no alert**"
    seen = report.seen[fault.name]
    cells = [
        fault.name,
        alert(fault),
        heard if fault.alert else "",
        fault.view,
        ", ".join(f"{count} × {how}" for how, count in sorted(seen.items())),
        ", ".join(f"`{name}`" for name in fault.permitted),
    ]
    return f"| {' | '.join(cells)} |"
