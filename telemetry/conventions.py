"""Every attribute of metrics and spans, every span, and the resource: what each means, and when it
is there. The only place; `instruments.py` has the metrics.

`tools/registry.py` writes the registry for OpenTelemetry Weaver from both (docs/schema.md), and
`privacy.py` lets no attribute of a span out that is not here. So add one here only if its values
are numbers or come from a closed list of the code's own: no client can put an address into it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

Type = Literal["string", "int"]

RECOMMENDED = ""
"""In place of a condition: the attribute is there if it is known, without a promise."""


@dataclass(frozen=True, slots=True)
class Attribute:
    """One attribute key.

    Attributes:
        key: Its name.
        brief: One sentence; empty for those of OpenTelemetry's semantic conventions, which have
            theirs there.
        type: Of its values.
        members: All its values, where that list is telemetry's own. Lists of the service's are
            read from the service (`tools/registry.py`).
        examples: Some values, where there is no list.
    """

    key: str
    brief: str = ""
    type: Type = "string"
    members: tuple[str, ...] = ()
    examples: tuple[str, ...] = ()

    @property
    def is_standard(self) -> bool:
        """Whether OpenTelemetry's semantic conventions define it."""
        return not self.brief


@dataclass(frozen=True, slots=True)
class Span:
    """One kind of span, or of an event on spans.

    Attributes:
        name: Its name; of the server span, what that is made of.
        kind: Its kind; `event` for an event.
        brief: One sentence for people who read a trace.
        attributes: Keys of its attributes.
        conditions: Those that are not always there: when they are, or `RECOMMENDED`.
    """

    name: str
    kind: Literal["server", "internal", "event"]
    brief: str
    attributes: tuple[str, ...] = ()
    conditions: Mapping[str, str] = field(default_factory=dict, hash=False)


ATTRIBUTES: dict[str, Attribute] = {
    one.key: one
    for one in (
        # Of metrics. The first five are the original script's, which had no namespaces.
        Attribute("method", "HTTP method; `_OTHER` for one that HTTP does not have."),
        Attribute(
            "endpoint", "Route, as the code declares it; `unmatched` where none takes the path.",
            examples=("/predict", "/v2/models/<name>/infer", "unmatched"),
        ),
        Attribute("status", "HTTP status of the answer.", examples=("200", "429")),
        Attribute("gpu_id", "Number of the GPU, as NVML counts.", examples=("0",)),
        Attribute(
            "model", "Name: of the model that was loaded, or, of a GPU's metrics, of the GPU.",
            examples=("mgeo-small-generated", "NVIDIA H200"),
        ),
        Attribute(
            "status_class", "First digit of the HTTP status.",
            members=("2xx", "3xx", "4xx", "5xx"),
        ),
        Attribute(
            "model_version", "First digits of the checksum of the model's weights.",
            examples=("bc497b6c3d1d",),
        ),
        Attribute("problem", "Last part of the problem's type, as an error's body has it."),
        Attribute("stage", "Stage of a request."),
        Attribute("label", "Label that won."),
        Attribute("upper", "Upper end of the tenth that a similarity is in."),
        Attribute(
            "key", "Name of an API key, as the file of keys has it.", examples=("batch-jobs",)
        ),
        Attribute(
            "reason", "Why the service ended a connection.", members=("idle", "slow", "full")
        ),
        Attribute(
            "answer", "What the register has for an address.",
            members=("match", "no_match", "nothing_found"),
        ),
        Attribute(
            "register_version", "First digits of the checksum of the register.",
            examples=("5f2a0c9d1e7b",),
        ),
        Attribute("result", "How a pair was answered that may be in the cache."),
        Attribute("kind", "What tokens were computed for.", members=("real", "padding")),
        Attribute("error_type", "Type of the exception.", examples=("RuntimeError",)),
        Attribute("backend", "What runs the model.", examples=("openvino-f32", "torch-bf16")),
        Attribute("device", "Where it runs.", examples=("cpu", "cuda:0")),
        Attribute("variant", "Name that a model is declared with.", examples=("candidate",)),
        Attribute("role", "Whether a model answers, or is shown copies."),
        Attribute(
            "against", "Version of the model whose answer a shadow is compared with.",
            examples=("bc497b6c3d1d",),
        ),
        Attribute("against_label", "Label that was answered."),
        # Of spans.
        Attribute("mgeo.backend", "What runs the model.", examples=("openvino-f32",)),
        Attribute("mgeo.batch.computed_tokens", "Tokens with their padding.", "int"),
        Attribute("mgeo.batch.cut", "Why a batch is no larger."),
        Attribute(
            "mgeo.batch.lane", "Whether requests of a few pairs come first in it.",
            members=("interactive", "bulk"),
        ),
        Attribute("mgeo.batch.size", "Pairs in a batch.", "int"),
        Attribute("mgeo.batch.tokens", "Tokens of the pairs in a batch.", "int"),
        Attribute("mgeo.candidates", "Entries of the register that may be the address.", "int"),
        Attribute("mgeo.device", "Where the model runs.", examples=("cpu", "cuda:0")),
        Attribute(
            "mgeo.model_version", "First digits of the checksum of the model's weights.",
            examples=("bc497b6c3d1d",),
        ),
        Attribute("mgeo.pairs", "Pairs that are worked on.", "int"),
        Attribute("mgeo.pairs.cached", "Pairs that the cache had.", "int"),
        Attribute(
            "mgeo.pairs.coalesced", "Pairs that another request was having computed.", "int"
        ),
        Attribute("mgeo.problem", "Last part of the problem's type, as the body has it."),
        Attribute(
            "mgeo.register_version", "First digits of the checksum of the register.",
            examples=("5f2a0c9d1e7b",),
        ),
        Attribute(
            "mgeo.shadow.agreed", "Pairs to which a shadow gave the label that was answered.", "int"
        ),
        Attribute("mgeo.tokens", "Tokens of the pairs.", "int"),
        # OpenTelemetry's.
        Attribute("error.type"),
        Attribute("exception.type"),
        Attribute("http.request.method"),
        Attribute("http.response.status_code", type="int"),
        Attribute("http.route"),
        Attribute("hw.id"),
        Attribute("hw.type"),
        Attribute("network.protocol.version"),
        Attribute("server.port", type="int"),
        Attribute("url.scheme"),
        Attribute("service.name"),
        Attribute("service.version"),
        Attribute("service.instance.id"),
        Attribute("telemetry.sdk.language"),
        Attribute("telemetry.sdk.name"),
        Attribute("telemetry.sdk.version"),
        Attribute("k8s.container.name"),
        Attribute("k8s.deployment.name"),
        Attribute("k8s.namespace.name"),
        Attribute("k8s.node.name"),
        Attribute("k8s.pod.name"),
        Attribute("k8s.pod.uid"),
    )
}  # fmt: skip
"""Every attribute by its key."""

SPANS = (
    Span(
        "METHOD ROUTE", "server",
        "A request, from its arrival; named by its method and its route, if one takes it.",
        (
            "http.request.method", "http.response.status_code", "http.route", "url.scheme",
            "network.protocol.version", "server.port", "error.type", "mgeo.problem",
        ),
        {
            "http.response.status_code": "an answer was made",
            "http.route": "a route takes the path",
            "network.protocol.version": RECOMMENDED,
            "server.port": RECOMMENDED,
            "error.type": "the status is 5xx, or the application raised",
            "mgeo.problem": "it is answered with a problem",
        },
    ),
    Span(
        "admit", "internal", "Waits for a thread; the body is read and checked.",
        ("mgeo.pairs.cached", "mgeo.model_version"),
        {
            "mgeo.pairs.cached": "the request came to a model",
            "mgeo.model_version": "the request came to a model",
        },
    ),
    Span(
        "retrieve", "internal", "The register gives its candidates; only of `POST /match`.",
        ("mgeo.candidates", "mgeo.register_version"),
        {
            "mgeo.candidates": "the register answered",
            "mgeo.register_version": "the register answered",
        },
    ),
    Span(
        "tokenize", "internal", "Pairs become token ids.",
        ("mgeo.pairs", "mgeo.tokens"),
        {"mgeo.pairs": "it did not fail", "mgeo.tokens": "it did not fail"},
    ),
    Span("queue", "internal", "Waits for the first of its batches."),
    Span(
        "compute", "internal", "Until its last result; linked to its batches.",
        (
            "mgeo.batch.size", "mgeo.batch.tokens", "mgeo.batch.computed_tokens",
            "mgeo.pairs.coalesced", "mgeo.model_version", "mgeo.backend", "mgeo.device",
        ),
    ),
    Span("respond", "internal", "The answer is built."),
    Span(
        "batch", "internal",
        "One forward pass, in the trace of the first sampled request in it; linked to all of them.",
        (
            "mgeo.batch.size", "mgeo.batch.tokens", "mgeo.batch.computed_tokens",
            "mgeo.batch.lane", "mgeo.batch.cut", "mgeo.model_version", "error.type",
        ),
        {"error.type": "the pass raised"},
    ),
    Span(
        "shadow", "internal",
        "A shadow scores copies, in the trace of the first sampled request that they are of.",
        ("mgeo.model_version", "mgeo.pairs", "mgeo.shadow.agreed"),
        {"mgeo.shadow.agreed": "all copies were scored"},
    ),
    Span(
        "exception", "event", "Something was raised in a span; without its message.",
        ("exception.type",),
    ),
)  # fmt: skip
"""Every span, and the events on them."""

_IN_KUBERNETES = "it runs in Kubernetes, by the manifests here"

RESOURCE: dict[str, str | None] = {
    "service.name": None,
    "service.version": None,
    "service.instance.id": None,
    "telemetry.sdk.language": None,
    "telemetry.sdk.name": None,
    "telemetry.sdk.version": None,
    "k8s.container.name": _IN_KUBERNETES,
    "k8s.deployment.name": _IN_KUBERNETES,
    "k8s.namespace.name": _IN_KUBERNETES,
    "k8s.node.name": _IN_KUBERNETES,
    "k8s.pod.name": _IN_KUBERNETES,
    "k8s.pod.uid": _IN_KUBERNETES,
}
"""Whose telemetry it is: each attribute, and when it is there if not always."""

IMPORTED_METRICS = ("http.server.*", "otel.sdk.*", "process.*")
"""Metrics of OpenTelemetry's conventions that libraries make, by wildcards."""


@dataclass(frozen=True, slots=True)
class Deprecated:
    """A released name that is gone and never comes back: stores and dashboards may still have it.

    Attributes:
        what: `label` is an attribute of one metric: `mgeo.request{status}`; `member` a value of an
            attribute: `reason=idle`; others are named by their names.
        name: Its name.
        renamed_to: What has its place; None if nothing has.
        note: Why, for people.
    """

    what: Literal["metric", "label", "attribute", "member", "span"]
    name: str
    renamed_to: str | None
    note: str


DEPRECATED: tuple[Deprecated, ...] = ()
"""Released names that are gone: none yet. `tools/registry.py` refuses to drop a name that is not
listed here."""
