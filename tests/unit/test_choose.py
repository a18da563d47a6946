"""Which backends are offered to a machine, and what is said where one cannot run."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

import pytest

from service.errors import OperatorError, SettingsError
from service.scoring import checkpoint as checkpoints
from service.scoring.backends import Probabilities, accuracy_cache, accuracy_check, choose
from service.scoring.backends.onnxruntime_backend import OnnxRuntimeBackend
from service.scoring.tokens import TokenizedPair
from service.settings import Settings
from tests.conftest import TINY

SMALL = checkpoints.read(TINY)
LARGE = replace(SMALL, bert={**SMALL.bert, "hidden_size": 768})
AUTO = Settings(device="cpu")


def _names(settings: Settings, checkpoint: checkpoints.Checkpoint = LARGE) -> tuple[str, ...]:
    return choose.candidates(settings, checkpoint)[0]


@pytest.mark.parametrize(
    "backend",
    ["torch", "openvino-f32", "openvino-bf16", "openvino-int8", "onnxruntime-int8"],
)
def test_a_named_backend_is_the_only_candidate(backend: str) -> None:
    assert _names(Settings(device="cpu", backend=backend)) == (backend,)


@pytest.mark.parametrize(
    ("flags", "names"),
    [
        ("avx2 avx512_vnni", ("openvino-int8", "openvino-f32")),
        ("avx2 avx_vnni", ("openvino-int8", "openvino-f32")),
        ("avx2 avx512_vnni amx_int8 amx_bf16", ("openvino-bf16", "openvino-f32")),
        ("avx2 amx_int8", ("openvino-int8", "openvino-f32")),
        ("avx2 avx512f", ("onnxruntime-int8", "openvino-f32")),
        ("sse4_2", ("openvino-f32",)),
        ("", ("openvino-f32",)),
    ],
    ids=["AVX-512 VNNI", "AVX VNNI", "AMX", "AMX of 8 bits alone", "AVX2", "old", "unknown"],
)
def test_a_cpu_is_offered_what_it_has_instructions_for(
    monkeypatch: pytest.MonkeyPatch, flags: str, names: tuple[str, ...]
) -> None:
    monkeypatch.setattr(choose, "processor_flags", lambda: frozenset(flags.split()))
    assert _names(AUTO) == names
    assert _names(AUTO, SMALL) == ("openvino-f32",)


def test_a_shadow_runs_on_what_can_be_lowered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choose, "processor_flags", lambda: frozenset({"avx2"}))
    for backend in ("auto", "onnxruntime-int8"):
        settings = Settings(device="cpu", backend=backend)
        names, reason = choose.candidates(settings, LARGE, background=True)
        assert names == ("openvino-f32",)
        assert "background" in reason


@pytest.mark.parametrize(
    ("capabilities", "names"),
    [([9], choose.ON_GPU_WITH_BF16), ([9, 7], ("torch",)), ([], choose.ON_GPU_WITH_BF16)],
    ids=["with bf16", "one without", "NVML says nothing"],
)
def test_a_gpu_is_for_torch(
    monkeypatch: pytest.MonkeyPatch, capabilities: list[int], names: tuple[str, ...]
) -> None:
    monkeypatch.setattr(choose, "_gpu_capabilities", lambda: capabilities)
    assert _names(Settings(device="cuda")) == names
    with pytest.raises(SettingsError, match="MGEO_BACKEND=openvino-f32 runs on a CPU only"):
        _names(Settings(device="cuda", backend="openvino-f32"))


def test_the_choice_hangs_on_no_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """int8 that is made a hundred times slower is chosen all the same."""
    monkeypatch.setattr(choose, "LEAST_HIDDEN_SIZE_FOR_INT8", 1)
    monkeypatch.setattr(choose, "processor_flags", lambda: frozenset({"avx2"}))
    monkeypatch.setattr(accuracy_cache, "read", lambda where: ())
    monkeypatch.setattr(accuracy_cache, "write", lambda where, checks: None)
    predict = OnnxRuntimeBackend.predict

    def slow(self: OnnxRuntimeBackend, *arguments: Any) -> Probabilities:
        time.sleep(0.02)
        return predict(self, *arguments)

    monkeypatch.setattr(OnnxRuntimeBackend, "predict", slow)
    pairs = [TokenizedPair([2, 5 + n, 3, 6, 3], 3, False) for n in range(16)]
    _, choice = choose.build(SMALL, AUTO, pairs, lambda stage, progress: None)
    assert choice.backend == "onnxruntime-int8"


def test_progress_never_goes_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choose, "LEAST_HIDDEN_SIZE_FOR_INT8", 1)
    monkeypatch.setattr(choose, "processor_flags", lambda: frozenset({"avx2"}))
    monkeypatch.setattr(accuracy_cache, "read", lambda where: ())
    monkeypatch.setattr(accuracy_cache, "write", lambda where, checks: None)
    monkeypatch.setattr(accuracy_check, "LARGEST_DIFFERENCE", -1)
    told: list[float] = []
    pairs = [TokenizedPair([2, 5, 3, 6, 3], 3, False)]
    _, choice = choose.build(SMALL, AUTO, pairs, lambda stage, done: told.append(done))
    assert choice.backend == "openvino-f32"  # so it was built twice
    assert told == sorted(told)
    assert 0 <= told[0] <= told[-1] <= 0.9


def test_a_gpu_that_torch_does_not_find_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    torch_backend = pytest.importorskip("service.scoring.backends.torch_backend")
    monkeypatch.setattr(torch_backend.torch.cuda, "is_available", lambda: False)
    told = "^the device is cuda, but torch finds no GPU; use auto or cpu$"
    with pytest.raises(OperatorError, match=told):
        torch_backend._device("cuda")


def test_a_gpu_without_torch_is_said_and_not_used(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(choose, "_gpu_capabilities", lambda: [9])
    assert _names(Settings()) == choose.ON_GPU_WITH_BF16
    monkeypatch.setattr(choose, "_torch_is_installed", lambda: False)
    assert _names(Settings()) == _names(AUTO)
    assert "torch is not installed, see requirements-gpu.lock" in caplog.text
    with pytest.raises(SettingsError, match=r"needs torch.*make run GPU=1"):
        choose.build(
            checkpoints.read(TINY), Settings(backend="torch"), [], lambda stage, progress: None
        )
