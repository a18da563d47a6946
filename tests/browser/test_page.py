"""The page at / in a real browser. Screenshots are left in build/browser."""

from __future__ import annotations

import json
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from service.errors import RequestError
from tests.browser.conftest import SCREENSHOTS, WIDTHS
from tests.conftest import Running

pytestmark = pytest.mark.slow

ONE, TWO = "杭州市西湖区文三路478号华星时代广场A座", "文三路478号华星时代广场"

VERDICTS = {
    "en-US": {
        "partial_match": "Partly the same",
        "compare": "Compare",
        "model": "not the published MGeo",
    },
    "zh-CN": {"partial_match": "部分匹配", "compare": "比较", "model": "不是公开发布的 MGeo"},
}

VIEWS = [
    pytest.param((locale, width), id=f"{locale}-{device}")
    for locale in VERDICTS
    for device, width in WIDTHS.items()
]


def _open(page: Page, site: Running) -> None:
    """The page, once it has answered its own example."""
    page.goto(site.predictions)
    expect(page.locator("#verdict")).not_to_be_empty()
    expect(page.locator("#compare")).not_to_have_attribute("aria-busy", "true")


def _ask(page: Page, one: str, two: str, button: str = "Compare") -> None:
    page.locator("#address1").fill(one)
    page.locator("#address2").fill(two)
    page.get_by_role("button", name=button, exact=True).click()


def _is_accessible(page: Page) -> None:
    found = Axe().run(page).response["violations"]
    assert [(rule["id"], rule["nodes"][0]["html"]) for rule in found] == []


def _fits(page: Page) -> None:
    """Nothing sticks out to the side, and what is to be tapped is as large as a finger."""
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    for box in [element.bounding_box() for element in page.get_by_role("button").all()]:
        assert box
        assert box["height"] >= 44


@pytest.mark.parametrize("page", VIEWS, indirect=True)
def test_a_pair_is_answered_explained_and_traced(page: Page, site: Running) -> None:
    locale = page.evaluate("navigator.language")
    words = VERDICTS[locale]
    _open(page, site)
    expect(page.locator("#model")).to_contain_text(words["model"])
    with page.expect_response("**/predict") as caught:
        _ask(page, ONE, TWO, words["compare"])
    answer, headers = caught.value.json(), caught.value.headers
    expect(page.locator("#verdict")).to_have_text(words[answer["label"]])
    expect(page.locator("#similarity")).to_have_text(f"{answer['similarity']:.3f}")
    for label, share in answer["probabilities"].items():
        expect(page.locator(f"tr.{label} .share")).to_have_text(f"{100 * share:.1f} %")
        bar = page.locator(f"tr.{label} .fill").evaluate("bar => parseFloat(bar.style.width)")
        assert bar == pytest.approx(100 * share, abs=0.1)
    assert page.locator("#first mark").all_text_contents() == ["杭州市西湖区", "A座"]
    assert page.locator("#second mark").all_text_contents() == []
    assert page.locator("#first").text_content() == ONE
    trace_id = headers["traceparent"].split("-")[1]
    expect(page.locator("#trace-id")).to_have_text(trace_id)
    timing = [part.split(";dur=") for part in headers["server-timing"].split(", ")]
    rows = page.locator("#waterfall li")
    assert rows.count() == len(timing) == 5
    for row, (_, milliseconds) in zip(rows.all(), timing, strict=True):
        shown = float(row.locator(".time").inner_text().removesuffix(" ms"))
        assert shown == pytest.approx(float(milliseconds), rel=0.01, abs=0.006)
    expect(page.locator("#batch")).to_contain_text("cpu")  # only the trace knows
    expect(page.locator("#trace-url")).to_be_hidden()  # it was not sampled
    _fits(page)
    _shows_both_addresses_as_a_whole(page)
    _is_accessible(page)
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    name = f"page-{locale[:2]}-{page.viewport_size['width']}.png"  # type: ignore[index]
    page.screenshot(path=SCREENSHOTS / name, full_page=True, animations="disabled")


def _shows_both_addresses_as_a_whole(page: Page) -> None:
    for name in ("address1", "address2"):
        assert page.locator(f"#{name}").evaluate(
            "one => one.scrollWidth <= one.clientWidth && one.scrollHeight <= one.clientHeight"
        )


def test_an_address_of_several_lines_is_one_text(page: Page, site: Running) -> None:
    """As it was when the fields were of one line: pasted lines join, and Enter asks."""
    _open(page, site)
    page.locator("#address1").fill("杭州市西湖区\n文三路478号\r\n华星时代广场A座")
    page.locator("#address2").fill(TWO)
    with page.expect_request("**/predict") as asked:
        page.locator("#address2").press("Enter")
    assert asked.value.post_data_json == {
        "address1": "杭州市西湖区 文三路478号 华星时代广场A座",
        "address2": TWO,
    }


def test_enter_that_ends_a_composition_asks_nothing(page: Page, site: Running) -> None:
    """Chinese is typed by composition; its Enter chooses a word."""
    _open(page, site)
    sent = page.locator("#address1").evaluate(
        """one => {
          const enter = isComposing => one.dispatchEvent(
            new KeyboardEvent("keydown", { key: "Enter", isComposing, cancelable: true }));
          return [enter(true), enter(false)];
        }"""
    )
    assert sent == [True, False]  # False: the page has taken it


def test_the_language_is_switched_and_kept(page: Page, site: Running) -> None:
    _open(page, site)
    _ask(page, ONE, TWO)
    expect(page.locator("#verdict")).to_have_text("Partly the same")
    page.get_by_role("button", name="中文").click()
    expect(page.locator("#verdict")).to_have_text("部分匹配")
    expect(page.locator("html")).to_have_attribute("lang", "zh-CN")
    page.reload()
    expect(page.get_by_role("heading", level=1)).to_have_text("两个地址是同一个地方吗？")


@pytest.mark.parametrize("path", ["/", "/docs"])
def test_every_word_is_in_both_languages(page: Page, site: Running, path: str) -> None:
    page.goto(site.predictions + path)
    words = page.evaluate(
        """async () => {
          const { WORDS } = await import(document.querySelector("script").src);
          const used = [...document.querySelectorAll("[data-say]")].map(one => one.dataset.say);
          return { en: Object.keys(WORDS.en), zh: Object.keys(WORDS.zh), used };
        }"""
    )
    assert words["en"] == words["zh"]
    assert set(words["used"]) <= set(words["en"])


def test_it_works_by_keyboard_alone(page: Page, site: Running) -> None:
    _open(page, site)
    page.locator("#address1").focus()
    page.keyboard.press("Control+A")
    page.keyboard.type("浦东新区世纪大道100号")
    page.keyboard.press("Tab")
    page.keyboard.press("Control+A")
    page.keyboard.type("滨江区江南大道1088号")
    page.keyboard.press("Enter")
    expect(page.locator("#verdict")).to_have_text("Different places")
    expect(page.locator("#spoken")).to_contain_text("Different places. Similarity 0.0")
    order = []
    for _ in range(4):
        page.keyboard.press("Tab")
        order.append(page.evaluate("document.activeElement.textContent"))
        assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    assert order == ["Compare", "same", "partly", "different"]
    page.keyboard.press("Shift+Tab")
    page.keyboard.press("Shift+Tab")
    page.keyboard.press("Space")
    expect(page.locator("#verdict")).to_have_text("The same place")


@pytest.mark.parametrize(
    ("one", "two", "only_one", "only_two", "moved"),
    [
        ("文三路478号", "文三路478号", [], [], []),
        # Full-width forms and capitals are their plain twins.
        ("Ａ座１２０３", "a座1203", [], [], []),
        ("路1号2号", "路2号", ["1号"], [], []),
        ("😀路", "路😁", ["😀"], ["😁"], []),
        ("甲乙丙", "丁", ["甲乙丙"], ["丁"], []),
        # Numbers and words are compared as wholes.
        ("建国路188号", "建国路88号", ["188"], ["88"], []),
        ("建国路100号", "建国路1000号", ["100"], ["1000"], []),
        ("望京SOHO塔1", "望京SOH塔１", ["SOHO"], ["SOH"], []),
        # What is in both is not marked as if it were in one only.
        ("现代城建国路88号", "建国路88号现代城", [], [], ["现代城", "现代城"]),
        ("5号3栋", "3号5栋", [], [], ["5", "3", "3", "5"]),
    ],
)
def test_differences(
    page: Page,
    site: Running,
    one: str,
    two: str,
    only_one: list[str],
    only_two: list[str],
    moved: list[str],
) -> None:
    _open(page, site)
    _ask(page, one, two)
    expect(page.locator("#second")).to_have_text(two)
    assert page.locator("#first mark").all_text_contents() == only_one
    assert page.locator("#second mark").all_text_contents() == only_two
    assert page.locator(".compared u").all_text_contents() == moved
    # What the legend says, by the texts themselves.
    for side, other in (("first", two), ("second", one)):
        for part in page.locator(f"#{side} mark").all_text_contents():
            assert part not in other or part.isdigit() or part == "SOH"


def test_an_example_is_answered_as_the_page_opens(page: Page, site: Running) -> None:
    page.goto(site.predictions)
    expect(page.locator("#verdict")).to_have_text("Partly the same")
    expect(page.locator("#waterfall li")).to_have_count(5)
    expect(page.locator("#verdict")).not_to_be_focused()
    expect(page.get_by_role("alert")).to_have_text("")


def test_a_cached_pair_is_computed_again(page: Page, caching_site: Running) -> None:
    _open(page, caching_site)
    _ask(page, "文三路1号甲", "文三路1号")
    expect(page.locator("#batch")).to_contain_text("Its batch: 1 pair")
    _ask(page, "文三路1号甲", "文三路1号")
    expect(page.locator("#batch")).to_have_text(
        "From the cache: the model had scored this pair before."
    )
    page.get_by_role("button", name="中文").click()
    expect(page.locator("#batch")).to_contain_text("结果来自缓存")
    page.get_by_role("button", name="重新计算").click()
    expect(page.locator("#batch")).to_contain_text("所在批次：1 对")


def test_what_the_model_does_not_know_is_said(page: Page, site: Running) -> None:
    _open(page, site)
    expect(page.locator("#unread")).to_be_hidden()
    _ask(page, "人民路🏥", "人民路🏫")
    expect(page.locator("#unread")).to_contain_text("does not know 25.0 %")
    _is_accessible(page)
    page.get_by_role("button", name="中文").click()
    expect(page.locator("#unread")).to_contain_text("25.0 % 的字符模型不认识")


@pytest.mark.parametrize("page", [("zh-CN", WIDTHS["desktop"])], indirect=True)
@pytest.mark.parametrize(
    ("one", "two", "said"),
    [
        ("无", ONE, "“已有的地址”不是地址"),
        (ONE, "N/A", "“要比较的候选地址”不是地址"),
        ("路" * 513, TWO, "“已有的地址”有 513 个字符，最多 512 个。"),
        ("ул. Ленина, 5", "пр. Мира, 5", "地址中有 73% 的字符模型不认识"),
    ],
)
def test_errors_are_in_chinese(page: Page, site: Running, one: str, two: str, said: str) -> None:
    _open(page, site)
    _ask(page, one, two, "比较")
    expect(page.get_by_role("alert")).to_contain_text(said)
    page.get_by_role("button", name="English").click()
    expect(page.get_by_role("alert")).not_to_contain_text(said)


def test_every_problem_has_its_chinese(page: Page, site: Running) -> None:
    _open(page, site)
    known = page.evaluate(
        "async () => Object.keys((await import('/assets/page.words.js')).PROBLEMS)"
    )
    assert set(known) == {problem.code for problem in RequestError.__subclasses__()}


def test_what_was_typed_is_text_and_no_page(page: Page, site: Running) -> None:
    _open(page, site)
    _ask(page, "<img src=x onerror=alert(1)>路", "<b>路</b>")
    expect(page.locator("#first")).to_have_text("<img src=x onerror=alert(1)>路")
    assert page.locator("#first img, #second b").count() == 0


def test_what_is_missing_is_said_and_where(page: Page, site: Running) -> None:
    _open(page, site)
    _ask(page, ONE, " ")
    expect(page.get_by_role("alert")).to_have_text("Enter both addresses.")
    expect(page.locator("#address2")).to_be_focused()
    expect(page.locator("#address2")).to_have_attribute("aria-invalid", "true")
    _is_accessible(page)
    _ask(page, "路" * 513, TWO)
    expect(page.get_by_role("alert")).to_have_text("address1 has 513 characters; the limit is 512")
    expect(page.locator("#address1")).to_be_focused()
    _ask(page, ONE, TWO)
    expect(page.locator("#verdict")).to_have_text("Partly the same")
    expect(page.get_by_role("alert")).to_have_text("")


def _problem(status: int, **headers: str) -> dict[str, Any]:
    body = json.dumps({"status": status, "title": "Title", "detail": "the reason"})
    return {"status": status, "body": body, "headers": headers}


def test_a_refusal_and_a_silent_service_are_said(page: Page, site: Running) -> None:
    _open(page, site)
    page.route("**/predict", lambda route: route.fulfill(**_problem(429, **{"Retry-After": "7"})))
    _ask(page, ONE, TWO)
    expect(page.get_by_role("alert")).to_have_text("the reason Try again in 7 s.")
    page.unroute("**/predict")
    page.route("**/predict", lambda route: route.abort())
    _ask(page, ONE, TWO)
    expect(page.get_by_role("alert")).to_have_text("The service does not answer.")


def test_a_key_is_asked_for_and_sent(page: Page, site: Running) -> None:
    _open(page, site)
    expect(page.locator("#key")).to_be_hidden()
    page.route("**/predict", lambda route: route.fulfill(**_problem(401)))
    _ask(page, ONE, TWO)
    page.get_by_label("API key").fill("secret")
    page.unroute("**/predict")
    with page.expect_request("**/predict") as asked:
        _ask(page, ONE, TWO)
    assert asked.value.headers["authorization"] == "Bearer secret"
    expect(page.locator("#verdict")).to_have_text("Partly the same")


def test_a_request_that_another_replica_answered_keeps_its_stages(
    page: Page, site: Running
) -> None:
    _open(page, site)
    page.route("**/traces/*", lambda route: route.fulfill(**_problem(404)))
    _ask(page, ONE, TWO)
    expect(page.locator("#waterfall li")).to_have_count(5)
    expect(page.locator("#batch")).to_have_text("")
