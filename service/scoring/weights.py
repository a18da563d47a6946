"""A checkpoint's tensors, read without running code and matched to the model one by one.

MGeo's text model is a BERT whose tensors carry the prefix `bert.text_encoder.`. Loading such a file
by name as a plain BERT finds nothing and leaves a random encoder, with only a warning; here a
tensor that is missing or unexpected is a refusal that names it.
"""

from __future__ import annotations

import pickle
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import safetensors

from service.errors import CheckpointError
from service.scoring import torch_file
from service.scoring.architecture import tensor_shapes
from service.scoring.checkpoint import Checkpoint, one_line
from service.scoring.torch_file import Array, StoredTensor

PREFIX = "bert.text_encoder."

# Tensors that MGeo checkpoints may hold and that scoring two texts does not read.
_UNUSED = re.compile(
    r"\.position_ids$"  # a buffer, the numbers 0 to 511
    r"|^bert\.gis_encoder\.|^bert\.gis2text\.|^bert\.gis_type\."  # the multi-modal half
    r"|\.crossattention\."
    r"|^cls\."  # the pre-training head
)
_LAYER = re.compile(r"\.encoder\.layer\.([0-9]{1,9})\.")


@dataclass(frozen=True, slots=True)
class Weights:
    """The tensors of a checkpoint under transformers' BERT names.

    Attributes:
        tensors: Exactly those that the model has, see `architecture.py`.
        unused: Names in the file that scoring text pairs does not need.
        parameters: Number of values in `tensors`.
        stored_dtypes: Types found in the file, such as `float16`.
    """

    tensors: dict[str, Array]
    unused: tuple[str, ...]
    parameters: int
    stored_dtypes: tuple[str, ...]


def load(checkpoint: Checkpoint) -> Weights:
    """Read the weights file and match it to the model's tensors.

    Raises:
        CheckpointError: The file is corrupt, holds pickled code, or does not match.
    """
    path = checkpoint.weights
    expected = tensor_shapes(checkpoint.bert, len(checkpoint.labels))
    found: dict[str, Array] = {}
    unused, dtypes = [], set()
    for name, stored in _read(path).items():
        shown = repr(name) if len(name) < 120 else repr(name[:100]) + "..."
        if _is_unused(name, checkpoint):
            unused.append(name)
            continue
        ours = "bert." + name.removeprefix(PREFIX) if name.startswith(PREFIX) else name
        if ours not in expected or (ours == name and name.startswith("bert.")):
            raise CheckpointError(f"{path}: unexpected tensor {shown}: not an MGeo text model")
        if stored.values is None:
            raise CheckpointError(f"{path}: tensor {shown} must be dense and floating-point")
        if stored.shape != expected[ours]:
            raise CheckpointError(
                f"{path}: tensor {shown} has shape {list(stored.shape)}, "
                f"config.json makes it {list(expected[ours])}"
            )
        dtypes.add(stored.dtype)
        found[ours] = stored.values()
        if not np.isfinite(found[ours]).all():
            raise CheckpointError(f"{path}: tensor {shown} holds values that are not numbers")
    missing = [name for name in expected if name not in found]
    if missing:
        raise CheckpointError(
            f"{path}: missing tensor {_stored_name(missing[0])!r}"
            + (f" and {len(missing) - 1} more" if len(missing) > 1 else "")
        )
    return Weights(
        tensors=found,
        unused=tuple(unused),
        parameters=sum(tensor.size for tensor in found.values()),
        stored_dtypes=tuple(sorted(dtypes)),
    )


def _read(path: Path) -> dict[str, StoredTensor]:
    try:
        if path.suffix == ".safetensors":
            return _read_safetensors(path)
        loaded = torch_file.read(path) if torch_file.is_archive(path) else _read_legacy(path)
    except pickle.UnpicklingError:
        raise CheckpointError(
            f"{path} holds pickled code or damaged data instead of plain tensors; "
            "it was not loaded. Fetch it again, or convert it to safetensors where you trust it"
        ) from None
    except Exception as error:  # zip, pickle, safetensors and OS each raise their own
        raise CheckpointError(f"{path} is corrupt or truncated: {one_line(error)}") from None
    if not isinstance(loaded, dict) or not all(
        isinstance(name, str) and isinstance(tensor, StoredTensor)
        for name, tensor in loaded.items()
    ):
        raise CheckpointError(f"{path} must hold tensors by name, and nothing else")
    return loaded


def _read_safetensors(path: Path) -> dict[str, StoredTensor]:
    # Read whole and not mapped: the file may be replaced while the service runs.
    return {
        name: StoredTensor(
            _SAFETENSORS_TYPES.get(entry["dtype"], entry["dtype"]),
            tuple(entry["shape"]),
            _decoder(entry["dtype"], entry["data"], tuple(entry["shape"])),
        )
        for name, entry in safetensors.deserialize(path.read_bytes())  # type: ignore[no-untyped-call]
    }


_SAFETENSORS_TYPES = {"F64": "float64", "F32": "float32", "F16": "float16", "BF16": "bfloat16"}


def _decoder(dtype: str, data: bytes, shape: tuple[int, ...]) -> Callable[[], Array] | None:
    if dtype == "BF16":  # the upper half of a float32, which numpy has no type for
        return lambda: (
            (np.frombuffer(data, np.uint16).astype(np.uint32) << 16).view(np.float32).reshape(shape)
        )
    if dtype in _SAFETENSORS_TYPES:
        stored = np.dtype(_SAFETENSORS_TYPES[dtype])
        return lambda: _as_float32(np.frombuffer(data, stored)).reshape(shape)
    return None


def _as_float32(values: npt.NDArray[Any]) -> Array:
    with np.errstate(over="ignore"):  # a float64 too large becomes infinite, and is refused
        return values.astype(np.float32)


def _read_legacy(path: Path) -> object:
    """The format before torch 1.6, which is no archive: torch itself reads it."""
    try:
        import torch
    except ImportError:
        raise ValueError(
            "it is no archive; if it is whole, it is of torch before 1.6, and torch must be "
            "installed to read it (requirements-gpu.lock)"
        ) from None

    loaded = torch.load(path, map_location="cpu", weights_only=True)
    if not isinstance(loaded, dict):
        return loaded

    def stored(tensor: object) -> object:
        if not isinstance(tensor, torch.Tensor):
            return tensor
        dense = tensor.is_floating_point() and tensor.layout is torch.strided
        return StoredTensor(
            str(tensor.dtype).removeprefix("torch."),
            tuple(tensor.shape),
            (lambda: tensor.detach().to(torch.float32).contiguous().numpy()) if dense else None,
        )

    return {name: stored(tensor) for name, tensor in loaded.items()}


def _is_unused(name: str, checkpoint: Checkpoint) -> bool:
    layer = _LAYER.search(name)
    return bool(_UNUSED.search(name)) or (
        name.startswith(PREFIX)
        and layer is not None
        and checkpoint.bert["num_hidden_layers"] <= int(layer[1]) < checkpoint.layers_in_file
    )


def _stored_name(name: str) -> str:
    return PREFIX + name.removeprefix("bert.") if name.startswith("bert.") else name
