"""A real Chromium without a window, and the service with the bundled model."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from service.retrieval import files
from service.retrieval.register import Entry
from tests.conftest import Running, start

SCREENSHOTS = Path(__file__).parents[2] / "build" / "browser"

WIDTHS = {"desktop": 1280, "phone": 390}

WAIT_MILLISECONDS = 60_000
"""For a machine that stalls; Playwright itself waits for five seconds."""


# Not for the session: Playwright keeps an event loop running, which other tests do not expect.
@pytest.fixture(scope="package")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    register = tmp_path_factory.mktemp("register")
    files.write(register, [Entry("R1", "文三路478号华星时代广场")])
    # No cache: each test sees the model's stages.
    yield from _site(cache_pairs=0, register=str(register))


@pytest.fixture(scope="package")
def caching_site() -> Iterator[Running]:
    yield from _site()


def _site(**settings: Any) -> Iterator[Running]:
    trace_url = "http://jaeger.invalid/trace/{trace_id}"
    running = start(model="bundled", device="cpu", trace_url=trace_url, **settings)
    yield running
    running.service.stop()


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    program = shutil.which("chromium") or shutil.which("google-chrome")
    assert program, "chromium is not installed: run `make stack-build`, or install it by hand"
    # Chromium's sandbox does not run as root, as containers do; the pages are our own.
    arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=program, args=arguments)
        yield chromium
        chromium.close()


@pytest.fixture
def page(browser: Browser, request: pytest.FixtureRequest) -> Iterator[Page]:
    """A page that fails its test if it logs an error or asks another host for anything.

    A parameter, if there is one, is the locale and the width.
    """
    locale, width = getattr(request, "param", ("en-US", WIDTHS["desktop"]))
    context = browser.new_context(locale=locale, viewport={"width": width, "height": 844})
    context.set_default_timeout(WAIT_MILLISECONDS)
    context.set_default_navigation_timeout(WAIT_MILLISECONDS)
    expect.set_options(timeout=WAIT_MILLISECONDS)
    page = context.new_page()
    said: list[str] = []
    hosts: set[str] = set()
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("request", lambda asked: hosts.add(asked.url.split("/")[2]))
    yield page
    context.close()
    assert [line for line in said if not line.startswith("Failed to load resource")] == []
    assert len(hosts) <= 1
