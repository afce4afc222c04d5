"""The pages as a browser without JavaScript, a crawler or a language model gets them."""

import gzip
import hashlib
import re
from collections.abc import Iterator
from html import escape
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit
from xml.etree import ElementTree

import httpx2
import pytest

from fulfillment.kernel.errors import FulfillmentError
from fulfillment.site.changelog import atom
from fulfillment.site.markdown import render
from fulfillment.site.pages import CHAPTERS, MORE, read_pages
from tests.site.conftest import front_of

pytestmark = pytest.mark.anyio

ROOT = Path(__file__).parents[2]
PAGES = ("/docs", "/docs/reference", "/changelog", *(page.path for page in read_pages("http://fulfillment.test")))
OTHERS = ("/llms.txt", "/llms-full.txt", "/changelog.md", "/changelog.atom", "/docs/reference.md", "/postman.json")


class Links(HTMLParser):
    """Collects where a page's links lead, what it loads, and its anchors."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.loads: list[str] = []
        self.anchors: set[str] = set()
        self.inline: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Look at one element."""
        given = dict(attrs)
        if given.get("id"):
            self.anchors.add(str(given["id"]))
        if tag == "a":
            self.links.append(str(given["href"]))
        if tag == "link" or given.get("src"):
            self.loads.append(str(given.get("href") or given.get("src")))
        if tag in {"style", "script"} and not given.get("src"):
            self.inline.append(tag)
        self.inline.extend(name for name in given if name.startswith("on") or name == "style")


@pytest.mark.parametrize("path", PAGES)
async def test_a_page_loads_only_from_its_own_server(site: httpx2.AsyncClient, path: str):
    """A page is HTML whose scripts and styles all come from this server, with nothing inline, and says so itself."""
    answer = await site.get(path)

    page = Links(answer.text)
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert [place for place in page.loads if not place.startswith("/")] == []
    assert page.inline == []
    assert "default-src 'none'; script-src 'self';" in answer.headers["content-security-policy"]
    assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]


@pytest.mark.parametrize("path", PAGES)
async def test_every_link_leads_somewhere(site: httpx2.AsyncClient, path: str):
    """Each link of a page to this server is answered 200, and its anchor is there."""
    dead: list[str] = []

    for link in dict.fromkeys(Links((await site.get(path)).text).links):
        place = urlsplit(link)
        if place.scheme or place.path.startswith("/docs/assets"):
            continue
        target = await site.get(place.path or path)
        anchored = place.path == "/docs/reference" or not place.fragment
        if target.status_code != 200 or not (anchored or unquote(place.fragment) in Links(target.text).anchors):
            dead.append(link)

    assert dead == []


@pytest.mark.parametrize("path", PAGES)
async def test_what_a_page_loads_is_there(site: httpx2.AsyncClient, path: str):
    """Each script, stylesheet and picture of a page is answered 200."""
    for place in Links((await site.get(path)).text).loads:
        assert (await site.get(place)).status_code == 200, place


async def test_every_guide_is_on_the_site():
    """Each file in docs/guides is a page of the site."""
    written = {path.stem for path in (ROOT / "docs" / "guides").glob("*.md")}
    listed = {place.slug for chapter in CHAPTERS for place in chapter.places} | {place.slug for place in MORE}

    assert written - listed == set()


@pytest.mark.parametrize("page", read_pages("http://fulfillment.test"), ids=lambda page: page.slug)
async def test_a_guide_is_also_markdown(site: httpx2.AsyncClient, page: Any):
    """A guide's address with .md is its Markdown, which begins with the title the page has."""
    answer = await site.get(page.path + ".md")

    title = answer.text.splitlines()[0].removeprefix("# ")
    assert answer.headers["content-type"] == "text/markdown; charset=utf-8"
    assert f"<title>{escape(title)} · Juniper</title>" in (await site.get(page.path)).text


async def test_the_guides_show_this_servers_address():
    """The examples name the address of the server that shows them."""
    front = front_of(public_url="http://juniper.test:8080")

    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app=front), base_url="http://juniper.test") as client:
        text = (await client.get("/docs/quickstart.md")).text

    assert "http://juniper.test:8080/v1/orders" in text


async def test_unknown_pages_are_404(site: httpx2.AsyncClient):
    """A page that is not there is a 404 that leads back to the first page."""
    for path in ("/docs/nothing", "/docs/nothing.md", "/docs/assets/nothing.css", "/docs/../pyproject.toml"):
        answer = await site.get(path)

        assert answer.status_code == 404, path


async def test_the_root_leads_to_the_guides(site: httpx2.AsyncClient):
    """/ sends a browser to /docs."""
    answer = await site.get("/")

    assert (answer.status_code, answer.headers["location"]) == (308, "/docs")


@pytest.mark.parametrize("path", ["/docs", "/docs/quickstart", *OTHERS])
async def test_an_unchanged_page_is_not_sent_again(site: httpx2.AsyncClient, path: str):
    """A page asked for with its ETag is answered 304 without a body."""
    first = await site.get(path)

    again = await site.get(path, headers={"If-None-Match": first.headers["etag"]})

    assert (again.status_code, again.content) == (304, b"")


async def test_head_has_no_body(site: httpx2.AsyncClient):
    """HEAD is answered as GET is, without a body."""
    answer = await site.head("/docs/quickstart")

    assert (answer.status_code, answer.content) == (200, b"")


async def test_llms_txt_lists_every_guide(site: httpx2.AsyncClient):
    """/llms.txt names the Markdown of every guide in the sidebar, and each is there."""
    text = (await site.get("/llms.txt")).text

    links = re.findall(r"\]\(http://[^/]+(/[^)]+)\)", text)
    assert "/docs/quickstart.md" in links
    assert "/docs/orders.md" in links
    for link in links:
        assert (await site.get(link)).status_code == 200, link


async def test_llms_full_txt_has_all_guides_and_operations(site: httpx2.AsyncClient):
    """/llms-full.txt holds every guide and every operation."""
    text = (await site.get("/llms-full.txt")).text

    for page in read_pages("http://fulfillment.test"):
        assert page.markdown.splitlines()[0] in text
    assert "### createOrder" in text


async def test_every_operation_is_in_the_reference_and_in_the_search(site: httpx2.AsyncClient):
    """Each operation of the OpenAPI document is in reference.md and is found by its name, with its place."""
    document = (await site.get("/openapi.json")).json()
    ids = [
        operation["operationId"]
        for item in document["paths"].values()
        for operation in item.values()
        if isinstance(operation, dict) and "operationId" in operation
    ]

    reference = (await site.get("/docs/reference.md")).text
    found = {row["title"]: row for row in (await site.get("/docs/search.json")).json()}

    assert [one for one in ids if f"\n### {one}\n" not in reference] == []
    assert [one for one in ids if one not in found] == []
    assert found["createOrder"]["where"] == "/docs/reference#tag/orders/createOrder"
    assert found["createOrder"]["kind"] == "POST"
    assert found["createOrder"]["page"] == "Orders: /v1/orders"


async def test_the_feed_has_an_entry_for_each_release(site: httpx2.AsyncClient):
    """/changelog.atom is a valid feed whose entries lead to the headings of the changelog."""
    answer = await site.get("/changelog.atom")

    atom_ns = {"a": "http://www.w3.org/2005/Atom"}
    feed = ElementTree.fromstring(answer.content)
    titles = [entry.findtext("a:title", namespaces=atom_ns) for entry in feed.findall("a:entry", atom_ns)]
    links = [link.attrib["href"] for link in feed.findall("a:entry/a:link", atom_ns)]
    anchors = Links((await site.get("/changelog")).text).anchors
    written = re.findall(r"^## ([0-9][^,\s]*)", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert answer.headers["content-type"] == "application/atom+xml; charset=utf-8"
    assert titles == written
    assert all(urlsplit(link).fragment in anchors for link in links)
    for name in ("id", "title", "updated", "author"):
        assert feed.find(f"a:{name}", atom_ns) is not None


async def test_a_feed_without_releases_is_still_one():
    """A changelog that has no release yet gives a feed without entries."""
    feed = ElementTree.fromstring(atom("# Changelog\n", "http://x").encode())

    assert feed.findall("{http://www.w3.org/2005/Atom}entry") == []


async def test_the_viewer_is_the_published_one(site: httpx2.AsyncClient):
    """The vendored viewer is byte for byte the npm package's file, sent compressed to those who can read that."""
    page = Links((await site.get("/docs/reference")).text)
    (place,) = [place for place in page.loads if "vendor" in place]

    packed = await site.get(place, headers={"Accept-Encoding": "gzip"})
    plain = await site.get(place, headers={"Accept-Encoding": "identity"})

    published = "bf091006bdc3af6067af77c2f534812e3e633e94a94e87138069f570f33b762c"  # dist/browser/standalone.js
    assert packed.headers["content-encoding"] == "gzip"
    assert hashlib.sha256(plain.content).hexdigest() == published
    assert hashlib.sha256(packed.content).hexdigest() == published
    stored = next((ROOT / "src/fulfillment/site/vendor").glob("*.gz"))
    assert hashlib.sha256(gzip.decompress(stored.read_bytes())).hexdigest() == published


async def test_a_problems_type_leads_to_its_explanation(site: httpx2.AsyncClient):
    """The type of a problem document is an anchor of the page of errors."""
    problem = (await site.get("/v1/nothing")).json()

    place = urlsplit(problem["type"])
    assert place.fragment == "path_not_found"
    assert place.fragment in Links((await site.get(place.path)).text).anchors


async def test_every_code_of_the_api_is_explained(site: httpx2.AsyncClient):
    """Each code of the rooms that answer requests is an anchor of the page of errors."""
    anchors = Links((await site.get("/docs/errors")).text).anchors

    assert sorted({one.code for one in _errors(FulfillmentError) if _answers(one)} - anchors) == []


def _errors(kind: type[FulfillmentError]) -> Iterator[type[FulfillmentError]]:
    for one in kind.__subclasses__():
        yield one
        yield from _errors(one)


def _answers(error: type[FulfillmentError]) -> bool:
    room = error.__module__.split(".")[1]
    return room in {"catalog", "kernel", "oauth", "orders", "partners", "protocols", "shipping", "webhooks"}


async def test_production_has_no_sandbox_badge():
    """The pages of a production server do not call it a sandbox."""
    front = front_of(environment="production", allowed_hosts=("fulfillment.test",))

    async with httpx2.AsyncClient(
        transport=httpx2.ASGITransport(app=front), base_url="http://fulfillment.test"
    ) as client:
        html = (await client.get("/docs")).text

    assert 'class="badge"' not in html
    assert "1.0.2 · production" in html


def test_raw_html_in_markdown_is_text():
    """HTML inside Markdown is shown, not used."""
    made = render("# T\n\nA <script>alert(1)</script> b\n")

    assert "<script>" not in made.html
    assert "&lt;script&gt;" in made.html


def test_headings_and_codes_become_anchors():
    """Headings have anchors of their words, each its own; a bare code in a heading or first cell is its anchor."""
    made = render("# T\n\n## Two words\n\n## Two words\n\n### `order_held`\n\n| c |\n|---|\n| `invalid_cursor` |\n")

    assert [heading.anchor for heading in made.headings] == ["t", "two-words", "two-words-2", "order_held"]
    assert '<tr id="invalid_cursor">' in made.html


def test_links_between_guides_become_pages():
    """Links to Markdown files become links to pages; other links stay."""
    made = render("# T\n\n[a](orders.md#holds) [b](../errors.md) [c](https://example.com/x.md)\n")

    assert re.findall(r'href="([^"]+)"', made.html) == [
        "/docs/orders#holds",
        "/docs/errors",
        "https://example.com/x.md",
    ]


def test_boxes_are_drawn():
    """An item of a list that begins with [ ] shows a box."""
    made = render("# T\n\n- [ ] **One** thing\n- [x](orders.md)\n")

    assert '<li class="task">\u2610 <strong>One</strong> thing</li>' in made.html
    assert made.html.count("task") == 1


def test_operations_become_links():
    """The name of an operation in a guide leads to the reference."""
    made = render(
        "# T\n\n`createOrder` and `createWonder`\n", {"createOrder": "/docs/reference#tag/orders/createOrder"}
    )

    assert made.html.count("<a ") == 1
    assert 'href="/docs/reference#tag/orders/createOrder"><code>createOrder</code>' in made.html
