"""Which backend runs the model on this machine, and why."""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Sequence
from importlib.util import find_spec
from typing import cast

from service.errors import SettingsError
from service.scoring.backends import Backend, Progress, gate, kept
from service.scoring.backends.kept import Choice
from service.scoring.checkpoint import Checkpoint
from service.scoring.cpus import available_cpus, lacks_vnni
from service.scoring.tokens import TokenizedPair
from service.settings import Settings

log = logging.getLogger(__name__)

WITH_VNNI = ("openvino-f32", "openvino-bf16", "openvino-int8")
WITHOUT_VNNI = ("openvino-f32", "onnxruntime-int8")
ON_GPU = ("torch", "torch-bf16", "torch-bf16-graphs")
"""What `auto` chooses from; the first is the reference, and each is less exact than the last.

VNNI are a processor's instructions for products of 8-bit numbers. Without them OpenVINO computes
int8 and bf16 in fp32, only slower. With them OpenVINO's int8 is fast; whether ONNX Runtime's would
be faster is not measured."""

_NVML_PATIENCE_SECONDS = 5.0


def build(
    checkpoint: Checkpoint,
    settings: Settings,
    calibration: Sequence[TokenizedPair],
    progress: Progress,
    *,
    background: bool = False,
) -> tuple[Backend, Choice]:
    """Build the backend that the settings name, or for `auto` the fastest that passes the gate.

    Args:
        checkpoint: The model.
        settings: `backend`, `device` and `cpu_threads` count.
        calibration: Pairs on which candidates are compared.
        progress: Told of the stages.
        background: Whether it is to run only where a processor is idle: on one thread. On a GPU
            there is no such thing.

    Raises:
        OperatorError: It cannot run here, or the checkpoint does not load.
    """
    names, reason = candidates(settings, background=background)
    threads = settings.cpu_threads or available_cpus()

    def make(name: str, told: Progress = progress) -> Backend:
        return _make(name, checkpoint, settings.device, threads, told)

    def finally_made(name: str) -> Backend:
        return _make(name, checkpoint, settings.device, threads, progress, background=background)

    if len(names) == 1:
        choice, backend = Choice(names[0], reason), finally_made(names[0])
    else:
        where = kept.path(checkpoint, names, threads)
        known = kept.read(where)
        if known is not None and known.backend in names:
            choice, backend = known, finally_made(known.backend)
        else:
            steps = {name: _step(progress, names, name) for name in names}
            backend, measured = gate.fastest(
                names, lambda name: make(name, steps[name]), calibration
            )
            choice = Choice(backend.name, reason, tuple(measured))
            if not any(candidate.has_failed for candidate in measured):
                kept.write(where, choice)  # one that failed may do better at the next start
            if background:  # measured as it would serve
                backend = finally_made(choice.backend)
    log.info("backend chosen", extra={"backend": choice.backend, "reason": choice.reason})
    return backend, choice


def candidates(settings: Settings, *, background: bool = False) -> tuple[tuple[str, ...], str]:
    """The backends to choose from, and the reason in a few words.

    Args:
        settings: `backend` and `device` count.
        background: Whether it is to run only where a processor is idle. Not in ONNX Runtime: that
            computes on the thread that calls it, and a thread of Python's is not to be lowered.

    Raises:
        SettingsError: The named backend does not run on the named device.
    """
    if settings.backend != "auto":
        if settings.device == "cuda" and settings.backend not in ON_GPU:
            raise SettingsError(f"MGEO_BACKEND={settings.backend} runs on a CPU only; use torch")
        if background and settings.backend in WITHOUT_VNNI[1:]:
            return (WITHOUT_VNNI[0],), f"{settings.backend} cannot run in the background"
        return (settings.backend,), "MGEO_BACKEND names it"
    if settings.device == "cuda":
        return ON_GPU, "the fastest on the GPU that MGEO_DEVICE asks for"
    if settings.device == "auto" and _gpus():
        if _torch_is_installed():
            return ON_GPU, "the fastest on the GPU that NVML shows"
        log.warning("the GPU is not used: torch is not installed, see requirements-gpu.lock")
    if not lacks_vnni():
        return WITH_VNNI, "the fastest on this CPU"
    if background:
        return WITHOUT_VNNI[:1], "what runs in the background on a CPU without VNNI"
    return WITHOUT_VNNI, "the fastest on this CPU, which has no VNNI"


def _step(progress: Progress, names: Sequence[str], name: str) -> Progress:
    """Tells one candidate's stages as a part of them all: from 0.2 to 0.9."""
    first, share = 0.2 + 0.7 * names.index(name) / len(names), 0.7 / len(names)
    return lambda stage, done: progress(f"measuring {name}: {stage}", first + share * done)


def _make(
    name: str,
    checkpoint: Checkpoint,
    device: str,
    threads: int,
    progress: Progress,
    *,
    background: bool = False,
) -> Backend:
    library, _, precision = name.partition("-")
    # Imported here: each costs up to seconds, in which /readyz already answers with this stage.
    progress(f"importing {library}", 0.2)
    if library == "torch":
        if not _torch_is_installed():
            raise SettingsError(
                "the torch backend needs torch, which is not installed: "
                "install requirements-gpu.lock (`make run GPU=1` does)"
            )
        from service.scoring.backends.torch_backend import TorchBackend
        from service.scoring.backends.torch_graphs import TorchGraphsBackend

        if precision == "bf16-graphs":
            return TorchGraphsBackend(checkpoint, device=device, threads=threads, progress=progress)
        return TorchBackend(
            checkpoint,
            precision="bf16" if precision else "f32",
            device=device,
            threads=threads,
            progress=progress,
        )
    if library == "onnxruntime":
        from service.scoring.backends.onnxruntime_backend import OnnxRuntimeBackend

        return OnnxRuntimeBackend(checkpoint, threads=threads, progress=progress)
    from service.scoring.backends.openvino_backend import OpenVinoBackend, Precision

    return OpenVinoBackend(
        checkpoint,
        precision=cast(Precision, precision),
        threads=1 if background else threads,
        progress=progress,
        in_background=background,
    )


def _torch_is_installed() -> bool:
    return find_spec("torch") is not None and find_spec("transformers") is not None


def _gpus() -> int:
    """GPUs that NVML shows. Asked of NVML because asking torch takes seconds of imports."""
    import pynvml

    found: list[int] = []

    def ask() -> None:
        with contextlib.suppress(pynvml.NVMLError):
            pynvml.nvmlInit()
            found.append(int(pynvml.nvmlDeviceGetCount()))

    # On a thread of its own: on a sick driver the call never returns.
    asking = threading.Thread(target=ask, name="gpu-count", daemon=True)
    asking.start()
    asking.join(_NVML_PATIENCE_SECONDS)
    if asking.is_alive():
        log.warning("NVML does not answer; the model runs on the CPU")
    return sum(found)
