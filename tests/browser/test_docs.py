"""The API page: every route is there and can be asked."""

from __future__ import annotations

import json

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from service.http import openapi
from tests.browser.conftest import SCREENSHOTS, WIDTHS
from tests.conftest import Running
from tools import reference

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("page", [("en-US", width) for width in WIDTHS.values()], indirect=True)
def test_every_route_of_the_document_is_there(page: Page, site: Running) -> None:
    page.goto(site.predictions + "/docs")
    expect(page.locator(".operation").first).to_be_visible()
    shown = [" ".join(line.split()[:2]) for line in page.locator("summary").all_inner_texts()]
    documented = [(one.method, openapi.templated(one.path)) for one in reference.operations()]
    assert sorted(shown) == sorted(f"{method} {path}" for method, path in documented)
    for operation in page.locator(".operation").all():
        operation.evaluate("one => { one.open = true; }")
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    tables = page.locator(".scroll")
    assert tables.count() > 10
    assert (
        tables.evaluate_all("all => all.filter(one => one.scrollWidth > one.clientWidth).length")
        == 0
    )
    found = Axe().run(page).response["violations"]
    assert [(rule["id"], rule["nodes"][0]["html"]) for rule in found] == []
    for operation in page.locator(".operation").all()[1:]:
        operation.evaluate("one => { one.open = false; }")
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    name = f"docs-{page.viewport_size['width']}.png"  # type: ignore[index]
    page.screenshot(path=SCREENSHOTS / name, full_page=True, animations="disabled")


def test_examples_are_answered(page: Page, site: Running) -> None:
    """Each body that the page proposes works as it stands."""
    page.goto(site.predictions + "/docs")
    expect(page.locator(".operation").first).to_be_visible()  # the list is made by the script
    asked = 0
    for operation in page.locator(".operation:has(textarea)").all():
        operation.evaluate("one => { one.open = true; }")
        for name, value in (("name", "mgeo-small-generated"), ("version", "bc497b6c3d1d")):
            if operation.locator(f"input[name={name}]").count():
                operation.locator(f"input[name={name}]").fill(value)
        operation.get_by_role("button", name="Send").click()
        expect(operation.get_by_role("status")).to_contain_text("200")
        json.loads(operation.locator("[role=status] pre").nth(1).inner_text())
        asked += 1
    assert asked == 8  # of /rerank, three paths


@pytest.mark.parametrize(
    "page", [(locale, WIDTHS["desktop"]) for locale in ("en-US", "zh-CN")], indirect=True
)
def test_no_mark_of_the_source_is_shown(page: Page, site: Running) -> None:
    """Names in backticks are set as code, and a list of limits ends without a separator."""
    page.goto(site.predictions + "/docs")
    expect(page.locator(".operation").first).to_be_visible()
    assert "`" not in str(page.locator("body").text_content())
    assert "no-cache" in page.locator(".note code").all_text_contents()
    cells = [text.strip() for text in page.locator(".schema td").all_text_contents()]
    limited = [text for text in cells if "≤" in text or "–" in text]
    assert len(limited) > 10
    assert [text for text in limited if text.endswith(";")] == []


def test_a_header_is_sent(page: Page, site: Running) -> None:
    page.goto(site.predictions + "/docs")
    first = page.locator(".operation").first
    first.get_by_label("X-Envoy-Expected-Rq-Timeout-Ms").fill("soon")
    first.get_by_role("button", name="Send").click()
    expect(first.get_by_role("status")).to_contain_text("must be a whole number of milliseconds")


def test_an_error_is_shown_with_its_status(page: Page, site: Running) -> None:
    page.goto(site.predictions + "/docs")
    first = page.locator(".operation").first
    first.locator("textarea").fill("{}")
    first.get_by_role("button", name="Send").click()
    expect(first.get_by_role("status")).to_contain_text("400")
    expect(first.get_by_role("status")).to_contain_text("address1 is missing")


@pytest.mark.parametrize("page", [("zh-CN", WIDTHS["desktop"])], indirect=True)
def test_every_sentence_of_the_document_has_its_chinese(page: Page, site: Running) -> None:
    page.goto(site.predictions + "/docs")
    expect(page.locator("h2").first).to_have_text("预测")
    told = page.locator("[data-told]")
    assert told.count() > 80
    english = told.evaluate_all(
        """all => all.map(one => [one.textContent, one.dataset.told.replaceAll("`", "")])
             .filter(([shown, told]) => shown === told).map(([shown]) => shown)"""
    )
    assert english == [], "\n".join(english)
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=SCREENSHOTS / "docs-zh.png", animations="disabled")
