"""Writes the JSON schemas that the Kubernetes manifests are held to, from Kubernetes' own sources.

    python -m tools.schemas

The API's schemas are Kubernetes' published OpenAPI document, the operator's its custom resource
definition; both come as files of Go modules, fetched and verified by `go mod download`. Only the
kinds that deploy/kubernetes uses are kept. Objects refuse fields that the API does not have.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from tools import yaml_text

ROOT = Path(__file__).resolve().parent.parent
SCHEMAS = ROOT / "tests" / "kubernetes" / "schemas"
KUBERNETES = "k8s.io/kubernetes@v1.35.4"
"""The oldest release line that is supported as this is written: newer ones take what it takes."""
OPERATOR = "github.com/prometheus-operator/prometheus-operator@v0.85.0"

KINDS = (
    ("", "v1", "ConfigMap"),
    ("", "v1", "Namespace"),
    ("", "v1", "PersistentVolumeClaim"),
    ("", "v1", "Service"),
    ("", "v1", "ServiceAccount"),
    ("apps", "v1", "Deployment"),
    ("apps", "v1", "StatefulSet"),
    ("autoscaling", "v2", "HorizontalPodAutoscaler"),
    ("batch", "v1", "Job"),
    ("networking.k8s.io", "v1", "NetworkPolicy"),
    ("policy", "v1", "PodDisruptionBudget"),
    ("rbac.authorization.k8s.io", "v1", "ClusterRole"),
    ("rbac.authorization.k8s.io", "v1", "ClusterRoleBinding"),
    ("rbac.authorization.k8s.io", "v1", "Role"),
    ("rbac.authorization.k8s.io", "v1", "RoleBinding"),
    ("apiregistration.k8s.io", "v1", "APIService"),
)
"""Group, version and kind of each object of the manifests, but the operator's."""

_REFERENCE = "#/definitions/"
_INT_OR_STRING = {"oneOf": [{"type": "string"}, {"type": "integer"}]}


def file_name(group: str, version: str, kind: str) -> str:
    """The schema's file, as kubeconform looks for it."""
    first = group.split(".")[0]
    return f"{kind}-{first}-{version}.json".lower() if group else f"{kind}-{version}.json".lower()


def main() -> int:
    """Write all schemas anew."""
    SCHEMAS.mkdir(parents=True, exist_ok=True)
    swagger = module(KUBERNETES) / "api" / "openapi-spec" / "swagger.json"
    definitions = json.loads(swagger.read_text("utf-8"))["definitions"]
    roots = {_key(kind): _definition(definitions, *kind) for kind in KINDS}
    kept = {name: _strict(definitions[name]) for name in _reachable(definitions, roots.values())}
    _write("definitions.json", {"definitions": kept})
    for (group, version, kind), root in zip(KINDS, roots.values(), strict=True):
        reference = {"$ref": f"definitions.json{_REFERENCE}{root}"}
        _write(file_name(group, version, kind), reference)
    crds = module(OPERATOR) / "example" / "prometheus-operator-crd"
    for kind in ("PodMonitor", "PrometheusRule"):
        file = crds / f"monitoring.coreos.com_{kind.lower()}s.yaml"
        crd = yaml_text.read(file)
        schema = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
        _write(file_name("monitoring", "v1", kind), _strict(schema))
    return 0


def module(version: str) -> Path:
    """The folder of a Go module, fetched if it is not there."""
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(
            ["go", "mod", "download", "-json", version],
            cwd=folder, capture_output=True, text=True, check=False,
        )  # fmt: skip
    if done.returncode != 0:
        raise SystemExit(f"schemas: {version}: {done.stderr.strip().splitlines()[-1]}")
    return Path(json.loads(done.stdout)["Dir"])


def _key(kind: tuple[str, str, str]) -> str:
    return "/".join(kind)


def _definition(definitions: dict[str, Any], group: str, version: str, kind: str) -> str:
    wanted = {"group": group, "version": version, "kind": kind}
    found = [
        name
        for name, definition in definitions.items()
        if wanted in definition.get("x-kubernetes-group-version-kind", ())
    ]
    if len(found) != 1:
        raise SystemExit(f"schemas: {len(found)} definitions of {group} {version} {kind}")
    return found[0]


def _reachable(definitions: dict[str, Any], roots: Iterable[str]) -> list[str]:
    waiting, found = list(roots), set[str]()
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            waiting += _references(definitions[name])
    return sorted(found)


def _references(schema: Any) -> Iterable[str]:
    if isinstance(schema, dict):
        if isinstance(schema.get("$ref"), str):
            yield schema["$ref"].removeprefix(_REFERENCE)
        for value in schema.values():
            yield from _references(value)
    elif isinstance(schema, list):
        for value in schema:
            yield from _references(value)


def _strict(schema: Any) -> Any:
    """`schema` without prose, refusing unknown fields, and with numbers that may be strings so."""
    if isinstance(schema, list):
        return [_strict(value) for value in schema]
    if not isinstance(schema, dict):
        return schema
    if schema.get("format") == "int-or-string" or schema.get("x-kubernetes-int-or-string"):
        return _INT_OR_STRING
    if isinstance(schema.get("$ref"), str):
        return {"$ref": schema["$ref"]}
    result = {
        key: _named(value) if key == "properties" else _strict(value)
        for key, value in schema.items()
        # `format` names widths of numbers, which JSON does not have.
        if key not in ("description", "format", "default") and not key.startswith("x-kubernetes-")
    }
    if "properties" in result:
        result.setdefault("additionalProperties", False)
    return result


def _named(properties: dict[str, Any]) -> dict[str, Any]:
    # A property may be called like a keyword, `default` or `format`.
    return {name: _strict(value) for name, value in properties.items()}


def _write(name: str, schema: Any) -> None:
    text = json.dumps(schema, indent=1, sort_keys=True, ensure_ascii=False)
    (SCHEMAS / name).write_text(text + "\n", "utf-8")


if __name__ == "__main__":
    sys.exit(main())
