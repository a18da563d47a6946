"""Which backends are offered to a machine, and what is said where one cannot run."""

from __future__ import annotations

import pytest

from service.errors import OperatorError, SettingsError
from service.scoring import checkpoint as checkpoints
from service.scoring.backends import choose
from service.settings import Settings
from tests.conftest import TINY


@pytest.mark.parametrize(
    "backend",
    ["torch", "openvino-f32", "openvino-bf16", "openvino-int8", "onnxruntime-int8"],
)
def test_a_named_backend_is_the_only_candidate(backend: str) -> None:
    assert choose.candidates(Settings(device="cpu", backend=backend))[0] == (backend,)


@pytest.mark.parametrize(
    ("lacks", "names"), [(False, choose.WITH_VNNI), (True, choose.WITHOUT_VNNI)]
)
def test_a_cpu_is_offered_what_it_may_have_instructions_for(
    monkeypatch: pytest.MonkeyPatch, lacks: bool, names: tuple[str, ...]
) -> None:
    monkeypatch.setattr(choose, "lacks_vnni", lambda: lacks)
    assert choose.candidates(Settings(device="cpu"))[0] == names


def test_a_shadow_runs_on_what_can_be_lowered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choose, "lacks_vnni", lambda: True)
    for backend in ("auto", "onnxruntime-int8"):
        names, reason = choose.candidates(Settings(device="cpu", backend=backend), background=True)
        assert names == ("openvino-f32",)
        assert "background" in reason


def test_a_gpu_is_for_torch() -> None:
    assert choose.candidates(Settings(device="cuda"))[0] == choose.ON_GPU
    with pytest.raises(SettingsError, match="MGEO_BACKEND=openvino-f32 runs on a CPU only"):
        choose.candidates(Settings(device="cuda", backend="openvino-f32"))


def test_a_gpu_that_torch_does_not_find_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    torch_backend = pytest.importorskip("service.scoring.backends.torch_backend")
    monkeypatch.setattr(torch_backend.torch.cuda, "is_available", lambda: False)
    told = "^the device is cuda, but torch finds no GPU; use auto or cpu$"
    with pytest.raises(OperatorError, match=told):
        torch_backend._device("cuda")


def test_a_gpu_without_torch_is_said_and_not_used(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(choose, "_gpus", lambda: 1)
    assert choose.candidates(Settings())[0] == choose.ON_GPU
    monkeypatch.setattr(choose, "_torch_is_installed", lambda: False)
    assert choose.candidates(Settings())[0] == choose.candidates(Settings(device="cpu"))[0]
    assert "torch is not installed, see requirements-gpu.lock" in caplog.text
    with pytest.raises(SettingsError, match=r"needs torch.*make run GPU=1"):
        choose.build(
            checkpoints.read(TINY), Settings(backend="torch"), [], lambda stage, progress: None
        )
