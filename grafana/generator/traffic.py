"""Rows of *Service* about requests: rate, errors and duration, by route and by version; callers."""

from grafana_foundation_sdk.builders import dashboard as dashboards

from grafana.generator.overview import DOTS, SINGLE, answering, expected, success_rate
from grafana.generator.panels import Limits, heat, lines
from grafana.generator.queries import (
    ANSWERED,
    FAILED,
    HOST,
    SCORING,
    SLOW_TRACES,
    Query,
    matching,
    quantile,
    rate,
    ratio,
    seen,
)

_DURATION = "mgeo_request_duration_seconds"
_BATCHES = (SCORING, 'endpoint!="/predict"', ANSWERED)
_VERSION = 'model_version!=""'
_ADMIT, _COMPUTE = 'stage="admit"', 'stage="compute"'
_AUTOSCALER = 'horizontalpodautoscaler=~"mgeo.*"'


def add(board: dashboards.Dashboard) -> None:
    """Adds the rows."""
    _routes(board)
    _distribution(board)
    _versions(board)
    _instances(board)
    _register(board)
    _callers(board)


def _routes(board: dashboards.Dashboard) -> None:
    total, by_route = "mgeo_request_total", "sum by (endpoint)"
    failed = f"{by_route} ({rate(total, SCORING, FAILED)})"
    scoring = f"{by_route} ({rate(total, SCORING)})"
    board.with_row(dashboards.Row("By route: rate, errors, duration"))
    board.with_panel(
        lines(
            "Requests per second by route",
            "Routes that were asked for in the time range.",
            "reqps",
            Query(seen(f"{by_route} ({rate(total)})", total, "endpoint"), "{{endpoint}}"),
            width=8,
        )
    )
    board.with_panel(
        lines(
            "Failed requests by route",
            "Share of each scoring route's requests that failed (5xx, 429).",
            "percentunit",
            Query(
                seen(f"({ratio(failed, scoring)})", total, "endpoint"),
                "{{endpoint}}",
            ),
            width=8,
        )
    )
    board.with_panel(
        lines(
            "P95 latency by route",
            f"95 % of a route's answers were faster. {DOTS}",
            "s",
            Query(
                quantile("0.95", _DURATION, ANSWERED, by="le, endpoint"),
                "{{endpoint}}",
                exemplars=True,
            ),
            width=8,
            logarithmic=True,
            links=[SLOW_TRACES],
        )
    )


def _distribution(board: dashboards.Dashboard) -> None:
    board.with_row(dashboards.Row("Latency: single predictions, and batches"))
    of: tuple[str, ...]
    for title, what, of in (
        ("Latency", "single predictions (/predict)", (SINGLE,)),
        ("Latency of batches", "batches, rerankings and tensors", _BATCHES),
    ):
        board.with_panel(
            lines(
                title,
                f"Half, 95 % and 99 % of answered {what} were faster than the line, whole "
                f"request, as the service saw it. {DOTS}",
                "s",
                Query(quantile("0.50", _DURATION, *of), "P50"),
                Query(quantile("0.95", _DURATION, *of), "P95", exemplars=True),
                Query(quantile("0.99", _DURATION, *of), "P99"),
                logarithmic=True,
                links=[SLOW_TRACES],
            )
        )
    for title, of in (("Latency, all requests", (ANSWERED,)), ("Latency, all batches", _BATCHES)):
        board.with_panel(
            heat(
                title,
                "Each column is a moment, each row a range of latency, the colour how many "
                "requests a second fell there. Two bands are two kinds of request, which no "
                f"percentile shows. {DOTS}",
                "s",
                f"sum by (le) ({rate(_DURATION + '_bucket', *of)})",
                exemplars=True,
            )
        )


def _versions(board: dashboards.Dashboard) -> None:
    stages = "mgeo_request_stage_duration_seconds"
    by_version = "sum by (model_version)"
    answered = f"{by_version} ({rate('mgeo_prediction_total')})"
    failed = f"{by_version} ({rate('mgeo_prediction_failed_total')})"
    board.with_row(dashboards.Row("By model version: rate, errors, duration"))
    board.with_panel(
        lines(
            "Requests per second by version",
            "Of the requests that came to a model.",
            "reqps",
            Query(
                f"{by_version} ({rate(stages + '_count', _VERSION, _ADMIT)})",
                "{{model_version}}",
            ),
            width=8,
        )
    )
    board.with_panel(
        lines(
            "Failed pairs by version",
            "Share of the pairs given to a version that it failed on.",
            "percentunit",
            Query(f"{failed} / ({failed} + {answered} > 0)", "{{model_version}}"),
            width=8,
            maximum=1,
        )
    )
    board.with_panel(
        lines(
            "P95 of computing by version",
            f"95 % of a version's requests were computed faster, without the wait. {DOTS}",
            "s",
            Query(
                quantile("0.95", stages, _VERSION, _COMPUTE, by="le, model_version"),
                "{{model_version}}",
                exemplars=True,
            ),
            width=8,
            logarithmic=True,
            links=[SLOW_TRACES],
        )
    )


def _instances(board: dashboards.Dashboard) -> None:
    board.with_row(dashboards.Row("Instances"))
    by_instance = "sum by (job, instance)"
    board.with_panel(
        lines(
            "Instances",
            "Those that answer, and those that should. Where the cluster has kube-state-metrics: "
            "how many the autoscaler wants, has, and may have.",
            "short",
            Query(f"{answering()} or vector(0)", "answering"),
            Query(f"{expected()} or vector(0)", "expected"),
            *(
                Query(f"max(kube_horizontalpodautoscaler_{metric}{{{_AUTOSCALER}}})", name)
                for metric, name in (
                    ("status_desired_replicas", "autoscaler: desired"),
                    ("status_current_replicas", "autoscaler: current"),
                    ("spec_max_replicas", "autoscaler: limit"),
                )
            ),
            width=8,
        )
    )
    board.with_panel(
        lines(
            "In progress by instance",
            "Requests being worked on, and those that wait for a thread. Uneven lines with even "
            "traffic: the load balancer or one slow instance.",
            "short",
            Query(f"{by_instance} (mgeo_requests_inprogress{matching()})", "{{instance}}"),
            Query(
                f"{by_instance} (mgeo_requests_waiting{matching()})",
                "{{instance}}: wait for a thread",
            ),
            width=8,
            links=[HOST],
        )
    )
    board.with_panel(
        lines(
            "Success rate by job",
            "Share of scoring requests that did not fail (no 5xx, no 429).",
            "percentunit",
            Query(success_rate(" by (job)"), "{{job}}"),
            width=8,
            minimum=None,
            maximum=1,
            limits=Limits(orange=0.995, red=0.95, falling=True),
        )
    )


def _register(board: dashboards.Dashboard) -> None:
    board.with_row(dashboards.Row("Register"))
    board.with_panel(
        lines(
            "Answers of the register",
            "Addresses looked for, by answer; `nothing_found` had no candidate at all. Empty where "
            "there is no register (`MGEO_REGISTER`).",
            "cps",
            Query(f"sum by (answer) ({rate('mgeo_match_total')})", "{{answer}}"),
            width=8,
        )
    )
    board.with_panel(
        lines(
            "Candidates scored",
            "Entries of the register that the model has looked at, a second.",
            "cps",
            Query(f"sum({rate('mgeo_match_candidates_total')})", "candidates"),
            width=8,
        )
    )
    board.with_panel(
        lines(
            "Entries",
            "By the version that answers, and for how many seconds the register's files have been "
            "unreadable, so that the last one answers.",
            "short",
            Query(
                f"max by (register_version) (mgeo_register_entries{matching()})",
                "{{register_version}}",
            ),
            Query(f"max(mgeo_register_unreadable_age_seconds{matching()})", "seconds unreadable"),
            width=8,
        )
    )


def _callers(board: dashboards.Dashboard) -> None:
    board.with_row(dashboards.Row("Callers"))
    board.with_panel(
        lines(
            "Requests by API key",
            "By the key's name. Empty where no keys are required (`MGEO_API_KEYS_FILE`).",
            "reqps",
            Query(f"sum by (key) ({rate('mgeo_request_admitted_total')})", "{{key}}"),
            width=6,
        )
    )
    board.with_panel(
        lines(
            "API keys",
            "How many are admitted, by the instance that knows fewest, and for how many seconds "
            "the file of keys has been unreadable.",
            "short",
            Query(f"min(mgeo_api_keys{matching()})", "keys"),
            Query(f"max(mgeo_api_keys_unreadable_age_seconds{matching()})", "seconds unreadable"),
            width=6,
        )
    )
    board.with_panel(
        lines(
            "Connections",
            "Open connections. *Saturation* shows them as a share of their limit, where idle or "
            "slow clients crowd out others.",
            "short",
            Query(f"sum by (job, instance) (mgeo_connections{matching()})", "{{instance}}"),
            width=6,
            links=[HOST],
        )
    )
    board.with_panel(
        lines(
            "Connections ended by the service",
            "A second, because they were silent or slow.",
            "cps",
            Query(f"sum by (reason) ({rate('mgeo_connection_closed_total')})", "{{reason}}"),
            width=6,
        )
    )
