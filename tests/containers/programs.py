"""Images of the other services, under the tags that the compose file names, made from nothing.

Each holds the program that `make stack-build` has compiled or Debian packages, the folders and the
user of the published image, and busybox for its health command. What differs from the published
images: the C library where the program is linked to one, and no shell scripts around it.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from tools import containers, native
from tools.build import require
from tools.compose import ComposeService


@dataclass(frozen=True, slots=True)
class Published:
    """What the compose file needs of a published image.

    Attributes:
        program: Where the program lies in it.
        user: Who runs it.
        folder: A folder that belongs to this user.
        entry: Whether the program is the entry point, so that a command is its arguments.
        stop: The signal that asks it to end.
        files: What Debian's program reads from its package, where the published one holds it.
    """

    program: str
    user: str = "65534"
    folder: str | None = None
    entry: bool = True
    stop: str = "SIGTERM"
    files: str | None = None


PUBLISHED = {
    "otel/opentelemetry-collector-contrib": Published("/otelcol-contrib", "10001"),
    "prom/prometheus": Published("/bin/prometheus", folder="/prometheus"),
    "prom/alertmanager": Published(
        "/bin/alertmanager", folder="/alertmanager", files="/usr/share/prometheus/alertmanager"
    ),
    "jaegertracing/jaeger": Published("/cmd/jaeger/jaeger-linux", "10001"),
    "victoriametrics/victoria-logs": Published("/victoria-logs-prod", "0"),
    "prom/node-exporter": Published("/bin/node_exporter"),
    "haproxy": Published("/usr/local/sbin/haproxy", "99", entry=False, stop="SIGUSR1"),
    "busybox": Published("/bin/busybox", "0", entry=False),
}


def make(services: Iterable[ComposeService]) -> None:
    """Make the images of these services that are not there as they should be."""
    for image in sorted({(s.image, s.tag) for s in services if s.image in PUBLISHED}):
        _make(*image)


def _make(image: str, tag: str) -> None:
    published = PUBLISHED[image]
    program = _program(image)
    name = f"docker.io/{image if '/' in image else f'library/{image}'}:{tag}"
    recipe = Path(__file__).read_text("utf-8")
    facts = [str(program), program.stat().st_mtime_ns, recipe]
    key = hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:16]
    labels = containers.call(
        "podman", "image", "inspect", "--format", "{{json .Labels}}", name, check=False
    )
    if (json.loads(labels or "null") or {}).get("mgeo.tests") == key:
        return
    with tempfile.TemporaryDirectory(dir=containers.cache_dir()) as folder:
        context = Path(folder)
        _copy(program, context / "root" / published.program.lstrip("/"))
        for library in _libraries(program):
            _copy(library, context / "root" / str(library).lstrip("/"))
        _copy(_program("busybox"), context / "root/bin/busybox")
        for applet in ("wget", "sh", "chown"):
            (context / "root/bin" / applet).symlink_to("busybox")
        if published.files:
            shutil.copytree(published.files, context / "root" / published.files.lstrip("/"))
        (context / "root/etc").mkdir(exist_ok=True)
        (context / "root/etc/passwd").write_text("root:x:0:0::/:\nnobody:x:65534:65534::/:\n")
        (context / "empty").mkdir()
        lines = ["FROM scratch", "COPY root/ /", f"LABEL mgeo.tests={key}"]
        lines.append("ENV PATH=/usr/local/sbin:/usr/local/bin:/bin")
        if published.folder:
            lines.append(f"COPY --chown={published.user} empty/ {published.folder}")
        lines += [f"USER {published.user}", f"STOPSIGNAL {published.stop}"]
        if published.entry:
            lines.append(f"ENTRYPOINT {json.dumps([published.program])}")
        (context / "Dockerfile").write_text("\n".join(lines) + "\n")
        containers.call(
            *("buildah", "bud", "--isolation", "chroot", "--format", "docker", "--tag", name),
            str(context),
            timeout=600,
        )


def _program(image: str) -> Path:
    if image in native.BUILT:
        return require(native.BUILT[image])
    path = shutil.which(native.PACKAGED.get(image, image))
    if path is None:
        raise containers.ContainersError(f"{image}: its program is not installed")
    return Path(path)


def _libraries(program: Path) -> list[Path]:
    told = subprocess.run(["ldd", program], capture_output=True, text=True, check=False).stdout
    return [Path(found) for found in re.findall(r"(?:=> |^\s+)(/\S+) \(", told, re.MULTILINE)]


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(source, target)
