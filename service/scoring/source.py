"""Where a model comes from: the bundled one, a directory, or ModelScope."""

from __future__ import annotations

from pathlib import Path

from service.errors import FetchError
from service.scoring.backends import Progress
from service.settings import BUNDLED

BUNDLED_DIRECTORY = Path(__file__).parent.parent / "models" / "default"


def resolve(model: str, progress: Progress) -> Path:
    """The local directory of a model."""
    if model == BUNDLED:
        return BUNDLED_DIRECTORY
    path = Path(model)
    if path.is_dir():
        return path
    raise FetchError(f"{model} is neither `bundled` nor a directory")
