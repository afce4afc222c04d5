"""The public promise: openapi.yaml as it was agreed, additions.yaml with what we add, and the two as one document."""
