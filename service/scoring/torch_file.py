"""Reads the tensors of a file that `torch.save` wrote, without torch and without running its code.

Such a file is a zip archive: `data.pkl` names the tensors and says where in which storage each
lies, and the storages lie beside it as plain bytes. A pickle can ask for any function of any module
to be called. Here it gets stand-ins for the few that describe tensors, and nothing else: what those
do is all that a file can do. Importing torch for this took 1.5 s and 550 MB.
"""

from __future__ import annotations

import io
import pickle
import sys
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from typing_extensions import override

Array = npt.NDArray[np.float32]

_NUMPY_TYPES: dict[str, np.dtype[Any]] = {
    "DoubleStorage": np.dtype("<f8"),
    "FloatStorage": np.dtype("<f4"),
    "HalfStorage": np.dtype("<f2"),
    "BFloat16Storage": np.dtype("<u2"),  # the upper half of a float32
}
_NAMES = {
    "DoubleStorage": "float64",
    "FloatStorage": "float32",
    "HalfStorage": "float16",
    "BFloat16Storage": "bfloat16",
}


@dataclass(frozen=True, slots=True)
class StoredTensor:
    """One tensor of a file, not yet read.

    Attributes:
        dtype: Its type in the file, such as `float16`.
        shape: Its sizes.
        values: Reads it as float32; None if it is not dense or not floating-point.
    """

    dtype: str
    shape: tuple[int, ...]
    values: Callable[[], Array] | None


def is_archive(path: Path) -> bool:
    """Whether the file is a zip archive, as `torch.save` writes since version 1.6."""
    return zipfile.is_zipfile(path)


def read(path: Path) -> object:
    """What was saved, with each tensor as a StoredTensor.

    The archive is read whole first: the file may be replaced while its tensors are in use.

    Raises:
        pickle.UnpicklingError: It asks for something that does not describe a tensor.
        ValueError, KeyError, zipfile.BadZipFile: It is damaged.
    """
    with zipfile.ZipFile(path) as archive:
        # torch stores and never compresses: more than the file's size would be a bomb.
        if sum(entry.file_size for entry in archive.infolist()) > path.stat().st_size:
            raise ValueError("it would unpack to more than its own size")
        # Reading a member checks its sum, which torch does not: a flipped bit is a changed weight.
        members = {name: archive.read(name) for name in archive.namelist()}
    [pickled] = [name for name in members if name.endswith("/data.pkl")]
    root = pickled.removesuffix("data.pkl")
    if members.get(root + "byteorder", b"little") != sys.byteorder.encode():
        raise ValueError(f"it was written on a machine that is not {sys.byteorder}-endian")
    return _Reader(members, root).load_from(members[pickled])


@dataclass(frozen=True, slots=True)
class _Storage:
    """A run of values in the file, and what torch calls their type."""

    kind: str
    data: bytes


class _Reader:
    def __init__(self, members: dict[str, bytes], root: str) -> None:
        self._members = members
        self._root = root

    def load_from(self, pickled: bytes) -> object:
        reader = self

        class Unpickler(pickle.Unpickler):
            @override
            def find_class(self, module: str, name: str) -> Any:
                return _stand_in(module, name)

            @override
            def persistent_load(self, pid: Any) -> _Storage:
                return reader.storage(pid)

        return Unpickler(io.BytesIO(pickled)).load()

    def storage(self, pid: Any) -> _Storage:
        tag, kind, key, *_ = pid
        if tag != "storage" or not isinstance(kind, str) or not isinstance(key, str):
            raise pickle.UnpicklingError("a reference to something that is no storage")
        return _Storage(kind, self._members[f"{self._root}data/{key}"])


def _stand_in(module: str, name: str) -> Any:
    """What a pickle gets for `module.name`."""
    if (module, name) == ("collections", "OrderedDict"):
        return OrderedDict
    if (module, name) == ("torch", "Size"):
        return tuple
    if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
        return _tensor
    if (module, name) == ("torch._utils", "_rebuild_parameter"):
        return _parameter
    if (module == "torch._utils" and name.startswith("_rebuild_")) or (
        (module, name) == ("torch.serialization", "_get_layout")
    ):
        return _other_tensor
    if module == "torch" and name.isidentifier():
        return name  # a storage's type or a dtype, which only its name is needed of
    raise pickle.UnpicklingError(f"it asks for {module}.{name}")


def _tensor(storage: Any, offset: Any, shape: Any, stride: Any, *_: Any) -> StoredTensor:
    if not isinstance(storage, _Storage):
        raise pickle.UnpicklingError("a tensor without a storage")
    shape, stride = tuple(shape), tuple(stride)
    if len(shape) != len(stride) or not all(
        type(n) is int and n >= 0 for n in (offset, *shape, *stride)
    ):
        raise ValueError("a tensor's sizes are not whole numbers")
    numpy_type = _NUMPY_TYPES.get(storage.kind)
    if numpy_type is None:
        return StoredTensor(storage.kind, shape, None)
    if len(storage.data) % numpy_type.itemsize:
        raise ValueError("a storage holds no whole number of values")
    last = offset + sum((n - 1) * step for n, step in zip(shape, stride, strict=True))
    if 0 not in shape and (last + 1) * numpy_type.itemsize > len(storage.data):
        raise ValueError("a tensor reaches beyond its storage")

    def values() -> Array:
        flat = np.frombuffer(storage.data, numpy_type)
        # A step along a single value is never taken, and could be beyond what numpy can count.
        steps = tuple(
            step * numpy_type.itemsize if n > 1 else 0
            for n, step in zip(shape, stride, strict=True)
        )
        view = np.lib.stride_tricks.as_strided(flat[offset:], shape, steps, writeable=False)
        if storage.kind == "BFloat16Storage":
            return (view.astype(np.uint32) << 16).view(np.float32)
        with np.errstate(over="ignore"):  # a float64 too large becomes infinite, and is refused
            return view.astype(np.float32, order="C")

    return StoredTensor(_NAMES[storage.kind], shape, values)


def _parameter(data: Any, *_: Any) -> Any:
    return data


def _other_tensor(*_: Any) -> StoredTensor:
    """A sparse, quantised or shape-only tensor."""
    return StoredTensor("other", (), None)
