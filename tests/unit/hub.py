"""A hub that speaks ModelScope's API on loopback, so that the real client runs against it."""

from __future__ import annotations

import hashlib
import json
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from tests.conftest import TINY

Files = dict[str, bytes]

PUBLISHED = "iic/mgeo_geographic_entity_alignment_chinese_base"
FILES: Files = {
    name: (TINY / name).read_bytes()
    for name in ("config.json", "configuration.json", "vocab.txt", "pytorch_model.bin")
}
"""Of the small checkpoint."""


@dataclass
class Hub:
    """The models that the hub has, the faults it is to show, and what it was asked.

    Attributes:
        models: Files of each revision of each `owner/name`.
        cut: Per file, after how many bytes of each next answer the connection is cut.
        stall: Per file, after how many bytes an answer waits, until the hub is closed.
        corrupt: Files that are sent with another content than is listed.
        listing: Sent in place of every listing, if set.
        token: Needed for everything, if set.
        listings: Paths of the listings asked for.
        sent: Of each answer with a file: its name, first byte and number of bytes.
    """

    models: dict[str, dict[str, Files]] = field(default_factory=dict)
    cut: dict[str, list[int]] = field(default_factory=dict)
    stall: dict[str, int] = field(default_factory=dict)
    corrupt: set[str] = field(default_factory=set)
    listing: bytes | None = None
    token: str | None = None
    listings: list[str] = field(default_factory=list)
    sent: list[tuple[str, int, int]] = field(default_factory=list)
    endpoint: str = ""
    closing: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> Hub:
        handler = type("Bound", (_Handler,), {"hub": self})
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))
        self._thread.start()
        self.endpoint = f"http://127.0.0.1:{self._server.server_address[1]}"
        return self

    def __exit__(self, *_: object) -> None:
        self.closing.set()
        self._server.shutdown()
        self._thread.join(60)
        self._server.server_close()

    def bytes_sent(self, name: str) -> int:
        """How many bytes of a file went out, over all answers."""
        return sum(size for file, _, size in self.sent if file == name)


class _Handler(BaseHTTPRequestHandler):
    hub: Hub

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        query = {key: values[0] for key, values in parse_qs(parts.query).items()}
        segments = parts.path.removeprefix("/api/v1/models/").split("/", 2)
        if len(segments) < 3:
            return self._json(404, {"Code": 404, "Message": "not found"})
        owner, name, verb = segments
        if self.hub.token and self.headers.get("Authorization") != f"Bearer {self.hub.token}":
            return self._json(403, {"Code": 10010205002, "Message": "access denied"})
        revisions = self.hub.models.get(f"{owner}/{name}")
        if verb == "repo/files" and self.hub.listing is not None:
            return self._bytes(200, self.hub.listing)
        if revisions is None:
            return self._json(404, {"Code": 10010205001, "Message": "model not exists"})
        if verb == "revisions":
            tags = [{"Revision": revision, "CreatedAt": 1} for revision in revisions]
            return self._json(200, {"Data": {"RevisionMap": {"Branches": [], "Tags": tags}}})
        files = revisions.get(query["Revision"])
        if files is None:
            return self._json(404, {"Code": 10010205001, "Message": "revision not exists"})
        if verb == "repo/files":
            self.hub.listings.append(f"{owner}/{name}@{query['Revision']}")
            return self._json(200, {"Data": {"Files": [_listed(*file) for file in files.items()]}})
        return self._file(query["FilePath"], files[query["FilePath"]])

    def _file(self, name: str, content: bytes) -> None:
        size = len(content)
        if name in self.hub.corrupt:
            content = content[:-1] + bytes([content[-1] ^ 1])
        start = int(self.headers.get("Range", "bytes=0-")[6:].partition("-")[0])
        cuts = self.hub.cut.get(name)
        end = min(size, start + cuts.pop(0)) if cuts else size
        self.hub.sent.append((name, start, end - start))
        self.send_response(206 if "Range" in self.headers else 200)
        if "Range" in self.headers:
            self.send_header("Content-Range", f"bytes {start}-{size - 1}/{size}")
        self.send_header("Content-Length", str(size - start))
        self.end_headers()
        if name in self.hub.stall:
            self.wfile.write(content[start : start + self.hub.stall[name]])
            self.hub.closing.wait(30)
            return
        self.wfile.write(content[start:end])

    def _json(self, status: int, value: Any) -> None:
        self._bytes(status, json.dumps(value).encode())

    def _bytes(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


def _listed(name: str, content: bytes) -> dict[str, Any]:
    return {
        "Path": name,
        "Name": name.rpartition("/")[2],
        "Type": "blob",
        "Size": len(content),
        "Sha256": hashlib.sha256(content).hexdigest(),
    }
