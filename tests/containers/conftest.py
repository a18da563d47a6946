"""The image, built once from the Dockerfile; warm, that takes seconds."""

from __future__ import annotations

import pytest

from tests.containers.running import IMAGE
from tools import containers


@pytest.fixture(scope="session")
def image() -> str:
    """The image's name."""
    if reason := containers.unavailable():
        pytest.skip(reason)
    containers.build(IMAGE)
    return IMAGE
