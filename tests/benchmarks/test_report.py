"""What the report makes of known figures."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import picture, report, verdicts
from benchmarks.results import Cell, Results, Start

MACHINE = {
    "cpu": "A processor", "processors": 2, "matrix_instructions": ["avx512_bf16"],
    "memory_gb": 8.0, "date": "2026-11-23", "commit": "0123456789ab", "python": "3.11.7",
    "python_object_ns": 150, "versions": {"openvino": "1"},
    "peers": {"litserve": {"litserve": "2"}},
}  # fmt: skip


def cell(
    section: str, contender: str, load: str, speed: float, turn: int = 0, **more: float
) -> Cell:
    figures = {"p50": 10.0, "p95": 20.0, "p99": 30.0, "cpu_ms_per_pair": 5.0} | more
    return Cell(
        section=section, contender=contender, load=load, round=turn, pairs_per_request=1,
        offered=None, pairs_per_second=speed, requests=100, errors=0, load_cpu=0.1, sink_cpu=0.0,
        other_cpu=0.0, late_ms=0.0, **figures,
    )  # fmt: skip


def results(*cells: Cell) -> Results:
    options = {"quick": False, "device": "cpu"}
    return Results(machine=MACHINE, options=options, cells=list(cells), backend="fast")


OURS = "this service, fast"


def test_the_ratio_to_modelscope_is_paired_by_round() -> None:
    measured = results(
        cell("peers", OURS, "c16", 40.0, 0), cell("peers", OURS, "c16", 20.0, 1),
        cell("peers", "ModelScope", "default", 1.0, 0),
        cell("peers", "ModelScope", "default", 0.4, 1),
    )  # fmt: skip
    [line] = [line for line in verdicts.lines(measured) if "card shows" in line]
    assert "45.00 × (40.00 to 50.00)" in line


def test_a_peer_that_is_ahead_is_named() -> None:
    measured = results(
        cell("peers", OURS, "c16", 40.0, p99=30.0), cell("peers", "LitServe", "c16", 30.0, p99=15.0)
    )
    [line] = [line for line in verdicts.lines(measured) if "ahead" in line]
    assert line == "**LitServe is ahead** at 16 clients: p99 0.50 × ours."


def test_a_peer_that_is_ahead_at_a_constant_rate_is_named() -> None:
    measured = results(
        cell("open loop", OURS, "75% (58.0/s)", 58.0, p50=200.0),
        cell("open loop", "LitServe", "75% (58.0/s)", 58.1, p50=100.0),
    )
    [line] = [line for line in verdicts.lines(measured) if "ahead" in line]
    assert line == "**LitServe is ahead** at a constant rate of 75% (58.0/s): p50 0.50 × ours."


def test_no_peer_is_named_when_none_is_ahead() -> None:
    measured = results(
        cell("peers", OURS, "c16", 40.0, p99=30.0), cell("peers", "LitServe", "c16", 30.0, p99=29.9)
    )
    assert not [line for line in verdicts.lines(measured) if "ahead" in line]


def test_what_flask_alone_answers_is_said_beside_what_is_left_of_it() -> None:
    measured = results(
        cell("telemetry", "no-op backend, telemetry off", "c16", 800.0),
        cell("telemetry", "no-op backend, telemetry on, 100 %", "c16", 600.0),
        cell("telemetry", "Flask alone, telemetry off", "c16", 3200.0),
    )
    [line] = [line for line in verdicts.lines(measured) if "Without a model" in line]
    assert line == (
        "Without a model: requests/s by `/predict`: 800 with telemetry off, 600 with telemetry on, "
        "100 %; off, 0.25 × what Flask on waitress answers alone."
    )


def test_latency_beyond_the_allowance_is_given_in_milliseconds() -> None:
    measured = results(
        cell("peers", OURS, "c1", 9.0, p50=104.0),
        cell("peers", "fast loop", "single", 10.0, p50=100.0),
    )
    [line] = [line for line in verdicts.lines(measured) if "one client" in line]
    assert "1.04 ×" in line
    assert "by -1.00 ms" in line


def test_the_report_shows_figures_failures_and_who_was_not_measured(tmp_path: Path) -> None:
    measured = results(
        cell("peers", OURS, "c16", 41.26), cell("peers", "fast loop", "single", 12.0),
        cell("telemetry", "no-op backend, telemetry off", "c16", 2000.0),
        cell("telemetry", "no-op backend, telemetry on, 100 %", "c16", 1500.0),
        cell("bulk", OURS, "c1 alone", 10.0), cell("bulk", OURS, "c1 beside bulk", 9.0, p95=30.0),
    )  # fmt: skip
    measured.failures["BentoML"] = "it could not be installed"
    measured.starts.append(
        Start(contender="bundled model", seconds=2.5, resident_mb=400, proportional_mb=380)
    )
    document = tmp_path / "benchmarks.md"
    report.write(measured, document)
    text = document.read_text("utf-8")
    assert "| this service, fast | 16 | 41.3 | 10.0 | 20.0 | 30.0 | 5.00 |" in text
    assert "| no-op backend | 16 | on, 100 % | 1,500 | 10.0 | 30.0 | 5.00 | 0.750 | 1.000 |" in text
    assert "| 1 | 10.0 | 20.0 | 10.0 | 30.0 | 1.500 |" in text
    assert "| bundled model | 2.50 | 2.50 to 2.50 | 1 | 400 | 380 |" in text
    assert "| BentoML | it could not be installed |" in text
    assert "(no AMX)" in text
    assert (tmp_path / "benchmarks.svg").stat().st_size > 1000


def test_the_same_figures_make_the_same_picture(tmp_path: Path) -> None:
    measured = results(cell("peers", OURS, "c1", 10.0), cell("peers", OURS, "c16", 40.0))
    for name in ("one.svg", "two.svg"):
        assert picture.draw(measured, tmp_path / name)
    assert (tmp_path / "one.svg").read_bytes() == (tmp_path / "two.svg").read_bytes()


def test_raw_figures_come_back_from_their_file(tmp_path: Path) -> None:
    measured = results(cell("peers", OURS, "c1", 10.0))
    measured.write(tmp_path / "raw.json")
    assert Results.read(tmp_path / "raw.json") == measured


@pytest.mark.parametrize(("value", "shown"), [(1234.5, "1,234"), (12.34, "12.3"), (0.126, "0.13")])
def test_figures_have_about_three_digits(value: float, shown: str) -> None:
    assert report.number(value) == shown
