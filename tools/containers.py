"""Images and containers for tests, without a registry: by buildah, podman and Debian's packages.

    python -m tools.containers    makes the base image that the Dockerfile names, once

A registry is never asked. The base image is made of Debian's packages under the very tag that the
Dockerfile pins: the same Debian release, and Debian's own Python of the same minor version, where
the published image has a newer patch release compiled from source. Everything lies in a folder of
its own (`CONTAINERS_CACHE_DIR`, default `mgeo-containers` in the user's cache folder), apart from
what else podman keeps on this machine.
"""

import fcntl
import functools
import os
import re
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
DOCKERFILE = REPOSITORY / "Dockerfile"

PROGRAMS = {
    **{name: name for name in ("podman", "buildah", "runc", "conmon", "iptables", "debootstrap")},
    "busybox": "busybox-static",
}
"""What must be on the PATH, and the package of tools/apt-containers.txt that has it."""

_PACKAGES = "python3,python3-venv,python3-pip,ca-certificates"
_SUITE = "bookworm"
_MIRROR = "http://deb.debian.org/debian"


class ContainersError(Exception):
    """An image could not be made; the message is one line that says why."""


def cache_dir() -> Path:
    """Where images and containers are kept."""
    chosen = os.environ.get("CONTAINERS_CACHE_DIR")
    if chosen:
        return Path(chosen).expanduser().resolve()
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(base) / "mgeo-containers"


def unavailable() -> str | None:
    """Why no container can be run here, in one line; None where it can."""
    if os.geteuid() != 0:
        return "containers: the tests run them as root"
    if absent := [name for name in PROGRAMS if shutil.which(name) is None]:
        return f"containers: {', '.join(absent)} not found: run `make containers-build`"
    if not has_image(base_image()):
        return f"containers: {base_image()} is not made: run `make containers-build`"
    return None


def base_image() -> str:
    """The image that the Dockerfile builds on, with its registry."""
    names = set(re.findall(r"^FROM (\S+)", DOCKERFILE.read_text("utf-8"), re.MULTILINE))
    if len(names) != 1:
        raise ContainersError(f"{DOCKERFILE}: one base image is expected, and it names {names}")
    return f"docker.io/library/{names.pop()}"


@functools.cache
def environment() -> Mapping[str, str]:
    """This process's environment with the configuration by which podman and buildah keep apart."""
    folder = cache_dir()
    run = Path(tempfile.gettempdir()) / f"mgeo-containers-{os.geteuid()}"
    folder.mkdir(parents=True, exist_ok=True)
    storage, engine = folder / "storage.conf", folder / "containers.conf"
    storage.write_text(
        '[storage]\ndriver = "overlay"\n'
        f'graphroot = "{folder}/storage"\nrunroot = "{run}/storage"\n'
    )
    # Podman's own are above what may be set on some machines, and then nothing starts.
    nofile = min(resource.getrlimit(resource.RLIMIT_NOFILE)[1], 16_384)
    ulimits = [f'"nofile={nofile}:{nofile}"', '"nproc=4096:4096"']
    engine.write_text(
        f"[containers]\ndefault_ulimits = [{', '.join(ulimits)}]\n"
        '[engine]\nruntime = "runc"\ncgroup_manager = "cgroupfs"\nevents_logger = "file"\n'
        f'tmp_dir = "{run}/libpod"\n'
        'helper_binaries_dir = ["/usr/lib/podman", "/usr/libexec/podman"]\n'
        f'[network]\nnetwork_backend = "netavark"\nnetwork_config_dir = "{folder}/networks"\n'
    )
    ours = {"CONTAINERS_STORAGE_CONF": str(storage), "CONTAINERS_CONF": str(engine)}
    return {**os.environ, **ours}


def call(program: str, *arguments: str, check: bool = True, timeout: float = 120) -> str:
    """Run podman or buildah to its end; returns its standard output.

    Raises:
        ContainersError: It failed; the message is the last line that it wrote.
    """
    done = subprocess.run(
        [program, *arguments],
        env=environment(),
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )
    if check and done.returncode:
        said = [line for line in done.stderr.splitlines() if line.strip()]
        reason = said[-1] if said else f"exit status {done.returncode}"
        raise ContainersError(f"{program} {arguments[0]}: {reason}")
    return done.stdout


def output(container: str, *flags: str) -> str:
    """What a container has written to both of its standard streams."""
    done = subprocess.run(
        ["podman", "logs", *flags, container],
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=60,
        check=False,
    )
    return done.stdout


def has_image(name: str) -> bool:
    """Whether there is an image with this name."""
    found = subprocess.run(
        ["podman", "image", "exists", name], env=environment(), timeout=60, check=False
    )
    return found.returncode == 0


def build_base() -> None:
    """Make the base image, unless it is there.

    Raises:
        ContainersError: A step failed.
    """
    name = base_image()
    with _only_one():
        if has_image(name):
            _say(f"{name}: there already")
            return
        started = time.monotonic()
        _say(f"{name}: fetching Debian's packages")
        with tempfile.TemporaryDirectory(dir=cache_dir()) as folder:
            root = Path(folder) / "root"
            call(
                *("debootstrap", "--variant=minbase", f"--include={_PACKAGES}"),
                *(_SUITE, str(root), _MIRROR),
                timeout=1800,
            )
            commit_base(root, name)
        _say(f"{name}: made in {time.monotonic() - started:.0f} s")


def commit_base(root: Path, name: str) -> None:
    """An image of a folder, with Python where the published image has it."""
    (root / "usr/local/bin").mkdir(parents=True, exist_ok=True)
    for link in ("python", "python3"):
        (root / "usr/local/bin" / link).symlink_to("/usr/bin/python3")
    shutil.rmtree(root / "var/cache/apt", ignore_errors=True)
    shutil.rmtree(root / "var/lib/apt/lists", ignore_errors=True)
    container = call("buildah", "from", "scratch").strip()
    try:
        call("buildah", "copy", "--quiet", container, str(root), "/", timeout=600)
        path = "/usr/local/bin:/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin"
        call("buildah", "config", "--env", f"PATH={path}", "--cmd", "python3", container)
        call("buildah", "commit", "--quiet", container, name, timeout=600)
    finally:
        call("buildah", "rm", container)


def build(tag: str, file: Path = DOCKERFILE) -> None:
    """Build an image from a Dockerfile, with layers kept, and pip set up as it is here.

    Raises:
        ContainersError: A step failed.
    """
    mounts = [word for path in _pip_files() for word in ("--volume", f"{path}:{path}:ro")]
    with _only_one():
        configuration = cache_dir() / "pip.conf"
        configuration.write_text(_pip_configuration())
        call(
            *("buildah", "bud", "--isolation", "chroot", "--network", "host", "--layers"),
            *("--pull-never", "--volume", f"{configuration}:/etc/pip.conf:ro", *mounts),
            *("--format", "docker", "--tag", tag, "--file", str(file), str(REPOSITORY)),
            timeout=1800,
        )


@functools.cache
def _pip_settings() -> dict[str, str]:
    """Pip's settings here, from its files and from the environment."""
    listed = subprocess.run(
        [sys.executable, "-m", "pip", "config", "list"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    pairs = re.findall(r"^(?:global|:env:)\.([a-z-]+)='(.*)'$", listed.stdout, re.MULTILINE)
    return dict(reversed(pairs))  # the environment's are listed first, and win


def _pip_configuration() -> str:
    lines = [f"{name} = {value}" for name, value in sorted(_pip_settings().items())]
    return "\n".join(["[global]", *lines, ""])


def _pip_files() -> list[Path]:
    """Files and folders that pip's settings name."""
    return [Path(v) for v in _pip_settings().values() if v.startswith("/") and Path(v).exists()]


@contextmanager
def _only_one() -> Iterator[None]:
    """Keeps two processes from doing the same work twice."""
    cache_dir().mkdir(parents=True, exist_ok=True)
    with (cache_dir() / "lock").open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def _say(line: str) -> None:
    print(f"containers: {line}", flush=True)


def main() -> int:
    """Make what the tests of containers need; 0 when all is there."""
    try:
        build_base()
    except ContainersError as error:
        _say(str(error))
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
