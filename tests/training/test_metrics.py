"""The figures agree with scikit-learn, or with values worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from training import metrics

sklearn_metrics = pytest.importorskip("sklearn.metrics")


def _labels(seed: int, n: int = 300) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, 3, n)
    return truth, np.where(rng.random(n) < 0.5, truth, rng.integers(0, 3, n))


@given(st.integers(0, 10_000))
def test_f1_agrees_with_scikit_learn(seed: int) -> None:
    truth, guess = _labels(seed)
    theirs = sklearn_metrics.f1_score(truth, guess, average=None, labels=[0, 1, 2])
    assert metrics.f1_by_class(metrics.confusion(truth, guess)) == pytest.approx(theirs)
    assert metrics.macro_f1(truth, guess) == pytest.approx(theirs.mean())


@given(st.integers(0, 10_000))
def test_auc_agrees_with_scikit_learn_with_ties(seed: int) -> None:
    rng = np.random.default_rng(seed)
    positive = np.append(rng.random(80) < 0.4, [True, False])
    score = np.append(rng.integers(0, 9, 80), [3, 3]).astype(float)
    theirs = sklearn_metrics.roc_auc_score(positive, score)
    assert metrics.auc(positive, score) == pytest.approx(theirs)


def test_auc_without_positives_is_not_a_number() -> None:
    assert np.isnan(metrics.auc(np.array([False]), np.array([0.5])))


def test_absent_and_unguessed_class_counts_zero() -> None:
    table = metrics.confusion(np.array([0, 0, 1]), np.array([0, 0, 1]))
    assert metrics.f1_by_class(table).tolist() == [1.0, 1.0, 0.0]


def test_ece_by_hand() -> None:
    # Two pairs at confidence .9, one right: gap .4; two at .6, both right: gap .4.
    probabilities = np.array([[0.9, 0.1, 0], [0.9, 0.1, 0], [0.4, 0.6, 0], [0.4, 0.6, 0]])
    truth = np.array([0, 1, 1, 1])
    assert metrics.ece(probabilities, truth) == pytest.approx(0.4)
    assert metrics.reliability(probabilities, truth) == [
        (pytest.approx(0.6), 1.0, 2),
        (pytest.approx(0.9), 0.5, 2),
    ]


def test_confidence_one_falls_into_the_last_bin() -> None:
    assert metrics.ece(np.array([[1.0, 0, 0]]), np.array([0])) == 0.0


@pytest.mark.parametrize("true_temperature", [0.5, 1.0, 2.5])
def test_temperature_is_found_again(true_temperature: float) -> None:
    rng = np.random.default_rng(3)
    logits = rng.normal(size=(20_000, 3)) * 2
    chances = metrics.softmax(logits)
    truth = (rng.random((20_000, 1)) > chances.cumsum(1)).sum(1)
    found = metrics.fit_temperature(logits * true_temperature, truth)
    assert found == pytest.approx(true_temperature, rel=0.05)


def test_bootstrap_draws_whole_groups() -> None:
    groups = np.repeat(np.arange(50), 4)
    values = np.repeat(np.arange(50) % 2, 4).astype(float)
    low, high = metrics.bootstrap_by_group(groups, lambda rows: values[rows].mean(), 400)
    # The standard error of a mean over 50 groups of one coin each is .07.
    assert low == pytest.approx(0.36, abs=0.05)
    assert high == pytest.approx(0.64, abs=0.05)
