"""The pages for people: `/` to try a pair, `/docs` to try every route. Their files are in assets/.

All of it comes from here, no script or style stands in the HTML, and the policy sent along forbids
anything else.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from flask import Flask, Response, request

from service.errors import UnknownRoute
from service.http.openapi import revalidated

_ASSETS = Path(__file__).parent / "assets"

_MEDIA_TYPES = {
    ".css": "text/css",
    ".html": "text/html",
    ".js": "text/javascript",
    ".svg": "image/svg+xml",
}

_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "img-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}

PAGES = {"/": "index.html", "/docs": "docs.html"}
"""The file behind each route."""

ASSET_ROUTE = "/assets/<file>"


class Assets:
    """The files of the pages, read once. Pages name the others with a digest of their content."""

    def __init__(self) -> None:
        read = {path.name: path.read_bytes() for path in sorted(_ASSETS.iterdir())}
        self._digests = {name: hashlib.sha256(data).hexdigest()[:12] for name, data in read.items()}
        self._files = {
            name: self._linked(data) if name.endswith(".html") else data
            for name, data in read.items()
        }

    def answer(self, name: str, digest: str | None) -> Response:
        """A file.

        Args:
            name: Which one.
            digest: Of the content that is expected, if it is: that content never changes.

        Raises:
            UnknownRoute: There is no such file.
        """
        if name not in self._files:
            raise UnknownRoute("no such file")
        response = Response(self._files[name], mimetype=_MEDIA_TYPES[Path(name).suffix])
        response.headers.update(_HEADERS)
        if digest == self._digests[name]:
            response.headers["Cache-Control"] = "public, max-age=31536000, immutable"
            return response
        return revalidated(response)

    def _linked(self, page: bytes) -> bytes:
        for name, digest in self._digests.items():
            page = page.replace(f'"/assets/{name}"'.encode(), f'"/assets/{name}?{digest}"'.encode())
        return page


def add_pages(app: Flask) -> None:
    """Add the pages and their files."""
    assets = Assets()

    def page() -> Response:
        return assets.answer(PAGES[request.path], None)

    def asset(file: str) -> Response:
        return assets.answer(file, request.query_string.decode("ascii", "replace"))

    for route in PAGES:
        app.add_url_rule(route, f"page {route}", page)
    app.add_url_rule(ASSET_ROUTE, "asset", asset)
