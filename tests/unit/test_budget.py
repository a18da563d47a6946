"""The tokens computed at once, after memory ran out."""

from __future__ import annotations

from service.scoring.device import Budget


def test_half_of_what_did_not_fit_is_tried_next() -> None:
    budget = Budget(8192)
    budget.out_of_memory(6000)
    assert budget.tokens == 3000
    budget.out_of_memory(3000)
    budget.out_of_memory(100_000)
    assert budget.tokens == 1500
    for _ in range(20):
        budget.out_of_memory(budget.tokens)
    assert budget.tokens == 1


def test_it_grows_back_slowly_and_to_no_more_than_it_was() -> None:
    budget = Budget(8192)
    budget.out_of_memory(6000)
    for _ in range(999):
        budget.computed()
    assert budget.tokens == 3000
    budget.computed()
    assert budget.tokens == 6000
    for _ in range(5000):
        budget.computed()
    assert budget.tokens == 8192
