"""What the value of a standard variable may be. Each check raises ValueError with what to do."""

from __future__ import annotations

import re
from collections.abc import Callable
from importlib.metadata import entry_points
from pathlib import Path
from urllib.parse import unquote, urlsplit

Check = Callable[[str], str]
"""Takes a value without blanks around it and returns it as the SDK is to read it."""

LEVELS = ("trace", "debug", "info", "warn", "error", "fatal")
EXEMPLAR_FILTERS = ("trace_based", "always_on", "always_off")
SAMPLERS = tuple(
    f"{parent}{sampler}"
    for parent in ("", "parentbased_")
    for sampler in ("always_on", "always_off", "traceidratio")
)
"""The samplers that the SDK builds by itself from `OTEL_TRACES_SAMPLER`."""

LEAST_TIMEOUT_MS = 100
"""A smaller value was meant in seconds, the unit of the Python SDK."""


def anything(value: str) -> str:
    """Any text."""
    return value


def boolean(value: str) -> str:
    """`true` in any case; all else is false, as the specification has it."""
    return "true" if value.lower() == "true" else "false"


def is_boolean(value: str) -> bool:
    """Whether it is `true` or `false`, in any case."""
    return value.lower() in ("true", "false")


def one_of(*choices: str, upper: bool = False) -> Check:
    """One of the values of an enumeration, in any case."""

    def check(value: str) -> str:
        if value.lower() not in choices:
            raise ValueError(f"use one of {', '.join(choices)}")
        return value.upper() if upper else value.lower()

    return check


def whole(low: int, high: int) -> Check:
    """A whole number."""

    def check(value: str) -> str:
        # isdecimal: unlike int(), it takes no sign, no underscore and no blank.
        if not (value.isascii() and value.isdecimal() and low <= int(value) <= high):
            raise ValueError(f"a whole number from {low} to {high} is expected")
        return str(int(value))

    return check


def milliseconds(value: str) -> str:
    """A time for an export."""
    try:
        accepted = LEAST_TIMEOUT_MS <= float(value) <= 3_600_000
    except ValueError:
        accepted = False
    if not accepted:
        raise ValueError(
            f"milliseconds from {LEAST_TIMEOUT_MS} to 3600000 are expected; 3 seconds are 3000"
        )
    return value


def share(value: str) -> str:
    """A number from 0 to 1. The SDK takes a value that it cannot read for 1, which samples
    everything."""
    try:
        accepted = 0 <= float(value) <= 1
    except ValueError:
        accepted = False
    if not accepted:
        raise ValueError("a share from 0 to 1 is expected")
    return value


def protocol(value: str) -> str:
    """How OTLP is sent."""
    if value.lower() == "http/json":
        raise ValueError("the Python SDK has no OTLP/JSON exporter; use grpc or http/protobuf")
    return one_of("grpc", "http/protobuf")(value)


def plugins(group: str, *others: str, named: str = "") -> Check:
    """Names of installed plugins, with commas between them.

    Args:
        group: Of entry points.
        others: Names that are no plugin's.
        named: The package that has a plugin, with `{}` for the plugin's name.
    """

    def check(value: str) -> str:
        known = (*sorted(point.name for point in entry_points(group=group)), *others)
        names = [name.strip() for name in value.split(",") if name.strip()]
        for name in names:
            if name not in known:
                package = f", or install {named.format(name.lower())}" if named else ""
                raise ValueError(f"{name!r} is not installed; use {', '.join(known)}{package}")
        return ",".join(dict.fromkeys(names))

    return check


def exporters(signal: str, *others: str) -> Check:
    """Names of exporters, with commas between them."""
    built_in = ("otlp", "console", "none", *others)
    group = f"opentelemetry_{signal}_exporter"

    def check(value: str) -> str:
        names = [name.strip().lower() for name in value.split(",") if name.strip()]
        installed = {point.name for point in entry_points(group=group)}
        for name in names:
            if name not in built_in and name not in installed:
                raise ValueError(f"use one of {', '.join(built_in)}")
        if "none" in names and len(names) > 1:
            raise ValueError("none stands alone")
        return ",".join(dict.fromkeys(names))

    return check


def detectors(value: str) -> str:
    """Resource detectors."""
    return plugins("opentelemetry_resource_detector", "*")(value)


def stable_http(value: str) -> str:
    """Semantic conventions to opt in to; the stable ones for HTTP always."""
    names = [name.strip() for name in value.split(",") if name.strip()]
    return ",".join(names if {"http", "http/dup"} & set(names) else [*names, "http"])


def attributes(value: str) -> str:
    """`key=value`, with commas between them."""
    for item in value.split(","):
        key, equals, _ = item.partition("=")
        if item.strip() and not (equals and key.strip()):
            raise ValueError(
                f"{item.strip()!r} is not key=value; write a comma in a value as %2C, = as %3D"
            )
    return value


def headers(value: str) -> str:
    """`name=value`, with commas between them; a name and a value may be sent as headers."""
    for number, item in enumerate(value.split(","), 1):
        name, equals, text = item.partition("=")
        if not item.strip():
            continue
        # Without the value in the message: it may be a key.
        if not equals or not re.fullmatch("[!#$%&'*+.^_`|~0-9A-Za-z-]+", unquote(name.strip())):
            raise ValueError(f"header {number} is not name=value; write a comma in it as %2C")
        if not re.fullmatch("[ -~]*", unquote(text.strip())):
            raise ValueError(
                f"the value of header {name.strip()!r} has characters that are not printable "
                "ASCII, which headers cannot carry"
            )
    return value


def patterns(value: str) -> str:
    """Regular expressions, with commas between them."""
    for pattern in value.split(","):
        try:
            re.compile(pattern.strip())
        except re.error as error:
            raise ValueError(
                f"{pattern.strip()!r} is not a regular expression ({error}); for any text write .*"
            ) from None
    return value


def readable(value: str) -> str:
    """A file that can be read."""
    _content(value)
    return value


def _content(value: str) -> bytes:
    try:
        return Path(value).read_bytes()
    except OSError as error:
        raise ValueError(f"cannot be read: {error.strerror}") from None


def pem(value: str) -> str:
    """A file of PEM that can be read."""
    if b"-----BEGIN" not in _content(value):
        raise ValueError("is not a PEM file, which begins with -----BEGIN")
    return value


def refused(why: str) -> Check:
    """Nothing at all."""

    def check(value: str) -> str:
        raise ValueError(why)

    return check


def endpoint(value: str, insecure: str, *, grpc: bool) -> tuple[str, bool]:
    """The address of a Collector, with a scheme; and whether it is used without TLS."""
    if "://" not in value and not value.startswith("unix:"):
        if not grpc or not insecure:
            also = ", or set OTEL_EXPORTER_OTLP_INSECURE to true or false" if grpc else ""
            raise ValueError(f"begin it with http:// or https://{also}")
        value = f"{'http' if insecure == 'true' else 'https'}://{value}"
    if grpc and value.startswith("unix:"):
        return value, True
    try:
        parts = urlsplit(value)
        good = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        good = False
    if not good or re.search(r"\s", value):
        raise ValueError("is not an address such as http://collector:4317")
    return value, parts.scheme == "http"
