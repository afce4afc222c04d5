"""The site in a real browser that can reach nothing but this machine."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, ViewportSize, expect, sync_playwright

from tests.serving import ServerProcess

CHROMIUM = Path("/usr/bin/chromium")
pytestmark = [
    pytest.mark.skipif(not CHROMIUM.exists(), reason="chromium is not installed"),
]
_FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """A headless Chromium with the network cut off except for loopback."""
    with sync_playwright() as playwright:
        expect.set_options(timeout=20_000)  # the reference takes seconds to draw where other tests need the machine too
        chromium = playwright.chromium.launch(executable_path=str(CHROMIUM), args=list(_FLAGS))
        yield chromium
        chromium.close()


@dataclass(slots=True)
class Visit:
    """A page, and everything that went wrong on it."""

    page: Page
    server: ServerProcess
    faults: list[str] = field(default_factory=list[str])

    def __post_init__(self) -> None:
        self.page.on("requestfailed", lambda request: self.faults.append(f"failed: {request.url}"))
        self.page.on("request", lambda request: self._look(request.url))
        self.page.on(
            "response", lambda answer: answer.status >= 400 and self.faults.append(f"{answer.status}: {answer.url}")
        )
        self.page.on("pageerror", lambda error: self.faults.append(f"error: {error}"))
        self.page.on("console", lambda line: line.type == "error" and self.faults.append(f"console: {line.text}"))

    def _look(self, url: str) -> None:
        if not url.startswith((self.server.url, "data:", "blob:")):
            self.faults.append(f"outside: {url}")

    def go(self, path: str) -> Page:
        """Open a page and wait until nothing more is loaded."""
        self.page.goto(self.server.url + path, wait_until="networkidle")
        return self.page


@pytest.fixture
def visit(browser: Browser, server: ServerProcess) -> Iterator[Visit]:
    """A visit in a window of a laptop's size."""
    context = browser.new_context(viewport=ViewportSize(width=1440, height=900))
    context.grant_permissions(["clipboard-read", "clipboard-write"])
    yield Visit(context.new_page(), server)
    context.close()


@pytest.mark.parametrize("path", ["/docs", "/docs/quickstart", "/docs/verifying-signatures", "/changelog"])
def test_a_page_opens_without_a_fault(visit: Visit, path: str):
    """A page opens, no request fails or leaves this machine, and its policy blocks nothing of it."""
    page = visit.go(path)

    expect(page.locator("h1")).to_be_visible()
    assert visit.faults == []


def test_the_reference_renders(visit: Visit):
    """The reference shows the operations and the details of one, without a request to another host."""
    page = visit.go("/docs/reference#tag/orders/createOrder")

    expect(page.locator("#reference").get_by_role("heading", name="Create order", exact=True)).to_be_visible()
    expect(page.locator("#reference").get_by_text("Order Fulfillment API").first).to_be_visible()
    expect(page.locator("#reference").get_by_text("Idempotency-Key").first).to_be_attached()
    assert visit.faults == []


def test_search_finds_an_operation(visit: Visit):
    """Typing createOrder finds the operation first, and Enter opens it in the reference."""
    page = visit.go("/docs")

    page.keyboard.press("/")
    page.keyboard.type("createOrder")
    first = page.locator("#search-results li").first
    expect(first).to_contain_text("createOrder")
    expect(first).to_contain_text("/v1/orders")
    page.keyboard.press("Enter")

    expect(page).to_have_url(visit.server.url + "/docs/reference#tag/orders/createOrder")
    expect(page.locator("#reference").get_by_role("heading", name="Create order", exact=True)).to_be_in_viewport()
    assert visit.faults == []


def test_search_finds_words_of_the_guides(visit: Visit):
    """Words of a section find it, and what is nowhere finds nothing and says so."""
    page = visit.go("/docs/orders")

    page.get_by_role("button", name="Search").click()
    page.keyboard.type("constant time")
    expect(page.locator("#search-results")).to_contain_text("Verifying signatures")
    page.locator("#search-words").fill("zzzz")

    expect(page.locator("#search-state")).to_have_text("Nothing is found. Try fewer words.")
    assert visit.faults == []


def test_code_can_be_copied(visit: Visit):
    """The button of a block of code puts exactly the code on the clipboard."""
    page = visit.go("/docs/quickstart")

    page.locator(".code", has_text="make run").get_by_role("button", name="Copy").click()

    assert page.evaluate("navigator.clipboard.readText()") == "make run\n"


def test_the_colours_can_be_chosen_and_stay(visit: Visit):
    """The switch makes a light page dark, and it stays dark on the next page."""
    page = visit.go("/docs")
    before = page.evaluate("getComputedStyle(document.body).backgroundColor")

    page.get_by_role("button", name="Switch between dark and light").click()
    after = page.evaluate("getComputedStyle(document.body).backgroundColor")
    visit.go("/docs/orders")

    assert (before, after) == ("rgb(255, 255, 255)", "rgb(16, 22, 20)")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == after


@pytest.mark.parametrize("path", ["/docs", "/docs/orders", "/docs/cli", "/docs/reference"])
def test_a_phone_shows_the_whole_page(visit: Visit, path: str):
    """On a phone nothing reaches beyond the screen's width."""
    visit.page.set_viewport_size(ViewportSize(width=390, height=844))

    page = visit.go(path)

    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    assert visit.faults == []
