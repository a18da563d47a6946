"""The telemetry schema as data: its format, and that nothing released goes without a word."""

from __future__ import annotations

import fnmatch
import json
import re
from collections import Counter
from collections.abc import Callable
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args, get_type_hints

import pytest
from jsonschema import Draft202012Validator
from opentelemetry.semconv._incubating import attributes as standard_attributes
from opentelemetry.semconv._incubating import metrics as standard_metrics

from telemetry.conventions import IMPORTED_METRICS, RESOURCE, Attribute, Deprecated
from telemetry.instruments import Metric
from tests.conftest import is_quick
from tests.telemetry import semconv
from tools import registry
from tools.registry import Promise, RegistryError, Schema

FORMAT = Draft202012Validator(
    json.loads(Path(__file__).with_name("registry.schema.json").read_text("utf-8"))
)
CURRENT, RELEASED = registry.read(registry.CURRENT), registry.read(registry.RELEASED)
GROUPS: list[dict[str, Any]] = [
    group for document in CURRENT.values() for group in document.get("groups", ())
]
DEFINED = [one for group in GROUPS for one in group.get("attributes", ()) if "id" in one]


def test_the_format_is_one() -> None:
    Draft202012Validator.check_schema(FORMAT.schema)


@pytest.mark.parametrize("folder", [registry.CURRENT, registry.RELEASED], ids=["now", "released"])
def test_each_file_is_of_the_format(folder: Path) -> None:
    documents = registry.read(folder)
    assert documents.keys() == {"manifest.yaml", "attributes.yaml", "metrics.yaml", "spans.yaml"}
    for name, document in documents.items():
        assert [error.message for error in FORMAT.iter_errors(document)] == [], name


def _spoilt(spoil: Callable[[dict[str, Any]], Any]) -> dict[str, Any]:
    document = deepcopy(CURRENT["metrics.yaml"])
    spoil(document["groups"][0])
    return document


@pytest.mark.parametrize(
    "spoil",
    [
        lambda group: group.pop("unit"),
        lambda group: group.pop("brief"),
        lambda group: group.pop("stability"),
        lambda group: group.update(instrument="up_down_counter"),
        lambda group: group.update(span_kind="server"),
        lambda group: group.update(help="?"),
        lambda group: group.update(metric_name="mgeo request"),
        lambda group: group["attributes"][0].pop("requirement_level"),
        lambda group: group["attributes"][0].update(requirement_level="sometimes"),
        lambda group: group["attributes"].append({"id": "x", "type": "string"}),
        lambda group: group.update(deprecated={"reason": "renamed"}),
        lambda group: group.update(deprecated="use another"),
    ],
)
def test_what_is_not_of_the_format_is_found(spoil: Callable[[dict[str, Any]], Any]) -> None:
    assert FORMAT.is_valid(_spoilt(lambda group: None))
    assert not FORMAT.is_valid(_spoilt(spoil))


def test_every_reference_leads_to_an_attribute() -> None:
    own = {one["id"] for one in DEFINED}
    standard = semconv.names(standard_attributes)
    assert own & standard == set(), "defined by OpenTelemetry: refer to it"
    referred = {
        one["ref"] for group in GROUPS for one in group.get("attributes", ()) if "ref" in one
    }
    assert referred <= own | standard
    assert own <= referred, "no metric and no span has it"


def test_imported_metrics_are_of_the_conventions() -> None:
    known = semconv.names(standard_metrics)
    for pattern in IMPORTED_METRICS:
        assert fnmatch.filter(known, pattern), pattern


def test_pods_say_what_the_resource_has() -> None:
    file = registry.FOLDER.parent.parent / "deploy" / "kubernetes" / "base" / "deployment.yaml"
    [said] = re.findall(
        r"OTEL_RESOURCE_ATTRIBUTES\n\s+value: >-\n\s+(\S+)", file.read_text("utf-8")
    )
    keys = {pair.partition("=")[0] for pair in said.split(",")}
    assert keys == {key for key in RESOURCE if key.startswith("k8s.")} | {"service.instance.id"}


def test_names_are_there_once() -> None:
    for names in (
        [group["id"] for group in GROUPS],
        [group["metric_name"] for group in GROUPS if "metric_name" in group],
        [one["id"] for one in DEFINED],
        *[[one.get("ref") for one in group.get("attributes", ())] for group in GROUPS],
        *[
            [m["value"] for m in one["type"]["members"]]
            for one in DEFINED
            if "members" in one["type"]
        ],
    ):
        twice = [name for name, count in Counter(names).items() if name and count > 1]
        assert twice == []


# The law. Each promise of today's schema is broken by itself, so that none is forgotten.

ALL = registry.registry(Schema(), {})
PROMISES = sorted(registry.promises(ALL))


def broken(promise: Promise, name: str | None) -> Schema:
    """The declarations without a promise; with `name`, under that one instead."""
    what, old = promise
    schema = Schema()
    if what == "metric":
        kept = [replace(m, name=name) if m.name == old and name else m for m in schema.metrics]
        return replace(schema, metrics=[metric for metric in kept if metric.name != old])
    if what == "span":
        kept_spans = [replace(s, name=name) if s.name == old and name else s for s in schema.spans]
        return replace(schema, spans=[span for span in kept_spans if span.name != old])
    if what == "member":
        key, _, value = old.partition("=")
        new = [] if name is None else [name.partition("=")[2]]
        values = [one for one in schema.values(key) if one != value] + new
        attributes = {**schema.attributes, key: replace(schema.attributes[key], members=())}
        return replace(schema, members={**schema.members, key: values}, attributes=attributes)
    holder, _, key = old.removesuffix("}").partition("{")
    if what == "attribute":
        holder, key = "", old
    new_key = name and name.removesuffix("}").rpartition("{")[2]

    def changed(attributes: tuple[str, ...]) -> tuple[str, ...]:
        renamed = [new_key if one == key else one for one in attributes]
        return tuple(one for one in renamed if one)

    def is_held(one: Any) -> bool:
        return holder in ("", one.name, getattr(one, "kind", ""))

    attributes = dict(schema.attributes)
    if new_key and new_key not in attributes:
        attributes[new_key] = replace(
            attributes[key],
            key=new_key,
            brief="Made up.",
            members=tuple(schema.values(key)),
            examples=("x",),
        )
    if what == "attribute":
        del attributes[key]
    return replace(
        schema,
        attributes=attributes,
        metrics=[
            replace(m, attributes=changed(m.attributes)) if is_held(m) else m
            for m in schema.metrics
        ],
        spans=[
            replace(s, attributes=changed(s.attributes)) if is_held(s) else s for s in schema.spans
        ],
    )


UNNAMED = {("span", "server")}
"""Its name is made of its kind."""


def _another(what: str, old: str) -> str:
    return old.replace("}", "_made_up}") if what == "label" else f"{old}_made_up"


@pytest.mark.parametrize("renames", [True, False], ids=["renamed", "dropped"])
@pytest.mark.parametrize("what", get_args(get_type_hints(Deprecated)["what"]))
def test_nothing_released_goes_without_a_deprecation(what: str, renames: bool) -> None:
    names = [name for kind, name in PROMISES if kind == what and (what, name) not in UNNAMED]
    assert len(names) > 5
    for old in names[:: 5 if is_quick() else 1]:
        promise, name = (what, old), _another(what, old) if renames else None
        schema = broken(promise, name)
        with pytest.raises(RegistryError) as error:
            registry.registry(schema, ALL)
        assert f"{what} {old} was released and is gone: name it in DEPRECATED" in str(error.value)

        said = replace(schema, deprecated=[Deprecated(what, old, name, "made up")])
        written = registry.registry(said, ALL)
        assert registry.promises(written).items() >= registry.promises(ALL).items()
        text = json.dumps(written)
        assert text.count('"deprecated"') == (what != "label"), old
        assert ('"renamed_to"' in text) == (what != "label" and renames), old
    # For good: also once the next release has it as deprecated.
    assert registry.promises(registry.registry(said, written)) == registry.promises(written)
    with pytest.raises(RegistryError, match="was released and is gone"):
        registry.registry(schema, written)
    for file, document in written.items():
        assert [error.message for error in FORMAT.iter_errors(document)] == [], file


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            {"unit": "ms"},
            "metric mgeo.ready was released as gauge in {instance} and is",
        ),
        ({"kind": "counter"}, "and is counter in {instance}: give it another name"),
    ],
)
def test_a_metric_does_not_change_its_meaning_under_its_name(
    change: dict[str, Any], words: str
) -> None:
    [ready] = [metric for metric in Schema().metrics if metric.name == "mgeo.ready"]
    others = [metric for metric in Schema().metrics if metric is not ready]
    with pytest.raises(RegistryError, match=re.escape(words)):
        registry.registry(Schema(metrics=[*others, replace(ready, **change)]), ALL)


def test_an_attribute_does_not_change_its_type_under_its_name() -> None:
    attributes = {**Schema().attributes, "status": Attribute("status", "Its number.", "int")}
    with pytest.raises(RegistryError, match="attribute status was released as string and is int"):
        registry.registry(Schema(attributes=attributes), ALL)


@pytest.mark.parametrize(
    ("deprecated", "words"),
    [
        (Deprecated("metric", "mgeo.nothing", None, "?"), "was never released"),
        (Deprecated("metric", "mgeo.ready", None, "?"), "is deprecated, and still declared"),
        (Deprecated("member", "reason=idle", None, "?"), "is deprecated, and still declared"),
    ],
)
def test_a_deprecation_is_of_something_that_was_there_and_is_gone(
    deprecated: Deprecated, words: str
) -> None:
    with pytest.raises(RegistryError, match=words):
        registry.registry(Schema(deprecated=[deprecated]), ALL)


def test_a_deprecation_leads_to_something() -> None:
    schema = broken(("metric", "mgeo.ready"), None)
    gone = Deprecated("metric", "mgeo.ready", "mgeo.nothing", "?")
    with pytest.raises(RegistryError, match=r"renamed to mgeo\.nothing, which is not declared"):
        registry.registry(replace(schema, deprecated=[gone]), ALL)


@pytest.mark.parametrize(
    ("gone", "part", "holder"),
    [
        (("metric", "mgeo.request"), ("label", "mgeo.request{status}"), "metric mgeo.request"),
        (("span", "batch"), ("label", "batch{mgeo.batch.cut}"), "span batch"),
        (("attribute", "reason"), ("member", "reason=idle"), "attribute reason"),
    ],
)
def test_a_part_goes_with_its_whole(gone: Promise, part: Promise, holder: str) -> None:
    schema = broken(gone, None)
    both = [Deprecated(*gone, None, "?"), Deprecated(*part, None, "?")]
    with pytest.raises(RegistryError, match=f"goes with its {holder}: deprecate that alone"):
        registry.registry(replace(schema, deprecated=both), ALL)


def test_what_is_new_needs_nothing_but_its_declaration() -> None:
    metric = Metric("mgeo.made_up", "counter", "{event}", "Made up.", ("status", "made_up"))
    schema = Schema(metrics=[*Schema().metrics, metric])
    with pytest.raises(RegistryError, match=r"conventions\.py does not declare made_up"):
        registry.registry(schema, ALL)
    made_up = Attribute("made_up", "Made up.", examples=("x",))
    attributes = {**schema.attributes, "made_up": made_up}
    written = registry.registry(replace(schema, attributes=attributes), ALL)
    assert ("label", "mgeo.made_up{made_up}") in registry.promises(written)


def test_a_release_takes_what_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "released"
    monkeypatch.setattr(registry, "RELEASED", folder)
    assert registry.main() == 0
    assert "counts as released" in capsys.readouterr().out
    for path in registry.CURRENT.iterdir():
        assert (folder / path.name).read_bytes() == path.read_bytes(), path.name
