"""The printed documents: packing slips, pack labels, pick lists, shipping labels, Supplement Facts.

Owns no table and does no I/O: every document is a pure function from a frozen value of `model` to the bytes
of a PDF. The same value gives the same bytes; nothing is ever fetched; no text is ever read as markup; text
of any script is drawn or visibly replaced, never refused. A barcode that can't be made is the one expected
failure (`barcodes.BarcodeNotPossible`).

`packing_slip`, `pack_labels`, `pick_list`, `shipping_label` and `facts_panel` each have `render(document)`;
`batch.render(documents)` prints many of any kind into one PDF.
"""
