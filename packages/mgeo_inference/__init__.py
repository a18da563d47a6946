"""The command of the installed wheel, which has the service's packages in this folder.

Other distributions may also have packages named `service` or `telemetry`. So these are put on the
path of this process only, not into site-packages.
"""

from __future__ import annotations

import sys
from pathlib import Path


def main() -> int:
    """Run one command, as `python -m service` does in a checkout.

    Returns:
        The exit status.
    """
    sys.path.insert(0, str(Path(__file__).parent))
    from service.__main__ import main as run

    return run()
