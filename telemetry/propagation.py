"""`OTEL_PROPAGATORS=none`: each request begins a trace of its own."""

from __future__ import annotations

from opentelemetry.context import Context, get_current
from opentelemetry.propagators.textmap import (
    CarrierT,
    Getter,
    Setter,
    TextMapPropagator,
    default_getter,
    default_setter,
)
from typing_extensions import override


class NoPropagation(TextMapPropagator):
    """Reads and writes no header.

    The API's own propagator for `none` returns no context at all, which then fails each request:
    docs/telemetry.md has the patch for upstream.
    """

    @override
    def extract(
        self,
        carrier: CarrierT,
        context: Context | None = None,
        getter: Getter[CarrierT] = default_getter,
    ) -> Context:
        return get_current() if context is None else context

    @override
    def inject(
        self,
        carrier: CarrierT,
        context: Context | None = None,
        setter: Setter[CarrierT] = default_setter,
    ) -> None:
        pass

    @property
    @override
    def fields(self) -> set[str]:
        return set()
