"""Dashboard *Telemetry pipeline health*: can what the other dashboards show be trusted?"""

from grafana_foundation_sdk.builders import dashboard as dashboards

from grafana.generator.panels import Query, dashboard, lines, number

_RATE = "[$__rate_interval]"
_LINES_STORED = '{__name__=~"loki_distributor_lines_received_total|vl_rows_ingested_total"}'
_ITEMS = {"traces": "spans", "metrics": "metric_points", "logs": "log_records"}


def build() -> dashboards.Dashboard:
    """The dashboard, ready to be written."""
    board = dashboard(
        "mgeo-pipeline",
        "MGeo / Telemetry pipeline health",
        "From the service through the Collector to Prometheus, Jaeger and the log store: what "
        "flows, what waits, what is lost.",
        variables=False,
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
            "count(up == 0) or vector(0)",
            red_above=1,
        )
    )
    board.with_panel(
        number(
            "Items lost",
            "Spans, points and log lines that the Collector gave up on, a second. Anything but 0 "
            "is data nobody will see.",
            "short",
            "sum(job:otelcol_lost:rate5m) or vector(0)",
            red_above=0.001,
        )
    )
    board.with_panel(
        number(
            "Fullest queue",
            "Share of the Collector's fullest queue in use. It fills while a store is away.",
            "percentunit",
            "max(otelcol_exporter_queue_size / otelcol_exporter_queue_capacity)",
            red_above=0.5,
        )
    )
    board.with_panel(
        number(
            "Exemplars stored",
            "Dots kept by Prometheus, a second. 0 with traffic: the links from panels to traces "
            "are broken.",
            "short",
            f"sum(rate(prometheus_tsdb_exemplar_exemplars_appended_total{_RATE}))",
        )
    )
    board.with_panel(
        number(
            "Series",
            "Time series in Prometheus's memory. A steady climb is a label with unbounded values.",
            "short",
            "sum(prometheus_tsdb_head_series)",
        )
    )
    board.with_panel(
        number(
            "Watchdog",
            "The alert that always fires: 1 says that rules are evaluated.",
            "short",
            'sum(ALERTS{alertname="Watchdog", alertstate="firing"}) or vector(0)',
            red_below=1,
        )
    )


def _collector(board: dashboards.Dashboard) -> None:
    board.with_row(dashboards.Row("Collector"))
    board.with_panel(
        lines(
            "Accepted",
            "Items that came in, a second, by signal.",
            "short",
            *(
                Query(f"sum(rate(otelcol_receiver_accepted_{item}_total{_RATE}))", signal)
                for signal, item in _ITEMS.items()
            ),
            width=8,
        )
    )
    board.with_panel(
        lines(
            "Sent",
            "Items that a store has acknowledged, a second. Metrics: ready to be scraped.",
            "short",
            *(
                Query(f"sum(rate(otelcol_exporter_sent_{item}_total{_RATE}))", signal)
                for signal, item in _ITEMS.items()
            ),
            width=8,
        )
    )
    board.with_panel(
        lines(
            "Refused and lost",
            "Refused: the sender will try again. Lost: nobody will.",
            "short",
            Query("sum(job:otelcol_refused:rate5m) or vector(0)", "refused"),
            Query("sum(job:otelcol_lost:rate5m) or vector(0)", "lost"),
            width=8,
        )
    )
    board.with_panel(
        lines(
            "Queues",
            "Items that wait on disk for a store. The figure above says how full the fullest is.",
            "short",
            Query("sum by (exporter) (otelcol_exporter_queue_size)", "{{exporter}}"),
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
            Query('otelcol_process_memory_rss_bytes{job="otel-collector"}', "{{instance}}"),
            Query(
                'otelcol_process_runtime_heap_alloc_bytes{job="otel-collector"}',
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
            Query(
                'rate(otelcol_process_cpu_seconds_total{job="otel-collector"}' + f"{_RATE})",
                "{{instance}}",
            ),
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
            "short",
            Query(
                f"sum by (span_name) (rate(traces_span_metrics_calls_total{_RATE}))",
                "{{span_name}}",
            ),
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
                f"(rate(traces_span_metrics_duration_seconds_bucket{_RATE})))",
                "{{span_name}}",
                exemplars=True,
            ),
        )
    )


def _stores(board: dashboards.Dashboard) -> None:
    board.with_row(dashboards.Row("Stores"))
    board.with_panel(
        lines(
            "Scrape duration",
            "How long Prometheus waits for each target. It gives up after 10 s.",
            "s",
            Query("max by (job) (scrape_duration_seconds)", "{{job}}"),
            width=8,
        )
    )
    board.with_panel(
        lines(
            "Samples per second",
            "What Prometheus takes in, by target.",
            "short",
            Query("sum by (job) (scrape_samples_post_metric_relabeling) / 15", "{{job}}"),
            width=8,
        )
    )
    board.with_panel(
        lines(
            "Rule evaluation",
            "Time to evaluate each group of rules; every 5 s.",
            "s",
            Query(
                "max by (rule_group) (prometheus_rule_group_last_duration_seconds)",
                "{{rule_group}}",
            ),
            width=8,
        )
    )
    board.with_panel(
        lines(
            "Spans stored by Jaeger",
            "A second. Compare with what the Collector sent.",
            "short",
            Query(f'sum(rate(otelcol_exporter_sent_spans_total{{job="jaeger"}}{_RATE}))', "stored"),
            width=8,
        )
    )
    board.with_panel(
        lines(
            "Log lines stored",
            "A second. Compare with the log records that the Collector sent.",
            "short",
            Query(f"sum by (job) (rate({_LINES_STORED}[$__rate_interval]))", "{{job}}"),
            width=8,
        )
    )
    board.with_panel(
        lines(
            "Alerts sent",
            "Notifications that Prometheus handed to Alertmanager, a second, and those dropped.",
            "short",
            Query(f"sum(rate(prometheus_notifications_sent_total{_RATE}))", "sent"),
            Query(f"sum(rate(prometheus_notifications_dropped_total{_RATE}))", "dropped"),
            width=8,
        )
    )
