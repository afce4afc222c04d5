"""HTTP for the site: pages, their Markdown, assets and downloads. Answers are made once and kept."""

import gzip
import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from importlib import resources
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from fulfillment.site import changelog, layout, operations, postman, search
from fulfillment.site.markdown import Rendered, render
from fulfillment.site.pages import CHAPTERS, Page, read, read_pages

_VIEWER: Final = "scalar-api-reference-1.72.1.js"
_TYPES: Final = {"css": "text/css", "js": "text/javascript", "svg": "image/svg+xml"}
_MARKDOWN: Final = "text/markdown; charset=utf-8"
_HTML: Final = "text/html; charset=utf-8"
# Everything comes from this server and nothing runs inline.
_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
# The viewer of the reference writes <style> elements, and its icons and fonts are data URLs.
_REFERENCE_POLICY: Final = _POLICY.replace("style-src 'self'", "style-src 'self' 'unsafe-inline'").replace(
    "font-src 'self'", "font-src 'self' data:"
)


@dataclass(frozen=True, slots=True)
class _Stored:
    body: bytes
    media_type: str
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    status: int = 200


def routes(document: Mapping[str, Any], base_url: str, *, sandbox: bool) -> list[Route]:
    """Return the site's routes.

    Args:
        document: The served OpenAPI document.
        base_url: Where the server is, without /v1.
        sandbox: Whether this is the sandbox.
    """
    site = _Site(document, base_url, sandbox)
    return [
        Route("/", _moved("/docs")),
        Route("/docs", site.answering("/docs", lambda _: site.home())),
        Route("/docs/", _moved("/docs")),
        Route("/docs/reference", site.answering("/docs/reference", lambda _: site.reference())),
        Route("/docs/reference.md", site.answering("/docs/{page}.md", lambda _: site.reference_markdown())),
        Route("/docs/search.json", site.answering("/docs/search.json", lambda _: site.search_index())),
        Route("/docs/assets/{name}", site.answering("/docs/assets/{name}", site.asset)),
        Route(f"/docs/assets/vendor/{_VIEWER}", site.viewer),
        Route("/docs/{page}.md", site.answering("/docs/{page}.md", site.markdown)),
        Route("/docs/{page}", site.answering("/docs/{page}", site.guide)),
        Route("/changelog", site.answering("/changelog", lambda _: site.changelog())),
        Route("/changelog.md", site.answering("/changelog.md", lambda _: site.changelog_markdown())),
        Route("/changelog.atom", site.answering("/changelog.atom", lambda _: site.feed())),
        Route("/llms.txt", site.answering("/llms.txt", lambda _: site.llms())),
        Route("/llms-full.txt", site.answering("/llms-full.txt", lambda _: site.llms_full())),
        Route("/postman.json", site.answering("/postman.json", lambda _: site.postman())),
    ]


def _moved(to: str) -> Callable[[Request], Response]:
    def moved(request: Request) -> Response:
        request.scope["fulfillment.template"] = request.scope["path"]
        return RedirectResponse(to, 308)

    return moved


class _Site:
    """All answers of one server. Its methods run in threads: making a page may take some milliseconds."""

    def __init__(self, document: Mapping[str, Any], base_url: str, sandbox: bool) -> None:
        self._document = document
        self._base_url = base_url
        self._sandbox = sandbox
        self._kept: dict[str, _Stored] = {}

    def answering(self, template: str, make: Callable[[str], _Stored]) -> Callable[[Request], Response]:
        """Return an endpoint that makes its answer once for each path."""

        def answer(request: Request) -> Response:
            request.scope["fulfillment.template"] = template
            path = request.scope["path"]
            stored = self._kept.get(path)
            if stored is None:
                stored = make(path.rpartition("/")[2])
                if stored.status == 200:  # unknown paths are without number
                    self._kept[path] = stored
            return _respond(request, stored)

        return answer

    def viewer(self, request: Request) -> Response:
        """Answer the vendored script of the reference, compressed as it is kept."""
        request.scope["fulfillment.template"] = "/docs/assets/{name}"
        packed = _packed_viewer()
        headers = {"vary": "accept-encoding", "cache-control": "public, max-age=31536000, immutable"}
        if "gzip" in request.headers.get("accept-encoding", ""):
            return Response(packed, headers=headers | {"content-encoding": "gzip"}, media_type="text/javascript")
        return Response(gzip.decompress(packed), headers=headers, media_type="text/javascript")

    def home(self) -> _Stored:
        """Make the first page."""
        summaries = {page.slug: rendered.summary for page, rendered in self._rendered.values()}
        return _page(layout.home(self._frame, summaries))

    def guide(self, slug: str) -> _Stored:
        """Make the page of a guide."""
        if slug not in self._rendered:
            return _page(layout.missing(self._frame), status=404)
        page, rendered = self._rendered[slug]
        return _page(layout.guide(self._frame, page, rendered))

    def markdown(self, name: str) -> _Stored:
        """Make the Markdown of a guide."""
        slug = name.removesuffix(".md")
        if slug not in self._rendered:
            return _page(layout.missing(self._frame), status=404)
        return _Stored(self._rendered[slug][0].markdown.encode(), _MARKDOWN)

    def reference(self) -> _Stored:
        """Make the page that shows the OpenAPI document."""
        return _page(layout.reference(self._frame, f"/docs/assets/vendor/{_VIEWER}"), policy=_REFERENCE_POLICY)

    def reference_markdown(self) -> _Stored:
        """Make the reference as Markdown."""
        return _Stored(operations.as_markdown(self._document).encode(), _MARKDOWN)

    def search_index(self) -> _Stored:
        """Make the search's index."""
        return _Stored(search.index(self._rendered.values(), self._document), "application/json")

    def changelog(self) -> _Stored:
        """Make the page of the changelog."""
        return _page(layout.changelog(self._frame, render(self._changelog)))

    def changelog_markdown(self) -> _Stored:
        """Make the changelog as Markdown."""
        return _Stored(self._changelog.encode(), _MARKDOWN)

    def feed(self) -> _Stored:
        """Make the changelog's feed."""
        return _Stored(changelog.atom(self._changelog, self._base_url).encode(), "application/atom+xml; charset=utf-8")

    def llms(self) -> _Stored:
        """Make the list of pages for language models (llmstxt.org)."""
        chapters: list[str] = []
        for chapter in CHAPTERS:
            found = [self._rendered[place.slug] for place in chapter.places if place.slug in self._rendered]
            rows = [f"- [{made.title}]({self._base_url}{page.path}.md): {made.summary}" for page, made in found]
            chapters += [f"## {chapter.title}", "", *rows, ""]
        text = "\n".join(
            [
                "# Juniper Order Fulfillment API",
                "",
                "> Telehealth partners order personalised supplement packs; Juniper makes, packs and ships them.",
                "",
                *chapters,
                "## Reference",
                "",
                f"- [API reference]({self._base_url}/docs/reference.md): every operation",
                f"- [OpenAPI]({self._base_url}/openapi.json): the same, machine-readable",
                f"- [Changelog]({self._base_url}/changelog.md): what changed",
                "",
            ]
        )
        return _Stored(text.encode(), _MARKDOWN)

    def llms_full(self) -> _Stored:
        """Make all pages as one Markdown file."""
        parts = [page.markdown for page, _ in self._rendered.values()]
        parts.append(operations.as_markdown(self._document))
        return _Stored("\n\n".join(parts).encode(), _MARKDOWN)

    def postman(self) -> _Stored:
        """Make the Postman collection."""
        made = postman.collection(self._document, self._base_url)
        disposition = 'attachment; filename="juniper-fulfillment.postman_collection.json"'
        return _Stored(
            json.dumps(made, indent=1, ensure_ascii=False).encode(),
            "application/json",
            {"content-disposition": disposition},
        )

    def asset(self, name: str) -> _Stored:
        """Read a stylesheet, script or picture."""
        if name not in _asset_names():
            return _page(layout.missing(self._frame), status=404)
        body = (_folder() / "assets" / name).read_bytes()
        media = _TYPES[name.rpartition(".")[2]]
        return _Stored(body, media, {"cache-control": "public, max-age=31536000, immutable"})

    @cached_property
    def _rendered(self) -> Mapping[str, tuple[Page, Rendered]]:
        places = {one.id: search.operation_path(one) for one in operations.operations(self._document)}
        return {page.slug: (page, render(page.markdown, places)) for page in read_pages(self._base_url)}

    @cached_property
    def _changelog(self) -> str:
        return read("changelog.md", self._base_url)

    @cached_property
    def _frame(self) -> layout.Frame:
        titles = {slug: rendered.title for slug, (_, rendered) in self._rendered.items()}
        version = self._document["info"]["version"]
        return layout.Frame(_asset_addresses(), titles, self._sandbox, version)


def _page(html: str, *, status: int = 200, policy: str = _POLICY) -> _Stored:
    return _Stored(html.encode(), _HTML, {"content-security-policy": policy}, status)


def _respond(request: Request, stored: _Stored) -> Response:
    tag = f'"{hashlib.sha256(stored.body).hexdigest()[:20]}"'
    headers = {"etag": tag, "cache-control": "no-cache", **stored.headers}
    if request.headers.get("if-none-match") == tag:
        return Response(status_code=304, headers=headers)
    return Response(stored.body, stored.status, headers, stored.media_type)


def _folder() -> Any:
    return resources.files("fulfillment.site")


def _asset_names() -> frozenset[str]:
    return frozenset(entry.name for entry in (_folder() / "assets").iterdir())


def _asset_addresses() -> Mapping[str, str]:
    sums = {name: hashlib.sha256((_folder() / "assets" / name).read_bytes()).hexdigest() for name in _asset_names()}
    return {name: f"/docs/assets/{name}?v={total[:12]}" for name, total in sums.items()}


def _packed_viewer() -> bytes:
    return (_folder() / "vendor" / f"{_VIEWER}.gz").read_bytes()
