"""A register on disk. Its files are memory-mapped, so opening a large one does not read it whole.

```text
DIRECTORY/
  register.json     the manifest: format, version, entry count, size and SHA-256 of each file
  <version>/        the files of that version; writing a register removes older versions
```

`register.json` is replaced last and atomically. A reader sees the old register or the new one, and
a build that is killed leaves the old one in place.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Final, Self

import numpy as np
from numpy.typing import NDArray

from service.errors import RegisterError
from service.retrieval import index as indexes
from service.retrieval.index import Index
from service.retrieval.register import Entry

FORMAT: Final = 1
MANIFEST: Final = "register.json"

_ARRAYS = ("starts", "entries", "values", "weights")
_TEXTS = ("ids", "addresses")


class Texts:
    """Read-only list of texts, stored as one UTF-8 buffer with offsets.

    Args:
        data: All texts, concatenated, in UTF-8. Shape (bytes,).
        starts: Byte offset of each text, and the total at the end. Shape (n + 1,).
    """

    def __init__(self, data: NDArray[np.uint8], starts: NDArray[np.int64]) -> None:
        self._data, self._starts = data, starts

    def __len__(self) -> int:
        return len(self._starts) - 1

    def __getitem__(self, place: int) -> str:
        return self._data[self._starts[place] : self._starts[place + 1]].tobytes().decode()


@dataclass(frozen=True, slots=True)
class StoredRegister:
    """A register that was read from disk; implements `register.Retriever`.

    Attributes:
        version: First 12 hex digits of a SHA-256 over its files.
        directory: The directory that holds `register.json`.
        ids: The id of each entry.
        addresses: The address of each entry.
        index: Finds candidates.
    """

    version: str
    directory: Path
    ids: Texts
    addresses: Texts
    index: Index

    def __len__(self) -> int:
        return self.index.size

    def entry(self, place: int) -> Entry:
        """The entry at a place; places are counted from 0."""
        return Entry(self.ids[place], self.addresses[place])

    def candidates(self, addresses: Sequence[str], most: int) -> list[NDArray[np.int32]]:
        """For each address, the places of at most `most` entries, best match first."""
        return self.index.candidates(addresses, most)

    def candidates_with_shares(
        self, addresses: Sequence[str], most: int
    ) -> list[tuple[NDArray[np.int32], NDArray[np.float32]]]:
        """See `Index.candidates_with_shares`."""
        return self.index.candidates_with_shares(addresses, most)


def write(directory: Path, entries: Iterable[Entry]) -> tuple[str, int]:
    """Write a register, replacing one that is there.

    Returns:
        Its version, and how many entries it has.

    Raises:
        RegisterError: There are no entries. An existing register is left unchanged.
        OSError: It cannot be written. An existing register is left unchanged.
    """
    directory.mkdir(parents=True, exist_ok=True)
    made = Path(tempfile.mkdtemp(prefix=".making-", dir=directory))
    try:
        with _Written(made, "ids") as ids, _Written(made, "addresses") as addresses:
            index = indexes.build(_passing(entries, ids, addresses))
        for name in _ARRAYS:
            _save(made / f"{name}.npy", getattr(index, name))
        files = {path.name: _described(path) for path in sorted(made.iterdir())}
        version = hashlib.sha256(json.dumps([FORMAT, files]).encode()).hexdigest()[:12]
        contents = {"format": FORMAT, "version": version, "entries": index.size, "files": files}
        _exchange(directory, made, version, contents)
    except OSError as error:
        shutil.rmtree(made, ignore_errors=True)
        # A full disk is told without a name, and the caller may write to other disks as well.
        if error.errno and not error.filename:
            error.filename = str(directory)
        raise
    except BaseException:
        shutil.rmtree(made, ignore_errors=True)
        raise
    return version, index.size


def read(directory: Path) -> StoredRegister:
    """Open the register in a directory; its files are memory-mapped.

    Raises:
        RegisterError: There is no register, or it is incomplete or damaged.
    """
    for _ in range(2):  # once more, if a build replaced the files after the manifest was read
        contents = manifest(directory)
        try:
            return _opened(directory, contents)
        except FileNotFoundError:
            continue
        except (AttributeError, KeyError, TypeError, ValueError):  # what they hold is no register's
            raise RegisterError(f"{directory} is damaged: build it anew") from None
    raise _lacking(directory)


def manifest(directory: Path) -> dict[str, Any]:
    """Read a register's manifest, `register.json`.

    Raises:
        RegisterError: There is no register, it has another format, or it is not whole.
    """
    try:
        contents = json.loads((directory / MANIFEST).read_text("utf-8"))
    except FileNotFoundError:
        raise RegisterError(
            f"{directory} is no register: it has no {MANIFEST}; `index build` makes one"
        ) from None
    except (OSError, ValueError) as error:
        raise RegisterError(
            f"{directory / MANIFEST} cannot be read ({type(error).__name__}): build it anew"
        ) from None
    if not isinstance(contents, dict) or contents.get("format") != FORMAT:
        raise RegisterError(
            f"{directory} is not of format {FORMAT}, which this release reads: build it anew"
        )
    if not contents.keys() >= {"version", "entries", "files"}:
        raise RegisterError(f"{directory / MANIFEST} is not whole: build it anew")
    return contents


def check(directory: Path) -> None:
    """Read every file of a register and verify its checksum.

    Raises:
        RegisterError: A file is missing or damaged.
    """
    contents = manifest(directory)
    for name, expected in contents["files"].items():
        path = directory / contents["version"] / name
        if not path.exists():
            raise _lacking(directory)
        if _described(path) != expected:
            raise RegisterError(f"{directory}: {name} is damaged: build it anew")


def _lacking(directory: Path) -> RegisterError:
    return RegisterError(f"{directory} lacks files that its {MANIFEST} names: build it anew")


def _opened(directory: Path, contents: dict[str, Any]) -> StoredRegister:
    folder = directory / contents["version"]
    for name, expected in contents["files"].items():
        if (folder / name).stat().st_size != expected["bytes"]:
            raise RegisterError(f"{directory}: {name} is not whole: build it anew")
    arrays = {path.stem: np.load(path, mmap_mode="r") for path in folder.glob("*.npy")}
    texts = {
        name: Texts(_mapped(folder / f"{name}.txt"), arrays[f"{name}-starts"]) for name in _TEXTS
    }
    index = Index(
        **{name: np.asarray(arrays[name]) for name in _ARRAYS},
        size=contents["entries"],
    )
    return StoredRegister(contents["version"], directory, **texts, index=index)


def _mapped(path: Path) -> NDArray[np.uint8]:
    if not path.stat().st_size:  # an empty file cannot be mapped
        return np.zeros(0, np.uint8)
    return np.asarray(np.memmap(path, np.uint8, "r"))  # a plain array is sliced faster


class _Written:
    """Writes the two files that `Texts` reads."""

    def __init__(self, folder: Path, name: str) -> None:
        self._starts_path = folder / f"{name}-starts.npy"
        self._file = (folder / f"{name}.txt").open("wb")
        self._starts = array("q", [0])

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()
        _save(self._starts_path, np.frombuffer(self._starts, np.int64))

    def add(self, text: str) -> None:
        self._starts.append(self._starts[-1] + self._file.write(text.encode()))


def _save(path: Path, array: NDArray[Any]) -> None:
    """Write an array. NumPy by itself does not say why a disk takes no more of it."""
    with path.open("wb") as file:
        writer: Any = SimpleNamespace(write=file.write)  # it takes no shortcut past the file
        np.save(writer, array)


def _passing(entries: Iterable[Entry], ids: _Written, addresses: _Written) -> Iterator[str]:
    for entry in entries:
        ids.add(entry.id)
        addresses.add(entry.address)
        yield entry.address


def _described(path: Path) -> dict[str, object]:
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return {"bytes": path.stat().st_size, "sha256": digest}


def _exchange(directory: Path, made: Path, version: str, contents: dict[str, Any]) -> None:
    made.chmod(0o755)
    for path in made.iterdir():
        _to_disk(path)
    folder = directory / version
    if _holds(folder, contents["files"]):
        shutil.rmtree(made)  # the same content, under the same name
    else:
        if folder.exists():  # damaged: this build is what mends it
            folder.rename(made.with_name(f"{made.name}-damaged"))
        made.rename(folder)
    written = directory / f"{MANIFEST}.partial"
    written.write_text(json.dumps(contents, indent=2) + "\n", "utf-8")
    _to_disk(written)
    written.replace(directory / MANIFEST)
    for path in (folder, directory):
        _to_disk(path)
    for other in directory.iterdir():
        if other.is_dir() and other.name != version and _is_ours(other):
            shutil.rmtree(other)


def _holds(folder: Path, files: dict[str, dict[str, object]]) -> bool:
    """Whether a folder has these files, undamaged."""
    return all(
        (folder / name).is_file() and _described(folder / name) == expected
        for name, expected in files.items()
    )


def _is_ours(folder: Path) -> bool:
    """Whether a folder is an older version, or was left by a build that was killed."""
    return (folder / "starts.npy").exists() or folder.name.startswith(".making-")


def _to_disk(path: Path) -> None:
    number = os.open(path, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)
