"""The document that every server of a comparison serves or takes: 1,024 bytes of JSON."""

import json

SIZE = 1_024
ETAG = '"0.0123456789abcdef01234567.01234567"'


def _document() -> bytes:
    value = {
        "service": "bench",
        "database": {"host": "db.example.org", "port": 5432, "pool": {"least": 2, "most": 20}},
        "features": {"search": True, "beta": False, "ratio": 0.25},
        "upstreams": [{"name": f"node-{i}", "weight": i, "tls": True} for i in range(14)],
        "note": "",
    }
    value["note"] = "x" * (SIZE - len(json.dumps(value)))
    return json.dumps(value).encode()


DOCUMENT = _document()
assert len(DOCUMENT) == SIZE


def document_for(service: str) -> bytes:
    """Return the document as ``service`` would have it, of the same size."""
    value = json.loads(DOCUMENT)
    value["service"] = service
    value["note"] = value["note"][: len(value["note"]) + len("bench") - len(service)]
    return json.dumps(value).encode()
