"""Every refusal of a weights file, each with a really damaged copy; and what is accepted."""

from __future__ import annotations

import io
import json
import os
import pickle
import struct
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from service.errors import CheckpointError
from service.scoring import checkpoint, inspect, weights
from service.scoring.backends.openvino_backend import OpenVinoBackend
from service.scoring.tokens import PairTokenizer
from service.scoring.weights import Weights
from service.settings import Settings
from tests.unit.conftest import assert_one_line, edit

Tensors = dict[Any, Any]

QUERY = "bert.text_encoder.encoder.layer.0.attention.self.query.weight"
POSITIONS = "bert.text_encoder.embeddings.position_ids"


def read(model: Path) -> Tensors:
    tensors: Tensors = torch.load(model / "pytorch_model.bin", weights_only=True)
    return tensors


def change(model: Path, how: Callable[[Tensors], object]) -> None:
    """Change the tensors of the weights file in place."""
    tensors = dict(read(model))
    how(tensors)
    torch.save(tensors, model / "pytorch_model.bin")


def load(model: Path) -> Weights:
    return weights.load(checkpoint.read(model))


def probabilities(model: Path) -> list[float]:
    found = checkpoint.read(model)
    tokenizer = PairTokenizer(found.vocabulary, lower_case=True, max_tokens=found.max_tokens)
    backend = OpenVinoBackend(found, precision="f32", threads=1, progress=lambda stage, done: None)
    row: list[float] = backend.predict(tokenizer.encode([("紫萱路363号", "紫萱路36号")]))[
        0
    ].tolist()
    return row


def refusal(model: Path) -> str:
    with pytest.raises(CheckpointError) as caught:
        load(model)
    assert_one_line(caught.value)
    assert str(model) in str(caught.value)
    return str(caught.value)


# Damage


@pytest.mark.parametrize("part", [0.2, 0.5, 0.9, 0.999])
def test_a_truncated_file(model: Path, part: float) -> None:
    path = model / "pytorch_model.bin"
    os.truncate(path, int(path.stat().st_size * part))
    assert "truncated" in refusal(model)


def test_zero_bytes_and_padding(model: Path) -> None:
    path = model / "pytorch_model.bin"
    path.write_bytes(b"\0" * path.stat().st_size)
    assert str(path) in refusal(model)


def test_a_web_page_in_place_of_weights(model: Path) -> None:
    (model / "pytorch_model.bin").write_text("<html>not found</html>" * 20_000)
    assert "pytorch_model.bin" in refusal(model)


def test_one_changed_byte_of_a_tensor(model: Path) -> None:
    path = model / "pytorch_model.bin"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    assert "corrupt or truncated: Bad CRC-32" in refusal(model)


def test_a_pointer_of_git_lfs_in_place_of_weights(model: Path) -> None:
    pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 409153291\n"
    (model / "pytorch_model.bin").write_text(pointer)
    assert f"has only {len(pointer)} bytes" in refusal(model)


# Code


class Creates:
    """Unpickling this creates a file."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[str, str]]:
        return open, (str(self._path), "w")


@pytest.mark.parametrize("zipped", [True, False])
def test_pickled_code_is_refused_and_not_run(model: Path, tmp_path: Path, zipped: bool) -> None:
    created = tmp_path / "created"
    tensors = read(model) | {"x": Creates(created)}
    path = model / "pytorch_model.bin"
    torch.save(tensors, path, _use_new_zipfile_serialization=zipped)
    assert f"{path} holds pickled code or damaged data" in refusal(model)
    assert not created.exists()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the file that the code opens is never closed
        torch.load(path, weights_only=False)
    assert created.exists(), "the code is real"


def test_a_bare_pickle_is_refused_and_not_run(model: Path, tmp_path: Path) -> None:
    path = model / "pytorch_model.bin"
    path.write_bytes(pickle.dumps([b"x" * 300_000, Creates(tmp_path / "created")], protocol=2))
    assert "pickled code" in refusal(model)
    assert not (tmp_path / "created").exists()


def test_a_whole_pickled_model_is_refused(model: Path) -> None:
    path = model / "pytorch_model.bin"
    torch.save(torch.nn.Linear(300, 300), path)
    assert "pickled code" in refusal(model)


def test_an_archive_that_unpacks_to_more_than_its_size(model: Path) -> None:
    path = model / "pytorch_model.bin"
    packed = io.BytesIO()
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as new:
        for entry in old.infolist():
            new.writestr(entry.filename, old.read(entry))
        new.writestr("pytorch_model/data/999", b"\0" * 50_000_000)
    path.write_bytes(packed.getvalue())
    assert "it would unpack to more than its own size" in refusal(model)


# Names


def _rename(tensors: Tensors, old: str, new: str) -> None:
    for name in [name for name in tensors if name.startswith(old)]:
        tensors[new + name.removeprefix(old)] = tensors.pop(name)


@pytest.mark.filterwarnings("ignore:Validating sparse tensor")
@pytest.mark.parametrize(
    ("how", "fault"),
    [
        (lambda t: t.pop(QUERY), f"missing tensor '{QUERY}'"),
        (lambda t: t.pop("classifier.bias"), "missing tensor 'classifier.bias'"),
        (lambda t: (t.pop(QUERY), t.pop("classifier.bias")), "and 1 more"),
        (lambda t: t.clear() or t.update(x=torch.zeros(99_999)), "unexpected tensor 'x'"),
        (lambda t: t.update(extra=torch.zeros(1)), "unexpected tensor 'extra'"),
        (lambda t: t.update({"a\nb" * 999: torch.zeros(1)}), "unexpected tensor 'a\\nb"),
        (lambda t: _rename(t, "bert.text_encoder.", "bert."), "not an MGeo text model"),
        (lambda t: _rename(t, "bert.text_encoder.", ""), "not an MGeo text model"),
        (lambda t: _rename(t, "bert.text_encoder.", "module.bert.text_encoder."), "unexpected"),
        (lambda t: t.update({QUERY: torch.zeros(32, 33)}),
         f"tensor '{QUERY}' has shape [32, 33], config.json makes it [32, 32]"),
        (lambda t: t.update({"classifier.weight": torch.zeros(2, 32)}), "makes it [3, 32]"),
        (lambda t: t.update({QUERY: torch.zeros(())}), "has shape []"),
        (lambda t: t.update({QUERY: torch.zeros(32, 32, dtype=torch.int64)}), "floating-point"),
        (lambda t: t.update({QUERY: torch.zeros(32, 32, dtype=torch.bool)}), "floating-point"),
        (lambda t: t.update({QUERY: torch.zeros(32, 32, dtype=torch.complex64)}), "floating"),
        (lambda t: t.update({QUERY: torch.zeros(32, 32).to_sparse()}), "must be dense"),
        (lambda t: t.update({QUERY: torch.zeros(32, 32, device="meta")}), "must be dense"),
        (lambda t: t[QUERY].fill_(float("nan")), f"'{QUERY}' holds values that are not numbers"),
        (lambda t: t[QUERY].view(-1)[7:8].fill_(float("inf")), "are not numbers"),
        (lambda t: t.update({QUERY: torch.full((32, 32), 1e300, dtype=torch.float64)}),
         "are not numbers"),
        (lambda t: t.update({QUERY: [0.0] * 9}), "must hold tensors by name, and nothing else"),
        (lambda t: t.update({5: t[QUERY]}), "must hold tensors by name, and nothing else"),
        (lambda t: t.update({QUERY.replace(".0.", f".{'9' * 5000}."): t[QUERY]}), "unexpected"),
        (lambda t: t.update({QUERY.replace(".0.", ".2."): t[QUERY]}), "unexpected tensor"),
    ],
)  # fmt: skip
def test_tensors_that_are_not_the_models(
    model: Path, how: Callable[[Tensors], object], fault: str
) -> None:
    change(model, how)
    line = refusal(model)
    assert line.startswith(str(model / "pytorch_model.bin"))
    assert fault in line


@pytest.mark.parametrize("what", [[torch.zeros(99_999)], torch.zeros(99_999), {"state_dict": {}}])
def test_a_file_that_holds_no_tensors_by_name(model: Path, what: Any) -> None:
    if isinstance(what, dict):
        what["state_dict"] = read(model)
    torch.save(what, model / "pytorch_model.bin")
    assert "must hold tensors by name, and nothing else" in refusal(model)


# What is accepted


def test_the_small_checkpoint_is_held_whole(model: Path) -> None:
    found = load(model)
    assert found.unused == (POSITIONS,)
    assert found.stored_dtypes == ("float32",)
    assert found.parameters == sum(tensor.numel() for tensor in read(model).values()) - 512


@pytest.mark.parametrize(
    ("dtype", "error"), [(torch.float16, 5e-3), (torch.bfloat16, 1e-2), (torch.float64, 1e-6)]
)
def test_other_precisions_are_read_as_fp32(model: Path, dtype: torch.dtype, error: float) -> None:
    exact = probabilities(model)
    change(
        model, lambda t: t.update({n: v.to(dtype) for n, v in t.items() if v.is_floating_point()})
    )
    found = load(model)
    assert found.stored_dtypes == (str(dtype).removeprefix("torch."),)
    assert {tensor.dtype for tensor in found.tensors.values()} == {np.dtype(np.float32)}
    assert probabilities(model) == pytest.approx(exact, abs=error)


def test_safetensors_are_accepted(model: Path) -> None:
    exact = probabilities(model)
    save_file(dict(read(model)), model / "model.safetensors")
    (model / "pytorch_model.bin").unlink()
    assert probabilities(model) == exact


def test_a_safetensors_file_may_shrink_while_its_model_runs(model: Path) -> None:
    save_file(dict(read(model)), model / "model.safetensors")
    (model / "pytorch_model.bin").unlink()
    found = load(model)
    os.truncate(model / "model.safetensors", 0)  # a read of a mapped file would end the process
    assert all(np.isfinite(tensor).all() for tensor in found.tensors.values())


@pytest.mark.parametrize("part", [0.001, 0.3, 0.95])
def test_truncated_safetensors(model: Path, part: float) -> None:
    path = model / "model.safetensors"
    save_file(dict(read(model)) | {"gis": torch.zeros(50_000)}, path)
    (model / "pytorch_model.bin").unlink()
    os.truncate(path, int(path.stat().st_size * part))
    assert "truncated" in refusal(model)


def test_a_refusal_quotes_no_control_character_of_the_file(model: Path) -> None:
    head = json.dumps({"a": {"dtype": "F\0\x1b[2J", "shape": [], "data_offsets": [0, 4]}}).encode()
    (model / "pytorch_model.bin").unlink()
    data = struct.pack("<Q", len(head)) + head + b"\0" * 400_000
    (model / "model.safetensors").write_bytes(data)
    line = refusal(model)
    assert "F\ufffd\ufffd[2J" in line
    assert line.isprintable()


def test_the_format_before_torch_1_6_is_accepted(model: Path) -> None:
    exact = probabilities(model)
    path = model / "pytorch_model.bin"
    torch.save(read(model), path, _use_new_zipfile_serialization=False)
    assert probabilities(model) == exact


def test_parameters_and_views_are_tensors_too(model: Path) -> None:
    exact = probabilities(model)
    change(model, lambda t: t.update({QUERY: torch.nn.Parameter(t[QUERY].t().contiguous().t())}))
    assert probabilities(model) == exact


def test_only_the_first_layers_run_where_the_fusion_layer_says_so(model: Path) -> None:
    both = probabilities(model)
    edit(model / "config.json", lambda config: config.update(fusion_layer=1))
    first = probabilities(model)
    assert first != pytest.approx(both, abs=1e-4)
    unused = load(model).unused
    assert all(".layer.1." in name or name == POSITIONS for name in unused)
    assert len(unused) == 17
    edit(model / "config.json", lambda config: config.update(fusion_layer=9))
    assert probabilities(model) == both


def test_more_layers_in_the_file_than_declared_are_refused(model: Path) -> None:
    edit(model / "config.json", lambda config: config.update(num_hidden_layers=1, fusion_layer=1))
    assert "unexpected tensor 'bert.text_encoder.encoder.layer.1." in refusal(model)


EXTRAS = (
    "bert.gis_encoder.embeddings.word_embeddings.weight",
    "bert.gis2text.weight",
    "bert.gis_type.weight",
    "bert.text_encoder.encoder.layer.1.crossattention.self.query.weight",
    "cls.predictions.bias",
)


def test_what_scoring_text_does_not_need_is_left_and_listed(model: Path) -> None:
    exact = probabilities(model)
    change(model, lambda t: t.update({name: torch.zeros(3, dtype=torch.int32) for name in EXTRAS}))
    assert probabilities(model) == exact
    assert inspect.describe(Settings(model=str(model)))["unused_tensors"] == [POSITIONS, *EXTRAS]
