"""The picture of the dashboard is drawn from what Prometheus answers."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.stack.clients import Prometheus
from tools import picture

pytestmark = [pytest.mark.slow, pytest.mark.timeout(700)]


def test_every_panel_is_drawn_with_its_dots(
    prometheus: Prometheus, batches: None, tmp_path: Path
) -> None:
    path = tmp_path / "dashboard.svg"
    assert picture.draw(prometheus.url, path) >= 20
    drawn = path.read_text("utf-8")
    for text in (*picture.PANELS, "2xx", "P95", "compute", "mgeo-1 memory"):
        assert f">{text}<" in drawn, text


def test_without_prometheus_one_line_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "dashboard.svg"
    assert picture.main([str(path), "--prometheus", "http://127.0.0.1:1"]) == 1
    told = capsys.readouterr().err
    assert told.startswith("picture: http://127.0.0.1:1: ")
    assert told.count("\n") == 1
    assert not path.exists()
