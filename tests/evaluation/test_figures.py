"""Figures that are counted chunk by chunk are those of scikit-learn on the whole."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics as theirs

from service.evaluation import figures
from service.evaluation.figures import Reliability, Thresholds

PAIRS = st.lists(st.tuples(st.integers(0, 1000), st.booleans()), min_size=1, max_size=60)


@given(PAIRS, st.integers(1, 20), st.integers(0, 1000))
def test_precision_and_recall_are_scikit_learns_at_every_threshold(
    pairs: list[tuple[int, bool]], chunk: int, at: int
) -> None:
    similarity = np.array([value / 1000 for value, _ in pairs])
    positive = np.array([wanted for _, wanted in pairs])
    counted = Thresholds()
    for start in range(0, len(pairs), chunk):
        counted.add(similarity[start : start + chunk], positive[start : start + chunk])
    thresholds, precision, recall = counted.curve()
    guess = similarity >= at / 1000
    assert thresholds[at] == at / 1000
    if guess.any():
        assert precision[at] == pytest.approx(theirs.precision_score(positive, guess))
    else:
        assert np.isnan(precision[at])
    if positive.any():
        assert recall[at] == pytest.approx(theirs.recall_score(positive, guess))
    else:
        assert np.isnan(recall[at])


@given(PAIRS, st.floats(0.01, 1))
def test_no_other_threshold_finds_more_at_a_wanted_precision(
    pairs: list[tuple[int, bool]], wanted: float
) -> None:
    counted = Thresholds()
    counted.add(np.array([value / 1000 for value, _ in pairs]), np.array([one for _, one in pairs]))
    at, precision, recall = counted.curve()
    enough = [
        float(found)
        for precise, found in zip(precision, recall, strict=True)
        if precise >= wanted and found > 0
    ]
    best = counted.lowest_with(wanted)
    assert (best is None) == (not enough)
    if best:
        assert best[2] == max(enough)
        assert best[1] >= wanted
        assert best[0] in at
        assert best[3] == sum(value >= round(best[0] * 1000) for value, _ in pairs)


@given(st.integers(0, 10_000), st.integers(1, 40))
def test_calibration_does_not_depend_on_the_chunks(seed: int, chunk: int) -> None:
    random = np.random.default_rng(seed)
    probabilities = random.dirichlet([1, 1, 1], 100)
    truth = random.integers(0, 3, 100)
    whole, parts = Reliability(), Reliability()
    whole.add(probabilities, truth)
    for start in range(0, 100, chunk):
        parts.add(probabilities[start : start + chunk], truth[start : start + chunk])
    np.testing.assert_allclose(whole.rows(), parts.rows())
    assert whole.ece() == pytest.approx(parts.ece())
    top, right = probabilities.max(1), probabilities.argmax(1) == truth
    by_hand = sum(
        abs(top[inside].mean() - right[inside].mean()) * inside.mean()
        for low in range(10)
        if (inside := (top * 10).astype(int) == low).any()
    )
    assert whole.ece() == pytest.approx(by_hand)


def test_precision_and_recall_of_each_class_are_scikit_learns() -> None:
    random = np.random.default_rng(2)
    truth, guess = random.integers(0, 3, 200), random.integers(0, 3, 200)
    table = figures.confusion(truth, guess)
    assert figures.precision_by_class(table) == pytest.approx(
        theirs.precision_score(truth, guess, average=None)
    )
    assert figures.recall_by_class(table) == pytest.approx(
        theirs.recall_score(truth, guess, average=None)
    )
