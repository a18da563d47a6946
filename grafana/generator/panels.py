"""The few kinds of panel that the dashboards are made of, all alike in looks and behaviour."""

from collections.abc import Sequence
from dataclasses import dataclass

from grafana_foundation_sdk.builders import common, heatmap, logs, loki, prometheus, stat, table
from grafana_foundation_sdk.builders import dashboard as dashboards
from grafana_foundation_sdk.builders import text as texts
from grafana_foundation_sdk.builders import timeseries as series
from grafana_foundation_sdk.cog import builder as cog
from grafana_foundation_sdk.cog import variants
from grafana_foundation_sdk.models import common as common_model
from grafana_foundation_sdk.models import dashboard as model
from grafana_foundation_sdk.models import heatmap as heatmap_model
from grafana_foundation_sdk.models import prometheus as prometheus_model
from grafana_foundation_sdk.models import text as texts_model

PROMETHEUS = model.DataSourceRef(type_val="prometheus", uid="${datasource}")
JAEGER = model.DataSourceRef(type_val="jaeger", uid="jaeger")
LOKI = model.DataSourceRef(type_val="loki", uid="loki")

SELECTOR = 'job=~"$job", instance=~"$instance"'
"""Matchers that follow the dashboard's variables."""


@dataclass(frozen=True)
class Query:
    """One PromQL query of a panel.

    Attributes:
        expr: PromQL, with Grafana's variables.
        legend: Name of its lines.
        exemplars: Whether Grafana asks for exemplars too: only on raw histogram buckets, which
            carry them; recording rules do not.
    """

    expr: str
    legend: str
    exemplars: bool = False


class JaegerSearch(variants.Dataquery):
    """Jaeger's search as a panel's query. The SDK has no type for it; Grafana's own is this."""

    def __init__(self, service: str, limit: int) -> None:
        """Finds the `limit` most recent traces of `service` in the dashboard's time range."""
        self.service = service
        self.limit = limit

    def to_json(self) -> dict[str, object]:
        """The query as Grafana stores it."""
        return {
            "refId": "A",
            "datasource": JAEGER,
            "queryType": "search",
            "service": self.service,
            "limit": self.limit,
        }


class _Ready(cog.Builder[variants.Dataquery]):
    """Passes a finished query to a panel, which takes builders."""

    def __init__(self, query: variants.Dataquery) -> None:
        self._query = query

    def build(self) -> variants.Dataquery:
        return self._query


def _now(expr: str, legend: str) -> prometheus.Dataquery:
    """A query of the end of the time range: what has ended is not shown as if it went on."""
    return (
        prometheus.Dataquery()
        .datasource(PROMETHEUS)
        .expr(expr)
        .legend_format(legend)
        .ref_id("A")
        .instant()
    )


def _target(query: Query, ref: str) -> prometheus.Dataquery:
    target = (
        prometheus.Dataquery()
        .datasource(PROMETHEUS)
        .expr(query.expr)
        .legend_format(query.legend)
        .ref_id(ref)
        .range()
    )
    return target.exemplar(True) if query.exemplars else target


def _refs(queries: Sequence[Query]) -> list[prometheus.Dataquery]:
    return [_target(query, chr(ord("A") + index)) for index, query in enumerate(queries)]


def lines(
    title: str,
    description: str,
    unit: str,
    *queries: Query,
    width: int = 12,
    stacked: bool = False,
    minimum: float | None = 0,
    maximum: float | None = None,
) -> series.Panel:
    """Lines over time.

    Args:
        title: What is shown.
        description: How to read it.
        unit: Grafana's unit id, such as `s`, `reqps` or `percentunit`.
        queries: One or more queries.
        width: Of 24 columns.
        stacked: Areas on top of each other, for parts that add up to a whole.
        minimum: Lower end of the axis; None lets Grafana choose.
        maximum: Upper end of the axis; None lets Grafana choose.
    """
    panel = (
        series.Panel()
        .title(title)
        .description(description)
        .datasource(PROMETHEUS)
        .unit(unit)
        .span(width)
        .height(8)
        .line_width(1)
        .show_points(common_model.VisibilityMode.NEVER)
        .legend(
            common.VizLegendOptions()
            .show_legend(True)
            .display_mode(common_model.LegendDisplayMode.LIST)
            .placement(common_model.LegendPlacement.BOTTOM)
        )
        .tooltip(
            common.VizTooltipOptions()
            .mode(common_model.TooltipDisplayMode.MULTI)
            .sort(common_model.SortOrder.DESCENDING)
        )
    )
    if minimum is not None:
        panel = panel.min(minimum)
    if maximum is not None:
        panel = panel.max(maximum)
    if stacked:
        panel = panel.fill_opacity(40).stacking(
            common.StackingConfig().mode(common_model.StackingMode.NORMAL).group("A")
        )
    for target in _refs(queries):
        panel = panel.with_target(target)
    return panel


def number(
    title: str,
    description: str,
    unit: str,
    expr: str,
    *,
    red_below: float | None = None,
    red_above: float | None = None,
    decimals: float | None = None,
) -> stat.Panel:
    """One figure as it is now, green or red.

    Args:
        title: What is shown.
        description: How to read it.
        unit: Grafana's unit id.
        expr: PromQL that gives one series.
        red_below: Red under this value.
        red_above: Red from this value on.
        decimals: Digits after the point.
    """
    good, bad = "green", "red"
    if red_below is not None:
        steps = [(None, bad), (red_below, good)]
    elif red_above is not None:
        steps = [(None, good), (red_above, bad)]
    else:
        steps = [(None, "text")]
    panel = (
        stat.Panel()
        .title(title)
        .description(description)
        .datasource(PROMETHEUS)
        .unit(unit)
        .span(4)
        .height(4)
        .reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]))
        .thresholds(
            dashboards.ThresholdsConfig()
            .mode(model.ThresholdsMode.ABSOLUTE)
            .steps([model.Threshold(value=value, color=color) for value, color in steps])
        )
        .graph_mode(common_model.BigValueGraphMode.NONE)
        .with_target(_now(expr, title))
    )
    return panel if decimals is None else panel.decimals(decimals)


def verdict(title: str, description: str, expr: str, legend: str) -> stat.Panel:
    """Yes, no, or not known yet, for each series of a query.

    Args:
        title: What is asked.
        description: How it is decided.
        expr: PromQL that gives 1 for yes, -1 for no and 0 for not known yet.
        legend: Name of a series.
    """
    said = {
        "1": model.ValueMappingResult(text="yes", color="green", index=0),
        "0": model.ValueMappingResult(text="not known yet", color="orange", index=1),
        "-1": model.ValueMappingResult(text="no", color="red", index=2),
    }
    return (
        stat.Panel()
        .title(title)
        .description(description)
        .datasource(PROMETHEUS)
        .unit("short")
        .span(8)
        .height(5)
        .color_mode(common_model.BigValueColorMode.BACKGROUND)
        .graph_mode(common_model.BigValueGraphMode.NONE)
        .reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]))
        .mappings([model.ValueMap(options=said)])
        .no_value("no data: needs a shadow, or a split")
        .with_target(_now(expr, legend))
    )


def text(title: str, markdown: str) -> texts.Panel:
    """Words, as wide as the dashboard."""
    return (
        texts.Panel()
        .title(title)
        .content(markdown.strip())
        .mode(texts_model.TextMode.MARKDOWN)
        .span(24)
        .height(7)
    )


def heat(
    title: str, description: str, unit: str, expr: str, *, exemplars: bool, width: int = 12
) -> heatmap.Panel:
    """How values spread over a histogram's buckets, over time.

    Args:
        title: What is shown.
        description: How to read it.
        unit: Grafana's unit id of the bucket bounds.
        expr: PromQL that gives one series per `le`.
        exemplars: Whether to show exemplars as dots.
        width: Of 24 columns.
    """
    target = _target(Query(expr, "{{le}}", exemplars), "A").format(
        prometheus_model.PromQueryFormat.HEATMAP
    )
    return (
        heatmap.Panel()
        .title(title)
        .description(description)
        .datasource(PROMETHEUS)
        .unit(unit)
        .span(width)
        .height(8)
        .calculate(False)
        .y_axis(heatmap.YAxisConfig().unit(unit))
        .color(
            heatmap.HeatmapColorOptions()
            .mode(heatmap_model.HeatmapColorMode.SCHEME)
            .scheme("Oranges")
            .steps(64)
        )
        .exemplars_color("rgba(0, 110, 255, 0.9)")
        .with_target(target)
    )


def rows(title: str, description: str, expr: str, *, width: int = 24) -> table.Panel:
    """A table of the series that `expr` gives now, one a row."""
    target = (
        prometheus.Dataquery()
        .datasource(PROMETHEUS)
        .expr(expr)
        .instant()
        .format(prometheus_model.PromQueryFormat.TABLE)
        .ref_id("A")
    )
    return (
        table.Panel()
        .title(title)
        .description(description)
        .datasource(PROMETHEUS)
        .unit("short")
        .span(width)
        .height(8)
        .with_target(target)
    )


def traces(title: str, description: str, service: str) -> table.Panel:
    """The most recent traces, each a link to itself."""
    return (
        table.Panel()
        .title(title)
        .description(description)
        .datasource(JAEGER)
        .unit("short")
        .span(12)
        .height(9)
        .with_target(_Ready(JaegerSearch(service, limit=20)))
    )


def log_lines(title: str, description: str, expr: str) -> logs.Panel:
    """The most recent log lines."""
    return (
        logs.Panel()
        .title(title)
        .description(description)
        .datasource(LOKI)
        .span(12)
        .height(9)
        .show_time(True)
        .enable_log_details(True)
        .sort_order(common_model.LogsSortOrder.DESCENDING)
        .with_target(loki.Dataquery().datasource(LOKI).expr(expr).max_lines(100).ref_id("A"))
    )


def dashboard(uid: str, title: str, description: str, *, variables: bool) -> dashboards.Dashboard:
    """An empty dashboard with the variables that every panel's query follows.

    Args:
        uid: Stable id, part of the dashboard's address.
        title: Its name.
        description: What question it answers.
        variables: Whether panels are about instances of the service: adds `job` and `instance`.
    """
    made = (
        dashboards.Dashboard(title)
        .uid(uid)
        .description(description)
        .tags(["mgeo"])
        .refresh("15s")
        .time("now-30m", "now")
        .timezone("browser")
        .tooltip(model.DashboardCursorSync.CROSSHAIR)
        .readonly()
        .link(
            dashboards.DashboardLink("MGeo")
            .type(model.DashboardLinkType.DASHBOARDS)
            .tags(["mgeo"])
            .as_dropdown(True)
            .keep_time(True)
            .include_vars(True)
        )
        .with_variable(
            dashboards.DatasourceVariable("datasource")
            .label("Data source")
            .type("prometheus")
            .current(model.VariableOption(text="Prometheus", value="prometheus"))
        )
    )
    if not variables:
        return made
    return made.with_variable(
        _variable("job", "Job", "label_values(mgeo_ready, job)")
    ).with_variable(
        _variable("instance", "Instance", 'label_values(mgeo_ready{job=~"$job"}, instance)')
    )


def _variable(name: str, label: str, query: str) -> dashboards.QueryVariable:
    return (
        dashboards.QueryVariable(name)
        .label(label)
        .datasource(PROMETHEUS)
        .query(query)
        .refresh(model.VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(model.VariableSort.ALPHABETICAL_ASC)
        .multi(True)
        .include_all(True)
        .all_value(".*")
        .current(model.VariableOption(text=["All"], value=["$__all"], selected=True))
    )
