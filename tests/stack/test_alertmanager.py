"""What the real Alertmanager silences of what fires."""

from __future__ import annotations

import json
import shutil
import subprocess
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.stack.clients import eventually, get
from tools.compose import REPOSITORY
from tools.native import PACKAGED, free_ports

CONFIGURATION = REPOSITORY / "alertmanager" / "alertmanager.yml"

DOWN = {"alertname": "MgeoTargetDown", "job": "jaeger", "instance": "j", "severity": "warning"}
COLLECTOR = DOWN | {"job": "otel-collector", "instance": "c"}
BURN = {
    "alertname": "MgeoAvailabilityBudgetBurn", "job": "m", "severity": "critical",
    "slo": "availability", "long": "1h", "short": "5m",
}  # fmt: skip
SLOW_BURN = BURN | {"severity": "warning", "long": "3d", "short": "6h"}
GROWING = {"alertname": "MgeoQueueGrowing", "job": "m", "instance": "a", "severity": "warning"}
MISSING = GROWING | {"alertname": "MgeoMetricsMissing"}
INSTANCE = GROWING | {"alertname": "MgeoInstanceDown"}


@pytest.fixture
def alertmanager(tmp_path: Path) -> Iterator[str]:
    program = shutil.which(PACKAGED["prom/alertmanager"])
    assert program, "Alertmanager is not installed: `make stack-build` brings it"
    [port] = free_ports([9093]).values()
    with subprocess.Popen(
        [
            program, f"--config.file={CONFIGURATION}", f"--storage.path={tmp_path}",
            f"--web.listen-address=127.0.0.1:{port}", "--cluster.listen-address=",
        ],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    ) as running:  # fmt: skip
        try:
            yield f"http://127.0.0.1:{port}/api/v2"
        finally:
            running.terminate()


def _alerts(url: str) -> list[dict[str, Any]] | None:
    try:
        return list(get(f"{url}/alerts"))
    except OSError:  # it has not started yet
        return None


@pytest.mark.parametrize(
    ("fires", "silenced"),
    [
        pytest.param([DOWN, GROWING, MISSING], [], id="something else is down"),
        pytest.param([BURN, SLOW_BURN, GROWING], [SLOW_BURN], id="a page of one objective"),
        pytest.param([COLLECTOR, GROWING, MISSING], [MISSING], id="the Collector is down"),
        pytest.param(
            [INSTANCE, GROWING, GROWING | {"instance": "b"}],
            [GROWING],
            id="an instance is down",
        ),
    ],
)
def test_an_alert_silences_what_it_explains_and_nothing_else(
    alertmanager: str, fires: list[dict[str, str]], silenced: list[dict[str, str]]
) -> None:
    eventually("Alertmanager", lambda: _alerts(alertmanager), lambda found: found == [], 60)
    body = json.dumps([{"labels": labels} for labels in fires]).encode()
    sent = urllib.request.Request(
        f"{alertmanager}/alerts", data=body, headers={"Content-Type": "application/json"}
    )
    urllib.request.urlopen(sent, timeout=60).close()
    found = eventually(
        "every alert with its state",
        lambda: _alerts(alertmanager) or [],
        lambda alerts: (
            {alert["status"]["state"] for alert in alerts}.isdisjoint({"unprocessed"})
            and len(alerts) == len(fires)
        ),
        60,
    )
    assert [a["labels"] for a in found if a["status"]["inhibitedBy"]] == silenced
