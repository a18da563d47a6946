"""`model fetch` from a hub on loopback. A program: hub and command must be in one namespace."""

from __future__ import annotations

import os
import sys

from service.__main__ import main
from tests.conftest import TINY
from tests.unit.hub import Hub

MODEL = "iic/mgeo_geographic_entity_alignment_chinese_base"


def fetch() -> int:
    """Fetch the small checkpoint; returns the command's exit status."""
    names = ("config.json", "configuration.json", "vocab.txt", "pytorch_model.bin")
    files = {name: (TINY / name).read_bytes() for name in names}
    del os.environ["MODELSCOPE_CACHE"]  # the tests' own
    with Hub(models={MODEL: {"v1.2.0": files}}) as hub:
        os.environ["MODELSCOPE_ENDPOINT"] = hub.endpoint
        return main(["model", "fetch", MODEL])


if __name__ == "__main__":
    sys.exit(fetch())
