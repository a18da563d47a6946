"""Files of torch.save read without torch: torch itself is the reference."""

from __future__ import annotations

import io
import pickle
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from service.scoring import torch_file
from service.scoring.torch_file import StoredTensor

DTYPES = {
    torch.float64: "float64",
    torch.float32: "float32",
    torch.float16: "float16",
    torch.bfloat16: "bfloat16",
}


def read(path: Path) -> dict[str, Any]:
    found = torch_file.read(path)
    assert isinstance(found, dict)
    return found


@given(
    st.sampled_from(list(DTYPES)),
    st.lists(st.integers(0, 4), max_size=3),
    st.booleans(),
    st.integers(0, 2**31),
)
def test_every_tensor_is_read_as_torch_reads_it(
    tmp_path_factory: pytest.TempPathFactory,
    dtype: torch.dtype,
    shape: list[int],
    transposed: bool,
    seed: int,
) -> None:
    path = tmp_path_factory.mktemp("torch") / "weights.bin"
    tensor = torch.randn(shape, generator=torch.Generator().manual_seed(seed)).to(dtype)
    if transposed and tensor.dim() > 1:
        tensor = tensor.transpose(0, 1)
    torch.save({"one": tensor, "part": tensor[1:] if shape else tensor}, path)
    found = read(path)
    for name, theirs in torch.load(path, weights_only=True).items():
        assert found[name].dtype == DTYPES[dtype]
        assert found[name].shape == tuple(theirs.shape)
        assert np.array_equal(found[name].values(), theirs.float().numpy())
        assert found[name].values().flags.c_contiguous


@pytest.mark.parametrize(
    "tensor", [torch.zeros(2, dtype=torch.int64), torch.zeros(2, 2).to_sparse()]
)
def test_what_is_not_dense_and_floating_has_no_values(tmp_path: Path, tensor: Any) -> None:
    torch.save({"one": tensor}, tmp_path / "weights.bin")
    assert read(tmp_path / "weights.bin")["one"].values is None


def archive(path: Path, pickled: bytes, storage: bytes = b"\0" * 16) -> Path:
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("archive/data.pkl", pickled)
        file.writestr("archive/data/0", storage)
    return path


@pytest.mark.parametrize(
    "asked", [b"cos\nsystem\n", b"cbuiltins\neval\n", b"ctorch.hub\nload\n",
              b"cservice.scoring.torch_file\n_stand_in\n"],
)  # fmt: skip
def test_nothing_but_stand_ins_can_be_asked_for(tmp_path: Path, asked: bytes) -> None:
    path = archive(tmp_path / "weights.bin", asked + b"(Vtrue\ntR.")
    with pytest.raises(pickle.UnpicklingError, match="it asks for"):
        torch_file.read(path)


class Described:
    """Pickles as a call of torch's rebuilding function with whatever arguments."""

    def __init__(self, *arguments: Any) -> None:
        self.arguments = arguments

    def __reduce__(self) -> tuple[Any, ...]:
        return torch._utils._rebuild_tensor_v2, self.arguments


STORAGE = object()


class Writer(pickle.Pickler):
    def persistent_id(self, value: Any) -> Any:
        return ("storage", torch.FloatStorage, "0", "cpu", 4) if value is STORAGE else None


@pytest.mark.parametrize(
    ("offset", "shape", "stride"),
    [(0, (5,), (1,)), (4, (1,), (1,)), (0, (2, 2), (3, 1)), (-1, (1,), (1,)), (0, (1,), (-1,)),
     (0, (1, 1), (1,)), (0, (1.5,), (1,)), (True, (1,), (1,)), (0, (2**62,), (2**62,))],
)  # fmt: skip
def test_a_tensor_that_is_not_within_its_storage(
    tmp_path: Path, offset: Any, shape: Any, stride: Any
) -> None:
    buffer = io.BytesIO()
    Writer(buffer).dump({"one": Described(STORAGE, offset, shape, stride, False, None)})
    path = archive(tmp_path / "weights.bin", buffer.getvalue())
    with pytest.raises(ValueError, match=r"sizes are not whole|beyond its storage"):
        torch_file.read(path)


def _described(path: Path, storage: bytes, *described: Any) -> Path:
    buffer = io.BytesIO()
    Writer(buffer).dump({"one": Described(STORAGE, *described, False, None)})
    return archive(path, buffer.getvalue(), storage)


def test_a_storage_of_half_a_value_is_refused(tmp_path: Path) -> None:
    path = _described(tmp_path / "weights.bin", b"\0" * 15, 0, (3,), (1,))
    with pytest.raises(ValueError, match="no whole number of values"):
        torch_file.read(path)


def test_a_step_that_is_never_taken_may_be_any(tmp_path: Path) -> None:
    path = _described(tmp_path / "weights.bin", b"\0" * 16, 0, (1, 4), (2**70, 1))
    values = read(path)["one"].values
    assert values is not None
    assert values().shape == (1, 4)


def test_the_file_may_be_replaced_once_it_is_read(tmp_path: Path) -> None:
    path = tmp_path / "weights.bin"
    torch.save({"one": torch.arange(3.0)}, path)
    found: StoredTensor = read(path)["one"]
    path.write_bytes(b"")
    assert found.values is not None
    assert found.values().tolist() == [0, 1, 2]
