"""The index that the browser searches: every section of every guide, and every operation."""

import json
from collections.abc import Iterable
from typing import Any, Final
from urllib.parse import quote

from fulfillment.site.markdown import Rendered, slug
from fulfillment.site.operations import Document, Operation, operations
from fulfillment.site.pages import Page

_MAX_TEXT: Final = 1200  # characters of a section that are searched and shown


def index(pages: Iterable[tuple[Page, Rendered]], document: Document) -> bytes:
    """Return the index as JSON: rows of kind, title, where, page's title and text."""
    rows = [_operation_row(operation) for operation in operations(document)]
    for page, rendered in pages:
        rows += _page_rows(page, rendered)
    return json.dumps(rows, ensure_ascii=False, separators=(",", ":")).encode()


def operation_path(operation: Operation) -> str:
    """Return where the reference shows an operation."""
    return f"/docs/reference#tag/{slug(operation.tag)}/{quote(operation.id)}"


def _operation_row(operation: Operation) -> dict[str, Any]:
    path = operation.path if operation.at_root else "/v1" + operation.path
    return {
        "kind": operation.method,
        "title": operation.id,
        "where": operation_path(operation),
        "page": f"{operation.tag}: {path}",
        "text": f"{operation.title}. {operation.description}"[:_MAX_TEXT],
    }


def _page_rows(page: Page, rendered: Rendered) -> list[dict[str, Any]]:
    return [
        {
            "kind": "guide",
            "title": section.title or rendered.title,
            "where": page.path + (f"#{section.anchor}" if section.anchor else ""),
            "page": rendered.title,
            "text": " ".join(section.text.split())[:_MAX_TEXT],
        }
        for section in rendered.sections
    ]
