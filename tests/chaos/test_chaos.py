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
from tests.chaos.run import Report, run
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


WITHOUT_LOKI = native.log_store() != "loki"
CHOSEN = [
    replace(fault, alert=None) if fault.of_loki and WITHOUT_LOKI else fault
    for fault in FAULTS
    if ONLY in fault.name
]


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Report:
    stage = Stage(tmp_path_factory.mktemp("chaos"), SCALE)
    done = run(stage, CHOSEN, clean=CLEAN_SECONDS / SCALE)
    page = markdown(done)
    capture = request.config.pluginmanager.getplugin("capturemanager")
    with capture.global_and_fixture_disabled():
        print(f"\n{page}")
    if target := os.environ.get("CHAOS_REPORT"):
        Path(target).write_text(page, "utf-8")
    return done


@pytest.mark.parametrize("fault", CHOSEN, ids=lambda fault: fault.name)
def test_a_fault_raises_its_alert_in_time_and_clients_see_what_they_may(
    report: Report, fault: Fault
) -> None:
    [outcome] = [o for o in report.outcomes if o.fault is fault]
    assert not outcome.error
    limit = (fault.within - fault.unscaled) / SCALE + fault.unscaled
    assert outcome.seconds <= limit + (SLACK_SECONDS if SCALE > 1 else 0)
    seen = report.seen[fault.name]
    assert seen, "no client looked"
    assert set(seen) <= fault.clients


def test_no_alert_speaks_while_nothing_is_wrong(report: Report) -> None:
    assert not report.false_alerts, report.story()


def test_no_alert_speaks_of_what_is_not_wrong(report: Report) -> None:
    assert not report.unexplained, report.story()
