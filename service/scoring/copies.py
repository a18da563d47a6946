"""Models on this machine: what an id means, where copies of it lie, and which are complete.

A download into this service's folder ends by writing a record that says so; a directory without
one, or with one that says it is unfinished, is never taken as a model. ModelScope's own tools keep
no such record: of their copies the files are looked at.
"""

from __future__ import annotations

import json
import logging
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from service.errors import FetchError
from service.scoring.checkpoint import REQUIRED_FILES, WEIGHT_FILES

log = logging.getLogger(__name__)

RECORD = "fetched.json"

PINS = {
    # The revision that the authors' model card names and gives expected scores for.
    "mgeo_geographic_entity_alignment_chinese_base": "v1.2.0",
}
"""Revision of a known model when none is asked for; `master` can change under a service."""

UNPINNED = "master"
_SAME_OWNER = ("iic", "damo")  # ModelScope renamed damo to iic; both names are in use

_ID = re.compile(
    r"(?P<owner>[A-Za-z0-9][\w.-]{0,99})/(?P<name>[A-Za-z0-9][\w.-]{0,99})"
    r"(@(?P<revision>[A-Za-z0-9][\w./-]{0,99}))?",
    re.ASCII,
)
_PART_OF_FILE = re.compile(r"\.(incomplete|parallel_tmp)$|_\d+_\d+$")


@dataclass(frozen=True, slots=True)
class Reference:
    """A model on ModelScope.

    Attributes:
        owner: Namespace, such as `iic`.
        name: The model's name in it.
        revision: Tag, branch or commit.
        asked: Whether the revision was given, and not this module's choice.
    """

    owner: str
    name: str
    revision: str
    asked: bool

    def __str__(self) -> str:
        return f"{self.owner}/{self.name}@{self.revision}"

    @property
    def pinned(self) -> bool:
        """Whether the revision is meant to stay what it is."""
        return self.asked or self.revision != UNPINNED

    @property
    def owners(self) -> tuple[str, ...]:
        """Every namespace that the model may be found under, the given one first."""
        if self.owner not in _SAME_OWNER:
            return (self.owner,)
        return (self.owner, *(owner for owner in _SAME_OWNER if owner != self.owner))


def parse(model: str) -> Reference | None:
    """The model that `owner/name` or `owner/name@revision` means; None if it is no such id."""
    match = _ID.fullmatch(model)
    if match is None or ".." in model:
        return None
    owner, name, revision = match["owner"], match["name"], match["revision"]
    default = PINS.get(name, UNPINNED) if owner in _SAME_OWNER else UNPINNED
    return Reference(owner, name, revision or default, asked=revision is not None)


def find(reference: Reference) -> Path | None:
    """A complete copy on this machine: fetched by this service, or by ModelScope's own tools."""
    for owner in reference.owners:
        directory = own_directory(reference, owner)
        if is_complete(directory):
            return directory
    for directory in _modelscope_directories(reference):
        if _holds_model(directory) and _is_revision(directory, reference):
            log.info(
                "taking the model from ModelScope's cache", extra={"directory": str(directory)}
            )
            return directory
    return None


def is_unfinished(directory: Path) -> bool:
    """Whether a download into this directory was begun and not completed."""
    return (directory / RECORD).is_file() and not is_complete(directory)


def is_complete(directory: Path) -> bool:
    """Whether the record says that all files were fetched, and they still have those sizes."""
    found = record(directory)
    files = found.get("files")
    if found.get("complete") is not True or not isinstance(files, dict) or not files:
        return False
    return all(
        isinstance(facts, dict) and size_of(directory / name) == facts.get("bytes")
        for name, facts in files.items()
    )


def _cache() -> Path:
    given = os.environ.get("MODELSCOPE_CACHE")
    try:
        return Path(given).expanduser() if given else Path.home() / ".cache" / "modelscope"
    except RuntimeError:
        raise FetchError("there is no home directory; set MODELSCOPE_CACHE") from None


def own_root() -> Path:
    """This service's folder in ModelScope's cache."""
    return _cache() / "mgeo"


def own_directory(reference: Reference, owner: str) -> Path:
    """Where this service keeps a model that it downloads."""
    # The model's name last: a checkpoint that does not name itself is called by its directory.
    return own_root() / quote(reference.revision, safe="") / owner / reference.name


def _modelscope_directories(reference: Reference) -> Iterator[Path]:
    """Where ModelScope's tools keep a model: the present layout, then those before it."""
    cache = _cache()
    for owner in reference.owners:
        yield cache / f"models/{owner}--{reference.name}/snapshots" / reference.revision
    for owner in reference.owners:
        for above in ("models", "hub/models", "hub", "."):
            yield cache / above / owner / reference.name.replace(".", "___")


def _holds_model(directory: Path) -> bool:
    # These tools rename a file when it is whole, but say nowhere that all files are there.
    if not directory.is_dir():
        return False
    names = {path.name for path in directory.iterdir() if size_of(path)}
    return (
        names.issuperset(REQUIRED_FILES)
        and not names.isdisjoint(WEIGHT_FILES)
        and not any(_PART_OF_FILE.search(name) for name in names)
    )


def _is_revision(directory: Path, reference: Reference) -> bool:
    if directory.parent.name == "snapshots":
        return True
    try:
        version = (directory / ".mv").read_text("utf-8", errors="replace")
    except OSError:
        if reference.asked:
            return False
        log.warning("a copy of unknown revision", extra={"directory": str(directory)})
        return True
    return version.partition(",")[0].strip() == f"Revision:{reference.revision}"


def record(directory: Path) -> dict[str, Any]:
    """What the record of a download says; empty if there is none that can be read."""
    try:
        found = json.loads((directory / RECORD).read_bytes())
    except (OSError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def write_record(directory: Path, reference: Reference, **facts: object) -> None:
    """Replace the record of a download, as a whole or not at all."""
    temporary = directory / f"{RECORD}.{os.getpid()}"
    text = json.dumps({"model": str(reference), **facts}, indent=2)
    temporary.write_text(text + "\n", "utf-8")
    temporary.replace(directory / RECORD)


def size_of(path: Path) -> int | None:
    """Bytes of a file; None if it is none."""
    try:
        return path.stat().st_size if path.is_file() else None
    except OSError:
        return None
