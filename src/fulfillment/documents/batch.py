"""Many documents of any kind as one PDF, with progress."""

from collections.abc import Sequence

from fulfillment.documents import facts_panel, pack_labels, packing_slip, pick_list, shipping_label
from fulfillment.documents.layout import Paper, Progress
from fulfillment.documents.model import Document, FactsSheet, PackingSlip, PackRoll, PickList, ShippingLabel


def render(documents: Sequence[Document], progress: Progress | None = None) -> bytes:
    """Return one PDF of *documents* in their order; *progress* hears (done, total) after each.

    Page numbers start anew with each document.

    Raises:
        BarcodeNotPossible: One of the documents has a text that can't be a barcode; nothing is returned.
        ValueError: There is nothing to print.
    """
    if not documents:
        raise ValueError("a PDF needs at least one document")
    paper = Paper(f"{len(documents)} documents")
    for done, document in enumerate(documents, start=1):
        _draw(paper, document)
        if progress:
            progress(done, len(documents))
    return paper.finish()


def _draw(paper: Paper, document: Document) -> None:
    match document:
        case PackingSlip():
            packing_slip.draw(paper, document)
        case PackRoll():
            pack_labels.draw(paper, document)
        case PickList():
            pick_list.draw(paper, document)
        case ShippingLabel():
            shipping_label.draw(paper, document)
        case FactsSheet():
            facts_panel.draw(paper, document)
