"""Writes the telemetry schema as a registry for OpenTelemetry Weaver, from the code's declarations.

`python -m tools.reference` writes `telemetry/registry/current`. `telemetry/registry/released` is
what it was when the last release was made: what is there may not go without a word, because
dashboards, alerts and stores name it. `python -m tools.registry`, run once a release is made, takes
the current one for released. docs/schema.md says how others use it.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_args

import yaml

from service.errors import RequestError
from service.http.measure import METHODS, OTHER_METHOD
from service.scoring.checkpoint import LABELS
from service.scoring.events import Cut, Lookup
from service.scoring.model_spec import Role
from service.scoring.score import TENTHS
from service.scoring.timeline import STAGES
from service.version import __version__
from telemetry import conventions
from telemetry.conventions import RECOMMENDED, Attribute, Deprecated, Span
from telemetry.instruments import METRICS, Metric
from telemetry.setup import SCHEMA_URL
from tools import yaml_text

FOLDER = Path(__file__).parent.parent / "telemetry" / "registry"
CURRENT, RELEASED = FOLDER / "current", FOLDER / "released"

Group = dict[str, Any]
Registry = dict[str, Any]
"""The documents of a registry's files, by their names."""

_PROBLEMS = tuple(sorted(problem.code for problem in RequestError.__subclasses__()))

MEMBERS: dict[str, tuple[str, ...]] = {
    "method": (*METHODS, OTHER_METHOD),
    "problem": _PROBLEMS,
    "stage": STAGES,
    "label": LABELS,
    "upper": TENTHS,
    "result": get_args(Lookup),
    "role": get_args(Role),
    "against_label": LABELS,
    "mgeo.batch.cut": get_args(Cut),
    "mgeo.problem": _PROBLEMS,
}
"""All values of attributes whose lists are the service's."""


class RegistryError(ValueError):
    """The declarations break what was released, or themselves."""


@dataclass(frozen=True)
class Schema:
    """What the code declares."""

    metrics: Sequence[Metric] = METRICS
    attributes: Mapping[str, Attribute] = field(default_factory=lambda: conventions.ATTRIBUTES)
    spans: Sequence[Span] = conventions.SPANS
    deprecated: Sequence[Deprecated] = conventions.DEPRECATED
    members: Mapping[str, Sequence[str]] = field(default_factory=lambda: MEMBERS)

    def values(self, key: str) -> Sequence[str]:
        """All values of an attribute; none if they are no closed list."""
        return self.attributes[key].members or self.members.get(key, ())


def registry(schema: Schema, released: Registry) -> Registry:
    """The registry of what is declared, and of what was released and is deprecated.

    Raises:
        RegistryError: Something released is gone or means something else, a deprecation is of
            nothing, or an attribute is not declared.
    """
    if undeclared := sorted(_used(schema) - schema.attributes.keys()):
        raise RegistryError(
            f"telemetry/conventions.py does not declare {', '.join(undeclared)}; add what it means"
        )
    written: Registry = {
        "manifest.yaml": _manifest(),
        "attributes.yaml": {"groups": [_attributes(schema)]},
        "metrics.yaml": {
            "groups": [_metric(metric) for metric in schema.metrics],
            "imports": {"metrics": list(conventions.IMPORTED_METRICS)},
        },
        "spans.yaml": {"groups": [*_spans(schema), _resource()]},
    }
    before, declared = promises(released), promises(written)
    for one in schema.deprecated:
        _deprecate(one, written, released, before, declared)
    spans = written["spans.yaml"]
    spans["groups"] = [
        one for one in spans["groups"] if one["attributes"] or one["type"] == "event"
    ]
    if broken := sorted(_broken(before, promises(written))):
        raise RegistryError("\n".join(broken))
    return written


Promise = tuple[str, str]
"""What a dashboard, an alert or a query can name: its kind, as `Deprecated.what`, and its name."""


def promises(documents: Registry) -> dict[Promise, str]:
    """All that a registry names, each with what it may not become under that name."""
    found: dict[Promise, str] = {}
    for group in _groups(documents):
        for one in group.get("attributes", ()):
            if "id" in one:
                found["attribute", one["id"]] = _type(one)
                for member in _members(one):
                    found["member", f"{one['id']}={member['value']}"] = ""
            elif group["type"] != "attribute_group":
                found["label", f"{_name(group)}{{{one['ref']}}}"] = ""
        if group["type"] == "metric":
            found["metric", _name(group)] = f"{group['instrument']} in {group['unit']}"
        elif group["type"] != "attribute_group":
            found["span", _name(group)] = group.get("span_kind", "event")
    return found


def read(folder: Path) -> Registry:
    """The registry of a folder, empty if there is none."""
    return {path.name: yaml_text.read(path) for path in folder.glob("*.yaml")}


def file(name: str) -> bytes:
    """What a file of the current registry is to hold."""
    return _as_yaml(registry(Schema(), read(RELEASED))[name])


def main() -> int:
    """Take the current registry for the released one."""
    RELEASED.mkdir(parents=True, exist_ok=True)
    for name, document in registry(Schema(), read(RELEASED)).items():
        (RELEASED / name).write_bytes(_as_yaml(document))
    print(f"the telemetry schema of {__version__} counts as released: {RELEASED}")
    return 0


def _as_yaml(document: Any) -> bytes:
    text = yaml.safe_dump(document, sort_keys=False, allow_unicode=True, width=100)
    head = "# Written by `python -m tools.reference` from telemetry/: see docs/schema.md.\n"
    return (head + text).encode()


def _used(schema: Schema) -> set[str]:
    holders: tuple[Metric | Span, ...] = (*schema.metrics, *schema.spans)
    return {key for one in holders for key in one.attributes} | conventions.RESOURCE.keys()


def _manifest() -> Group:
    version = SCHEMA_URL.rpartition("/")[2]
    return {
        "name": "mgeo-inference",
        "description": "Metrics and spans of the MGeo inference service.",
        # Identifies it, as the format wants; there is nothing to fetch.
        "schema_url": f"https://mgeo-inference.invalid/schemas/{__version__}",
        "dependencies": [
            {
                "schema_url": SCHEMA_URL,
                "registry_path": "https://github.com/open-telemetry/semantic-conventions"
                f"@v{version}[model]",
            }
        ],
    }


def _attributes(schema: Schema) -> Group:
    stable = {key for metric in schema.metrics if metric.is_stable for key in metric.attributes}
    return {
        "id": "registry.mgeo",
        "type": "attribute_group",
        "display_name": "Attributes of the service's own",
        "brief": "Attributes of metrics and spans that OpenTelemetry's conventions do not have.",
        "attributes": [
            _attribute(schema, one, "stable" if one.key in stable else "development")
            for one in schema.attributes.values()
            if not one.is_standard
        ],
    }


def _attribute(schema: Schema, one: Attribute, stability: str) -> Group:
    spec: Group = {"id": one.key, "type": one.type, "stability": stability, "brief": one.brief}
    if values := schema.values(one.key):
        spec["type"] = {
            "members": [
                {"id": re.sub(r"\W", "_", value), "value": value, "stability": stability}
                for value in values
            ]
        }
    elif one.examples:
        spec["examples"] = list(one.examples)
    return spec


def _metric(metric: Metric) -> Group:
    group: Group = {
        "id": f"metric.{metric.name}",
        "type": "metric",
        "metric_name": metric.name,
        "stability": "stable" if metric.is_stable else "development",
        "brief": metric.description,
        "instrument": metric.kind.replace("_", ""),
        "unit": metric.unit,
    }
    if metric.attributes:
        group["attributes"] = _references(metric)
    return group


def _spans(schema: Schema) -> Iterator[Group]:
    bare = [f"`{span.name}`" for span in schema.spans if not span.attributes]
    for span in schema.spans:
        group: Group = {
            "id": f"{'event' if span.kind == 'event' else 'span'}.mgeo.{_slug(span)}",
            "type": "event" if span.kind == "event" else "span",
            "stability": "development",
            "brief": span.brief,
        }
        if span.kind == "event":
            group["name"] = span.name
        else:
            group["span_kind"] = span.kind
        if span.kind == "server" and bare:  # the format has no spans without
            group["note"] = f"Of its children, {' and '.join(bare)} have no attributes."
        yield group | {"attributes": _references(span)}


def _slug(span: Span) -> str:
    return "server" if span.kind == "server" else span.name


def _resource() -> Group:
    conditions = {key: condition for key, condition in conventions.RESOURCE.items() if condition}
    return {
        "id": "resource.mgeo",
        "type": "attribute_group",
        "brief": "Whose metrics, spans and log lines these are.",
        "attributes": [_reference(key, conditions) for key in conventions.RESOURCE],
    }


def _references(one: Metric | Span) -> list[Group]:
    return [_reference(key, one.conditions) for key in one.attributes]


def _reference(key: str, conditions: Mapping[str, str]) -> Group:
    level: str | dict[str, str] = "required"
    if key in conditions:
        condition = conditions[key]
        level = "recommended" if condition == RECOMMENDED else {"conditionally_required": condition}
    return {"ref": key, "requirement_level": level}


def _deprecate(
    one: Deprecated,
    written: Registry,
    released: Registry,
    before: Mapping[Promise, str],
    declared: Mapping[Promise, str],
) -> None:
    """Put back what was released, marked as gone."""
    what: Promise = (one.what, one.name)
    if what not in before:
        raise RegistryError(f"{one.what} {one.name} is deprecated, and was never released")
    if what in declared:
        raise RegistryError(f"{one.what} {one.name} is deprecated, and still declared")
    if one.renamed_to is not None and (one.what, one.renamed_to) not in declared:
        raise RegistryError(
            f"{one.what} {one.name} is renamed to {one.renamed_to}, which is not declared"
        )
    marked: Group = {"note": one.note, "deprecated": {"reason": "obsoleted"}}
    if one.renamed_to is not None:
        prefix = "span.mgeo." if one.what == "span" else ""
        named = prefix + one.renamed_to.rpartition("=")[2]
        marked["deprecated"] = {"reason": "renamed", "renamed_to": named}
    [own] = written["attributes.yaml"]["groups"]
    [old_own] = released["attributes.yaml"]["groups"]
    if one.what == "attribute":
        own["attributes"].append(_find(old_own["attributes"], "id", one.name) | marked)
        for group in _groups(written):
            _put_back_label(group, one.name, one.note, released)
    elif one.what == "member":
        key, _, value = one.name.partition("=")
        _require(one, ("attribute", key), declared)
        [current] = [spec for spec in own["attributes"] if spec["id"] == key]
        if isinstance(current["type"], str):
            raise RegistryError(f"attribute {key} has lost its list of values; give it back")
        of_key = _find(old_own["attributes"], "id", key)
        current["type"]["members"].append(_find(_members(of_key), "value", value) | marked)
    elif one.what == "label":
        name, _, key = one.name.removesuffix("}").partition("{")
        _require(one, ("metric" if ("metric", name) in before else "span", name), declared)
        for group in _groups(written):
            if _name(group) == name:
                _put_back_label(group, key, one.note, released)
    else:
        file = "metrics.yaml" if one.what == "metric" else "spans.yaml"
        old = next(group for group in _groups(released) if _name(group) == one.name)
        written[file]["groups"].append(deepcopy(old) | marked)


def _require(one: Deprecated, holder: Promise, declared: Mapping[Promise, str]) -> None:
    if holder not in declared:
        raise RegistryError(
            f"{one.what} {one.name} goes with its {' '.join(holder)}: deprecate that alone"
        )


def _put_back_label(group: Group, key: str, note: str, released: Registry) -> None:
    """Name an attribute again that a group had when it was released; it is not sent any more."""
    old = next((old for old in _groups(released) if old["id"] == group["id"]), None)
    keys = [one.get("ref") for one in group.get("attributes", ())]
    if old and key in [one.get("ref") for one in old.get("attributes", ())] and key not in keys:
        gone = {"ref": key, "requirement_level": "opt_in", "note": f"Deprecated: {note}"}
        group.setdefault("attributes", []).append(gone)


def _broken(before: Mapping[Promise, str], after: Mapping[Promise, str]) -> Iterator[str]:
    for (what, name), meaning in before.items():
        if (what, name) not in after:
            yield (
                f"{what} {name} was released and is gone: name it in DEPRECATED of "
                "telemetry/conventions.py, with what has its place"
            )
        elif after[what, name] != meaning:
            yield (
                f"{what} {name} was released as {meaning} and is {after[what, name]}: give it "
                "another name, and deprecate this one"
            )


def _groups(documents: Registry) -> Iterator[Group]:
    for document in documents.values():
        yield from document.get("groups", ())


def _name(group: Group) -> str:
    return str(group.get("metric_name") or group["id"].rpartition(".")[2])


def _type(attribute: Group) -> str:
    return attribute["type"] if isinstance(attribute["type"], str) else "string"


def _members(attribute: Group) -> list[Group]:
    return [] if isinstance(attribute["type"], str) else attribute["type"]["members"]


def _find(many: Sequence[Group], key: str, value: str) -> Group:
    return deepcopy(next(one for one in many if one[key] == value))


if __name__ == "__main__":
    sys.exit(main())
