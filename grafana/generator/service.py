"""Dashboard *Service*: is it fast, is it right, and where does the time go?"""

from grafana_foundation_sdk.builders import dashboard as dashboards
from grafana_foundation_sdk.models import dashboard as model

from grafana.generator.panels import (
    SELECTOR,
    Query,
    dashboard,
    heat,
    lines,
    log_lines,
    number,
    traces,
)

_RATE = f"{{{SELECTOR}}}[$__rate_interval]"
_FAILED = f'{SELECTOR}, status=~"500|502|503|504|429"'
_WHOLE = "whole request"
_DOTS = "Each dot is one request: click it to open its trace."


def _quantile(q: str, by: str = "le") -> str:
    buckets = f"rate(mgeo_request_duration_seconds_bucket{_RATE})"
    return f"histogram_quantile({q}, sum by ({by}) ({buckets}))"


def _ratio(part: str, whole: str) -> str:
    """A share that is 0, not absent, while the part has no series yet."""
    return f"(({part}) or 0 * ({whole})) / ({whole})"


def build() -> dashboards.Dashboard:
    """The dashboard, ready to be written."""
    board = dashboard(
        "mgeo-service",
        "MGeo / Service",
        "Traffic, latency and answers of the address-matching service, and where its time goes.",
        variables=True,
    )
    for add in (_overview, _traffic, _stages, _model, _evidence):
        add(board)
    return board


def _overview(board: dashboards.Dashboard) -> None:
    requests = f"sum(rate(mgeo_request_total{_RATE}))"
    failed = f"sum(rate(mgeo_request_total{{{_FAILED}}}[$__rate_interval]))"
    board.with_row(dashboards.Row("At a glance"))
    board.with_panel(
        number("Requests per second", "Answered by all chosen instances.", "reqps", requests)
    )
    board.with_panel(
        number(
            "Success rate",
            "Share of requests that did not fail: no 5xx, and not refused for load (429). "
            "A caller's own mistake counts as answered. The alert is at 95 %.",
            "percentunit",
            f"1 - {_ratio(failed, requests)}",
            red_below=0.95,
            decimals=2,
        )
    )
    board.with_panel(
        number(
            "P95 latency",
            "95 % of requests were faster than this. The alert is at 2 s.",
            "s",
            _quantile("0.95"),
            red_above=2,
        )
    )
    board.with_panel(
        number(
            "In progress",
            "Requests being worked on now, over all chosen instances.",
            "short",
            f"sum(mgeo_requests_inprogress{{{SELECTOR}}}) or vector(0)",
        )
    )
    board.with_panel(
        number(
            "Instances ready",
            "Instances that take predictions; those that start, drain or failed do not count.",
            "short",
            f"sum(mgeo_ready{{{SELECTOR}}}) or vector(0)",
            red_below=1,
        )
    )
    board.with_panel(
        number(
            "Pairs scored per second",
            "Pairs, not requests: a batch request holds many.",
            "short",
            f"sum(rate(mgeo_prediction_total{_RATE}))",
        )
    )


def _traffic(board: dashboards.Dashboard) -> None:
    board.with_row(dashboards.Row("Traffic and latency"))
    board.with_panel(
        lines(
            "Requests per second",
            "By route and status. 5xx and 429 are the failures of the success rate.",
            "reqps",
            Query(
                f"sum by (endpoint, status) (rate(mgeo_request_total{_RATE}))",
                "{{endpoint}} {{status}}",
            ),
        )
    )
    board.with_panel(
        lines(
            "Latency",
            "Half, 95 % and 99 % of requests were faster than the line, whole request, as the "
            f"service saw it. {_DOTS}",
            "s",
            Query(_quantile("0.50"), "P50"),
            Query(_quantile("0.95"), "P95", exemplars=True),
            Query(_quantile("0.99"), "P99"),
        )
    )
    board.with_panel(
        heat(
            "Latency, all requests",
            "Each column is a moment, each row a range of latency, the colour how many requests "
            f"fell there. Two bands are two kinds of request, which no percentile shows. {_DOTS}",
            "s",
            f"sum by (le) (rate(mgeo_request_duration_seconds_bucket{_RATE}))",
            exemplars=True,
        )
    )
    board.with_panel(
        lines(
            "P95 latency by instance",
            "The slowest instance on top. One line away from the others is a sick instance; all "
            f"rising together is load. {_DOTS}",
            "s",
            Query(_quantile("0.95", "le, instance"), "{{instance}}", exemplars=True),
            Query(f"max({_quantile('0.95', 'le, instance')})", "slowest"),
        )
    )
    board.with_panel(
        lines(
            "In progress by instance",
            "Requests being worked on. Uneven lines with even traffic: the load balancer or one "
            "slow instance.",
            "short",
            Query(f"sum by (instance) (mgeo_requests_inprogress{{{SELECTOR}}})", "{{instance}}"),
            Query(f"avg(sum by (instance) (mgeo_requests_inprogress{{{SELECTOR}}}))", "mean"),
            Query(
                f"sum by (instance) (mgeo_requests_waiting{{{SELECTOR}}})",
                "{{instance}}: wait for a thread",
            ),
        )
    )
    board.with_panel(
        lines(
            "Problems",
            "Why requests were not answered as asked. `queue-full` and `too-late`: load. "
            "`timed-out`: taken, and not scored in time.",
            "reqps",
            Query(f"sum by (problem) (rate(mgeo_request_problem_total{_RATE})) > 0", "{{problem}}"),
        )
    )
    board.with_panel(
        lines(
            "Requests by API key",
            "By the key's name. Empty where no keys are required (`MGEO_API_KEYS_FILE`). "
            "`keys` are those admitted; `file unreadable` is for how many seconds.",
            "reqps",
            Query(f"sum by (key) (rate(mgeo_request_admitted_total{_RATE}))", "{{key}}"),
            Query(f"min(mgeo_api_keys{{{SELECTOR}}})", "keys"),
            Query(f"max(mgeo_api_keys_unreadable_age_seconds{{{SELECTOR}}})", "file unreadable"),
        )
    )
    board.with_panel(
        lines(
            "Connections",
            "Open connections, how many may be, and those that the service ended because they were "
            "silent or slow. At the limit: idle or slow clients crowd out others.",
            "short",
            Query(f"sum by (instance) (mgeo_connections{{{SELECTOR}}})", "{{instance}}"),
            Query(f"max(mgeo_connection_limit{{{SELECTOR}}})", "limit"),
            Query(
                f"sum by (reason) (increase(mgeo_connection_closed_total{_RATE})) > 0",
                "ended: {{reason}}",
            ),
        )
    )
    requests = f"sum by (job) (rate(mgeo_request_total{_RATE}))"
    failed = f"sum by (job) (rate(mgeo_request_total{{{_FAILED}}}[$__rate_interval]))"
    board.with_panel(
        lines(
            "Success rate",
            "Share of requests that did not fail (no 5xx, no 429).",
            "percentunit",
            Query(f"1 - {_ratio(failed, requests)}", "{{job}}"),
            minimum=None,
            maximum=1,
        )
    )


def _stages(board: dashboards.Dashboard) -> None:
    stage_sum = f"sum by (stage) (rate(mgeo_request_stage_duration_seconds_sum{_RATE}))"
    count = f"sum(rate(mgeo_request_duration_seconds_count{_RATE}))"
    total = f"sum(rate(mgeo_request_duration_seconds_sum{_RATE})) / {count}"
    buckets = f"rate(mgeo_request_stage_duration_seconds_bucket{_RATE})"
    board.with_row(dashboards.Row("Where the time goes"))
    board.with_panel(
        lines(
            "Mean time per request, by stage",
            "The stages of a request on top of each other; they add up to the whole, drawn as a "
            "line. A thick `queue` is load, a thick `compute` is the model.",
            "s",
            Query(f"{stage_sum} / scalar({count})", "{{stage}}"),
            Query(total, _WHOLE),
            stacked=True,
        ).override_by_name(_WHOLE, _line_over_areas())
    )
    board.with_panel(
        lines(
            "P95 time of each stage",
            f"Stages do not add up here: the slowest 5 % of each are other requests. {_DOTS}",
            "s",
            Query(
                f"histogram_quantile(0.95, sum by (le, stage) ({buckets}))",
                "{{stage}}",
                exemplars=True,
            ),
        )
    )


def _line_over_areas() -> list[model.DynamicConfigValue]:
    """Takes a query out of the stack: the total is a line, not one more area."""
    return [
        model.DynamicConfigValue(id_val="custom.stacking", value={"group": "B", "mode": "none"}),
        model.DynamicConfigValue(id_val="custom.fillOpacity", value=0),
        model.DynamicConfigValue(id_val="custom.lineWidth", value=2),
        model.DynamicConfigValue(id_val="color", value={"mode": "fixed", "fixedColor": "text"}),
    ]


def _model(board: dashboards.Dashboard) -> None:
    size = f"mgeo_batch_size_bucket{_RATE}"
    padding = f'sum(rate(mgeo_batch_tokens_total{{{SELECTOR}, kind="padding"}}[$__rate_interval]))'
    tokens = f"sum(rate(mgeo_batch_tokens_total{_RATE}))"
    board.with_row(dashboards.Row("Queue, batches and answers"))
    board.with_panel(
        lines(
            "Queue depth",
            "Pairs that wait for the model, and how many may wait before requests are refused.",
            "short",
            Query(f"sum by (instance) (mgeo_queue_depth{{{SELECTOR}}})", "{{instance}}"),
            Query(f"max(mgeo_queue_limit{{{SELECTOR}}})", "limit"),
            width=8,
        )
    )
    board.with_panel(
        lines(
            "Queue, in tokens",
            "Tokens of the pairs that wait, and how many may: the bound that long addresses meet "
            "first.",
            "short",
            Query(f"sum by (instance) (mgeo_queue_tokens{{{SELECTOR}}})", "{{instance}}"),
            Query(f"max(mgeo_queue_token_limit{{{SELECTOR}}})", "limit"),
            width=8,
        )
    )
    board.with_panel(
        lines(
            "Oldest pair in the queue",
            "How long the pair at the head has waited. Near 0: the model keeps up, however deep "
            "the queue is.",
            "s",
            Query(
                f"max by (instance) (mgeo_queue_oldest_age_seconds{{{SELECTOR}}})", "{{instance}}"
            ),
            width=8,
        )
    )
    board.with_panel(
        lines(
            "Engine's last progress",
            "Time since the engine took or finished a batch while it had work; 0 when idle. "
            "Growing steadily: it is stuck.",
            "s",
            Query(
                f"max by (instance) (mgeo_engine_last_progress_age_seconds{{{SELECTOR}}})",
                "{{instance}}",
            ),
            width=8,
        )
    )
    board.with_panel(
        lines(
            "Batch size",
            "Pairs per forward pass. Near 1 under load: requests are not being batched.",
            "short",
            Query(
                f"sum(rate(mgeo_batch_size_sum{_RATE})) / sum(rate(mgeo_batch_size_count{_RATE}))",
                "mean",
            ),
            Query(f"histogram_quantile(0.95, sum by (le) (rate({size})))", "P95"),
            width=8,
        )
    )
    board.with_panel(
        lines(
            "Tokens computed at once, at most",
            "The budget of all batches under way. A step down: memory ran out.",
            "short",
            Query(
                f"min by (instance) (mgeo_batch_token_limit{{{SELECTOR}}})",
                "{{instance}}",
            ),
            width=8,
        )
    )
    board.with_panel(
        lines(
            "Time of a forward pass",
            "The model alone, per batch.",
            "s",
            Query(
                "histogram_quantile(0.5, sum by (le) "
                f"(rate(mgeo_batch_duration_seconds_bucket{_RATE})))",
                "P50",
            ),
            Query(
                "histogram_quantile(0.95, sum by (le) "
                f"(rate(mgeo_batch_duration_seconds_bucket{_RATE})))",
                "P95",
            ),
            width=8,
        )
    )
    board.with_panel(
        lines(
            "Padding waste",
            "Share of computed tokens that are padding: the price of putting short pairs in a "
            "batch with long ones.",
            "percentunit",
            Query(_ratio(padding, tokens), "padding"),
            width=8,
            maximum=1,
        )
    )
    board.with_panel(
        lines(
            "Pairs by way of their result",
            "Hit: from the cache. Coalesced: the same pair was being computed for another request. "
            "Miss: computed. Nothing while MGEO_CACHE_PAIRS is 0.",
            "short",
            Query(f"sum by (result) (rate(mgeo_cache_lookup_total{_RATE}))", "{{result}}"),
            width=8,
        )
    )
    board.with_panel(
        lines(
            "Cached results",
            "Pairs whose result is kept.",
            "short",
            Query(f"sum by (instance) (mgeo_cache_size{{{SELECTOR}}})", "{{instance}}"),
            width=8,
        )
    )
    board.with_panel(
        lines(
            "Answers by label",
            "Share of each answer. A shift without a release is a change in what is asked, or a "
            "broken caller.",
            "percentunit",
            Query(
                f"sum by (label) (rate(mgeo_prediction_total{_RATE})) "
                f"/ scalar(sum(rate(mgeo_prediction_total{_RATE})))",
                "{{label}}",
            ),
            stacked=True,
            maximum=1,
        )
    )
    board.with_panel(
        lines(
            "Pairs truncated, unread, refused, failed or dropped",
            "Pairs longer than the model's input, scored on what fits; pairs with characters that "
            "the model does not know; pairs refused as placeholders or unreadable; forward passes "
            "that failed, or for which memory ran out; pairs that nobody waited for any more.",
            "short",
            Query(f"sum(rate(mgeo_input_truncated_total{_RATE})) or vector(0)", "truncated"),
            Query(f"sum(rate(mgeo_input_unread_total{_RATE})) or vector(0)", "unread"),
            Query(f"sum by (problem) (rate(mgeo_input_refused_total{_RATE}))", "{{problem}}"),
            Query(f"sum(rate(mgeo_batch_failed_total{_RATE})) or vector(0)", "failed batches"),
            Query(
                f"sum(rate(mgeo_batch_out_of_memory_total{_RATE})) or vector(0)", "out of memory"
            ),
            Query(f"sum(rate(mgeo_prediction_failed_total{_RATE})) or vector(0)", "failed pairs"),
            Query(f"sum(rate(mgeo_queue_dropped_total{_RATE})) or vector(0)", "dropped pairs"),
        )
    )


def _evidence(board: dashboards.Dashboard) -> None:
    board.with_row(dashboards.Row("Single requests"))
    board.with_panel(
        traces(
            "Recent traces",
            "Click one to see its stages, the batch it was in, and the device.",
            "mgeo-inference",
        )
    )
    board.with_panel(
        log_lines(
            "Recent log lines",
            "Open a line and follow its trace id to the request's trace.",
            '{service_name="mgeo-inference"}',
        )
    )
