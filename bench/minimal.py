"""The least that a Flask route can do: bytes that were made beforehand."""

from flask import Flask, Response

from bench.documents import DOCUMENT

app = Flask("bench.minimal", static_folder=None)


@app.get("/config")
def read() -> Response:
    """The document."""
    return Response(DOCUMENT, content_type="application/json")
