"""The printed documents, read back from the page."""
