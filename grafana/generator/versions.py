"""Dashboard *Model versions*: is B better than A, and safe to promote?"""

from grafana_foundation_sdk.builders import barchart as bars
from grafana_foundation_sdk.builders import dashboard as dashboards
from grafana_foundation_sdk.builders import prometheus
from grafana_foundation_sdk.models import dashboard as model
from grafana_foundation_sdk.models import prometheus as prometheus_model

from grafana.generator import comparison
from grafana.generator.boards import dashboard
from grafana.generator.comparison import (
    LABELS,
    LEAST_AGREEMENT,
    MOST_SHIFT_OF_RATE,
    MOST_SLOWER,
    PAIR,
    WINDOW,
    Z,
    answered,
    compared,
    named,
    tenths,
)
from grafana.generator.panels import lines, rows, text, verdict
from grafana.generator.queries import PROMETHEUS, SELECTOR, Query

_WHO = "{{variant}} {{model_version}}"

_EXPLANATION = f"""
**Read from left to right: a version is safe to promote when all three are green.** "Not known yet"
means that the figures' 95 % intervals still reach across the limit: wait, or widen the time range.

- **Agreement** and **exact matches, same pairs** need a *shadow*: both scored the same pairs.
  Green from {LEAST_AGREEMENT:.0%} agreement (lower end of the Wilson interval) and for a shift of
  less than {MOST_SHIFT_OF_RATE:.0%} (both ends of the paired interval).
- **Computing time** needs a *split*: a shadow runs on one thread of the lowest priority, so its
  own times say nothing. Green up to {MOST_SLOWER - 1:.0%} above the others' P95.

Intervals take pairs as independent; those that are sent again and again make them look surer
than they are. None of this says which version is *right* where they differ: that takes labelled
pairs. What to do next stands in docs/versions.md.
"""


def build() -> dashboards.Dashboard:
    """The dashboard, ready to be written."""
    board = dashboard(
        "mgeo-versions",
        "MGeo / Model versions",
        "Is a version as good as the one that answers, and safe to promote?",
    )
    _overview(board)
    _shadow(board)
    _split(board)
    board.with_row(dashboards.Row("How to read this"))
    board.with_panel(text("How to read this", _EXPLANATION))
    return board


def _overview(board: dashboards.Dashboard) -> None:
    board.with_row(dashboards.Row("Is it safe to promote?"))
    board.with_panel(
        verdict(
            "Agreement",
            f"Whether a shadow gives at least {LEAST_AGREEMENT:.0%} of the pairs the label that "
            "was answered, seen as far as 95 % confidence reaches.",
            named(comparison.agreement_verdict()),
            f"{_WHO} beside {{{{against}}}}",
        )
    )
    board.with_panel(
        verdict(
            "Exact matches, same pairs",
            f"Whether the share of exact matches differs by less than {MOST_SHIFT_OF_RATE:.0%} "
            "between a shadow and what was answered.",
            named(comparison.paired_verdict()),
            f"{_WHO} beside {{{{against}}}}",
        )
    )
    board.with_panel(
        verdict(
            "Computing time",
            f"Whether the P95 of computing is at most {MOST_SLOWER - 1:.0%} above that of the "
            "other versions that answer.",
            named(comparison.computing_verdict()),
            f"{_WHO} beside the others",
        )
    )
    columns = {"variant": "Name", "model_version": "Version", "role": "Role", "Value": "Share"}
    organized = {
        "excludeByName": {"Time": True},
        "indexByName": {name: place for place, name in enumerate(columns)},
        "renameByName": columns,
    }
    board.with_panel(
        rows(
            "Versions",
            "Which model is which: the name that it is declared with, its version, its role and "
            "its share of the traffic by weight, the mean of the chosen instances.",
            f"avg by (variant, model_version, role) (mgeo_model_share_ratio{{{SELECTOR}}})",
        )
        .unit("percentunit")
        .with_transformation(model.DataTransformerConfig(id_val="organize", options=organized))
    )


def _shadow(board: dashboards.Dashboard) -> None:
    who = f"{_WHO} beside {{{{against}}}}"
    dropped = (
        f"sum by (model_version) (increase(mgeo_shadow_dropped_total{{{SELECTOR}}}[{WINDOW}]))"
    )
    shown = compared(by="model_version")
    board.with_row(dashboards.Row("Shadows: both scored the same pairs"))
    board.with_panel(
        lines(
            "Agreement with its interval",
            "Share of pairs with the same label, and the ends of its 95 % interval (Wilson).",
            "percentunit",
            Query(named(comparison.agreement()), who),
            Query(named(comparison.agreement_bound("-")), f"{who}: at least"),
            Query(named(comparison.agreement_bound("+")), f"{who}: at most"),
            minimum=None,
            maximum=1,
        )
    )
    board.with_panel(
        lines(
            "Shift of exact matches with its interval",
            "How many more pairs of a hundred a shadow calls an exact match than were answered so; "
            "and the ends of the 95 % interval, from the pairs on which the two differ.",
            "percentunit",
            Query(named(comparison.paired_shift()), who),
            Query(named(comparison.paired_bound("-")), f"{who}: at least"),
            Query(named(comparison.paired_bound("+")), f"{who}: at most"),
            minimum=None,
        )
    )
    shifts = f"sum by ({PAIR}, le) (increase(mgeo_shadow_shift_bucket{{{SELECTOR}}}[{WINDOW}]))"
    board.with_panel(
        lines(
            "Shift of the similarity",
            "Half, 95 % and 99 % of pairs have a similarity nearer to the answered one than this.",
            "short",
            *(
                Query(named(f"histogram_quantile({q}, {shifts})"), f"P{int(q * 100)} {who}")
                for q in (0.5, 0.95, 0.99)
            ),
        )
    )
    board.with_panel(
        lines(
            "Where they differ",
            "Pairs a second by both labels, where these are not the same: whether a shadow is "
            "stricter, more lenient, or confused.",
            "cps",
            *(
                Query(
                    "sum by (label, against_label) (rate(mgeo_shadow_prediction_total"
                    f'{{{SELECTOR}, label="{label}", against_label!="{label}"}}'
                    "[$__rate_interval]))",
                    "{{against_label}} was answered, {{label}} by the shadow",
                )
                for label in LABELS
            ),
        )
    )
    board.with_panel(
        lines(
            "Copies dropped",
            "Share of the pairs that a shadow was not shown, because the machine was never idle "
            "long enough: the comparison is of the rest.",
            "percentunit",
            Query(named(f"{dropped} / ({dropped} + {shown} > 0)"), _WHO),
            maximum=1,
        )
    )
    board.with_panel(
        lines(
            "Pairs compared",
            "What the figures above rest on, in the time range.",
            "short",
            Query(named(compared()), who),
        )
    )


def _split(board: dashboards.Dashboard) -> None:
    who = _WHO
    series = f'mgeo_request_stage_duration_seconds_count{{{SELECTOR}, stage="admit"'
    of_version = f'sum by (model_version) (rate({series}, model_version!=""}}[$__rate_interval]))'
    failed = (
        f"sum by (model_version) (increase(mgeo_prediction_failed_total{{{SELECTOR}}}[{WINDOW}]))"
    )
    spent = f'mgeo_request_stage_duration_seconds_sum{{{SELECTOR}, model_version!=""}}'
    board.with_row(dashboards.Row("Split: each answered its own part of the traffic"))
    board.with_panel(
        lines(
            "Share of the requests",
            "Of all requests that came to a model. Beside the weights of the table above: sessions "
            "and requests for a version by name make the difference.",
            "percentunit",
            Query(named(f"{of_version} / on () group_left () (sum({of_version}) > 0)"), who),
            maximum=1,
        )
    )
    board.with_panel(
        lines(
            "Shift of exact matches, other pairs",
            "How the share of exact matches differs from that of the other versions, and the ends "
            "of its 95 % interval. Each saw other pairs: it takes far more of them than a shadow.",
            "percentunit",
            Query(named(comparison.split_shift()), who),
            Query(
                named(f"{comparison.split_shift()} - {Z} * {comparison.split_error()}"),
                f"{who}: at least",
            ),
            Query(
                named(f"{comparison.split_shift()} + {Z} * {comparison.split_error()}"),
                f"{who}: at most",
            ),
            minimum=None,
        )
    )
    board.with_panel(
        lines(
            "P95 of computing with its interval",
            "95 % of requests were computed faster, by version; and the ends of the 95 % interval.",
            "s",
            Query(comparison.computing_p95(), "{{model_version}}", exemplars=True),
            Query(named(comparison.computing_p95("-")), f"{who}: at least"),
            Query(named(comparison.computing_p95("+")), f"{who}: at most"),
            logarithmic=True,
        )
    )
    board.with_panel(
        lines(
            "Mean request",
            "Whole requests by the version that they came to, the wait in its queue included.",
            "s",
            Query(
                named(
                    f"sum by (model_version) (rate({spent}[$__rate_interval])) / ({of_version} > 0)"
                ),
                who,
            ),
        )
    )
    board.with_panel(
        lines(
            "Pairs that the model failed on",
            "Of all pairs that a version was given, in the time range.",
            "percentunit",
            Query(named(f"{failed} / ({failed} + {answered()} > 0)"), who),
            maximum=1,
        )
    )
    board.with_panel(
        lines(
            "Drift from the calibration list",
            "Population stability index of the similarities answered, beside the same version's on "
            "the 64 pairs of the calibration list. The list is no sample of your traffic, so the "
            "level says little; versions apart from each other, or one that moves, say much.",
            "short",
            Query(named(comparison.drift()), who),
        )
    )
    board.with_panel(_similarities())


def _similarities() -> bars.Panel:
    share = f"{tenths()} / on (model_version) group_left () ({answered()} > 0)"
    matrix = {"columnField": "variant", "rowField": "upper", "valueField": "Value"}
    return (
        bars.Panel()
        .title("Similarities answered")
        .description("Share of the pairs in each tenth of the similarity, by version.")
        .datasource(PROMETHEUS)
        .unit("percentunit")
        .span(24)
        .height(8)
        .with_target(
            prometheus.Dataquery()
            .datasource(PROMETHEUS)
            .expr(named(share))
            .instant()
            .format(prometheus_model.PromQueryFormat.TABLE)
            .ref_id("A")
        )
        .with_transformation(model.DataTransformerConfig(id_val="groupingToMatrix", options=matrix))
    )
