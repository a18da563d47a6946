"""The table of faults: about alerts that exist, complete, and as documented."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests.chaos.alerts import Firing
from tests.chaos.report import alert, companions
from tests.chaos.run import Outcome
from tests.chaos.stage import AROUND, INSTANCES
from tests.chaos.table import FAULTS, LOOK_BACK, RULES, Fault

ALERTS = {rule["alert"] for rule in RULES}
PAGE = Path(__file__).parents[2] / "docs" / "chaos.md"


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_row_is_about_what_exists(fault: Fault) -> None:
    assert fault.alert is None or fault.alert in ALERTS
    assert set(fault.permitted) <= ALERTS
    assert fault.on in INSTANCES or fault.on in AROUND
    assert 0 <= fault.unscaled < fault.within <= 90


def test_no_two_faults_befall_the_same_at_the_same_time() -> None:
    places = [(fault.wave, fault.on) for fault in FAULTS]
    assert len(set(places)) == len(places)
    assert len({fault.name for fault in FAULTS}) == len(FAULTS) >= 24


def test_each_row_is_documented_with_its_alert() -> None:
    page = PAGE.read_text("utf-8").splitlines()
    rows = [line.split(" | ")[:2] for line in page if line.startswith("| ")][1:]
    with_loki = [[f"| {fault.name}", alert(fault)] for fault in FAULTS]
    without = [replace(fault, alert=None) if fault.of_loki else fault for fault in FAULTS]
    assert rows in (with_loki, [[f"| {fault.name}", alert(fault)] for fault in without])


def test_the_page_says_why_other_alerts_may_come() -> None:
    assert PAGE.read_text("utf-8").endswith(companions(FAULTS))


def test_a_rule_that_looks_back_may_speak_anew_for_that_long_and_no_longer() -> None:
    assert (LOOK_BACK["MgeoTargetRestarting"], LOOK_BACK["MgeoWatchdog"]) == (900, 0)
    [refuses] = [fault for fault in FAULTS if fault.name == "The Collector refuses"]
    outcome = Outcome(refuses, began=1000, ended=1010)

    def explained(name: str, active: float) -> bool:
        return outcome.explains(Firing(name, {"job": "otel-collector"}, active, active), scale=10)

    assert explained("MgeoTargetRestarting", 1010 + 89)
    assert not explained("MgeoTargetRestarting", 1010 + 91)
    assert explained("MgeoMetricsMissing", 1010 + 11)
    assert not explained("MgeoMetricsMissing", 1010 + 13)
