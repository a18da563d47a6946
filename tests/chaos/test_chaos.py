"""Each fault raises its own alert in time and no other, and clients see what the table says.

The rules, scrapes and exports run `CHAOS_SCALE` times as fast, through the very rule files
(tools/timescale.py); with `CHAOS_SCALE=1`, which takes half an hour, as shipped.
`CHAOS_REPORT=FILE` keeps the table, `CHAOS_ONLY=TEXT` runs the rows with that in their name,
`CHAOS_CLEAN_SECONDS` is how long the load runs before the first fault, at production speed.
"""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from tests.chaos.report import markdown
from tests.chaos.run import Outcome, Report, run
from tests.chaos.stage import Stage
from tests.chaos.table import FAULTS, Fault
from tools import native

pytestmark = [pytest.mark.slow, pytest.mark.timeout(4000)]

SCALE = float(os.environ.get("CHAOS_SCALE", "10"))
ONLY = os.environ.get("CHAOS_ONLY", "")
CLEAN_SECONDS = float(os.environ.get("CHAOS_CLEAN_SECONDS", "200" if ONLY else "600"))
"""Of load without a fault; divided by the scale."""

SLACK_SECONDS = 5.0
"""For a machine that is busy with the tests themselves; not scaled."""


STALL_SECONDS = 3.0
"""A machine that stood still for longer has also had other faults than those of the table. What
then failed is tried again, two times at most, if the rules are scaled."""

WITHOUT_LOKI = native.log_store() != "loki"
CHOSEN = [
    replace(fault, alert=None) if fault.of_loki and WITHOUT_LOKI else fault
    for fault in FAULTS
    if ONLY in fault.name
]


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Report:
    capture = request.config.pluginmanager.getplugin("capturemanager")
    for attempt in range(3):
        stage = Stage(tmp_path_factory.mktemp("chaos"), SCALE)
        done = run(stage, CHOSEN, clean=CLEAN_SECONDS / SCALE)
        page = markdown(done)
        with capture.global_and_fixture_disabled():
            print(f"\n{page}")
            wrong = [
                fault for outcome in done.outcomes for fault in _unlike_the_table(done, outcome)
            ]
            if not (wrong or done.false_alerts or done.unexplained):
                break
            if SCALE == 1 or done.stood_still < STALL_SECONDS or attempt == 2:
                break
            print(f"the machine stood still for {done.stood_still:.1f} s: once more")
    if target := os.environ.get("CHAOS_REPORT"):
        Path(target).write_text(page, "utf-8")
    return done


def _unlike_the_table(report: Report, outcome: Outcome) -> list[str]:
    fault, seen = outcome.fault, report.seen[outcome.fault.name]
    limit = (fault.within - fault.unscaled) / SCALE + fault.unscaled
    limit += SLACK_SECONDS if SCALE > 1 else 0
    found = [f"{fault.name}: {outcome.error}"] if outcome.error else []
    if not outcome.seconds <= limit:
        found.append(f"{fault.name}: {outcome.seconds:.1f} s, more than {limit:.1f}")
    if not seen:
        found.append(f"{fault.name}: no client looked")
    if not set(seen) <= fault.clients:
        found.append(f"{fault.name}: clients saw {set(seen) - fault.clients}")
    return found


@pytest.mark.parametrize("fault", CHOSEN, ids=lambda fault: fault.name)
def test_a_fault_raises_its_alert_in_time_and_clients_see_what_they_may(
    report: Report, fault: Fault
) -> None:
    [outcome] = [o for o in report.outcomes if o.fault is fault]
    assert _unlike_the_table(report, outcome) == []


def test_no_alert_speaks_while_nothing_is_wrong(report: Report) -> None:
    assert not report.false_alerts, report.story()


def test_no_alert_speaks_of_what_is_not_wrong(report: Report) -> None:
    assert not report.unexplained, report.story()
