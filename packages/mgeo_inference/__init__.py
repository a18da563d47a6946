"""The service as a wheel installs it, with its packages in this folder.

`service` and `telemetry` are names that other distributions may have too, so they are not put on
everybody's path: only a process that this starts finds them.
"""

from __future__ import annotations

import sys
from pathlib import Path


def main() -> int:
    """Run one command, as `python -m service` does in a checkout."""
    sys.path.insert(0, str(Path(__file__).parent))
    from service.__main__ import main as run

    return run()
