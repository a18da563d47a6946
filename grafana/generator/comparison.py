"""Two model versions compared in PromQL: a difference, and how sure it is.

All is reckoned from counters, over the dashboard's time range: the longer, the surer. A version is
compared with what the others answered, so that no version has to be named; with two, that is the
other one.
"""

from grafana.generator.queries import SELECTOR

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

PAIR = "model_version, against"
WINDOW = "$__range"


def compared(matchers: str = "", by: str = PAIR) -> str:
    """Pairs that a shadow scored too, in the time range."""
    more = f", {matchers}" if matchers else ""
    return f"sum by ({by}) (increase(mgeo_shadow_prediction_total{{{SELECTOR}{more}}}[{WINDOW}]))"


def agreement() -> str:
    """Share of pairs that a shadow gave the label that was answered."""
    same = " + ".join(compared(f'label="{one}", against_label="{one}"') for one in LABELS)
    return f"({same}) / ({compared()} > 0)"


def agreement_bound(sign: str) -> str:
    """The lower (`-`) or upper (`+`) end of the Wilson interval of the agreement."""
    share, count = agreement(), f"({compared()} > 0)"
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
    return compared('label="exact_match", against_label!="exact_match"')


def _less() -> str:
    return compared('label!="exact_match", against_label="exact_match"')


def paired_shift() -> str:
    """By how much the share of exact matches differs, of the same pairs."""
    return f"({_more()} - {_less()}) / ({compared()} > 0)"


def paired_error() -> str:
    """Its standard error, from the pairs on which the two differ (McNemar's)."""
    count = f"({compared()} > 0)"
    differ = f"({_more()} + {_less()})"
    return f"sqrt({differ} - ({_more()} - {_less()}) ^ 2 / {count}) / {count}"


def paired_bound(sign: str) -> str:
    """The lower (`-`) or upper (`+`) end of the shift's interval.

    One pair of doubt beside the standard error: with no difference seen that alone would be 0.
    """
    return f"{paired_shift()} {sign} ({Z} * {paired_error()} + 1 / ({compared()} > 0))"


def paired_verdict() -> str:
    """1: no shift beyond the limit, -1: one beyond it, 0: not known yet."""
    low, high = paired_bound("-"), paired_bound("+")
    limit = MOST_SHIFT_OF_RATE
    within = f"(({low}) > bool -{limit}) * (({high}) < bool {limit})"
    beyond = f"clamp_max((({low}) > bool {limit}) + (({high}) < bool -{limit}), 1)"
    return f"{within} - {beyond}"


def answered(matchers: str = "") -> str:
    """Pairs that a version answered, in the time range."""
    more = f", {matchers}" if matchers else ""
    series = f"mgeo_prediction_total{{{SELECTOR}{more}}}"
    return f"sum by (model_version) (increase({series}[{WINDOW}]))"


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
    own, count = answered('label="exact_match"'), answered()
    return f"{own} / ({count} > 0) - {_others(own)} / ({_others(count)} > 0)"


def split_error() -> str:
    """Its standard error: that of a difference of two shares."""
    own, count = answered('label="exact_match"'), answered()
    mine, theirs = f"({own} / ({count} > 0))", f"({_others(own)} / ({_others(count)} > 0))"
    return (
        f"sqrt({mine} * (1 - {mine}) / ({count} > 0) "
        f"+ {theirs} * (1 - {theirs}) / ({_others(count)} > 0))"
    )


def _computing(suffix: str, by: str) -> str:
    matchers = f'{SELECTOR}, stage="compute", model_version!=""'
    series = f"mgeo_request_stage_duration_seconds_{suffix}{{{matchers}}}"
    return f"sum by ({by}) (increase({series}[{WINDOW}]))"


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


def tenths() -> str:
    """Pairs in each tenth of the similarity, by version, in the time range."""
    series = f"mgeo_prediction_similarity_total{{{SELECTOR}}}"
    return f"sum by (model_version, upper) (increase({series}[{WINDOW}]))"


def drift() -> str:
    """Population stability index of the similarities answered, from the calibration list's.

    Half a pair more in each tenth of both, so that an empty one has a logarithm.
    """
    series = f"mgeo_model_calibration_ratio{{{SELECTOR}}}"
    expected = f"(avg by (model_version, upper) ({series}) * 64 + 0.5) / 69"
    found = f"({tenths()} + 0.5) / on (model_version) group_left () (({answered()} > 0) + 5)"
    return f"sum by (model_version) (({found} - {expected}) * ln(({found}) / ({expected})))"


def named(expr: str) -> str:
    """The series of `expr`, which are of versions, with the names that these are declared with."""
    share = f"mgeo_model_share_ratio{{{SELECTOR}}}"
    names = f"topk by (model_version) (1, group by (model_version, variant) ({share}))"
    return f"({expr}) * on (model_version) group_left (variant) {names}"
