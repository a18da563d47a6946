"""Dashboard *Telemetry pipeline health*: can what the other dashboards show be trusted?"""

from grafana_foundation_sdk.builders import dashboard as dashboards
from grafana_foundation_sdk.models import dashboard as model

from grafana.generator.boards import dashboard
from grafana.generator.panels import Limits, lines, number
from grafana.generator.queries import Query, matching, rate

_COLLECTOR = 'job="otel-collector"'
_JAEGER = 'job="jaeger"'
"""Jaeger is a Collector too, with the same metric names."""

_REFUSED = "job_instance_receiver_signal:otelcol_refused:rate5m"
_LOST = "job_instance_exporter_signal_while:otelcol_lost:rate5m"
_LINES_STORED = '__name__=~"loki_distributor_lines_received_total|vl_rows_ingested_total"'
_FAILED = 'error_type!=""'
_GIVEN_UP = {
    item: f'__name__=~"otel_sdk_(exporter|processor)_{kind}_(exported|processed)_total"'
    for item, kind in (("spans", "span"), ("log lines", "log"))
}
"""What `MgeoTelemetryLost` counts: of what, and how the SDK calls it."""

_SERVER = 'span_kind="SPAN_KIND_SERVER"'
_ITEMS = {"traces": "spans", "metrics": "metric_points", "logs": "log_records"}


def build() -> dashboards.Dashboard:
    """The dashboard, ready to be written."""
    board = dashboard(
        "mgeo-pipeline",
        "MGeo / Telemetry pipeline health",
        "From the service through the Collector to Prometheus, Jaeger and the log store: what "
        "flows, what waits, what is lost.",
        of="all",
    )
    for add in (_overview, _collector, _spans, _stores):
        add(board)
    return board


def _overview(board: dashboards.Dashboard) -> None:
    board.with_row(dashboards.Row("At a glance"))
    board.with_panel(
        number(
            "Targets down",
            "Scrape targets that do not answer.",
            "short",
            Query(f"count(up{matching()} == 0) or vector(0)", "down"),
            limits=Limits(1, 1),
        )
    )
    board.with_panel(
        number(
            "Items lost",
            "Spans, points and log lines that the Collector gave up on, a second. Anything but 0 "
            "is data nobody will see.",
            "cps",
            Query(f"sum({_LOST}{matching()}) or vector(0)", "lost"),
            limits=Limits(0.001, 0.001),
        )
    )
    board.with_panel(
        number(
            "Fullest queue",
            "Share of the Collector's fullest queue in use. It fills while a store is away.",
            "percentunit",
            Query(
                f"max(otelcol_exporter_queue_size{matching(_COLLECTOR)} "
                f"/ otelcol_exporter_queue_capacity{matching(_COLLECTOR)})",
                "fullest",
            ),
            limits=Limits(0.5, 0.9),
        )
    )
    board.with_panel(
        number(
            "Exemplars stored",
            "Dots kept by Prometheus, a second. 0 with traffic: the links from panels to traces "
            "are broken.",
            "cps",
            Query(
                f"sum({rate('prometheus_tsdb_exemplar_exemplars_appended_total')}) or vector(0)",
                "exemplars",
            ),
        )
    )
    board.with_panel(
        number(
            "Series",
            "Time series in Prometheus's memory. A steady climb is a label with unbounded values.",
            "short",
            Query(f"sum(prometheus_tsdb_head_series{matching()})", "series"),
        )
    )
    board.with_panel(
        number(
            "Watchdog",
            "The alert that always fires: 1 says that rules are evaluated.",
            "short",
            Query(
                'count(ALERTS{alertname="MgeoWatchdog", alertstate="firing"}) or vector(0)',
                "firing",
            ),
            limits=Limits(1, 1, falling=True),
        )
    )


def _collector(board: dashboards.Dashboard) -> None:
    board.with_row(dashboards.Row("Collector"))
    board.with_panel(
        lines(
            "Accepted",
            "Items that came in, a second, by signal.",
            "cps",
            *(
                Query(f"sum({rate(f'otelcol_receiver_accepted_{item}_total', _COLLECTOR)})", signal)
                for signal, item in _ITEMS.items()
            ),
            width=8,
        )
    )
    board.with_panel(
        lines(
            "Sent",
            "Items that a store has acknowledged, a second. Metrics: ready to be scraped.",
            "cps",
            *(
                Query(f"sum({rate(f'otelcol_exporter_sent_{item}_total', _COLLECTOR)})", signal)
                for signal, item in _ITEMS.items()
            ),
            width=8,
        )
    )
    board.with_panel(
        lines(
            "Refused and lost",
            "Refused: the sender will try again. Lost: nobody will.",
            "cps",
            Query(f"sum({_REFUSED}{matching()}) or vector(0)", "refused"),
            Query(f"sum({_LOST}{matching()}) or vector(0)", "lost"),
            width=8,
        )
    )
    board.with_panel(
        lines(
            "Queues",
            "Items that wait on disk for a store. The figure above says how full the fullest is.",
            "short",
            Query(
                f"sum by (exporter) (otelcol_exporter_queue_size{matching(_COLLECTOR)})",
                "{{exporter}}",
            ),
            width=8,
        )
    )
    board.with_panel(
        lines(
            "Collector's memory",
            "What the kernel counts, and Go's heap. The limiter looks at the heap and refuses from "
            "COLLECTOR_MEMORY_LIMIT_MIB less COLLECTOR_MEMORY_SPIKE_MIB on, so that the Collector "
            "is never killed: 288 MiB as it comes, 576 MiB in Kubernetes.",
            "bytes",
            Query(f"otelcol_process_memory_rss_bytes{matching(_COLLECTOR)}", "{{instance}}"),
            Query(
                f"otelcol_process_runtime_heap_alloc_bytes{matching(_COLLECTOR)}",
                "{{instance}} heap",
            ),
            width=8,
        )
    )
    board.with_panel(
        lines(
            "Collector's CPU",
            "Cores in use. At its container's limit, queues fill.",
            "short",
            Query(rate("otelcol_process_cpu_seconds_total", _COLLECTOR), "{{instance}}"),
            width=8,
        )
    )


def _spans(board: dashboards.Dashboard) -> None:
    board.with_row(dashboards.Row("Spans, counted by the Collector"))
    board.with_panel(
        lines(
            "Spans per second",
            "By name. Each stage of a request is a span; their rates are equal while every "
            "request is sampled.",
            "cps",
            Query(
                f"sum by (span_name) ({rate('traces_span_metrics_calls_total')})",
                "{{span_name}}",
            ),
            width=8,
        )
    )
    board.with_panel(
        lines(
            "Traces per second",
            "Requests that the instances sampled, and server spans that arrived. Fewer arrive: "
            "they are lost on the way.",
            "cps",
            Query(f"sum({rate('mgeo_request_sampled_total')})", "sampled"),
            Query(f"sum({rate('traces_span_metrics_calls_total', _SERVER)})", "arrived"),
            width=8,
        )
    )
    board.with_panel(
        lines(
            "P95 time of each span",
            "Measured from the traces, so it also covers spans without a metric of their own. "
            "Each dot is one span: click it to open its trace.",
            "s",
            Query(
                "histogram_quantile(0.95, sum by (le, span_name) "
                f"({rate('traces_span_metrics_duration_seconds_bucket')}))",
                "{{span_name}}",
                exemplars=True,
            ),
            logarithmic=True,
            width=8,
        )
    )


def _stores(board: dashboards.Dashboard) -> None:
    board.with_row(dashboards.Row("Stores"))
    board.with_panel(
        lines(
            "Scrape duration",
            "How long Prometheus waits for each target. It gives up after 10 s.",
            "s",
            Query(f"max by (job) (scrape_duration_seconds{matching()})", "{{job}}"),
            width=8,
        )
    )
    board.with_panel(
        lines(
            "Samples per second",
            "What Prometheus takes in.",
            "cps",
            Query(
                f"sum by (instance) ({rate('prometheus_tsdb_head_samples_appended_total')})",
                "{{instance}}",
            ),
            width=8,
        )
    )
    board.with_panel(
        lines(
            "Rule evaluation",
            "Time to evaluate each group of rules.",
            "s",
            Query(
                f"max by (rule_group) (prometheus_rule_group_last_duration_seconds{matching()})",
                "{{rule_group}}",
            ),
            width=8,
        ).with_transformation(
            # Without the path of the file that is in front of the group's name.
            model.DataTransformerConfig(
                id_val="renameByRegex", options={"regex": ".*;(.*)", "renamePattern": "$1"}
            )
        )
    )
    board.with_panel(
        lines(
            "Spans stored by Jaeger",
            "A second. Compare with what the Collector sent.",
            "cps",
            Query(f"sum({rate('otelcol_exporter_sent_spans_total', _JAEGER)})", "stored"),
            width=8,
        )
    )
    board.with_panel(
        lines(
            "Log lines stored",
            "A second. Compare with the log records that the Collector sent.",
            "cps",
            Query(f"sum by (job) ({rate('', _LINES_STORED)})", "{{job}}"),
            width=8,
        )
    )
    board.with_panel(
        lines(
            "Alerts sent",
            "Notifications that Prometheus handed to Alertmanager, a second, and those dropped.",
            "cps",
            Query(f"sum({rate('prometheus_notifications_sent_total')})", "sent"),
            Query(f"sum({rate('prometheus_notifications_dropped_total')})", "dropped"),
            width=8,
        )
    )
    board.with_panel(
        lines(
            "Spans and log lines that instances lost",
            "A second: the service's own queue was full, or the Collector took too long.",
            "cps",
            *(
                Query(f"sum({rate('', lost, _FAILED)}) or vector(0)", item)
                for item, lost in _GIVEN_UP.items()
            ),
        )
    )
    board.with_panel(
        lines(
            "Servers that the load balancer uses",
            "As HAProxy counts them; none without HAProxy.",
            "short",
            Query(f"max by (proxy) (haproxy_backend_active_servers{matching()})", "{{proxy}}"),
        )
    )
