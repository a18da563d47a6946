"""The few kinds of panel that the dashboards are made of, all alike in looks and behaviour."""

from collections.abc import Mapping, Sequence
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

from grafana.generator.queries import JAEGER, LOKI, PROMETHEUS, JaegerSearch, Link, Query

QUIET = "#8e8e8e"
"""Of a figure without data: neither well nor ill."""

_LEAST_HEIGHT = {"percentunit": 0.05, "reqps": 1.0, "cps": 1.0, "short": 1.0}
"""Unit → what an axis reaches at least: of lines that are 0 Grafana draws it up to 100."""


@dataclass(frozen=True)
class Limits:
    """From which value on a figure or line is orange, and red.

    Attributes:
        orange: First value that is worth a look.
        red: First value that is wrong.
        falling: Whether small values are the bad ones; the two are then the last good values.
        between: Further values, orange too, that have a line of their own on a panel of lines.
    """

    orange: float
    red: float
    falling: bool = False
    between: tuple[float, ...] = ()

    def config(self) -> dashboards.ThresholdsConfig:
        """As Grafana has it: colours from a value upwards."""
        steps: list[tuple[float | None, str]] = [
            (None, "green"),
            (self.orange, "orange"),
            *((value, "orange") for value in self.between),
            (self.red, "red"),
        ]
        if self.falling:
            steps = [(None, "red"), (self.red, "orange"), (self.orange, "green")]
        return (
            dashboards.ThresholdsConfig()
            .mode(model.ThresholdsMode.ABSOLUTE)
            .steps([model.Threshold(value=value, color=color) for value, color in steps])
        )


class _Ready(cog.Builder[variants.Dataquery]):
    """Passes a finished query to a panel, which takes builders."""

    def __init__(self, query: variants.Dataquery) -> None:
        self._query = query

    def build(self) -> variants.Dataquery:
        return self._query


def _now(expr: str, legend: str, ref: str = "A") -> prometheus.Dataquery:
    """A query of the end of the time range: what has ended is not shown as if it went on."""
    return (
        prometheus.Dataquery()
        .datasource(PROMETHEUS)
        .expr(expr)
        .legend_format(legend)
        .ref_id(ref)
        .instant()
    )


def ranged(query: Query, ref: str = "A") -> prometheus.Dataquery:
    """A query of the whole time range."""
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
    return [ranged(query, chr(ord("A") + index)) for index, query in enumerate(queries)]


def lines(
    title: str,
    description: str,
    unit: str,
    *queries: Query,
    width: int = 12,
    stacked: bool = False,
    minimum: float | None = 0,
    maximum: float | None = None,
    logarithmic: bool = False,
    limits: Limits | None = None,
    links: Sequence[Link] = (),
    colors: Mapping[str, str] | None = None,
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
        logarithmic: Axis by powers of ten, without `minimum`: for dots far above the lines, which
            a linear axis draws at its upper end.
        limits: Drawn as lines across.
        links: Where a click on a value leads.
        colors: Legend → colour.
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
    if logarithmic:
        panel = panel.scale_distribution(
            common.ScaleDistributionConfig().type(common_model.ScaleDistribution.LOG).log(10)
        )
    elif minimum is not None:
        panel = panel.min(minimum)
        if maximum is None and unit in _LEAST_HEIGHT:
            panel = panel.axis_soft_max(_LEAST_HEIGHT[unit])
    if maximum is not None:
        panel = panel.max(maximum)
    if stacked:
        panel = panel.fill_opacity(40).stacking(
            common.StackingConfig().mode(common_model.StackingMode.NORMAL).group("A")
        )
    if limits is not None:
        style = common.GraphThresholdsStyleConfig().mode(
            common_model.GraphThresholdsStyleMode.DASHED
        )
        panel = panel.thresholds(limits.config()).thresholds_style(style)
    if links:
        panel = panel.override_by_regexp("/.*/", [links_of(links)])
    for legend, color in (colors or {}).items():
        fixed = {"mode": "fixed", "fixedColor": color}
        panel = panel.override_by_name(
            legend, [model.DynamicConfigValue(id_val="color", value=fixed)]
        )
    for target in _refs(queries):
        panel = panel.with_target(target)
    return panel


def links_of(links: Sequence[Link]) -> model.DynamicConfigValue:
    """Links as Grafana's setting of a field."""
    return model.DynamicConfigValue(
        id_val="links", value=[{"title": link.title, "url": link.url} for link in links]
    )


def number(
    title: str,
    description: str,
    unit: str,
    *queries: Query,
    limits: Limits | None = None,
    width: int = 4,
    decimals: float | None = None,
    named: bool = False,
    links: Sequence[Link] = (),
) -> stat.Panel:
    """One figure as it is now, or a few; without data it has no colour.

    Args:
        title: What is shown.
        description: How to read it.
        unit: Grafana's unit id.
        queries: Each gives one series; a plain figure has one query.
        limits: From where on it is orange and red; never, by default.
        width: Of 24 columns.
        decimals: Digits after the point.
        named: Whether each value's legend is shown with it.
        links: Where a click leads.
    """
    none = model.SpecialValueMap(
        options=model.DashboardSpecialValueMapOptions(
            match=model.SpecialValueMatch.NULL_AND_NAN,
            result=model.ValueMappingResult(text="no data", color=QUIET, index=0),
        )
    )
    neutral = dashboards.ThresholdsConfig().mode(model.ThresholdsMode.ABSOLUTE)
    panel = (
        stat.Panel()
        .title(title)
        .description(description)
        .datasource(PROMETHEUS)
        .unit(unit)
        .span(width)
        .height(4)
        .reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]))
        .thresholds(
            limits.config()
            if limits
            else neutral.steps([model.Threshold(value=None, color="text")])
        )
        .graph_mode(common_model.BigValueGraphMode.NONE)
        .mappings([none])
        .no_value("no data")
    )
    if limits:
        panel = panel.color_mode(common_model.BigValueColorMode.BACKGROUND)
    if named:
        panel = panel.text_mode(common_model.BigValueTextMode.VALUE_AND_NAME)
    if links:
        panel = panel.override_by_regexp("/.*/", [links_of(links)])
    for ref, query in zip("ABC", queries, strict=False):
        panel = panel.with_target(_now(query.expr, query.legend, ref))
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
    target = ranged(Query(expr, "{{le}}", exemplars)).format(
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
        .cell_values(heatmap.CellValues().unit("reqps"))
        # By the root of the count: after a burst a cell of a few requests is still to be seen.
        .color(
            heatmap.HeatmapColorOptions()
            .mode(heatmap_model.HeatmapColorMode.OPACITY)
            .fill("dark-orange")
            .scale(heatmap_model.HeatmapColorScale.EXPONENTIAL)
            .exponent(0.5)
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


def traces(title: str, description: str, **wanted: str) -> table.Panel:
    """The most recent traces that are as `wanted`, each a link to itself."""
    return (
        table.Panel()
        .title(title)
        .description(description)
        .datasource(JAEGER)
        .unit("short")
        .span(12)
        .height(9)
        .with_target(_Ready(JaegerSearch(20, **wanted)))
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
