"""The site: guides, API reference, changelog and downloads, served by the API's own process without any other host.

It owns no table. Everything is made once from the Markdown in docs/ and from the served OpenAPI document, at the first
request for it, and then answered from memory.
"""
