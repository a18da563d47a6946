"""A control plane on loopback: etcd, the API server, the controllers and the scheduler.

They are Kubernetes' own programs with their default settings, but for addresses, keys and the
speed of the autoscaler. No kubelet runs: `nodes.py` plays what kubelets report.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import ssl
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from tests.stack.clients import eventually
from tools import native
from tools.build import require
from tools.processes import Managed, StackError

ADMIN = "admin-token"
_START_SECONDS = 120.0
"""For a machine that is busy with other tests."""

_STOP_SECONDS = 5.0


class Plane:
    """A running control plane.

    Attributes:
        folder: Where its keys, data and logs are.
        kubeconfig: By which kubectl may do everything.
    """

    def __init__(self, folder: Path, sync_seconds: float) -> None:
        """Describes it; `start` starts it.

        Args:
            folder: For its files.
            sync_seconds: How often the autoscaler decides.
        """
        self.folder = folder
        self.kubeconfig = folder / "admin.kubeconfig"
        self._sync = sync_seconds
        ports = native.free_ports(range(3))
        self._etcd, self._peer, self._secure = (ports[i] for i in range(3))
        self._running: list[Managed] = []

    @property
    def url(self) -> str:
        """The API server's address."""
        return f"https://127.0.0.1:{self._secure}"

    def start(self) -> None:
        """Starts everything, and waits until the API server answers.

        Raises:
            StackError: A program did not start.
        """
        self._keys()
        self._tls = ssl.create_default_context(cafile=str(self._file("server.crt")))
        self.write_kubeconfig(self.kubeconfig, ADMIN)
        etcd = f"http://127.0.0.1:{self._etcd}"
        peer = f"http://127.0.0.1:{self._peer}"
        self.run("etcd", [
            "etcd", "--data-dir", str(self.folder / "etcd"),
            "--listen-client-urls", etcd, "--advertise-client-urls", etcd,
            "--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer,
            "--initial-cluster", f"default={peer}", "--log-level", "warn",
        ]).wait_healthy(_START_SECONDS)  # fmt: skip
        file = self._file
        self.run("kube-apiserver", [
            str(require("kube-apiserver")), f"--etcd-servers={etcd}",
            "--bind-address=127.0.0.1", f"--secure-port={self._secure}",
            f"--tls-cert-file={file('server.crt')}", f"--tls-private-key-file={file('server.key')}",
            "--service-account-issuer=https://kubernetes.default.svc",
            f"--service-account-key-file={file('server.key')}",
            f"--service-account-signing-key-file={file('server.key')}",
            f"--token-auth-file={file('tokens.csv')}", "--authorization-mode=RBAC",
            "--service-cluster-ip-range=10.96.0.0/16",
            # No endpoint of its own: an address on loopback is refused there.
            "--endpoint-reconciler-type=none",
            # By these it says to the adapter whose question it hands on.
            f"--requestheader-client-ca-file={file('server.crt')}",
            "--requestheader-allowed-names=127.0.0.1",
            "--requestheader-extra-headers-prefix=X-Remote-Extra-",
            "--requestheader-group-headers=X-Remote-Group",
            "--requestheader-username-headers=X-Remote-User",
            f"--proxy-client-cert-file={file('server.crt')}",
            f"--proxy-client-key-file={file('server.key')}",
        ])  # fmt: skip
        self._wait_ready()
        self.run("kube-controller-manager", [
            str(require("kube-controller-manager")), f"--kubeconfig={self.kubeconfig}",
            f"--service-account-private-key-file={file('server.key')}",
            f"--root-ca-file={file('server.crt')}",
            # Each controller asks with an account of its own, as in a cluster: RBAC counts.
            "--use-service-account-credentials", "--leader-elect=false", "--secure-port=0",
            # It would taint nodes whose kubelets renew no lease.
            "--controllers=*,-node-lifecycle-controller",
            f"--horizontal-pod-autoscaler-sync-period={self._sync}s",
        ])  # fmt: skip
        self.run("kube-scheduler", [
            str(require("kube-scheduler")), f"--kubeconfig={self.kubeconfig}",
            "--leader-elect=false", "--secure-port=0",
        ])  # fmt: skip

    def run(self, name: str, command: list[str]) -> Managed:
        """Starts a further program, which `stop` ends with the others."""
        health = f"http://127.0.0.1:{self._etcd}/health" if name == "etcd" else None
        log = self.folder / f"{name}.log"
        managed = Managed(name, command, {}, self.folder, log, health)
        managed.start()
        self._running.append(managed)
        return managed

    def stop(self) -> None:
        """Ends all that was started, the last first."""
        for managed in reversed(self._running):
            managed.stop(_STOP_SECONDS)

    def check(self) -> None:
        """Raises StackError if a program has ended."""
        for managed in self._running:
            if not managed.running:
                raise StackError(f"{managed.name} ended:\n{managed.log_tail()}")

    def write_kubeconfig(self, path: Path, token: str) -> Path:
        """Writes a kubeconfig for the holder of `token`; gives its path."""
        authority = str(self._file("server.crt"))
        cluster = {"server": self.url, "certificate-authority": authority}
        document = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "plane", "cluster": cluster}],
            "users": [{"name": "user", "user": {"token": token}}],
            "contexts": [{"name": "plane", "context": {"cluster": "plane", "user": "user"}}],
            "current-context": "plane",
        }
        path.write_text(yaml.safe_dump(document), "utf-8")
        return path

    def kubectl(
        self, *arguments: str, standard_input: str = ""
    ) -> subprocess.CompletedProcess[str]:
        """What kubectl says, whether or not it succeeds."""
        return subprocess.run(
            [str(require("kubectl")), f"--kubeconfig={self.kubeconfig}", *arguments],
            input=standard_input,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
            # Its cache of what the server offers, apart from the user's.
            env={"HOME": str(self.folder), "PATH": "/usr/bin:/bin"},
        )

    def get(self, path: str) -> Any:
        """The JSON at a path of the API. Raises urllib's HTTPError for another status than 2xx."""
        return self.send("GET", path)

    def send(self, method: str, path: str, body: Any = None, kind: str = "application/json") -> Any:
        """The JSON answer to a request. Raises urllib's HTTPError for another status than 2xx."""
        return json.loads(self._open(method, path, body, kind))

    def changes(self, path: str, since: str, seconds: int) -> Iterator[Any]:
        """Every state of an object from a version of it on, for so long; none is missed.

        Args:
            path: Of the object's collection, with a selector for it.
            since: The `resourceVersion` after which they begin.
            seconds: After which the server ends it.
        """
        watch = f"{path}&watch=1&resourceVersion={since}&timeoutSeconds={seconds}"
        with self._answer("GET", watch, timeout=seconds + 30) as lines:
            for line in lines:
                yield json.loads(line)["object"]

    def _open(self, method: str, path: str, body: Any = None, kind: str = "") -> bytes:
        with self._answer(method, path, body, kind) as answer:
            found: bytes = answer.read()
        return found

    def _answer(
        self, method: str, path: str, body: Any = None, kind: str = "", timeout: float = 60
    ) -> http.client.HTTPResponse:
        request = urllib.request.Request(
            self.url + path,
            None if body is None else json.dumps(body).encode(),
            {"Authorization": f"Bearer {ADMIN}", "Content-Type": kind},
            method=method,
        )
        answer: http.client.HTTPResponse = urllib.request.urlopen(
            request, timeout=timeout, context=self._tls
        )
        return answer

    def _wait_ready(self) -> None:
        server = self._running[-1]

        def ready() -> bool:
            if not server.running:
                raise StackError(f"{server.name} ended:\n{server.log_tail()}")
            with contextlib.suppress(OSError):
                self._open("GET", "/readyz")
                self.get("/api/v1/namespaces/default")
                return True
            return False

        eventually("the API server answers", ready, bool, _START_SECONDS)

    def _keys(self) -> None:
        done = subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2",
             "-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1",
             "-keyout", self._file("server.key"), "-out", self._file("server.crt")],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        tokens = f'{ADMIN},admin,admin,"system:masters"\n'
        self._file("tokens.csv").write_text(tokens, "utf-8")

    def _file(self, name: str) -> Path:
        return self.folder / name


@contextlib.contextmanager
def running(folder: Path, sync_seconds: float) -> Iterator[Plane]:
    """A control plane for as long as the block lasts."""
    plane = Plane(folder, sync_seconds)
    try:
        plane.start()
        yield plane
    finally:
        plane.stop()
