"""Turns off what the libraries report of their use to their makers, before they are imported.

The packages that import these libraries call this as they are imported themselves. So it holds for
every command, and does not depend on how the process was started.
"""

from __future__ import annotations

import os
import sys

_SWITCHES = {
    # Without it ONNX Runtime sends a device id, the processor and the path of Python to Microsoft,
    # and keeps a queue on disk. Its own `disable_telemetry_events` comes after the first event.
    "ORT_DISABLE_TELEMETRY": "1",
    # Of transformers, which asks its hub for nothing here: models are read from directories.
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "HF_HUB_OFFLINE": "1",
    "DO_NOT_TRACK": "1",
}

_OPENVINO = "openvino_telemetry"


def turn_off() -> None:
    """Turn it off in this process and its children. Calling it again changes nothing."""
    os.environ.update(_SWITCHES)
    # OpenVINO reports its import to Google Analytics, by a fork that inherits every socket. Its own
    # opt-out is a file in the home directory, and sends an event itself. But it does without the
    # package that sends: this is how Python marks one that is not there.
    sys.modules[_OPENVINO] = None  # type: ignore[assignment]
