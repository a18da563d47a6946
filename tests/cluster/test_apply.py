"""A real API server takes every manifest, warns of nothing, and keeps what it was given."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.cluster.plane import Plane
from tests.kubernetes.manifests import FOLDER, FOLDERS, Object, objects_of, text_of

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


@pytest.fixture(scope="module", autouse=True)
def _namespace(plane: Plane) -> None:
    done = plane.kubectl("apply", "--server-side", "-f", str(FOLDER / "all" / "namespace.yaml"))
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("folder", FOLDERS)
def test_every_object_is_taken_without_a_warning(plane: Plane, folder: str) -> None:
    # A dry run passes admission, defaults and validation, and leaves nothing for the next folder.
    done = plane.kubectl(
        "apply", "--server-side", "--dry-run=server", "-f", "-", standard_input=text_of(folder)
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert len(done.stdout.splitlines()) == len(objects_of(folder)) > 0


def test_a_field_that_the_server_does_not_know_is_refused(plane: Plane) -> None:
    text = text_of("overlays/cpu").replace("readinessProbe:", "readynessProbe:")
    done = plane.kubectl(
        "apply", "--server-side", "--dry-run=server", "-f", "-", standard_input=text
    )
    assert done.returncode != 0
    assert "readynessProbe" in done.stderr


@pytest.mark.parametrize("folder", FOLDERS)
def test_the_server_keeps_what_the_manifests_say(plane: Plane, folder: str) -> None:
    """Probes, budgets, network policies and autoscalers, read back from a dry run."""
    text = text_of(folder)
    done = plane.kubectl(
        "apply", "--server-side", "--dry-run=server", "-o", "json", "-f", "-", standard_input=text
    )
    assert done.returncode == 0, done.stderr
    given = {_key(o): o for o in objects_of(folder)}
    kept = {_key(o): o for o in json.loads(done.stdout)["items"]}
    assert kept.keys() == given.keys()
    for key, wanted in given.items():
        assert _missing(wanted, kept[key]) == [], key


def _key(thing: Object) -> tuple[str, str]:
    return thing["kind"], thing["metadata"]["name"]


def _missing(wanted: Any, kept: Any, path: str = "") -> list[str]:
    """Paths of what was asked for and is not there; defaults that were added do not count."""
    if not wanted and kept is None:
        return []  # the server keeps no zero and no empty list
    if isinstance(wanted, dict):
        if not isinstance(kept, dict):
            return [path]
        return [m for k, v in wanted.items() for m in _missing(v, kept.get(k), f"{path}.{k}")]
    if isinstance(wanted, list):
        if not isinstance(kept, list) or len(kept) != len(wanted):
            return [path]
        pairs = zip(wanted, kept, strict=True)
        return [m for n, (w, k) in enumerate(pairs) for m in _missing(w, k, f"{path}[{n}]")]
    return [] if _same(wanted, kept) else [f"{path}: {wanted!r} became {kept!r}"]


def _same(wanted: Any, kept: Any) -> bool:
    """Equal, also where one is a number and the other its text."""
    return wanted == kept or str(wanted) == str(kept)
