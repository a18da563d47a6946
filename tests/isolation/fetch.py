"""`model fetch` from a hub on loopback. A program: hub and command must be in one namespace."""

from __future__ import annotations

import os
import sys

from service.__main__ import main
from tests.unit.hub import FILES, PUBLISHED, Hub


def fetch() -> int:
    """Fetch the small checkpoint; returns the command's exit status."""
    del os.environ["MODELSCOPE_CACHE"]  # the tests' own
    with Hub(models={PUBLISHED: {"v1.2.0": FILES}}) as hub:
        os.environ["MODELSCOPE_ENDPOINT"] = hub.endpoint
        return main(["model", "fetch", PUBLISHED])


if __name__ == "__main__":
    sys.exit(fetch())
