"""Rows of *Service* about its inside: stages, queue, batches, answers, and the GPU."""

from grafana_foundation_sdk.builders import dashboard as dashboards

from grafana.generator.overview import DOTS
from grafana.generator.panels import Limits, lines
from grafana.generator.queries import (
    HOST,
    SLOW_TRACES,
    STAGE_LOG_LINES,
    Query,
    matching,
    quantile,
    rate,
    ratio,
)

_OF = "by (job, instance)"
_FORWARD = "job_instance_model_version:mgeo_batch_duration_seconds"


def add(board: dashboards.Dashboard) -> None:
    """Adds the rows."""
    for row in (_stages, _queue, _batches, _answers):
        row(board)


def _stages(board: dashboards.Dashboard) -> None:
    board.with_row(dashboards.Row("Where the time goes"))
    board.with_panel(
        lines(
            "P95 time of each stage",
            f"Stages do not add up here: the slowest 5 % of each are other requests. {DOTS}",
            "s",
            Query(
                quantile("0.95", "mgeo_request_stage_duration_seconds", by="le, stage"),
                "{{stage}}",
                exemplars=True,
            ),
            width=8,
            logarithmic=True,
            links=[STAGE_LOG_LINES, SLOW_TRACES],
        )
    )
    board.with_panel(
        lines(
            "Engine utilization",
            "Share of the time in which an engine computed; above 100 % where it has several "
            "streams. Near what it has: only another instance helps.",
            "percentunit",
            Query(
                f"sum {_OF} ({rate('mgeo_batch_duration_seconds_sum')})",
                "{{instance}}",
            ),
            width=8,
            links=[HOST],
        )
    )
    board.with_panel(
        lines(
            "Forward pass, beside the last hour",
            "How many times as long a version's forward pass takes in the last minute as in the "
            "last hour. `MgeoEngineSlow` fires above 3 where the time of a token says so too.",
            "short",
            Query(
                f"{_FORWARD}:mean1m{matching()} / {_FORWARD}:mean1h{matching()}",
                "{{instance}} {{model_version}}",
            ),
            width=8,
            limits=Limits(orange=2, red=3),
            links=[HOST],
        )
    )


def _queue(board: dashboards.Dashboard) -> None:
    board.with_row(dashboards.Row("Queue"))
    for title, description, metric, unit in (
        (
            "Queue depth",
            "Pairs that wait for the model. *Saturation* shows them as a share of how many may.",
            "mgeo_queue_depth",
            "short",
        ),
        (
            "Queue, in tokens",
            "Tokens of the pairs that wait: the bound that long addresses meet first.",
            "mgeo_queue_tokens",
            "short",
        ),
        (
            "Oldest pair in the queue",
            "How long the pair at the head has waited. Near 0: the model keeps up, however deep "
            "the queue is.",
            "mgeo_queue_oldest_age_seconds",
            "s",
        ),
        (
            "Engine's last progress",
            "Time since the engine took or finished a batch while it had work; 0 when idle. "
            "Growing steadily: it is stuck.",
            "mgeo_engine_last_progress_age_seconds",
            "s",
        ),
    ):
        board.with_panel(
            lines(
                title,
                description,
                unit,
                Query(f"max {_OF} ({metric}{matching()})", "{{instance}}"),
                width=6,
                links=[HOST],
            )
        )


def _batches(board: dashboards.Dashboard) -> None:
    size, duration = "mgeo_batch_size", "mgeo_batch_duration_seconds"
    of_padding = 'kind="padding"'
    padding = f"sum({rate('mgeo_batch_tokens_total', of_padding)})"
    board.with_row(dashboards.Row("Batches"))
    board.with_panel(
        lines(
            "Batch size",
            "Mean pairs per forward pass. On a GPU near 1 under load: requests are not being "
            "batched. On a CPU small batches are the fastest.",
            "short",
            Query(
                f"sum by (model_version) ({rate(size + '_sum')}) "
                f"/ sum by (model_version) ({rate(size + '_count')})",
                "{{model_version}}",
            ),
            width=8,
        )
    )
    board.with_panel(
        lines(
            "Time of a forward pass",
            "The model alone, per batch.",
            "s",
            Query(quantile("0.5", duration), "P50"),
            Query(quantile("0.95", duration), "P95"),
            width=8,
            logarithmic=True,
        )
    )
    board.with_panel(
        lines(
            "Tokens per second",
            "Computed, padding included.",
            "cps",
            Query(f"sum {_OF} ({rate('mgeo_batch_tokens_total')})", "{{instance}}"),
            width=8,
        )
    )
    board.with_panel(
        lines(
            "Padding waste",
            "Share of computed tokens that are padding: the price of putting short pairs in a "
            "batch with long ones.",
            "percentunit",
            Query(ratio(padding, f"sum({rate('mgeo_batch_tokens_total')})"), "padding"),
            width=8,
            maximum=1,
        )
    )
    board.with_panel(
        lines(
            "Tokens computed at once, at most",
            "The budget of all batches under way. A step down: memory ran out.",
            "short",
            Query(f"min {_OF} (mgeo_batch_token_limit{matching()})", "{{instance}}"),
            width=8,
        )
    )
    board.with_panel(
        lines(
            "Batches failed, or out of memory",
            "A second. What they held was tried again in smaller ones.",
            "cps",
            Query(f"sum({rate('mgeo_batch_failed_total')}) or vector(0)", "failed"),
            Query(f"sum({rate('mgeo_batch_out_of_memory_total')}) or vector(0)", "out of memory"),
            width=8,
        )
    )


def _answers(board: dashboards.Dashboard) -> None:
    answered = f"sum({rate('mgeo_prediction_total')})"
    board.with_row(dashboards.Row("Answers"))
    board.with_panel(
        lines(
            "Pairs scored per second",
            "Pairs, not requests: a batch request holds many.",
            "cps",
            Query(f"{answered} or vector(0)", "pairs"),
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
                f"sum by (label) ({rate('mgeo_prediction_total')}) / scalar({answered})",
                "{{label}}",
            ),
            width=8,
            stacked=True,
            maximum=1,
        )
    )
    board.with_panel(
        lines(
            "Pairs truncated, unread, refused, failed or dropped",
            "A second: longer than the model's input, scored on what fits; with characters that "
            "the model does not know; refused as placeholders or unreadable; failed on; taken out "
            "of the queue because nobody waited for them.",
            "cps",
            Query(f"sum({rate('mgeo_input_truncated_total')}) or vector(0)", "truncated"),
            Query(f"sum({rate('mgeo_input_unread_total')}) or vector(0)", "unread"),
            Query(f"sum by (problem) ({rate('mgeo_input_refused_total')})", "{{problem}}"),
            Query(f"sum({rate('mgeo_prediction_failed_total')}) or vector(0)", "failed"),
            Query(f"sum({rate('mgeo_queue_dropped_total')}) or vector(0)", "dropped"),
            width=8,
        )
    )
    board.with_panel(
        lines(
            "Pairs by way of their result",
            "Hit: from the cache. Coalesced: the same pair was being computed for another request. "
            "Miss: computed. Nothing while MGEO_CACHE_PAIRS is 0.",
            "cps",
            Query(f"sum by (result) ({rate('mgeo_cache_lookup_total')})", "{{result}}"),
        )
    )
    board.with_panel(
        lines(
            "Cached results",
            "Pairs whose result is kept.",
            "short",
            Query(f"sum {_OF} (mgeo_cache_size{matching()})", "{{instance}}"),
        )
    )


def gpu(board: dashboards.Dashboard) -> None:
    """Adds the row about GPUs, which is empty without one and so the last."""
    used = f"max by (job, instance, gpu_id) (nvidia_gpu_memory_used_bytes{matching()})"
    limit = f"max by (job, instance, gpu_id) (hw_gpu_memory_limit_bytes{matching()})"
    board.with_row(dashboards.Row("GPU (empty on a machine without one)"))
    board.with_panel(
        lines(
            "GPU memory in use, share",
            "Of the memory installed. More of the GPU is on *GPU and host*.",
            "percentunit",
            Query(f"{used} / on (job, instance, gpu_id) {limit}", "{{instance}} GPU {{gpu_id}}"),
            maximum=1,
            links=[HOST],
        )
    )
    board.with_panel(
        lines(
            "GPU utilization",
            "Share of the time in which any kernel ran. High says busy, not efficient.",
            "percentunit",
            Query(f"hw_gpu_utilization_ratio{matching()}", "{{instance}} GPU {{gpu_id}}"),
            maximum=1,
            links=[HOST],
        )
    )
