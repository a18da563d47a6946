"""The Open Inference Protocol, version 2: what clients of Triton, KServe and others speak.

A request is two BYTES tensors of one length, `address1` and `address2`; the answer has a tensor
for each part of a prediction. The binary extension is taken and given.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Annotated, Any, TypedDict

from flask import Blueprint, Response, g, request

from service import __version__
from service.errors import NotReady, RequestError, UnknownModel
from service.http import infer, problems, request_context, schemas, tensors
from service.http.infer import INPUTS, OUTPUTS
from service.http.openapi import SCORING, Api, Operation
from service.http.schemas import Limits
from service.scoring.model import LoadedModel
from service.scoring.refusal import REFUSALS
from service.scoring.score import Score
from service.scoring.scorer import Scorer
from service.scoring.split import ModelSelector
from service.scoring.timeline import Timeline

_TAG = "Open Inference Protocol"


class Server(TypedDict):
    """Server metadata."""

    name: str
    version: str
    extensions: list[str]


class TensorInfo(TypedDict):
    """A tensor of the model; -1 stands for the number of pairs."""

    name: str
    datatype: str
    shape: list[int]


class ModelInfo(TypedDict):
    """Model metadata."""

    name: str
    versions: list[str]
    platform: str
    inputs: list[TensorInfo]
    outputs: list[TensorInfo]


class Live(TypedDict):
    """That the server is live."""

    live: Annotated[bool, {"const": True}]


class Ready(TypedDict):
    """That the server is ready."""

    ready: Annotated[bool, {"const": True}]


class ModelReady(Ready):
    """That the model is ready."""

    name: str


def add_routes(api: Api, scorer: Scorer, limits: Limits, stuck: Callable[[], bool]) -> None:
    """Add the protocol's routes.

    Args:
        api: Where to.
        scorer: Has the model, and scores.
        limits: Bounds on a request.
        stuck: Whether the engine makes no progress.
    """
    blueprint = Blueprint("open_inference", __name__)
    problems.register(blueprint, problem)
    shape = infer.body()

    def route(method: str, path: str, summary: str, **more: Any) -> Callable[[Any], Any]:
        operation = Operation(
            method=method, path=path, tag=_TAG, summary=summary, problem=schemas.Problem, **more
        )
        return api.route(operation, blueprint)

    def known(name: str, version: str | None) -> list[LoadedModel]:
        return scorer.models(ModelSelector(model=name, version=version or ""))

    @route("GET", "/v2", "What this server is.", answer=Server)
    def server() -> Server:
        extensions = ["binary_tensor_data"]
        return {"name": "mgeo-inference", "version": __version__, "extensions": extensions}

    @route("GET", "/v2/health/live", "Whether it works.", answer=Live, errors=(NotReady,))
    def live() -> Live:
        if stuck():
            raise NotReady("the engine is stuck; see /livez")
        return {"live": True}

    @route(
        "GET", "/v2/health/ready", "Whether it takes requests.", answer=Ready, errors=(NotReady,)
    )
    def ready() -> Ready:
        scorer.require_ready()
        return {"ready": True}

    unknown = (UnknownModel, NotReady)
    for versioned in ("", "/versions/<version>"):
        path = f"/v2/models/<name>{versioned}"
        of = "a version of a model" if versioned else "a model"

        @route("GET", path, f"The tensors of {of}.", answer=ModelInfo, errors=unknown)
        def metadata(name: str, version: str | None = None) -> ModelInfo:
            return describe(known(name, version))

        @route("GET", f"{path}/ready", f"Whether {of} is ready.", answer=ModelReady, errors=unknown)
        def model_ready(name: str, version: str | None = None) -> ModelReady:
            return {"name": known(name, version)[0].protocol_name, "ready": True}

        @route(
            "POST",
            f"{path}/infer",
            f"Score pairs by {of}.",
            body=shape,
            answer=infer.InferAnswer,
            binary=True,
            errors=SCORING,
        )
        def infer_pairs(name: str, version: str | None = None) -> Response:
            timeline: Timeline = g.timeline
            known(name, version)
            who = request_context.of(
                request.environ, ModelSelector(model=name, version=version or "")
            )
            head, raw = tensors.split(
                schemas.raw_body(), request.headers.get(tensors.HEADER_LENGTH)
            )
            asked = shape.read(head, "")
            pairs = infer.pairs(asked.inputs, raw, limits)
            answer = scorer.score(pairs, timeline, who)
            scores = [_scored(index, one) for index, one in enumerate(answer.outcomes)]
            return _response(*infer.answer(_identity(answer.model), asked, scores))

    api.mount(blueprint)


def describe(models: Sequence[LoadedModel]) -> ModelInfo:
    """The metadata of a model's versions, which are at least one."""
    model = models[0]
    return {
        "name": model.protocol_name,
        "versions": [version.checkpoint.version for version in models],
        "platform": f"mgeo_{model.backend.name}",
        "inputs": [{"name": name, "datatype": "BYTES", "shape": [-1]} for name in INPUTS],
        "outputs": [
            {"name": name, "datatype": datatype, "shape": [-1, *rest]}
            for name, (datatype, rest) in OUTPUTS.items()
        ],
    }


def problem(error: RequestError) -> schemas.Problem:
    """An error's document: `error` says what is wrong, as the protocol has it."""
    return {**schemas.problem(error), "error": str(error)}


def _identity(model: LoadedModel) -> dict[str, Any]:
    return {
        "model_name": model.protocol_name,
        "model_version": model.checkpoint.version,
        "parameters": {"backend": model.backend.name},
    }


def _scored(index: int, outcome: Score | RequestError) -> Score:
    if isinstance(outcome, REFUSALS):
        raise type(outcome)(f"address1[{index}] or address2[{index}]: {outcome}")
    if isinstance(outcome, RequestError):
        raise outcome
    return outcome


def _response(message: bytes, header_length: int | None) -> Response:
    if header_length is None:
        return Response(message, mimetype="application/json")
    response = Response(message, mimetype="application/octet-stream")
    response.headers[tensors.HEADER_LENGTH] = str(header_length)
    return response
