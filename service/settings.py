"""Every setting, once: its name, default, range and help.

The fields of `Settings` are the table that environment variables (`MGEO_PORT`), command-line flags
(`--port`) and the README's list are made from. A flag wins over the environment. The standard
`OTEL_*` variables are honoured by the OpenTelemetry SDK itself and are not repeated here.
"""

from __future__ import annotations

import argparse
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, cast

from service.errors import SettingsError

PREFIX = "MGEO_"
BUNDLED = "bundled"

_LINK = re.compile(
    r"_SERVICE_HOST|_SERVICE_PORT(_\w+)?|_PORT_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?"
)
"""What follows a service's name in the variables that Kubernetes sets."""


def _setting(
    default: Any,
    help_text: str,
    *,
    low: float | None = None,
    high: float | None = None,
    choices: tuple[str, ...] | None = None,
    pattern: str | None = None,
) -> Any:
    metadata = {
        "help": help_text, "low": low, "high": high, "choices": choices, "pattern": pattern,
    }  # fmt: skip
    return field(default=default, metadata=metadata)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The settings of one process, checked. See each field's help."""

    model: str = _setting(
        BUNDLED,
        "The model: `bundled`, a directory in ModelScope's layout, or a ModelScope id "
        "(`owner/name`, optionally `@revision`), downloaded once if it is not on this machine.",
    )
    models_file: str = _setting(
        "",
        "File that declares several models, their shares of the traffic and shadows, instead of "
        "one; see docs/versions.md. Read at the start, and again at POST /models or SIGHUP.",
    )
    register: str = _setting(
        "",
        "Directory of a register that `index build` has written, for POST /match. It is read again "
        "when it is replaced; without one, POST /match finds nothing and answers 404.",
    )
    device: str = _setting(
        "auto",
        "Where the model runs: `auto` takes the first GPU if there is one, else the CPU.",
        choices=("auto", "cpu", "cuda"),
    )
    backend: str = _setting(
        "auto",
        "What runs the model: `auto` takes the fastest backend that this processor supports and "
        "that agrees with fp32; see docs/backends.md. `model info` says which and why.",
        choices=(
            "auto",
            "torch",
            "torch-bf16",
            "torch-bf16-graphs",
            "openvino-f32",
            "openvino-bf16",
            "openvino-int8",
            "onnxruntime-int8",
        ),
    )
    cpu_threads: int = _setting(
        0,
        "Threads that compute on a CPU; 0 takes what the machine or container grants.",
        low=0,
        high=1024,
    )
    host: str = _setting(
        "127.0.0.1",
        "Address that the prediction listener binds; `::` is every address, IPv4's too.",
    )
    port: int = _setting(5000, "Port for predictions; 0 lets the system choose.", low=0, high=65535)
    metrics_host: str = _setting("127.0.0.1", "Address that the operations listener binds.")
    metrics_port: int = _setting(
        8000, "Port for metrics and health; 0 lets the system choose.", low=0, high=65535
    )
    api_keys_file: str = _setting(
        "",
        "File with the names and hashes of the API keys; without one, predictions need no key. It "
        "is read again when it changes. `python -m service key` makes a key.",
    )
    api_keys_grace: float = _setting(
        3600.0,
        "Seconds for which the last API keys are still admitted while their file cannot be read; "
        "then nobody is. A file that is removed or emptied admits nobody at once.",
        low=0,
        high=604_800,
    )
    http_threads: int = _setting(
        64,
        "Requests worked on at once. Each holds a thread while it waits for the model, so this "
        "must exceed the requests that should reach the queue.",
        low=1,
        high=1024,
    )
    max_waiting_requests: int = _setting(
        64,
        "Requests that may wait for one of these threads; further ones get 429 at once.",
        low=1,
        high=100_000,
    )
    max_connections: int = _setting(
        1000,
        "Open client connections. At the limit, those that have been silent longest are closed, "
        "and new ones wait to be accepted.",
        low=1,
        high=100_000,
    )
    receive_timeout: float = _setting(
        20.0,
        "Seconds from a request's first byte to its last before 408; 5 while all connections are "
        "in use.",
        low=0.1,
        high=3600,
    )
    max_body_bytes: int = _setting(
        1_048_576,
        "Largest request body, in bytes; held in memory, one for each connection.",
        low=1024,
        high=1_073_741_824,
    )
    max_address_chars: int = _setting(512, "Longest address, in characters.", low=1, high=100_000)
    max_batch_pairs: int = _setting(
        256,
        "Most pairs in one request: pairs of a batch, elements of a tensor.",
        low=1,
        high=100_000,
    )
    max_rerank_texts: int = _setting(
        1000,
        "Most candidates in one request to rerank. More than may wait for the model are refused.",
        low=1,
        high=100_000,
    )
    max_tokens: int = _setting(
        0,
        "Tokens of a pair that the model reads; the rest is cut. 0 takes the checkpoint's limit.",
        low=0,
        high=4096,
    )
    normalize: str = _setting(
        "auto",
        "What is done to an address before the model reads it: `none`; `nfkc` reads Ⅱ, ② and full "
        "width as plain characters; `simplified` also reads traditional characters as simplified "
        "ones. `auto` takes what the model's configuration.json asks for, `none` if nothing.",
        choices=("auto", "none", "nfkc", "simplified"),
    )
    max_queue_pairs: int = _setting(
        4096, "Pairs that may wait for the model; further requests get 429.", low=1, high=10_000_000
    )
    max_queue_tokens: int = _setting(
        262_144,
        "Tokens of all pairs that may wait for the model; further requests get 429. Long pairs "
        "take more time and memory, so pairs alone are no limit.",
        low=1,
        high=1_000_000_000,
    )
    cache_pairs: int = _setting(
        32_768,
        "Pairs whose results are kept, about 400 bytes each, so that a repeated one is answered "
        "without the model. 0 disables the cache and the joining of identical pairs that arrive "
        "together.",
        low=0,
        high=100_000_000,
    )
    batch_tokens: int = _setting(
        0,
        "Tokens computed at once, padding included. 0 takes 512 on a CPU; on a GPU 16384 with "
        "graphs, where two batches share them, and 8192 without. Larger values raise GPU "
        "throughput, and latency on every device.",
        low=0,
        high=10_000_000,
    )
    request_timeout: float = _setting(
        30.0,
        "Seconds a request may wait for its result before 504; one that would wait longer is "
        "refused at once with 429. A client asks for less by X-Envoy-Expected-Rq-Timeout-Ms.",
        low=0.01,
        high=3600,
    )
    stuck_after: float = _setting(
        60.0,
        "Seconds without progress on waiting work after which the engine counts as stuck and "
        "`/livez` fails. Must be longer than the slowest batch takes.",
        low=0.1,
        high=86400,
    )
    shutdown_delay: float = _setting(
        0.0,
        "Seconds after SIGTERM in which connections are still accepted while `/readyz` says no: "
        "as long as your load balancer takes to notice.",
        low=0,
        high=3600,
    )
    shutdown_grace: float = _setting(
        20.0,
        "Seconds that requests under way may then take to finish.",
        low=0,
        high=3600,
    )
    trace_url: str = _setting(
        "",
        "Where the page links to for a whole trace: an http(s) URL that holds `{trace_id}`, such "
        "as `http://localhost:16686/trace/{trace_id}`.",
        pattern=r"https?://\S*\{trace_id\}\S*",
    )
    log_level: str = _setting(
        "info",
        "Least severe log lines written.",
        choices=("debug", "info", "warning", "error"),
    )
    log_format: str = _setting(
        "auto",
        "How log lines are written to standard error: `json` is one object a line; `auto` is plain "
        "on a terminal, else json.",
        choices=("auto", "json", "plain"),
    )


@dataclass(frozen=True, slots=True)
class Row:
    """One setting as the documentation lists it."""

    name: str
    variable: str
    flag: str
    default: object
    type: type
    help: str
    low: float | None
    high: float | None
    choices: tuple[str, ...] | None
    pattern: str | None


def rows() -> list[Row]:
    """The table, in the order of its declaration."""
    return [
        Row(
            name=f.name,
            variable=PREFIX + f.name.upper(),
            flag="--" + f.name.replace("_", "-"),
            default=f.default,
            type=type(f.default),
            **f.metadata,
        )
        for f in fields(Settings)
    ]


def add_flags(parser: argparse._ActionsContainer, *names: str) -> None:
    """Add a flag for each named setting, or for every one if none is named."""
    for row in rows():
        if not names or row.name in names:
            parser.add_argument(
                row.flag,
                dest=row.name,
                metavar=row.type.__name__.upper(),
                # Checked with the environment's, in one place and with one wording.
                help=f"{row.help} [{row.variable}, default {row.default}]".replace("%", "%%"),
            )


def load(
    flags: argparse.Namespace | None = None, environment: Mapping[str, str] | None = None
) -> Settings:
    """Settings from the environment and, over it, from flags.

    Raises:
        SettingsError: A variable that starts with MGEO_ is unknown, or a value is out of range.
    """
    environment = os.environ if environment is None else environment
    links = service_links(environment)
    environment = {name: value for name, value in environment.items() if name not in links}
    table = rows()
    known = {row.variable for row in table}
    for name in sorted(environment):
        if name.startswith(PREFIX) and name not in known:
            raise SettingsError(f"{name} is not a setting{_nearest(name, known)}")
    values: dict[str, object] = {}
    for row in table:
        given = getattr(flags, row.name, None)
        source = row.flag
        if given is None:
            given, source = environment.get(row.variable), row.variable
        if given is not None:
            values[row.name] = _parse(row, given, source)
    settings = Settings(**cast(dict[str, Any], values))
    if settings.port == settings.metrics_port != 0 and _is_shared(
        settings.host, settings.metrics_host
    ):
        raise SettingsError(
            f"MGEO_PORT and MGEO_METRICS_PORT are both {settings.port}: each needs a port of its "
            "own, such as 5000 and 8000"
        )
    return settings


def _is_shared(one: str, other: str) -> bool:
    """Whether two listeners that bind these take the same address."""
    return one == other or bool({one, other} & {"0.0.0.0", "::", "*"})  # noqa: S104


def service_links(environment: Mapping[str, str] | None = None) -> list[str]:
    """Variables that are Kubernetes' own and no settings, though they begin as ours do.

    Into each pod it sets `MGEO_SERVICE_HOST`, `MGEO_SERVICE_PORT`, `MGEO_PORT=tcp://10.0.0.1:5000`
    and more for a service that is named `mgeo`, and likewise for one that is named `mgeo-metrics`.
    """
    environment = os.environ if environment is None else environment
    hosts = {
        name.removesuffix("_SERVICE_HOST")
        for name in environment
        if name.startswith(PREFIX) and name.endswith("_SERVICE_HOST")
    }
    # A value of a port that was given by hand has no scheme: it stays a setting.
    return sorted(
        {
            name
            for name, value in environment.items()
            for service in hosts
            if name.startswith(service)
            and (
                _LINK.fullmatch(rest := name.removeprefix(service))
                or (rest == "_PORT" and "://" in value)
            )
        }
    )


def _parse(row: Row, text: str, source: str) -> object:
    if row.type is str:
        if text == row.default:
            return text  # an empty one too, where that is the default
        if row.choices and text not in row.choices:
            raise SettingsError(f"{source}={text!r}: use one of {', '.join(row.choices)}")
        if row.pattern and not re.fullmatch(row.pattern, text):
            raise SettingsError(f"{source}={text!r}: {row.help}")
        if not text.strip():
            raise SettingsError(f"{source} is empty: unset it, or give it a value")
        return text
    try:
        value = row.type(text)
    except ValueError:
        kind = "a whole number" if row.type is int else "a number"
        hint = "; Docker sets such a variable for a container of that name" * ("://" in text)
        raise SettingsError(f"{source}={text!r}: {kind} is expected{hint}") from None
    # Not `value < low`: that lets NaN through.
    if not (cast(float, row.low) <= value <= cast(float, row.high)):
        raise SettingsError(f"{source}={text!r}: must be from {row.low:,} to {row.high:,}")
    return value


def _nearest(name: str, known: Sequence[str] | set[str]) -> str:
    from difflib import get_close_matches

    matches = get_close_matches(name, sorted(known), n=1)
    hint = f"; did you mean {matches[0]}?" if matches else ""
    return hint + " (docs/settings.md lists all settings)"
