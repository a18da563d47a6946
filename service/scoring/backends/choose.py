"""Which backend runs the model on this machine, and why."""

from __future__ import annotations

import contextlib
import logging
import threading
from importlib.util import find_spec

from service.errors import SettingsError
from service.scoring.backends import Backend, Progress
from service.scoring.checkpoint import Checkpoint
from service.scoring.cpus import available_cpus
from service.settings import Settings

log = logging.getLogger(__name__)

_NVML_PATIENCE_SECONDS = 5.0


def build(checkpoint: Checkpoint, settings: Settings, progress: Progress) -> Backend:
    """Build the backend that the settings name, or for `auto` the one that suits the machine.

    Raises:
        OperatorError: It cannot run here, or the checkpoint does not load.
    """
    name, reason = choose(settings)
    log.info("backend chosen", extra={"backend": name, "reason": reason})
    threads = settings.cpu_threads or available_cpus()
    # Imported here: each costs up to seconds, in which /readyz already answers with this stage.
    if name == "torch":
        if not _torch_is_installed():
            raise SettingsError(
                "the torch backend needs torch, which is not installed: "
                "install requirements-gpu.lock (`make run GPU=1` does)"
            )
        progress("importing torch", 0.2)
        from service.scoring.backends.torch_backend import TorchBackend

        return TorchBackend(checkpoint, device=settings.device, threads=threads, progress=progress)
    progress("importing openvino", 0.2)
    from service.scoring.backends.openvino_backend import OpenVinoBackend

    return OpenVinoBackend(
        checkpoint,
        precision="bf16" if name == "openvino-bf16" else "f32",
        threads=threads,
        progress=progress,
    )


def choose(settings: Settings) -> tuple[str, str]:
    """Name of the backend, and the reason in a few words.

    Raises:
        SettingsError: The named backend does not run on the named device.
    """
    if settings.backend != "auto":
        if settings.device == "cuda" and settings.backend != "torch":
            raise SettingsError(f"MGEO_BACKEND={settings.backend} runs on a CPU only; use torch")
        return settings.backend, "MGEO_BACKEND names it"
    if settings.device == "cuda":
        return "torch", "MGEO_DEVICE is cuda"
    if settings.device == "auto" and _gpus():
        if _torch_is_installed():
            return "torch", "NVML shows a GPU"
        log.warning("the GPU is not used: torch is not installed, see requirements-gpu.lock")
    return "openvino-f32", "there is no GPU to use; fp32 needs no check of its accuracy"


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
