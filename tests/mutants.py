"""What `make mutants` asks of pytest: to say soon that a test fails. `[tool.mutmut]` loads it."""

from __future__ import annotations

import hypothesis
import pytest


@pytest.hookimpl(trylast=True)
def pytest_configure() -> None:
    """A broken law is enough: its shortest example, minutes of work, is not looked for."""
    hypothesis.settings.register_profile(
        "mutants",
        hypothesis.settings.get_profile("repeatable"),
        phases=[hypothesis.Phase.explicit, hypothesis.Phase.generate],
    )
    hypothesis.settings.load_profile("mutants")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Examples before laws, which take a hundred times as long. mutmut itself keeps no order."""
    items.sort(key=lambda item: item.get_closest_marker("hypothesis") is not None)
