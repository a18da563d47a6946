"""The dashboard's own queries tell a worse version from a twin, within a thousand requests."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from grafana.generator import comparison
from tests.serving import Service
from tests.stack.clients import Prometheus, eventually
from tests.stack.conftest import prepare
from tests.stack.models import compared, send
from tools.picture import fill
from tools.stack import Stack

pytestmark = [pytest.mark.slow, pytest.mark.timeout(700)]

REQUESTS = 1000
MODELS = (
    {"name": "a", "weight": 1},
    {"name": "twin", "role": "shadow"},
    {"name": "worse", "role": "shadow"},
)


@pytest.fixture(scope="module")
def small_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A Collector and Prometheus."""
    only = ["otel-collector", "prometheus"]
    with prepare(tmp_path_factory.mktemp("versions"), {}, only) as running:
        running.start()
        yield running


def _version(service: Service, name: str) -> str:
    listed = json.loads(service.get(service.operations, "/models")[1])["models"]
    return str(next(one["version"] for one in listed if one["name"] == name))


def test_a_worse_version_is_shown_as_worse_within_a_thousand_requests(
    small_stack: Stack, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    prometheus = Prometheus(small_stack.url("prometheus", 9090))
    with compared(small_stack, tmp_path, *MODELS) as service:
        twin, worse = _version(service, "twin"), _version(service, "worse")
        eventually(
            "the comparison's series, at zero",
            lambda: prometheus.value("count(mgeo_shadow_prediction_total)"),
            lambda found: found == 18,
            seconds=60,
        )
        send(service, REQUESTS)
        eventually(
            "all copies compared",
            lambda: prometheus.value("sum(mgeo_shadow_prediction_total)"),
            lambda counted: counted == 2 * REQUESTS,
            seconds=180,
        )

        def answers(expr: str) -> dict[str, float]:
            return {
                series["metric"]["model_version"]: float(series["value"][1])
                for series in prometheus.query(fill(expr))
            }

        shown = {
            "agreement": answers(comparison.agreement()),
            "at least": answers(comparison.agreement_bound("-")),
            "at most": answers(comparison.agreement_bound("+")),
            "verdict": answers(comparison.agreement_verdict()),
            "shift": answers(comparison.paired_shift()),
            "shift verdict": answers(comparison.paired_verdict()),
        }
        with capsys.disabled():
            for name, found in shown.items():
                print(f"\n{name}: twin {found[twin]:.4f}, worse {found[worse]:.4f}", end="")
        assert prometheus.value("sum(mgeo_shadow_dropped_total)") == 0
    assert shown["verdict"] == {twin: 1, worse: -1}
    assert shown["at most"][worse] < comparison.LEAST_AGREEMENT <= shown["at least"][twin]
    assert shown["at least"][worse] <= shown["agreement"][worse] <= shown["at most"][worse]
    assert shown["shift verdict"][worse] == -1
