"""No address reaches a store: a canary is sent in every way, and the stores' bytes are searched.

Jaeger, Loki and Prometheus compress with Snappy, which keeps most of what it has not seen before as
it is; the canary is random, so that it would be found in what they write. What VictoriaLogs packs
with Zstandard, and others with gzip, is unpacked for the search. Four bytes seen before are enough
to break a text apart in Snappy, which happens to the 32 digits of a trace id: Prometheus is told
not to compress. That the search finds anything is shown by the trace id of one of the requests,
which each store must hold.
"""

from __future__ import annotations

import gzip
import json
import random
import re
import string
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from urllib.parse import quote, urlsplit

import pytest
import zstandard

from service.scoring import checkpoint as checkpoints
from tests.conftest import TINY
from tests.stack import logs
from tests.stack.clients import Jaeger, Prometheus, eventually, get
from tests.stack.conftest import prepare
from tests.telemetry import test_privacy as sent
from tools import native
from tools.compose import load_services
from tools.stack import Stack

pytestmark = [pytest.mark.slow, pytest.mark.timeout(700)]

STORES = ("jaeger", native.log_store())
_KNOWN = sorted(
    word
    for word in checkpoints.read(TINY).vocabulary
    if len(word) == 1 and "\u4e00" <= word <= "\u9fa5"
)
"""Characters that the model reads: what it cannot read is refused, and not scored."""

ONLY = ["mgeo", "otel-collector", "prometheus", *STORES]


class Canary:
    """An address of this run alone, in the place of the one that the privacy tests send.

    Each of its forms is as long as theirs, so that a request keeps its length.
    """

    def __init__(self, seed: int) -> None:
        chance = random.Random(seed)
        self.chinese = "".join(
            chance.choice(string.digits) if c.isdigit() else chance.choice(_KNOWN)
            for c in sent.CANARY
        )
        self.latin = "".join(chance.choice(string.ascii_letters) for _ in sent.LATIN)
        self._instead = [
            (old, new)
            for old, new in zip(
                self._forms(sent.CANARY, sent.LATIN),
                self._forms(self.chinese, self.latin),
                strict=True,
            )
        ]

    @staticmethod
    def _forms(chinese: str, latin: str) -> list[bytes]:
        return [
            chinese.encode(),
            latin.encode(),
            latin.lower().encode(),
            latin.upper().encode(),
            quote(chinese).encode(),
            json.dumps(chinese)[1:-1].encode(),
            chinese.encode().decode("latin-1").encode(),
            chinese[2:8].encode(),
            chinese.encode("utf-16-le"),
        ]

    def instead(self, request: bytes) -> bytes:
        """A request of the privacy tests with this canary."""
        for old, new in self._instead:
            assert len(old) == len(new)
            request = request.replace(old, new)
        return request

    def found(self, data: bytes) -> list[bytes]:
        """The forms of it that are in `data`."""
        return [new for _, new in self._instead if new in data]


def _files(folder: Path) -> Iterator[tuple[Path, bytes]]:
    """Every file of the stack, and what is in it; what is packed with gzip also unpacked."""
    for path in sorted(folder.rglob("*")):
        # Links lead to the repository's own files, which are mounted.
        if path.is_symlink() or not path.is_file():
            continue
        try:
            data = path.read_bytes()
        except FileNotFoundError:  # a store has just replaced it
            continue
        yield path, data
        if data.startswith(b"\x1f\x8b"):
            yield path, gzip.decompress(data)
        # Blocks within a file, one after another.
        for start in re.finditer(re.escape(zstandard.FRAME_HEADER), data):
            with suppress(zstandard.ZstdError):  # these four bytes by chance
                yield (
                    path,
                    zstandard.ZstdDecompressor().decompressobj().decompress(data[start.start() :]),
                )


def _holding(folder: Path, *needles: bytes) -> list[str]:
    return [
        str(path.relative_to(folder))
        for path, data in _files(folder)
        if any(needle in data for needle in needles)
    ]


def _trace_of(answer: bytes) -> str:
    [line] = [ln for ln in answer.split(b"\r\n") if ln.lower().startswith(b"traceparent:")]
    return line.split(b"-")[1].decode()


def _send_all(stack: Stack, canary: Canary) -> str:
    """Every request of the privacy tests; the trace id of one that was answered."""
    predictions = urlsplit(stack.url("mgeo", 5000))
    operations = urlsplit(stack.url("mgeo", 8000))
    good = ""
    for name, (request, _) in sent.REQUESTS.items():
        address = (predictions.hostname or "", predictions.port or 0)
        answer = sent.exchange(address, canary.instead(request))
        assert canary.found(answer) == [], name
        if name == "a good pair":
            assert b" 200 " in answer.split(b"\r\n")[0], answer
            good = _trace_of(answer)
    for target in (f"/{sent.LATIN}", f"/metrics?{sent.LATIN}", f"/readyz?{quote(sent.CANARY)}"):
        request = sent.http(target, method="GET", X_Address=sent.CANARY)
        address = (operations.hostname or "", operations.port or 0)
        assert canary.found(sent.exchange(address, canary.instead(request))) == []
    return good


def _uncompressed(folder: Path) -> Path:
    """A compose file beside the shipped one, by which Prometheus writes its log as it is."""
    command = load_services()["prometheus"].command
    command += ("--no-storage.tsdb.wal-compression",)
    path = folder / "uncompressed.yml"
    path.write_text(json.dumps({"services": {"prometheus": {"command": command}}}))
    return path


def test_no_store_holds_what_was_sent(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    canary = Canary(seed=time.time_ns())
    assert canary.instead(sent.REQUESTS["a good pair"][0]) != sent.REQUESTS["a good pair"][0]
    settings = {"MGEO_LOG_LEVEL": "debug"}
    with prepare(tmp_path, settings, ONLY, [_uncompressed(tmp_path)]) as stack:
        stack.start()
        jaeger = Jaeger(stack.url("jaeger", 16686))
        log_store = logs.of(stack)
        prometheus = Prometheus(stack.url("prometheus", 9090))

        first = _send_all(stack, canary)
        eventually("the trace", lambda: jaeger.trace(first), bool, 60)
        asked = {"trace_id": first, "scope": "mgeo.request"}
        eventually("its line", lambda: log_store.lines("mgeo-inference", **asked), bool, 60)
        exemplars = "mgeo_request_stage_duration_seconds_bucket"
        eventually("exemplars", lambda: prometheus.exemplars(exemplars), bool, 60)
        dotted = {e["labels"]["trace_id"] for e in prometheus.exemplars(exemplars)}

        # With nobody to take them, traces and lines wait on the Collector's disk.
        for store in STORES:
            stack.process(store).stop()
        second = _send_all(stack, canary)
        queue = tmp_path / "otel-collector"
        raw = bytes.fromhex(second)
        eventually("the queue's file", lambda: _holding(queue, raw), bool, 60)
        searched = {path: canary.found(data) for path, data in _files(tmp_path)}
        for store in STORES:
            stack.process(store).start()
            stack.process(store).wait_healthy(60)
        eventually("the second trace", lambda: jaeger.trace(second), bool, 60)

        told = [
            jaeger.search("mgeo-inference", limit=1500),
            log_store.lines(),
            get(f"{prometheus.url}/api/v1/series", **{"match[]": '{__name__=~".+"}'}),
            prometheus.exemplars('{__name__=~".+_bucket"}'),
        ]
        for answer in told:
            assert len(str(answer)) > 200
            assert canary.found(json.dumps(answer, default=vars, ensure_ascii=False).encode()) == []
            assert canary.found(json.dumps(answer, default=vars).encode()) == []

    # Once more when all have written what they held in memory.
    bytes_read = 0
    for path, data in _files(tmp_path):
        searched[path] = searched.get(path, []) + canary.found(data)
        bytes_read += len(data)
    assert {str(path): forms for path, forms in searched.items() if forms} == {}
    ids = [bytes.fromhex(first), first.encode(), bytes.fromhex(second), second.encode()]
    for store in (*STORES, "mgeo"):
        assert _holding(tmp_path / store, *ids), f"{store} was not searched"
    assert _holding(tmp_path / "prometheus", *(trace.encode() for trace in dotted))
    with capsys.disabled():
        print(
            f"\ncanary: {2 * len(sent.REQUESTS) + 6} requests, 0 occurrences in "
            f"{len(searched)} files ({bytes_read / 1e6:.0f} MB) and in what the stores answer"
        )
