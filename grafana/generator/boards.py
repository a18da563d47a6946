"""An empty dashboard: its variables, its marks of what happened, its links to the others."""

from grafana_foundation_sdk.builders import dashboard as dashboards
from grafana_foundation_sdk.models import dashboard as model

from grafana.generator.queries import JAEGER, LOKI, PROMETHEUS

STORES = {"prometheus": ("datasource", "Data source"), "jaeger": ("traces", "Traces"),
          "loki": ("logs", "Log lines")}  # fmt: skip
"""Type of a data source → its variable and that one's label."""

ALERTS = 'alertname=~"Mgeo.+", alertname!="MgeoWatchdog", severity=~"critical|warning"'
"""Alerts that say that something is wrong."""

_JOBS = {
    "mgeo": (
        "label_values(mgeo_ready, job)",
        'label_values(mgeo_ready{job=~"$job"}, instance)',
    ),
    "all": ("label_values(up, job)", 'label_values(up{job=~"$job"}, instance)'),
}
"""Of what `job` and `instance` are chosen: instances of the service, or every target."""


def dashboard(
    uid: str,
    title: str,
    description: str,
    *,
    of: str = "mgeo",
    instances: bool = True,
    single: bool = False,
    hosts: bool = False,
) -> dashboards.Dashboard:
    """A dashboard with the variables that every panel's query follows, and no panel.

    Args:
        uid: Stable id, part of the dashboard's address.
        title: Its name.
        description: What question it answers.
        of: Whose instances can be chosen: of the service (`mgeo`) or of any target (`all`).
        instances: Whether one can be chosen; not where all panels are about the whole.
        single: Whether it shows single requests: adds the stores of traces and log lines.
        hosts: Whether a host can be chosen.
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
    )
    for store in (PROMETHEUS, JAEGER, LOKI) if single else (PROMETHEUS,):
        made = made.with_variable(_source(store))
    jobs, of_job = _JOBS[of]
    made = made.with_variable(_variable("job", "Job", jobs))
    if instances:
        made = made.with_variable(_variable("instance", "Instance", of_job))
    if hosts:
        made = made.with_variable(_variable("host", "Host", "label_values(node_load1, instance)"))
    if single:
        # Jaeger's search takes one service; a namespace is part of `job` and not of its name.
        made = made.with_variable(
            dashboards.QueryVariable("service")
            .label("Service of traces and log lines")
            .datasource(PROMETHEUS)
            .query("label_values(mgeo_ready, job)")
            .regex("/([^/]+)$/")
            .refresh(model.VariableRefresh.ON_TIME_RANGE_CHANGED)
            .current(model.VariableOption(text="mgeo-inference", value="mgeo-inference"))
        )
    if of == "mgeo":
        for mark in _marks():
            made = made.annotation(mark)
    return made


def _source(store: model.DataSourceRef) -> dashboards.DatasourceVariable:
    kind = str(store.type_val)
    name, label = STORES[kind]
    return (
        dashboards.DatasourceVariable(name)
        .label(label)
        .type(kind)
        .current(model.VariableOption(text=kind.capitalize(), value=kind))
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
        .all_value(".+")
        .current(model.VariableOption(text=["All"], value=["$__all"], selected=True))
    )


def _marks() -> list[dashboards.AnnotationQuery]:
    """What changes how everything else is read. A query of marks has its value as what is so."""
    job = 'job=~"$job"'
    answering = f'mgeo_model_share_ratio{{{job}, role!="shadow"}}'
    version = "count by (job, model_version)"
    return [
        _mark(
            "Start",
            "blue",
            f"mgeo_start_time_seconds{{{job}}} * 1000",
            "{{instance}} started",
        ).use_value_for_time(True),
        _mark(
            "Not ready",
            "orange",
            f"(mgeo_ready{{{job}}} == bool 0) > 0",
            "{{instance}} is not ready: it starts, drains or has failed",
        ),
        _mark(
            "Model version",
            "purple",
            # For 90 s, so that a query with a minute's step meets it. Over three minutes before
            # that: an instance that restarts is away for a while, and no new version.
            f"{version} ({answering} > 0) unless on (job, model_version) "
            f"{version} (max_over_time({answering}[3m] offset 90s) > 0)",
            "{{model_version}} answers",
        ),
        _mark(
            "Alert",
            "red",
            f'max by (alertname, severity, instance) (ALERTS{{alertstate="firing", {ALERTS}}})',
            "{{alertname}} {{instance}}",
        ),
    ]


def _mark(name: str, color: str, expr: str, title: str) -> dashboards.AnnotationQuery:
    return (
        dashboards.AnnotationQuery()
        .name(name)
        .datasource(PROMETHEUS)
        .enable(True)
        .icon_color(color)
        .expr(expr)
        .title_format(title)
    )
