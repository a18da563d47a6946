"""The image, built once from the Dockerfile; warm, that takes seconds."""

from __future__ import annotations

import pytest

from tests.containers.running import IMAGE
from tools import build, containers


@pytest.fixture(scope="session")
def image() -> str:
    """The image's name."""
    if reason := containers.unavailable():
        pytest.skip(reason)
    containers.build(IMAGE)
    return IMAGE


@pytest.fixture(scope="session")
def front_end() -> None:
    """Docker's own Compose is there."""
    try:
        build.require("docker-compose")
    except build.BuildError as error:
        pytest.skip(str(error))
