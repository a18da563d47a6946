"""The Open Inference Protocol, asked by the public client that people use, and by hand."""

from __future__ import annotations

import base64
import json
import struct
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import requests
from hypothesis import given
from hypothesis import strategies as st
from tritonclient.http import InferenceServerClient, InferInput, InferRequestedOutput
from tritonclient.utils import InferenceServerException

from service.errors import RequestError
from service.http import tensors
from service.http.infer import OUTPUTS
from service.http.measure import HEALTH
from service.http.tensors import InferOutput
from tests.conftest import Running, start

ONE = ["紫萱路363号人力社保局", "栖霞区文枢东路2号", "😀路"]
TWO = ["紫萱路363号市人社局", "栖霞区文枢东路2号书店", "a"]
LABELS = ["exact_match", "partial_match", "not_match"]


@pytest.fixture(scope="module")
def client(running: Running) -> Iterator[InferenceServerClient]:
    client = InferenceServerClient(running.predictions.removeprefix("http://"))
    yield client
    client.close()


def _tensor(name: str, texts: list[str], *, binary: bool, nested: bool = False) -> InferInput:
    shape = [len(texts), 1] if nested else [len(texts)]
    tensor = InferInput(name, shape, "BYTES")
    values = np.array([text.encode() for text in texts], dtype=np.object_).reshape(shape)
    tensor.set_data_from_numpy(values, binary_data=binary)
    return tensor


def _inputs(*, binary: bool, nested: bool = False) -> list[InferInput]:
    columns = {"address2": TWO, "address1": ONE}  # in any order
    return [_tensor(name, texts, binary=binary, nested=nested) for name, texts in columns.items()]


def _expected(running: Running) -> list[dict[str, Any]]:
    pairs = [{"address1": a, "address2": b} for a, b in zip(ONE, TWO, strict=True)]
    results: list[dict[str, Any]] = running.post("/predict/batch", {"pairs": pairs}).json()[
        "results"
    ]
    return results


def test_the_server_and_its_model_describe_themselves(client: InferenceServerClient) -> None:
    assert client.is_server_live()
    assert client.is_server_ready()
    server = client.get_server_metadata()
    assert (server["name"], server["extensions"]) == ("mgeo-inference", ["binary_tensor_data"])
    model = client.get_model_metadata("tiny")
    assert model["inputs"] == [
        {"name": "address1", "datatype": "BYTES", "shape": [-1]},
        {"name": "address2", "datatype": "BYTES", "shape": [-1]},
    ]
    assert {out["name"]: (out["datatype"], out["shape"]) for out in model["outputs"]} == {
        "similarity": ("FP32", [-1]),
        "label": ("BYTES", [-1]),
        "probabilities": ("FP32", [-1, 3]),
        "truncated": ("BOOL", [-1]),
        "unread": ("FP32", [-1]),
    }
    [version] = model["versions"]
    assert client.is_model_ready("tiny")
    assert client.is_model_ready("tiny", version)
    assert client.get_model_metadata("tiny", version) == model
    assert not client.is_model_ready("other")
    assert not client.is_model_ready("tiny", "1")


@pytest.mark.parametrize("nested", [False, True])
@pytest.mark.parametrize("binary_in", [False, True])
@pytest.mark.parametrize("binary_out", [False, True, None])
def test_the_public_client_infers_what_predict_answers(
    client: InferenceServerClient,
    running: Running,
    nested: bool,
    binary_in: bool,
    binary_out: bool | None,
) -> None:
    names = ["probabilities", "label", "similarity", "truncated"]
    outputs = [InferRequestedOutput(name, binary_data=bool(binary_out)) for name in names]
    answer = client.infer(
        "tiny",
        _inputs(binary=binary_in, nested=nested),
        outputs=None if binary_out is None else outputs,
        request_id="seven",
    )
    head = answer.get_response()
    assert (head["id"], head["model_name"]) == ("seven", "tiny")
    assert head["parameters"] == {"backend": "openvino-f32"}
    expected = _expected(running)
    label = [
        text.decode() if isinstance(text, bytes) else text for text in answer.as_numpy("label")
    ]
    assert label == [one["label"] for one in expected]
    probabilities = answer.as_numpy("probabilities")
    assert probabilities.dtype == np.float32
    assert probabilities == pytest.approx(
        np.array([[one["probabilities"][name] for name in LABELS] for one in expected]), abs=1e-5
    )
    similarity = answer.as_numpy("similarity")
    assert similarity == pytest.approx([one["similarity"] for one in expected], abs=1e-5)
    assert answer.as_numpy("truncated").tolist() == [False] * 3
    if binary_out is not None:
        assert [output["name"] for output in head["outputs"]] == names


def test_one_output_alone_may_be_binary(client: InferenceServerClient) -> None:
    outputs = [
        InferRequestedOutput("label", binary_data=True),
        InferRequestedOutput("similarity", binary_data=False),
    ]
    answer = client.infer("tiny", _inputs(binary=True), outputs=outputs)
    label, similarity = answer.get_response()["outputs"]
    assert "data" not in label
    assert "data" in similarity
    assert answer.as_numpy("label").shape == answer.as_numpy("similarity").shape == (3,)


def test_what_is_wrong_reaches_the_client(client: InferenceServerClient) -> None:
    with pytest.raises(InferenceServerException, match=r"\[404\] no model has this name and ver"):
        client.infer("other", _inputs(binary=False))
    short = [_tensor("address1", ONE, binary=True), _tensor("address2", ["a"], binary=True)]
    message = r"\[400\] address1 has 3 elements and address2 1"
    with pytest.raises(InferenceServerException, match=message):
        client.infer("tiny", short)
    with pytest.raises(InferenceServerException, match="classification is not supported"):
        client.infer("tiny", short, outputs=[InferRequestedOutput("label", class_count=2)])
    with pytest.raises(InferenceServerException, match="compressed bodies are not taken"):
        client.infer("tiny", _inputs(binary=True), request_compression_algorithm="gzip")


def _json(**changed: Any) -> dict[str, Any]:
    tensor = {"name": "address1", "shape": [1], "datatype": "BYTES", "data": ["a"]} | changed
    other = {"name": "address2", "shape": [1], "datatype": "BYTES", "data": ["b"]}
    return {"inputs": [tensor, other]}


@pytest.mark.parametrize(
    ("body", "status", "detail"),
    [
        ([], 400, "a JSON object with inputs is expected"),
        ({}, 400, "inputs must be a list"),
        ({"inputs": [7]}, 400, "inputs[0]: a JSON object with name and shape and datatype is"),
        ({"inputs": _json()["inputs"][:1]}, 400, "the input address2 is missing"),
        ({"inputs": _json()["inputs"][:1] * 2}, 400, "address1 is given twice"),
        (_json() | {"id": 7}, 400, "id must be a string"),
        (_json() | {"parameters": 7}, 400, "parameters must be an object"),
        (_json() | {"parameters": {"timeout": 7}}, 400, "parameters.timeout is not supported"),
        (_json() | {"outputs": [{"name": "x"}]}, 400, "outputs[0].name must be one of similarity"),
        (_json(name="address3"), 400, "inputs[0].name must be one of address1, address2"),
        (_json(datatype="FP32"), 400, "inputs[0].datatype must be one of BYTES"),
        (_json(shape=[2]), 400, "address1 has 1 elements, its shape says 2"),
        (_json(shape=[1, 2]), 400, "address1: a shape of [pairs] or [pairs, 1] is expected"),
        (_json(shape=[1, 1, 1]), 400, "address1: a shape of [pairs] or [pairs, 1] is expected"),
        (_json(shape=[1] * 9), 400, "address1: a shape of [pairs] or [pairs, 1] is expected"),
        (_json(shape=[]), 400, "inputs[0].shape is empty"),
        (_json(shape=[-1]), 400, "inputs[0].shape[0] must be from 1"),
        (_json(shape=[1.5]), 400, "inputs[0].shape[0] must be a whole number"),
        (_json(shape=1), 400, "inputs[0].shape must be a list"),
        (_json(datatype="bytes"), 400, "inputs[0].datatype must be one of BYTES"),
        (_json(datatype="STRING"), 400, "inputs[0].datatype must be one of BYTES"),
        ({"inputs": _json()["inputs"] + _json()["inputs"][:1]}, 400, "address1 is given twice"),
        (
            _json() | {"outputs": [{"name": "label"}] * 5},
            400,
            "the output label is asked for twice",
        ),
        (_json(parameters={"content_type": "pd_json"}), 400, "content_type must be one of str"),
        (_json(parameters={"content_type": "datetime"}), 400, "content_type must be one of str"),
        (_json(parameters={"content_type": 7}), 400, "content_type must be one of str"),
        (_json() | {"parameters": {"content_type": "base64"}}, 400, "parameters.content_type must"),
        (
            _json() | {"outputs": [{"name": "label", "parameters": {"content_type": "base64"}}]},
            400,
            "outputs[0].parameters.content_type must be one of str, np, pd",
        ),
        (_json(parameters={"content_type": "base64"}), 400, "address1[0] is not UTF-8 text in b"),
        (
            _json(parameters={"content_type": "base64"}, data=["/w=="]),
            400,
            "address1[0] is not UTF-8 text in base64",
        ),
        (
            _json(parameters={"content_type": "base64"}, data=["IA=="]),
            400,
            "address1[0] is empty",
        ),
        (
            _json(parameters={"content_type": "base64"}, data=[7]),
            400,
            "address1[0] is not UTF-8 text in base64",
        ),
        (_json(parameters={"binary_data_size": -1}, data=None), 400, "binary_data_size must be fr"),
        (_json(parameters={"binary_data_size": "4"}, data=None), 400, "must be a whole number"),
        (_json(parameters={"binary_data_size": 0}, data=None), 400, "address1 has 0 elements, its"),
        (_json(parameters=[]), 400, "inputs[0].parameters must be an object"),
        (_json(shape=[0]), 400, "inputs[0].shape[0] must be from 1"),
        (_json(shape=[True]), 400, "inputs[0].shape[0] must be a whole number"),
        (_json(shape=[257]), 413, "address1 has 257 elements; the limit is 256"),
        (_json(data=None), 400, "address1.data must be a list"),
        (_json(data=[7]), 400, "address1[0] must be a string"),
        (_json(data=[" "]), 400, "address1[0] is empty"),
        (_json(data=["\u200b"]), 400, "address1[0] or address2[0]: an address has no readable"),
        (_json(data=["路" * 513]), 400, "address1[0] has 513 characters; the limit is 512"),
        (_json(parameters={"binary_data_size": 4}), 400, "address1 has both data and binary"),
        (_json(parameters={"binary_data_size": 4}, data=None), 400, "address1 has 4 bytes, but 0"),
        (_json(parameters={"shared_memory_region": "x"}), 400, "shared_memory_region is not"),
    ],
)
def test_what_cannot_be_read_is_named(
    running: Running, body: Any, status: int, detail: str
) -> None:
    answer = requests.post(running.predictions + "/v2/models/tiny/infer", json=body, timeout=30)
    told = answer.json()
    assert (answer.status_code, told["status"]) == (status, status), told
    assert detail in told["error"]
    assert told["error"] == told["detail"]


def _outputs(running: Running, body: dict[str, Any]) -> list[dict[str, Any]]:
    answer = requests.post(running.predictions + "/v2/models/tiny/infer", json=body, timeout=30)
    assert answer.status_code == 200, answer.text
    outputs: list[dict[str, Any]] = answer.json()["outputs"]
    return outputs


def test_no_outputs_asked_for_are_all_of_them(running: Running) -> None:
    every = _outputs(running, _json())
    assert [output["name"] for output in every] == list(OUTPUTS)
    for none in ([], None):
        assert _outputs(running, _json() | {"outputs": none}) == every


def test_text_in_base64_is_the_text(running: Running) -> None:
    def similarity(data: str, **parameters: Any) -> float:
        body = _json(data=[data], parameters=parameters) | {"outputs": [{"name": "similarity"}]}
        [output] = _outputs(running, body)
        return float(output["data"][0])

    text = "紫萱路363号"
    coded = base64.b64encode(text.encode()).decode()
    assert similarity(coded, content_type="base64") == pytest.approx(similarity(text), abs=1e-6)
    assert similarity(coded) != pytest.approx(similarity(text), abs=1e-6)
    for kind in ("str", "np", "pd", None):
        assert similarity(text, content_type=kind) == pytest.approx(similarity(text), abs=1e-6)


@pytest.mark.parametrize(
    "more",
    [
        {"id": ""}, {"id": None}, {"parameters": None}, {"parameters": {"content_type": "pd"}},
        {"parameters": {"priority": 1}}, {"unknown": 1},
    ],
)  # fmt: skip
def test_what_changes_nothing_is_taken(running: Running, more: dict[str, Any]) -> None:
    assert _outputs(running, _json() | more) == _outputs(running, _json())
    nested = _json(shape=[1, 1], data=[["a"]])
    assert _outputs(running, nested | more) == _outputs(running, _json())


@pytest.mark.parametrize(
    ("length", "raw", "detail"),
    [
        ("x", b"", "Inference-Header-Content-Length must be a number of bytes"),
        ("-1", b"", "must be a number of bytes"),
        ("٣", b"", "must be a number of bytes"),
        ("99999", b"", "Inference-Header-Content-Length is 99999, but the body has"),
        (None, b"\x01\x00\x00", "address1[0]: the tensor ends within its length"),
        (None, b"\x09\x00\x00\x00a", "address1[0] has 9 bytes, but 1 are left"),
        (None, b"\x01\x00\x00\x00\xff", "address1[0] is not UTF-8"),
    ],
)
def test_a_binary_tensor_that_is_cut_or_garbled_is_named(
    running: Running, length: str | None, raw: bytes, detail: str
) -> None:
    body = _json(parameters={"binary_data_size": len(raw)}, data=None)
    head = json.dumps(body).encode()
    answer = requests.post(
        running.predictions + "/v2/models/tiny/infer",
        data=head + raw,
        headers={"Inference-Header-Content-Length": (length or str(len(head))).encode()},
        timeout=30,
    )
    assert answer.status_code == 400
    assert detail in answer.json()["error"]


def test_bytes_behind_the_last_tensor_are_refused(running: Running) -> None:
    head = json.dumps(_json()).encode()
    headers = {"Inference-Header-Content-Length": str(len(head))}
    answer = requests.post(
        running.predictions + "/v2/models/tiny/infer", head + b"more", headers=headers, timeout=30
    )
    assert answer.json()["error"] == "4 bytes follow the last tensor"


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]))))
def test_texts_in_the_binary_form_read_back(texts: list[str]) -> None:
    raw = InferOutput("x", "BYTES", [len(texts)], texts).raw()
    assert tensors.texts(memoryview(raw), "x") == texts


@given(st.binary(max_size=64))
def test_any_bytes_are_texts_or_refused(raw: bytes) -> None:
    try:
        texts = tensors.texts(memoryview(raw), "x")
    except RequestError:
        return
    assert InferOutput("x", "BYTES", [len(texts)], texts).raw() == raw


def test_numbers_are_little_endian() -> None:
    assert InferOutput("x", "FP32", [2], [1.0, -0.5]).raw() == struct.pack("<ff", 1.0, -0.5)
    assert InferOutput("x", "BOOL", [2], [True, False]).raw() == b"\x01\x00"


def test_health_is_in_no_metric_and_the_name_of_no_model_either() -> None:
    running = start()
    try:
        version = requests.get(running.predictions + "/v2/models/tiny", timeout=60).json()
        for rule in HEALTH:
            path = rule.replace("<name>", "tiny").replace("<version>", version["versions"][0])
            answer = requests.get(running.predictions + path, timeout=60)
            assert answer.status_code == 200, path
            wrong = requests.post(running.predictions + path, timeout=60)
            assert wrong.status_code == 405
            assert "traceparent" not in {**answer.headers, **wrong.headers}
        requests.get(running.predictions + "/v2/models/tiny", timeout=60)
        metrics = running.get("/metrics").text
        counted = [line for line in metrics.splitlines() if line.startswith("mgeo_request_total")]
        assert [line for line in counted if "ready" in line or "health" in line] == []
        assert any('endpoint="/v2/models/<name>"' in line for line in counted)
    finally:
        running.service.stop()


def test_every_route_left_out_of_the_metrics_exists(running: Running) -> None:
    rules = {rule.rule for rule in running.service.predictions.app.url_map.iter_rules()}
    assert set(HEALTH) <= rules
