"""Dashboard *SLO and alerts*: how much error budget is left, and what is firing?"""

from grafana_foundation_sdk.builders import dashboard as dashboards

from grafana.generator.panels import Query, dashboard, lines, number, rows

AVAILABILITY_BUDGET = 0.005
LATENCY_BUDGET = 0.01
"""Shares of requests that may fail, or take over half a second: as in prometheus/rules/slo.yml."""

_WINDOWS = ("5m", "30m", "1h", "6h", "3d")


def build() -> dashboards.Dashboard:
    """The dashboard, ready to be written."""
    board = dashboard(
        "mgeo-slo",
        "MGeo / SLO and alerts",
        "Two objectives, how fast their error budgets burn, and what fires.",
        variables=True,
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
        "99 % of single predictions are answered within 0.5 s",
        "job:mgeo_request_slow:ratio_rate",
        LATENCY_BUDGET,
    )
    _alerts(board)
    return board


def _objective(
    board: dashboards.Dashboard, name: str, objective: str, record: str, budget: float
) -> None:
    board.with_row(dashboards.Row(f"{name}: {objective}"))
    board.with_panel(
        number(
            f"{name} over three days",
            f"Share of requests that met the objective: {objective}.",
            "percentunit",
            f'1 - max({record}3d{{job=~"$job"}})',
            red_below=1 - budget,
            decimals=3,
        )
    )
    board.with_panel(
        number(
            f"{name} budget left",
            "What is left if the last three days are typical: 1 is untouched, 0 is spent, below "
            "0 the objective is missed.",
            "percentunit",
            f'1 - max({record}3d{{job=~"$job"}}) / {budget}',
            red_below=0,
            decimals=1,
        )
    )
    board.with_panel(
        number(
            f"{name} burn rate now",
            "How many times faster than allowed the budget is being spent, over the last hour. "
            "At 1 it lasts exactly the month; from 14.4 on it pages.",
            "short",
            f'max({record}1h{{job=~"$job"}}) / {budget}',
            red_above=14.4,
            decimals=2,
        )
    )
    board.with_panel(
        lines(
            f"{name} burn rate",
            "By window. An alert needs its long window (it matters) and its short one (it goes "
            "on) above the line: 14.4 for 1 h and 5 m, 6 for 6 h and 30 m, 1 for 3 d and 6 h.",
            "short",
            *(
                Query(f'max({record}{window}{{job=~"$job"}}) / {budget}', window)
                for window in _WINDOWS
            ),
            width=12,
        )
    )


def _alerts(board: dashboards.Dashboard) -> None:
    board.with_row(dashboards.Row("Alerts"))
    board.with_panel(
        rows(
            "Pending and firing now",
            "Every alert has a heading of its name in docs/runbooks.md. `Watchdog` always fires: "
            "if it is missing, no alert can reach anybody.",
            'ALERTS{alertstate=~"pending|firing"}',
        )
    )
    board.with_panel(
        lines(
            "Alerts over time",
            "How many fire, by name.",
            "short",
            Query('sum by (alertname) (ALERTS{alertstate="firing"})', "{{alertname}}"),
            width=24,
            stacked=True,
        )
    )
