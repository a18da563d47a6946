"""The OpenAPI document is valid, and the service does what it says."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
import schemathesis
from hypothesis import assume, settings
from openapi_spec_validator import OpenAPIV31SpecValidator
from schemathesis.config import SchemathesisConfig
from schemathesis.specs.openapi.checks import positive_data_acceptance

from service.http import openapi, predict, request_context, schemas
from service.scoring import checkpoint, refusal
from service.scoring.tokens import PairTokenizer
from tests.conftest import TINY, Running, examples, is_quick
from tools import reference

ROOT = Path(__file__).parent.parent.parent

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
TENSORS = [
    {"name": name, "shape": [1], "datatype": "BYTES", "data": ["文三路478号"]}
    for name in ("address1", "address2")
]

_TINY = checkpoint.read(TINY)
READER = PairTokenizer(_TINY.vocabulary, lower_case=True, max_tokens=512)

CONFIG = SchemathesisConfig.from_dict(
    {
        # Too long a list is 413, which these checks take for neither yes nor no.
        "checks": {
            "negative_data_rejection": {"expected-statuses": ["400", "404", "405", "413", "415"]},
        },
        "parameters": {"path.name": "tiny", "path.version": checkpoint.read(TINY).version},
        "generation": {"allow-x00": True, "codec": "utf-8"},
        # Sixty cases at the limits of each operation: half a minute's work.
        "phases": {"coverage": {"enabled": not is_quick()}},
    }
)


# The document as it is checked in, with default limits: those of the running service.
schema = schemathesis.openapi.from_path(ROOT / "docs" / "openapi.json", config=CONFIG)


@schema.parametrize()
@settings(max_examples=examples(25))
def test_the_service_does_what_the_document_says(case: schemathesis.Case, running: Running) -> None:
    positive = case.meta and case.meta.generation.mode.is_positive
    if positive and isinstance(case.body, dict):
        # A schema cannot know all cities, and in which province each of them is.
        for name in ("default_province", "default_city"):
            case.body.pop(name, None)
        # JSON Schema's regular expressions cannot name what is no address, or what no model reads.
        # Such text is replaced: to look for other examples would leave too few.
        case.body = _readable(case.body)
    # HTTP lets anybody send further headers.
    assume("x-schemathesis-unknown-property" not in (case.headers or {}))
    # A deadline of a millisecond is taken, and rightly missed.
    deadline = str((case.headers or {}).get(request_context.HEADER, ""))
    if deadline.isdecimal() and int(deadline) >= 1:
        case.headers[request_context.HEADER] = str(max(int(deadline), 30_000))
    if case.path == "/traces/{trace_id}" and positive:
        # Of all ids, ask for one that there is.
        parent = {"traceparent": f"00-{TRACE}-{1:016x}-01"}
        running.post("/predict", {"address1": "甲", "address2": "乙"}, headers=parent)
        case.path_parameters["trace_id"] = TRACE
    # That two tensors agree in length is beyond JSON Schema too, and so is what bytes mean.
    beyond = []
    if case.path.endswith("/infer") and positive:
        if isinstance(case.body, dict):
            case.body["inputs"] = TENSORS
            # Nor can it say that no output may be asked for twice.
            asked = case.body.get("outputs") or []
            case.body["outputs"] = [*{output["name"]: output for output in asked}.values()]
        else:
            beyond = [positive_data_acceptance]
    case.call_and_validate(base_url=running.predictions, excluded_checks=beyond)


def _readable(value: Any) -> Any:
    """The same with an address in the place of each text that is none."""
    if isinstance(value, str):
        return value if _is_address(value) or not value.strip() else "文三路478号"
    if isinstance(value, dict):
        return {name: _readable(part) for name, part in value.items()}
    return [_readable(part) for part in value] if isinstance(value, list) else value


def _is_address(text: str) -> bool:
    """Whether the tiny model reads most of it, and it is no placeholder."""
    [read] = READER.encode([(text, "1")])
    return refusal.of((text, "1"), read) is None


def test_the_page_has_chinese_for_what_it_tells_of_the_document_and_for_nothing_else() -> None:
    document = json.loads((ROOT / "docs" / "openapi.json").read_text())
    words = (ROOT / "service" / "http" / "assets" / "docs.words.js").read_text()
    chinese = {json.loads(key) for key in re.findall(r'^  ("(?:[^"\\]|\\.)*"):$', words, re.M)}
    told = set()
    for operation in [one for item in document["paths"].values() for one in item.values()]:
        told |= {*operation["tags"], operation["summary"], operation.get("description", "")}
        answer = operation["responses"]["200"]["content"]
        shown = [operation.get("parameters"), operation.get("requestBody"), answer]
        told |= {*_descriptions(shown, document["components"]["schemas"], set())}
    assert chinese == told - {""}


def _descriptions(part: Any, schemas: dict[str, Any], seen: set[str]) -> Iterator[str]:
    """The descriptions in a part of the document, and in the schemas that it refers to."""
    if isinstance(part, list):
        for one in part:
            yield from _descriptions(one, schemas, seen)
    elif isinstance(part, dict):
        name = part.get("$ref", "").rpartition("/")[2]
        if name and name not in seen:
            yield from _descriptions(schemas[name], schemas, {*seen, name})
        for key, value in part.items():
            if key == "description" and isinstance(value, str):
                yield value
            elif key != "examples":
                yield from _descriptions(value, schemas, seen)


def test_the_document_is_valid_openapi(running: Running) -> None:
    document = requests.get(running.predictions + "/openapi.json", timeout=60).json()
    OpenAPIV31SpecValidator(document).validate()
    assert document["openapi"] == "3.1.0"


def test_the_document_is_sent_again_only_when_it_has_changed(running: Running) -> None:
    url = running.predictions + "/openapi.json"
    first = requests.get(url, timeout=60)
    assert first.headers["Cache-Control"] == "no-cache"
    again = requests.get(url, headers={"If-None-Match": first.headers["ETag"]}, timeout=60)
    assert (again.status_code, again.content) == (304, b"")


def test_exactly_the_operations_that_are_not_open_take_a_key_and_may_answer_401() -> None:
    document = openapi.document(reference.operations())
    assert document["components"]["securitySchemes"]["key"] == {"type": "http", "scheme": "bearer"}
    operations = {
        path: operation for path, item in document["paths"].items() for operation in item.values()
    }
    closed = set(operations) - {openapi.templated(rule) for rule in predict.OPEN}
    assert {path for path, one in operations.items() if "401" in one["responses"]} == closed
    secured = {path: one["security"] for path, one in operations.items() if "security" in one}
    assert secured == {path: [{}, {"key": []}] for path in closed}
    assert {"/predict", "/model", "/v2", "/v2/models/{name}", "/traces/{trace_id}"} <= closed


def test_a_field_that_may_be_absent_is_not_required() -> None:
    assert openapi.schema_of(schemas.Model)["required"] == ["name", "version", "backend"]


def test_two_schemas_of_one_name_are_refused() -> None:
    named = {"Model": {"type": "string"}}
    with pytest.raises(ValueError, match="two schemas are named Model"):
        openapi._hoisted(openapi.schema_of(schemas.Model), named)


def test_what_the_service_takes_for_blank_the_document_does_too() -> None:
    # JSON Schema's regular expressions are ECMAScript's, whose \s is not Python's.
    ecmascript = "\t\n\v\f\r \xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000\ufeff"
    shape = schemas.pair(schemas.Limits(address_chars=7, batch_pairs=3)).schema()
    pattern = shape["properties"]["address1"]["pattern"]
    read = re.compile(pattern.replace(r"\S", f"[^{ecmascript}]").replace(r"\s", ecmascript))
    blank = [character for character in map(chr, range(0x110000)) if character.isspace()]
    assert len(blank) > 20
    assert [character for character in blank if read.search(character)] == []


def test_the_limits_that_are_set_are_in_the_document() -> None:
    shape = schemas.batch(schemas.Limits(address_chars=7, batch_pairs=3)).schema()
    pairs = shape["properties"]["pairs"]
    assert pairs["maxItems"] == 3
    address = pairs["items"]["anyOf"][0]["properties"]["address2"]
    assert (address["minLength"], address["maxLength"]) == (1, 7)
