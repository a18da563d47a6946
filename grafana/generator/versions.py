"""Dashboard *Model versions*: is B better than A, and safe to promote?

A comparison is a difference and how sure it is. All is reckoned in PromQL from counters, over the
dashboard's time range: the longer, the surer. A version is compared with what the others answered,
so that no version has to be named; with two, that is the other one.
"""

from grafana_foundation_sdk.builders import dashboard as dashboards

from grafana.generator.panels import SELECTOR, Query, dashboard, lines, rows, text, verdict

LEAST_AGREEMENT = 0.98
"""A version that answers more than one pair in fifty otherwise is to be looked at by somebody who
knows the addresses, before it answers. For int8 beside fp32 it is one in 700."""

MOST_SHIFT_OF_RATE = 0.01
"""As much may the share of exact matches change unnoticed: that of a hundred pairs, one."""

MOST_SLOWER = 1.1
"""The P95 of computing may be a tenth above the others'."""

Z = 1.96
"""Standard errors on either side of a figure that it is within in 95 % of all cases."""

LABELS = ("exact_match", "partial_match", "not_match")

_PAIR = "model_version, against"
_WINDOW = "$__range"

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


def _compared(matchers: str = "", by: str = _PAIR) -> str:
    more = f", {matchers}" if matchers else ""
    return f"sum by ({by}) (increase(mgeo_shadow_prediction_total{{{SELECTOR}{more}}}[{_WINDOW}]))"


def agreement() -> str:
    """Share of pairs that a shadow gave the label that was answered."""
    same = " + ".join(_compared(f'label="{one}", against_label="{one}"') for one in LABELS)
    return f"({same}) / ({_compared()} > 0)"


def agreement_bound(sign: str) -> str:
    """The lower (`-`) or upper (`+`) end of the Wilson interval of the agreement."""
    share, count = agreement(), f"({_compared()} > 0)"
    spread = f"sqrt(({share}) * (1 - ({share})) / {count} + {Z**2 / 4:.4f} / {count} ^ 2)"
    centre = f"({share}) + {Z**2 / 2:.4f} / {count}"
    return f"({centre} {sign} {Z} * {spread}) / (1 + {Z**2:.4f} / {count})"


def agreement_verdict() -> str:
    """1: agrees, -1: does not, 0: not known yet."""
    return (
        f"(({agreement_bound('-')}) >= bool {LEAST_AGREEMENT})"
        f" - (({agreement_bound('+')}) < bool {LEAST_AGREEMENT})"
    )


def _more() -> str:
    return _compared('label="exact_match", against_label!="exact_match"')


def _less() -> str:
    return _compared('label!="exact_match", against_label="exact_match"')


def paired_shift() -> str:
    """By how much the share of exact matches differs, of the same pairs."""
    return f"({_more()} - {_less()}) / ({_compared()} > 0)"


def paired_error() -> str:
    """Its standard error, from the pairs on which the two differ (McNemar's)."""
    count = f"({_compared()} > 0)"
    differ = f"({_more()} + {_less()})"
    return f"sqrt({differ} - ({_more()} - {_less()}) ^ 2 / {count}) / {count}"


def paired_bound(sign: str) -> str:
    """The lower (`-`) or upper (`+`) end of the shift's interval.

    One pair of doubt beside the standard error: with no difference seen that alone would be 0.
    """
    return f"{paired_shift()} {sign} ({Z} * {paired_error()} + 1 / ({_compared()} > 0))"


def paired_verdict() -> str:
    """1: no shift beyond the limit, -1: one beyond it, 0: not known yet."""
    low, high = paired_bound("-"), paired_bound("+")
    limit = MOST_SHIFT_OF_RATE
    within = f"(({low}) > bool -{limit}) * (({high}) < bool {limit})"
    beyond = f"clamp_max((({low}) > bool {limit}) + (({high}) < bool -{limit}), 1)"
    return f"{within} - {beyond}"


def _answered(matchers: str = "") -> str:
    more = f", {matchers}" if matchers else ""
    series = f"mgeo_prediction_total{{{SELECTOR}{more}}}"
    return f"sum by (model_version) (increase({series}[{_WINDOW}]))"


def _others(of_version: str, by: str = "") -> str:
    """The same sum over all other versions, one series for each version.

    Args:
        of_version: A sum by version, and by `by` if given.
        by: A further label that both keep.
    """
    whole = f"sum by ({by}) ({of_version})"
    return f"(0 * {of_version} + on ({by}) group_left () {whole} - {of_version})"


def split_shift() -> str:
    """By how much the share of exact matches differs from the other versions', on other pairs."""
    own, count = _answered('label="exact_match"'), _answered()
    return f"{own} / ({count} > 0) - {_others(own)} / ({_others(count)} > 0)"


def split_error() -> str:
    """Its standard error: that of a difference of two shares."""
    own, count = _answered('label="exact_match"'), _answered()
    mine, theirs = f"({own} / ({count} > 0))", f"({_others(own)} / ({_others(count)} > 0))"
    return (
        f"sqrt({mine} * (1 - {mine}) / ({count} > 0) "
        f"+ {theirs} * (1 - {theirs}) / ({_others(count)} > 0))"
    )


def _computing(suffix: str, by: str) -> str:
    matchers = f'{SELECTOR}, stage="compute", model_version!=""'
    series = f"mgeo_request_stage_duration_seconds_{suffix}{{{matchers}}}"
    return f"sum by ({by}) (increase({series}[{_WINDOW}]))"


def computing_p95(sign: str = "", *, others: bool = False) -> str:
    """The P95 of computing by version, or an end of its interval.

    The ends are the quantiles that the true one is between in 95 % of all cases, whatever the
    distribution; reckoned with the fewest requests of any version, which is the wider interval.

    Args:
        sign: `-` or `+` for an end.
        others: Whether of all other versions, for each version.
    """
    buckets = _computing("bucket", "model_version, le")
    taken = _others(buckets, "le") if others else buckets
    share = "0.95"
    if sign:
        count = f"scalar(min({_computing('count', 'model_version')} > 0))"
        share = f"clamp_max(vector(0.95 {sign} {Z} * (0.95 * 0.05 / {count}) ^ 0.5), 1)"
        share = f"scalar({share})"
    return f"histogram_quantile({share}, {taken})"


def computing_verdict() -> str:
    """1: not slower beyond the limit, -1: slower, 0: not known yet. Absent without a split."""
    own_low, own_high = computing_p95("-"), computing_p95("+")
    low, high = computing_p95("-", others=True), computing_p95("+", others=True)
    return (
        f"(({own_high}) <= bool {MOST_SLOWER} * ({low} > 0))"
        f" - (({own_low}) > bool {MOST_SLOWER} * ({high} > 0))"
    )


def _tenths() -> str:
    series = f"mgeo_prediction_similarity_total{{{SELECTOR}}}"
    return f"sum by (model_version, upper) (increase({series}[{_WINDOW}]))"


def drift() -> str:
    """Population stability index of the similarities answered, from the calibration list's.

    Half a pair more in each tenth of both, so that an empty one has a logarithm.
    """
    series = f"mgeo_model_calibration_ratio{{{SELECTOR}}}"
    expected = f"(avg by (model_version, upper) ({series}) * 64 + 0.5) / 69"
    found = f"({_tenths()} + 0.5) / on (model_version) group_left () (({_answered()} > 0) + 5)"
    return f"sum by (model_version) (({found} - {expected}) * ln(({found}) / ({expected})))"


def build() -> dashboards.Dashboard:
    """The dashboard, ready to be written."""
    board = dashboard(
        "mgeo-versions",
        "MGeo / Model versions",
        "Is a version as good as the one that answers, and safe to promote?",
        variables=True,
    )
    _overview(board)
    _shadow(board)
    _split(board)
    return board


def _overview(board: dashboards.Dashboard) -> None:
    board.with_row(dashboards.Row("Is it safe to promote?"))
    board.with_panel(text("How to read this", _EXPLANATION))
    board.with_panel(
        verdict(
            "Agreement",
            f"Whether a shadow gives at least {LEAST_AGREEMENT:.0%} of the pairs the label that "
            "was answered, seen as far as 95 % confidence reaches.",
            agreement_verdict(),
            "{{model_version}} beside {{against}}",
        )
    )
    board.with_panel(
        verdict(
            "Exact matches, same pairs",
            f"Whether the share of exact matches differs by less than {MOST_SHIFT_OF_RATE:.0%} "
            "between a shadow and what was answered.",
            paired_verdict(),
            "{{model_version}} beside {{against}}",
        )
    )
    board.with_panel(
        verdict(
            "Computing time",
            f"Whether the P95 of computing is at most {MOST_SLOWER - 1:.0%} above that of the "
            "other versions that answer.",
            computing_verdict(),
            "{{model_version}} beside the others",
        )
    )
    board.with_panel(
        rows(
            "Versions",
            "Which model is which: the name that it is declared with, its version, its role and "
            "its share of the traffic by weight.",
            f"avg by (variant, model_version, role) (mgeo_model_share_ratio{{{SELECTOR}}})",
        )
    )


def _shadow(board: dashboards.Dashboard) -> None:
    who = "{{model_version}} beside {{against}}"
    dropped = (
        f"sum by (model_version) (increase(mgeo_shadow_dropped_total{{{SELECTOR}}}[{_WINDOW}]))"
    )
    shown = _compared(by="model_version")
    board.with_row(dashboards.Row("Shadows: both scored the same pairs"))
    board.with_panel(
        lines(
            "Agreement with its interval",
            "Share of pairs with the same label, and the ends of its 95 % interval (Wilson).",
            "percentunit",
            Query(agreement(), who),
            Query(agreement_bound("-"), "at least"),
            Query(agreement_bound("+"), "at most"),
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
            Query(paired_shift(), who),
            Query(paired_bound("-"), "at least"),
            Query(paired_bound("+"), "at most"),
            minimum=None,
        )
    )
    shifts = f"sum by ({_PAIR}, le) (increase(mgeo_shadow_shift_bucket{{{SELECTOR}}}[{_WINDOW}]))"
    board.with_panel(
        lines(
            "Shift of the similarity",
            "Half, 95 % and 99 % of pairs have a similarity nearer to the answered one than this.",
            "short",
            *(
                Query(f"histogram_quantile({q}, {shifts})", f"P{int(q * 100)} {who}")
                for q in (0.5, 0.95, 0.99)
            ),
        )
    )
    board.with_panel(
        lines(
            "Where they differ",
            "Pairs a second by both labels, where these are not the same: whether a shadow is "
            "stricter, more lenient, or confused.",
            "short",
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
            Query(f"{dropped} / ({dropped} + {shown} > 0)", "{{model_version}}"),
            maximum=1,
        )
    )
    board.with_panel(
        lines(
            "Pairs compared",
            "What the figures above rest on, in the time range.",
            "short",
            Query(_compared(), who),
        )
    )


def _split(board: dashboards.Dashboard) -> None:
    who = "{{model_version}}"
    series = f'mgeo_request_stage_duration_seconds_count{{{SELECTOR}, stage="admit"'
    of_version = f'sum by (model_version) (rate({series}, model_version!=""}}[$__rate_interval]))'
    failed = (
        f"sum by (model_version) (increase(mgeo_prediction_failed_total{{{SELECTOR}}}[{_WINDOW}]))"
    )
    spent = f'mgeo_request_stage_duration_seconds_sum{{{SELECTOR}, model_version!=""}}'
    board.with_row(dashboards.Row("Split: each answered its own part of the traffic"))
    board.with_panel(
        lines(
            "Share of the requests",
            "Of all requests that came to a model. Beside the weights of the table above: sessions "
            "and requests for a version by name make the difference.",
            "percentunit",
            Query(f"{of_version} / on () group_left () (sum({of_version}) > 0)", who),
            maximum=1,
        )
    )
    board.with_panel(
        lines(
            "Shift of exact matches, other pairs",
            "How the share of exact matches differs from that of the other versions, and the ends "
            "of its 95 % interval. Each saw other pairs: it takes far more of them than a shadow.",
            "percentunit",
            Query(split_shift(), who),
            Query(f"{split_shift()} - {Z} * {split_error()}", f"{who} at least"),
            Query(f"{split_shift()} + {Z} * {split_error()}", f"{who} at most"),
            minimum=None,
        )
    )
    board.with_panel(
        lines(
            "P95 of computing with its interval",
            "95 % of requests were computed faster, by version; and the ends of the 95 % interval.",
            "s",
            Query(computing_p95(), who, exemplars=True),
            Query(computing_p95("-"), f"{who} at least"),
            Query(computing_p95("+"), f"{who} at most"),
        )
    )
    board.with_panel(
        lines(
            "Mean request",
            "Whole requests by the version that they came to, the wait in its queue included.",
            "s",
            Query(
                f"sum by (model_version) (rate({spent}[$__rate_interval])) / ({of_version} > 0)",
                who,
            ),
        )
    )
    board.with_panel(
        lines(
            "Pairs that the model failed on",
            "Of all pairs that a version was given, in the time range.",
            "percentunit",
            Query(f"{failed} / ({failed} + {_answered()} > 0)", who),
        )
    )
    board.with_panel(
        lines(
            "Drift from the calibration list",
            "Population stability index of the similarities answered, beside the same version's on "
            "the 64 pairs of the calibration list. The list is no sample of your traffic, so the "
            "level says little; versions apart from each other, or one that moves, say much.",
            "short",
            Query(drift(), who),
        )
    )
    board.with_panel(
        lines(
            "Similarities answered",
            "Share of the pairs in each tenth of the similarity, by version.",
            "percentunit",
            Query(
                f"{_tenths()} / on (model_version) group_left () ({_answered()} > 0)",
                f"{who} below {{{{upper}}}}",
            ),
            width=24,
        )
    )
