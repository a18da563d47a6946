"""Downloads models from ModelScope by the hub's own client.

The client resumes files, and checks each against the hub's sha256. What it leaves open is kept
here: which files are needed, whether there is room for them, and the record that all are there.
"""

from __future__ import annotations

import errno
import hashlib
import logging
import os
import shutil
import threading
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from service.errors import FetchError
from service.scoring import copies
from service.scoring.checkpoint import OPTIONAL_FILES, REQUIRED_FILES, WEIGHT_FILES
from service.scoring.copies import Reference

_SLACK_BYTES = 16 * 1024 * 1024

Report = Callable[[int, int], None]
"""Told of bytes fetched and bytes in all, from any thread. What it raises ends the download."""


@dataclass(frozen=True, slots=True)
class Fetched:
    """A complete download.

    Attributes:
        directory: Where it lies.
        sha256: Hex digest of each file's bytes on disk, by name.
    """

    directory: Path
    sha256: dict[str, str]


def fetch(reference: Reference, report: Report, directory: Path | None = None) -> Fetched:
    """Download a model, or what is missing or has changed of it.

    Args:
        reference: What to fetch.
        report: Told of the progress.
        directory: Where to; by default this service's folder in ModelScope's cache.

    Raises:
        FetchError: It could not be fetched as a whole. What was fetched is kept for another run.
    """
    endpoint = os.environ.get("MODELSCOPE_ENDPOINT") or "https://modelscope.cn"
    where = directory or copies.own_directory(reference, reference.owner)
    begun = False
    try:
        hub = _client()
        owner, listing = _listing(hub, reference)
        reference = replace(reference, owner=owner)
        files = _needed(reference, listing)
        if directory is None:
            where = copies.own_directory(reference, owner)
        else:
            _refuse_foreign(directory, reference)
        _prepare(where, reference, files)
        begun = True
        hub.download_repo(
            f"{owner}/{reference.name}",
            repo_type="model",
            revision=reference.revision,
            local_dir=where,
            cache_dir=copies.own_root(),  # for its locks only
            allow_patterns=list(files),
            file_list=[
                {"Path": name, "Size": file.size or None, "Sha256": file.sha256}
                for name, file in files.items()
            ],
            progress_callbacks=[_callback(report, sum(file.size for file in files.values()))],
        )
        return _complete(where, reference, files)
    except FetchError:
        raise
    except _Stopped as stopped:
        raise stopped.reason from None
    except (Exception, KeyboardInterrupt) as error:
        what, mend = _fault(error)
    again = f"; run it again: what was fetched is kept in {where}" if begun else ""
    raise FetchError(
        f"{reference} was not fetched from {endpoint.rsplit('@')[-1]}: {what}{mend}{again}"
    )


def _client() -> Any:
    # Read when tqdm is imported: the client's bars would break into log lines and our own bar.
    os.environ.setdefault("TQDM_DISABLE", "1")
    try:
        from modelscope_hub import HubApi, HubConfig
    except RuntimeError:  # it asks for the home as it is imported, whatever else is set
        raise FetchError(
            "there is no home directory; set HOME to a folder that may hold one"
        ) from None

    class Config(HubConfig):  # type: ignore[misc]
        """Without the id that the client keeps under the home, to be known again by."""

        def get_session_id(self) -> str:
            return uuid.uuid4().hex

    hub_log = logging.getLogger("modelscope_hub")
    hub_log.handlers.clear()  # its lines (retries, say) go where all others go
    hub_log.propagate = True
    hub_log.setLevel(logging.WARNING)
    logging.getLogger("modelscope_hub.download").addFilter(_not_an_error)
    return HubApi(Config())


def _not_an_error(record: logging.LogRecord) -> bool:
    return record.levelno < logging.ERROR  # those are raised as well, and told in one line


def _listing(hub: Any, reference: Reference) -> tuple[str, list[Any]]:
    """The namespace that has the model, and the files of its revision."""
    from modelscope_hub import NotExistError

    for owner in reference.owners:
        try:
            files = hub.list_repo_files(
                f"{owner}/{reference.name}", "model", revision=reference.revision, recursive=False
            )
        except NotExistError:
            continue
        if files:
            return owner, files
    for owner in reference.owners:
        try:
            found = hub.list_repo_revisions(f"{owner}/{reference.name}", "model")
        except NotExistError:
            continue
        revisions = sorted({str(item.get("Revision")) for item in found})
        raise FetchError(
            f"{owner}/{reference.name} has no revision {reference.revision!r}; "
            f"it has {', '.join(revisions[:10]) or 'none'}"
        )
    raise FetchError(
        f"{reference.owner}/{reference.name} is no directory here and no public model of "
        "ModelScope; for a private one set MODELSCOPE_API_TOKEN"
    )


def _needed(reference: Reference, listing: list[Any]) -> dict[str, Any]:
    """The files that are read, by name. Of two weights files only the one that is read."""
    listed = {file.path: file for file in listing if not file.is_dir}
    weights = [name for name in WEIGHT_FILES if name in listed][:1]
    missing = [name for name in REQUIRED_FILES if name not in listed]
    if missing or not weights:
        raise FetchError(
            f"{reference} has no {' and no '.join(missing or WEIGHT_FILES)}: "
            "it is not an MGeo model in ModelScope's layout"
        )
    wanted = (*REQUIRED_FILES, *OPTIONAL_FILES, *weights)
    return {name: listed[name] for name in wanted if name in listed}


def _refuse_foreign(directory: Path, reference: Reference) -> None:
    known = copies.record(directory).get("model")
    if directory.is_dir() and any(directory.iterdir()) and known != str(reference):
        raise FetchError(
            f"{directory} holds {known if isinstance(known, str) else 'something else'} already; "
            "name an empty or new directory"
        )


def _prepare(directory: Path, reference: Reference, files: Mapping[str, Any]) -> None:
    """Say that the directory is unfinished, before anything else is written to it."""
    directory.mkdir(parents=True, exist_ok=True)
    copies.own_root().mkdir(parents=True, exist_ok=True)
    copies.write_record(directory, reference, complete=False)
    for name in {*WEIGHT_FILES, *OPTIONAL_FILES} - set(files):
        # Of an earlier state of a branch: it would be read in place of what the branch has now.
        (directory / name).unlink(missing_ok=True)
    total = sum(file.size for file in files.values())
    here = sum(copies.size_of(path) or 0 for path in directory.iterdir())
    free = shutil.disk_usage(directory).free
    if total - here + _SLACK_BYTES > free:
        raise OSError(errno.ENOSPC, f"{total / 1e6:.0f} MB are needed, {free / 1e6:.0f} MB free")


def _complete(directory: Path, reference: Reference, files: Mapping[str, Any]) -> Fetched:
    facts = {}
    for name, listed in files.items():
        with (directory / name).open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        if listed.sha256 and listed.sha256.lower() != digest:
            raise FetchError(f"{directory / name} changed while it was being fetched; run it again")
        facts[name] = {"bytes": copies.size_of(directory / name), "sha256": digest}
    copies.write_record(directory, reference, complete=True, files=facts)
    return Fetched(directory, {name: str(fact["sha256"]) for name, fact in facts.items()})


def _callback(report: Report, total: int) -> type:
    """A callback class as the client wants it: one object per file, all adding to one count."""
    from modelscope_hub import ProgressCallback

    lock = threading.Lock()
    done = 0

    class Count(ProgressCallback):  # type: ignore[misc]
        def update(self, size: int) -> None:
            nonlocal done
            with lock:
                done += size  # negative when a file is begun anew
                try:
                    report(min(done, total), total)
                except Exception as error:
                    raise _Stopped(error) from None  # after an Exception the client would retry

    return Count


class _Stopped(BaseException):
    """The callback for progress raised, which stops the download."""

    def __init__(self, reason: Exception) -> None:
        self.reason = reason


def _fault(error: BaseException) -> tuple[str, str]:
    """What went wrong, and what to do about it, as the two halves of a line."""
    import modelscope_hub as hub

    name = ""
    if isinstance(error, hub.FileDownloadError) and error.failed_files:
        name, error = next(iter(error.failed_files.items()))
        name += ": "
    if isinstance(error, KeyboardInterrupt):
        return "interrupted", ""
    if isinstance(error, hub.FileSizeMismatchError):
        return f"{name}the hub sent another size than it lists; nothing of it was kept", ""
    if isinstance(error, hub.FileIntegrityError):
        return f"{name}wrong checksum; nothing of that file was kept", ""
    if isinstance(error, hub.AuthenticationError | hub.PermissionDeniedError):
        return f"{name}access denied", "; set MODELSCOPE_API_TOKEN to a token that may read it"
    if isinstance(error, hub.RequestTimeoutError):
        return f"{name}no answer in time", ""
    if isinstance(error, hub.NetworkError):
        return f"{name}the connection failed", "; check the network and MODELSCOPE_ENDPOINT"
    if isinstance(error, hub.APIError):
        return f"{name}the hub answered {error.status_code}", ""
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return f"{name}the disk is full ({error.strerror})", "; make room"
    if isinstance(error, OSError) and error.errno is not None:
        return f"{name}{error.strerror}: {error.filename}", ""
    text = " ".join(str(error).split())[:120]
    return f"{name}the hub's answer was not understood ({type(error).__name__}: {text})", ""
