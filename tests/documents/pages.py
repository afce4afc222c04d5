"""Look at a PDF as a reader and a scanner do: its text, its pages as pictures, the barcodes on them."""

from typing import cast

import pypdfium2  # pyright: ignore[reportMissingTypeStubs]
import zxingcpp
from PIL import Image

SCANNER_DPI = 200


def texts(pdf: bytes) -> list[str]:
    """Return the text of each page, as a viewer would copy it."""
    document = pypdfium2.PdfDocument(pdf)
    try:
        return [page.get_textpage().get_text_range() for page in document]
    finally:
        document.close()


def text(pdf: bytes) -> str:
    """Return the text of all pages on one line."""
    return " ".join(" ".join(texts(pdf)).split())


def picture(pdf: bytes, page: int = 0, dpi: int = SCANNER_DPI) -> Image.Image:
    """Return a page as it looks."""
    document = pypdfium2.PdfDocument(pdf)
    try:
        page_picture = cast(Image.Image, document[page].render(scale=dpi / 72).to_pil())  # pyright: ignore
        return page_picture.convert("RGB")
    finally:
        document.close()


def barcodes(pdf: bytes, page: int = 0) -> set[tuple[str, str]]:
    """Return the kind and the text of every barcode that a reader finds on a page at 200 dpi."""
    return {(found.format.name, found.text) for found in zxingcpp.read_barcodes(picture(pdf, page))}


def outside(pdf: bytes, margin: float) -> list[tuple[float, float]]:
    """Return the left and right edge of every text that comes closer than *margin* points to a page's side."""
    found: list[tuple[float, float]] = []
    document = pypdfium2.PdfDocument(pdf)
    for page in document:
        words = page.get_textpage()
        rights = page.get_width() - margin
        for index in range(words.count_rects()):
            left, _, right, _ = words.get_rect(index)  # pyright: ignore[reportUnknownMemberType]
            if left < margin or right > rights:
                found.append((left, right))
    document.close()
    return found
