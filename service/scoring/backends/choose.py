"""Which backend runs the model: decided by the processor, the model and the accuracy check.

Never by a clock: replicas of one image on one kind of machine answer by the same backend, whatever
else their machines did while they started. `model compare` measures, and recommends.
"""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from itertools import count
from typing import cast

from service.errors import SettingsError
from service.scoring.backends import Backend, Progress, accuracy_cache, accuracy_check
from service.scoring.backends.accuracy_check import BackendCandidate
from service.scoring.checkpoint import Checkpoint
from service.scoring.cpus import available_cpus, processor_flags
from service.scoring.tokens import TokenizedPair
from service.settings import Settings

log = logging.getLogger(__name__)

CPU_REFERENCE = "openvino-f32"
GPU_REFERENCE = "torch"

ON_GPU_WITH_BF16 = ("torch-bf16-graphs", "torch-bf16", GPU_REFERENCE)
"""In the order of preference; the last is the reference that others are compared with. Graphs save
the CPU's part of each forward pass."""

FIRST_CAPABILITY_WITH_BF16 = 8
"""CUDA compute capability (major). Older GPUs compute bf16 by emulation, slower than fp32."""

VNNI = frozenset({"avx512_vnni", "avx_vnni", "amx_int8"})
"""Flags of a processor with instructions for products of 8-bit numbers. With them OpenVINO's int8
is twice as fast as fp32, and ONNX Runtime's no faster. Without them it is the other way round."""

AVX2 = "avx2"
"""Flag of a processor on which ONNX Runtime's products of 8-bit numbers are fast without VNNI."""

AMX_BF16 = "amx_bf16"
"""Flag of a processor with instructions for matrix products in bf16. There bf16 is as fast as int8,
and nearer to fp32."""

LEAST_HIDDEN_SIZE_FOR_INT8 = 512
"""In a narrower model, quantising what a layer reads costs about what its smaller product saves."""

_NVML_PATIENCE_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class BackendChoice:
    """Which backend runs the model, and why.

    Attributes:
        backend: As in `MGEO_BACKEND`.
        reason: In a few words.
        candidates: What the accuracy check found of each backend that was preferred to the
            reference, up to the chosen one.
    """

    backend: str
    reason: str
    candidates: tuple[BackendCandidate, ...] = ()


def build(
    checkpoint: Checkpoint,
    settings: Settings,
    calibration: Sequence[TokenizedPair],
    progress: Progress,
    *,
    background: bool = False,
) -> tuple[Backend, BackendChoice]:
    """Build the backend that the settings name, or for `auto` the first that passes the check.

    Args:
        checkpoint: The model.
        settings: `backend`, `device` and `cpu_threads` count.
        calibration: Pairs on which candidates are compared with the reference.
        progress: Told of the stages.
        background: Whether it is to run only where a processor is idle: on one thread. On a GPU
            there is no such thing.

    Raises:
        OperatorError: It cannot run here, or the checkpoint does not load.
    """
    names, reason = candidates(settings, checkpoint, background=background)

    if len(names) == 1:
        backend = make(names[0], checkpoint, settings, progress, background=background)
        choice = BackendChoice(names[0], reason)
    else:
        steps = count()

        def build_one(name: str) -> Backend:
            own = _step(progress, name, next(steps) / (len(names) + 1), 1 / (len(names) + 1))
            return make(name, checkpoint, settings, own, background=background)

        where = accuracy_cache.path(checkpoint)
        known = accuracy_cache.read(where)
        backend, checked = accuracy_check.first_accepted(names, build_one, calibration, known)
        choice = BackendChoice(backend.name, reason, tuple(checked))
        # One that failed may do better at the next start.
        new = [one for one in checked if one not in known and not one.has_failed]
        if new:
            accuracy_cache.write(where, [*known, *new])
    log.info("backend chosen", extra={"backend": choice.backend, "reason": choice.reason})
    return backend, choice


def candidates(
    settings: Settings, checkpoint: Checkpoint, *, background: bool = False
) -> tuple[tuple[str, ...], str]:
    """The backends to choose from, in the order of preference, and the reason in a few words.

    Args:
        settings: `backend` and `device` count.
        checkpoint: Its hidden size counts.
        background: Whether it is to run only where a processor is idle. Not in ONNX Runtime: that
            computes on the thread that calls it, and a thread of Python's is not to be lowered.

    Returns:
        Names, the last of which is the reference; or the only one.

    Raises:
        SettingsError: The named backend does not run on the named device.
    """
    if settings.backend != "auto":
        if settings.device == "cuda" and settings.backend not in ON_GPU_WITH_BF16:
            raise SettingsError(f"MGEO_BACKEND={settings.backend} runs on a CPU only; use torch")
        if background and settings.backend.startswith("onnxruntime"):
            return (CPU_REFERENCE,), f"{settings.backend} cannot run in the background"
        return (settings.backend,), "MGEO_BACKEND names it"
    if settings.device == "cuda":
        return _on_gpu(_gpu_capabilities())
    if settings.device == "auto" and (capabilities := _gpu_capabilities()):
        if _torch_is_installed():
            return _on_gpu(capabilities)
        log.warning("the GPU is not used: torch is not installed, see requirements-gpu.lock")
    return _on_cpu(checkpoint, background=background)


def _on_gpu(capabilities: Sequence[int]) -> tuple[tuple[str, ...], str]:
    if min(capabilities, default=FIRST_CAPABILITY_WITH_BF16) >= FIRST_CAPABILITY_WITH_BF16:
        return ON_GPU_WITH_BF16, "a GPU that computes in bf16"
    return (GPU_REFERENCE,), "a GPU without bf16"


def _on_cpu(checkpoint: Checkpoint, *, background: bool) -> tuple[tuple[str, ...], str]:
    if checkpoint.bert["hidden_size"] < LEAST_HIDDEN_SIZE_FOR_INT8:
        return (CPU_REFERENCE,), "the model is too small to gain from int8"
    flags = processor_flags()
    if AMX_BF16 in flags:
        return ("openvino-bf16", CPU_REFERENCE), "this CPU has instructions for products in bf16"
    if VNNI & flags:
        reason = "this CPU has instructions for products of 8-bit numbers"
        return ("openvino-int8", CPU_REFERENCE), reason
    if AVX2 not in flags:
        return (CPU_REFERENCE,), "this CPU is not known to gain from int8"
    if background:
        return (CPU_REFERENCE,), "int8 without VNNI cannot run in the background"
    return ("onnxruntime-int8", CPU_REFERENCE), "this CPU has AVX2 and no VNNI"


def _step(progress: Progress, name: str, first: float, share: float) -> Progress:
    """Tells one candidate's stages as a part of them all: from 0.2 to 0.9."""
    return lambda stage, done: progress(f"{name}: {stage}", 0.2 + 0.7 * (first + share * done))


def make(
    name: str,
    checkpoint: Checkpoint,
    settings: Settings,
    progress: Progress,
    *,
    background: bool = False,
) -> Backend:
    """Build one backend by its name in `MGEO_BACKEND`; see `build`."""
    device, threads = settings.device, settings.cpu_threads or available_cpus()
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


def _gpu_capabilities() -> list[int]:
    """Major compute capability of each GPU, by NVML: importing torch takes seconds."""
    import pynvml

    found: list[int] = []

    def ask() -> None:
        with contextlib.suppress(pynvml.NVMLError):
            pynvml.nvmlInit()
            for index in range(pynvml.nvmlDeviceGetCount()):
                gpu = pynvml.nvmlDeviceGetHandleByIndex(index)
                found.append(int(pynvml.nvmlDeviceGetCudaComputeCapability(gpu)[0]))

    # On a thread of its own: on a sick driver the call never returns.
    asking = threading.Thread(target=ask, name="gpu-count", daemon=True)
    asking.start()
    asking.join(_NVML_PATIENCE_SECONDS)
    if asking.is_alive():
        log.warning("NVML does not answer; the model runs on the CPU")
        return []
    return found
