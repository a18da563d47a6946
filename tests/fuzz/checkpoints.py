"""Reads damaged model directories: each must load and answer, or be refused in one clear line.

A case is made from its number and a seed alone, so that one that failed can be read again.
"""

from __future__ import annotations

import io
import json
import resource
import shutil
import struct
import zipfile
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from random import Random

import numpy as np
from safetensors.numpy import save

from service.errors import CheckpointError
from service.scoring import checkpoint, model, weights
from service.settings import Settings
from tests.conftest import TINY
from tests.fuzz import mutate, pool

CONFIG, CONFIGURATION, VOCABULARY = "config.json", "configuration.json", "vocab.txt"
PICKLED, SAFE = "pytorch_model.bin", "model.safetensors"

_MEMORY_BYTES = 8 << 30
"""Of addresses, which a runtime takes generously; a size read from a damaged file would not fit."""

_ANSWERED = 4
"""One in this many goes on to the runtime and answers."""


def make(number: int, seed: int, folder: Path) -> None:
    """Write the model directory of that number into an empty folder."""
    chance = Random(f"{seed}:{number}")
    stored = chance.choice((SAFE, PICKLED))
    files = {name: (TINY / name).read_bytes() for name in (CONFIG, CONFIGURATION, VOCABULARY)}
    files[stored] = (TINY / PICKLED).read_bytes() if stored == PICKLED else _safe()
    for name in chance.choices((*files, stored, CONFIG), k=chance.choice((1, 1, 1, 2))):
        files[name] = _damage(name)(chance, files[name])
    for name, data in files.items():
        (folder / name).write_bytes(data)
    _misplace(chance, folder / chance.choice(list(files)))


def read(folder: Path, *, answer: bool = True) -> str:
    """Load the model of a folder as the service does, and have it answer.

    Args:
        folder: The model directory.
        answer: Whether to go on to the runtime, which takes longest, if nothing is wrong so far.

    Returns:
        What it is refused for, or nothing if it answered.

    Raises:
        Exception: It was neither refused in one line nor answered: a failure.
    """
    try:
        weights.load(checkpoint.read(folder))
        if not answer:
            return ""
        loaded = model.load(
            Settings(model=str(folder), device="cpu", backend="openvino-f32", cpu_threads=1),
            lambda stage, done: None,
        )
    except CheckpointError as error:
        line = str(error)
        if "\n" in line or not line.isprintable() or len(line) > 2000:
            raise AssertionError(f"not one clear line: {line!r}") from None
        return line
    [tokens] = loaded.tokenizer.encode([("杭州市文三路138号", "文三路138号")])
    [row] = loaded.backend.predict([tokens])
    if not np.isfinite(row).all() or abs(float(row.sum()) - 1) > 1e-3:
        raise AssertionError(f"it loads, and answers {row}")
    return ""


def run(numbers: Sequence[int], seed: int) -> tuple[Counter[str], list[str]]:
    """Make and read the cases of these numbers.

    Returns:
        How many were refused and loaded, and a line for each that did neither.
    """
    seen: Counter[str] = Counter()
    failures = []
    for number in numbers:
        with pool.case() as empty:
            folder = empty / "model"
            folder.mkdir()
            make(number, seed, folder)
            try:
                refused = read(folder, answer=number % _ANSWERED == 0)
                seen["refused" if refused else "loaded"] += 1
            except Exception as error:
                failures.append(f"case {number}: {type(error).__name__}: {str(error)[:300]}")
    return seen, failures


def main(numbers: Sequence[int], seed: int, workers: int) -> int:
    """Run the cases in processes of their own; the exit status is 1 if one broke a rule."""
    return pool.main("checkpoints", run, _limit, numbers, seed, workers)


def _limit() -> None:
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY_BYTES, _MEMORY_BYTES))


def _safe() -> bytes:
    """The small random model as safetensors."""
    found = weights.load(checkpoint.read(TINY)).tensors
    return save({n.replace("bert.", weights.PREFIX, 1): tensor for n, tensor in found.items()})


def _damage(name: str) -> Callable[[Random, bytes], bytes]:
    if name in (CONFIG, CONFIGURATION):
        return _damaged_json
    return {VOCABULARY: _damaged_lines, SAFE: _damaged_safe, PICKLED: _damaged_archive}[name]


def _damaged_json(chance: Random, data: bytes) -> bytes:
    if chance.random() < 0.3:
        return mutate.of_bytes(chance, data)
    try:
        return mutate.written(chance, mutate.of_json(chance, json.loads(data)))
    except (ValueError, RecursionError):  # damaged already
        return mutate.of_bytes(chance, data)


def _damaged_lines(chance: Random, data: bytes) -> bytes:
    if chance.random() < 0.5:
        return mutate.of_bytes(chance, data)
    lines = data.split(b"\n")
    at = chance.randrange(len(lines))
    match chance.randrange(5):
        case 0:
            del lines[at]
        case 1:
            lines[at] = chance.choice(lines)
        case 2:
            lines[at] = chance.choice(
                (b"", b" ", b"\xff\xfe", b"a" * 100_000, b"\0", "\u2028".encode())
            )
        case 3:
            lines = lines[:at]
        case _:
            chance.shuffle(lines)
    return b"\n".join(lines)


def _damaged_safe(chance: Random, data: bytes) -> bytes:
    kind = chance.random()
    if kind < 0.3 or len(data) < 8:
        return mutate.of_bytes(chance, data)
    [size] = struct.unpack("<Q", data[:8])
    if kind < 0.4:
        size = chance.choice((0, 1, size - 1, size + 1, len(data), 2**31, 2**63, 2**64 - 1))
        return struct.pack("<Q", size) + data[8:]
    try:
        head = json.loads(data[8 : 8 + size])
    except (ValueError, RecursionError):
        return mutate.of_bytes(chance, data)
    changed = json.dumps(mutate.of_json(chance, head)).encode("utf-8", "surrogatepass")
    return struct.pack("<Q", len(changed)) + changed + data[8 + size :]


def _damaged_archive(chance: Random, data: bytes) -> bytes:
    if chance.random() < 0.3:
        return mutate.of_bytes(chance, data)
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            parts = {name: archive.read(name) for name in archive.namelist()}
    except Exception:
        return mutate.of_bytes(chance, data)
    # With checksums that fit, so that the damage is met further in.
    name = chance.choice([n for n in parts if n.endswith("data.pkl")] * 4 + list(parts) or [""])
    match chance.randrange(4):
        case 0:
            del parts[name]
        case _:
            parts[name] = mutate.of_bytes(chance, parts[name])
    made = io.BytesIO()
    packed = chance.choice((zipfile.ZIP_STORED, zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED))
    with zipfile.ZipFile(made, "w", packed) as archive:
        for part, content in parts.items():
            archive.writestr(part, content)
    return made.getvalue()


def _misplace(chance: Random, file: Path) -> None:
    """Now and then: no file, an empty one, a folder or a link in its place."""
    match chance.randrange(60):
        case 0:
            file.unlink()
        case 1:
            file.write_bytes(b"")
        case 2:
            file.unlink()
            file.mkdir()
        case 3:
            file.unlink()
            file.symlink_to(file.name)
        case 4:
            shutil.move(file, file.with_name("elsewhere"))
            file.symlink_to("elsewhere")
