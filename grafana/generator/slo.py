"""Dashboard *SLO and alerts*: how much error budget is left, and what is firing?"""

from grafana_foundation_sdk.builders import dashboard as dashboards
from grafana_foundation_sdk.builders import statetimeline as timelines
from grafana_foundation_sdk.models import common as common_model
from grafana_foundation_sdk.models import dashboard as model

from grafana.generator.boards import ALERTS, dashboard
from grafana.generator.overview import firing_now
from grafana.generator.panels import Limits, lines, number, ranged
from grafana.generator.queries import PROMETHEUS, Query

AVAILABILITY_BUDGET = 0.005
LATENCY_BUDGET = 0.01
"""Shares of requests that may fail, or take over half a second: as in prometheus/rules/slo.yml."""

_WINDOWS = ("5m", "30m", "1h", "2h", "6h", "1d", "3d")
_JOB = '{job=~"$job"}'
_YOUNG = "Of the last hour on a stack that is younger than one."


def build() -> dashboards.Dashboard:
    """The dashboard, ready to be written."""
    board = dashboard(
        "mgeo-slo",
        "MGeo / SLO and alerts",
        "Two objectives, how fast their error budgets burn, and what fires.",
        instances=False,
    )
    _objective(
        board,
        "Availability",
        "99.5 % of requests do not fail (no 5xx, no 429)",
        "job:mgeo_request_failed:ratio_rate",
        AVAILABILITY_BUDGET,
    )
    _objective(
        board,
        "Latency",
        "99 % of answers come within 0.5 s, those of batches within 2.5 s",
        "job:mgeo_request_slow:ratio_rate",
        LATENCY_BUDGET,
    )
    _alerts(board)
    return board


def _objective(
    board: dashboards.Dashboard, name: str, objective: str, record: str, budget: float
) -> None:
    month = f"max({record}30d{_JOB} or {record}1h{_JOB})"
    board.with_row(dashboards.Row(f"{name}: {objective}"))
    for panel in (
        number(
            f"{name}, 30 days",
            f"Share of requests that met the objective: {objective}. {_YOUNG}",
            "percentunit",
            Query(f"1 - {month}", "met"),
            limits=Limits(orange=1 - budget, red=1 - 2 * budget, falling=True),
            decimals=3,
        ),
        number(
            f"{name}, budget left",
            "Of the last 30 days: 100 % is untouched, 0 is spent, -100 % is spent twice or more. "
            f"{_YOUNG}",
            "percentunit",
            Query(f"clamp_min(1 - {month} / {budget}, -1)", "left"),
            limits=Limits(orange=0.25, red=0, falling=True),
            decimals=0,
        ),
        number(
            f"{name}, burn rate now",
            "How many times faster than allowed the budget is being spent, over the last hour. "
            "At 1 it lasts exactly the month; from 14.4 on it pages.",
            "short",
            Query(f"max({record}1h{_JOB}) / {budget}", "burn rate"),
            limits=Limits(orange=1, red=14.4),
            decimals=2,
        ),
    ):
        board.with_panel(panel.height(8))
    board.with_panel(
        lines(
            f"{name} burn rate",
            "By window. An alert needs its long window (it matters) and its short one (it goes "
            "on) above a line: 14.4 for 1 h and 5 m, 6 for 6 h and 30 m, 3 for 1 d and 2 h, 1 for "
            "3 d and 6 h. On a young stack the long windows are alike.",
            "short",
            *(Query(f"max({record}{window}{_JOB}) / {budget}", window) for window in _WINDOWS),
            width=12,
            limits=Limits(orange=1, red=14.4, between=(3, 6)),
        ).axis_soft_max(15)
    )


def _alerts(board: dashboards.Dashboard) -> None:
    board.with_row(dashboards.Row("Alerts"))
    board.with_panel(firing_now(width=24))
    states = {
        "1": model.ValueMappingResult(text="pending", color="yellow", index=0),
        "2": model.ValueMappingResult(text="firing", color="red", index=1),
    }
    said = f'ALERTS{{{ALERTS}, alertstate="%s"}}'
    board.with_panel(
        timelines.Panel()
        .title("Alerts over time")
        .description("From when to when each was pending and fired. `MgeoWatchdog` is left out.")
        .datasource(PROMETHEUS)
        .unit("short")
        .span(24)
        .height(8)
        .show_value(common_model.VisibilityMode.NEVER)
        .mappings([model.ValueMap(options=states)])
        .with_target(
            ranged(
                Query(
                    f"max by (alertname, instance) (2 * {said % 'firing'} or {said % 'pending'})",
                    "{{alertname}} {{instance}}",
                )
            )
        )
    )
