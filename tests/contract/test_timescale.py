"""Rules at another speed: every span of time divided, nothing else touched."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tools import timescale, yaml_text
from tools.build import require
from tools.timescale import TimescaleError

RULES = sorted((timescale.SOURCE / "rules").glob("*.yml"))
EXPRESSIONS = [
    rule["expr"]
    for file in RULES
    for group in yaml_text.read(file)["groups"]
    for rule in group["rules"]
]


@pytest.mark.parametrize(
    ("text", "divided"),
    [
        ("15s", "1500ms"),
        ("1m", "6000ms"),
        ("1h30m", "540000ms"),
        ("3d", "25920000ms"),
        ("1y2w", f"{(365 + 14) * 8_640_000}ms"),
        ("250ms", "25ms"),
        ("0", "0"),
        ("0s", "0ms"),
    ],
)
def test_durations(text: str, divided: str) -> None:
    assert timescale.duration(text, 10) == divided


@pytest.mark.parametrize("text", ["", "5", "m", "5m1h", "1.5h", "-5m", "5 m", "5min"])
def test_what_is_no_duration_is_named(text: str) -> None:
    with pytest.raises(TimescaleError, match="no duration"):
        timescale.duration(text, 10)


def test_a_duration_does_not_become_nothing() -> None:
    with pytest.raises(TimescaleError, match="3ms divided by 10 is shorter"):
        timescale.duration("3ms", 10)


@pytest.mark.parametrize(
    ("text", "divided"),
    [
        ("rate(x[5m]) > 5", "rate(x[30000ms]) > 5"),
        ("x offset 10m > 10", "x offset 60000ms > 10"),
        ("x offset -10m", "x offset -60000ms"),
        ("x OFFSET 1h", "x OFFSET 360000ms"),
        ("max_over_time(rate(x[1m])[1h:5m])", "max_over_time(rate(x[6000ms])[360000ms:30000ms])"),
        ("x[ 1d : ]", "x[ 8640000ms : ]"),
        # A threshold in seconds, a bucket's bound, a range in a label's value, a metric's name.
        ('age_seconds{le="5m", a=~"[5m]"} > 30', 'age_seconds{le="5m", a=~"[5m]"} > 30'),
        ("predict_linear(job:x:rate5m[30m], 3600)", "predict_linear(job:x:rate5m[180000ms], 3600)"),
        # Prometheus 3 takes a duration as a number of seconds: compared with, it is a threshold.
        ("x > 5m", "x > 5m"),
        ("x # not [5m]\n + y[5m]", "x # not [5m]\n + y[30000ms]"),
        ("sum by (offset) (x) @ 1600000000.5", "sum by (offset) (x) @ 1600000000.5"),
        ("1e3 + 0x1F - .5 * +Inf ^ 2 % 3", "1e3 + 0x1F - .5 * +Inf ^ 2 % 3"),
    ],
)
def test_only_ranges_and_offsets_of_an_expression_are_divided(text: str, divided: str) -> None:
    assert timescale.expression(text, 10) == divided


@pytest.mark.parametrize("text", ["x[300]", "x offset 300", "x[5min]", "x & y", '"open'])
def test_what_cannot_be_read_is_refused(text: str) -> None:
    with pytest.raises(TimescaleError):
        timescale.expression(text, 10)


@pytest.mark.parametrize("text", EXPRESSIONS)
@given(factor=st.sampled_from([0.5, 1, 3, 10, 60]))
def test_dividing_twice_is_dividing_by_the_product(text: str, factor: float) -> None:
    # Also: what comes out can be read again, and has as many durations as went in.
    assert timescale.expression(timescale.expression(text, 2), factor) == timescale.expression(
        text, 2 * factor
    )


@pytest.mark.slow
def test_the_project_s_own_configuration_ten_times_as_fast(tmp_path: Path) -> None:
    assert timescale.main(["10", str(tmp_path)]) == 0
    checked = subprocess.run(
        [str(require("promtool")), "check", "config", str(tmp_path / "prometheus.yml")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr
    before = yaml_text.read(timescale.SOURCE / "prometheus.yml")
    after = yaml_text.read(tmp_path / "prometheus.yml")
    assert after["global"]["scrape_interval"] == "1500ms"
    assert after["global"].keys() == before["global"].keys()
    assert after["scrape_configs"] == before["scrape_configs"]
    for file in RULES:
        slow = yaml_text.read(file)["groups"]
        fast = yaml_text.read(tmp_path / "rules" / file.name)["groups"]
        for one, other in zip(slow, fast, strict=True):
            for was, now in zip(one["rules"], other["rules"], strict=True):
                changed = {k for k in was if was[k] != now[k]}
                assert changed <= {"for", "keep_firing_for", "expr"}
                assert changed - {"expr"} == was.keys() & {"for", "keep_firing_for"}
                assert was["expr"] == now["expr"] or "[" in was["expr"] or "offset" in was["expr"]


def test_a_time_that_cannot_be_read_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "in" / "rules").mkdir(parents=True)
    (tmp_path / "in" / "targets").mkdir()
    text = "global: {scrape_interval: often}\nscrape_configs: []\n"
    (tmp_path / "in" / "prometheus.yml").write_text(text)
    with pytest.raises(TimescaleError, match="'often' is no duration"):
        timescale.write(10, tmp_path / "out", tmp_path / "in")
    assert timescale.main(["1000", str(tmp_path / "in" / "prometheus.yml" / "x")]) == 1
    assert capsys.readouterr().err.startswith("timescale: ")
