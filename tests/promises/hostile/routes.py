"""The routes that take a document or a patch, and bodies for them."""

from collections.abc import Iterable
from dataclasses import dataclass

import pytest

from tests.support.raw_http import JSON, MERGE, PATCH, RawResponse, send
from tests.support.server import Server


@dataclass(frozen=True)
class WriteRoute:
    """A route that takes a document, with what stands around the document in its body.

    ``pointer`` is where in the body the document lies.
    """

    method: str
    path: str
    kind: str = JSON
    before: str = ""
    after: str = ""
    pointer: str = ""

    def send(
        self, server: Server, name: str, fragment: bytes, kind: str | None = None
    ) -> RawResponse:
        before, after = (text.replace("NAME", name).encode() for text in (self.before, self.after))
        path = self.path.replace("NAME", name)
        return send(server, self.method, path, kind or self.kind, before + fragment + after)

    def pointers_in_body(self, name: str, pointers: Iterable[str]) -> set[str]:
        return {self.pointer.replace("NAME", name) + pointer for pointer in pointers}


POST = WriteRoute("POST", "/config?service=NAME-absent")
PUT_NEW = WriteRoute("PUT", "/config?service=NAME-absent")
PUT = WriteRoute("PUT", "/config?service=NAME")
APPEND = WriteRoute("PATCH", "/config?service=NAME")
CHANGESET = WriteRoute(
    "POST",
    "/api/v1/changesets",
    before='{"changes": [{"service": "NAME", "document": ',
    after="}]}",
    pointer="/changes/0/document",
)
IMPORT = WriteRoute("POST", "/api/v1/import", before='{"NAME": ', after="}", pointer="/NAME")
MERGE_PATCH = WriteRoute("PATCH", "/config?service=NAME", MERGE)
JSON_PATCH = WriteRoute(
    "PATCH",
    "/config?service=NAME",
    PATCH,
    before='[{"op": "add", "path": "/x", "value": ',
    after="}]",
    pointer="/0/value",
)
MERGE_STEP = WriteRoute(
    "POST",
    "/api/v1/changesets",
    before='{"changes": [{"service": "NAME", "merge": ',
    after="}]}",
    pointer="/changes/0/merge",
)

DOCUMENT_ROUTES = [
    pytest.param(POST, id="POST"),
    pytest.param(PUT_NEW, id="PUT-new"),
    pytest.param(PUT, id="PUT"),
    pytest.param(APPEND, id="PATCH"),
    pytest.param(CHANGESET, id="changeset"),
    pytest.param(IMPORT, id="import"),
]
PATCH_ROUTES = [
    pytest.param(MERGE_PATCH, id="merge-patch"),
    pytest.param(JSON_PATCH, id="json-patch"),
    pytest.param(MERGE_STEP, id="changeset-merge"),
]


def many_keys(count: int) -> bytes:
    return b"{%s}" % b",".join(b'"k%d":0' % i for i in range(count))


def nested(depth: int) -> bytes:
    return b'{"a":' * depth + b"1" + b"}" * depth
