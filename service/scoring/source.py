"""Where a model comes from: the bundled one, a directory, or ModelScope."""

from __future__ import annotations

import logging
from pathlib import Path

from service.console import COMMAND
from service.errors import FetchError
from service.scoring import copies, fetch
from service.scoring.backends import Progress
from service.settings import BUNDLED

log = logging.getLogger(__name__)

BUNDLED_DIRECTORY = Path(__file__).parent.parent / "models" / "default"

_SHARE_OF_LOADING = 0.1
"""How much of all loading the finding of the model is, in what `/readyz` shows."""


def resolve(model: str, progress: Progress) -> Path:
    """The local directory of a model, which is downloaded first if it has to be.

    Args:
        model: `bundled`, a directory, or a ModelScope id `owner/name[@revision]`.
        progress: Told of a download. What it raises ends the download.

    Raises:
        FetchError: There is no such model, or it could not be downloaded.
    """
    if model == BUNDLED:
        return BUNDLED_DIRECTORY
    path = Path(model)
    if model and _is_directory(path):
        if copies.is_unfinished(path):
            raise FetchError(
                f"{path} holds a download that was not completed; "
                f"run again: {COMMAND} model fetch ... --to {path}"
            )
        return path
    reference = copies.parse(model)
    if reference is None:
        raise FetchError(
            f"{model[:200]!r} is neither `bundled`, nor a directory here, nor a ModelScope id "
            "(owner/name or owner/name@revision)"
        )
    if (copy := copies.find(reference)) is not None:
        return copy
    if not reference.pinned:
        log.warning(
            "the model's revision is not pinned: it can change from one download to the next",
            extra={"model": str(reference)},
        )

    def report(done: int, total: int) -> None:
        stage = f"fetching {reference}: {done / 1e6:.0f} of {total / 1e6:.0f} MB"
        progress(stage, _SHARE_OF_LOADING * done / max(total, 1))

    report(0, 0)
    return fetch.fetch(reference, report).directory


def parse_id(model: str) -> copies.Reference:
    """The model that an id means.

    Raises:
        FetchError: It is no id.
    """
    reference = copies.parse(model)
    if reference is None:
        raise FetchError(f"{model[:200]!r} is no ModelScope id: owner/name or owner/name@revision")
    return reference


def _is_directory(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError:  # a name that is too long, a folder that may not be searched
        return False
