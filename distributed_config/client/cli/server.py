"""The server as the commands use it: requests in few words, and what all of them carry."""

import argparse
import json
import os
from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any

from distributed_config.client.cli.connect import open_client
from distributed_config.client.client import Client
from distributed_config.client.http.messages import (
    Request,
    Response,
    not_a_configuration_server,
)
from distributed_config.client.http.resolved import ResolvedRequests

API = "/api/v1"
# The server cuts it where its DISTCONF_PAGE_MOST is smaller; the list is complete all the same.
_MOST_ON_A_PAGE = 500


class Server:
    """The server of ``options``; use it in a ``with`` statement.

    Each request acts in the organisation of ``options``; each write has their note, and is
    rehearsed if they say so.
    """

    def __init__(self, options: argparse.Namespace) -> None:
        self.client: Client = open_client(options)
        self._options = options
        organisation = options.organisation or os.environ.get("DISTCONF_ORGANISATION")
        self._headers = {"Config-Organisation": organisation} if organisation else {}

    def __enter__(self) -> "Server":
        return self

    def __exit__(self, *_: object) -> None:
        self.client.close()

    @property
    def url(self) -> str:
        """The address of the server, without a slash at its end."""
        return self.client.transport.url

    def send(
        self,
        method: str,
        path: str,
        query: Mapping[str, Any],
        *,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Response:
        """Return the response to a request; what is None in ``query`` is left out.

        Raises the error that the server answered with, or Unreachable.
        """
        all_headers = {**self._headers, **(headers or {})}
        request = Request(method, path, query, all_headers, body)
        # A server from before there were layers has nothing to resolve, and is asked without it.
        return ResolvedRequests().send(request, self.client.transport.send)

    # --- reading

    def get(self, path: str, **query: Any) -> dict[str, Any]:
        """Return the object that a path of the API answers with."""
        return self.send("GET", API + path, query).json()

    def pages(self, path: str, key: str, **query: Any) -> Iterator[dict[str, Any]]:
        """Yield every element of a list; each page is loaded when it is needed."""
        query = {"limit": _MOST_ON_A_PAGE, **query}
        while True:
            page = self.get(path, **query)
            if not isinstance(page.get(key), list):
                raise not_a_configuration_server()
            yield from page[key]
            if page.get("next") is None:
                return
            query["cursor"] = page["next"]

    def first(self, most: int, path: str, key: str, **query: Any) -> list[dict[str, Any]]:
        """Return the first elements of a list, ``most`` of them if there are as many."""
        limit = min(most, _MOST_ON_A_PAGE)
        return list(islice(self.pages(path, key, **{"limit": limit, **query}), most))

    # --- writing

    def write(
        self,
        method: str,
        path: str,
        query: Mapping[str, Any],
        body: Any = None,
        *,
        content_type: str = "application/json",
        if_match: str = "",
        headers: Mapping[str, str] | None = None,
    ) -> Response:
        """Send a write, which happens once however often it is sent.

        A ``body`` that is not bytes yet is sent as JSON.
        """
        all_headers = {"Idempotency-Key": os.urandom(16).hex(), **self._note_header()}
        if body is not None:
            all_headers["Content-Type"] = content_type
            body = body if isinstance(body, bytes) else json.dumps(body).encode()
        if if_match:
            all_headers["If-Match"] = if_match
        query = {**query, "note": self._note_in_query(), "dry_run": self._dry_run}
        return self.send(method, path, query, body=body, headers={**all_headers, **(headers or {})})

    def post(self, path: str, body: Any = None, **query: Any) -> dict[str, Any]:
        """Send a POST to a path of the API, and return the object in the response."""
        return self.write("POST", API + path, query, body).json()

    def patch(self, path: str, body: Any, **query: Any) -> dict[str, Any]:
        """Send a PATCH to a path of the API, and return the object in the response."""
        return self.write("PATCH", API + path, query, body).json()

    def put(self, path: str, body: Any, **query: Any) -> dict[str, Any]:
        """Send a PUT to a path of the API, and return the object in the response."""
        return self.write("PUT", API + path, query, body).json()

    def delete(self, path: str, **query: Any) -> dict[str, Any]:
        """Send a DELETE to a path of the API, and return the object in the response."""
        return self.write("DELETE", API + path, query).json()

    @property
    def _note(self) -> str:
        return str(getattr(self._options, "note", ""))

    @property
    def _dry_run(self) -> str | None:
        return "true" if getattr(self._options, "dry_run", False) else None

    def _note_header(self) -> dict[str, str]:
        # In the header where that can hold it: an address has less room. http.client encodes
        # headers as Latin-1, and this makes it send the bytes of UTF-8.
        is_for_header = self._note and self._note.isprintable()
        return {"Config-Note": self._note.encode().decode("latin-1")} if is_for_header else {}

    def _note_in_query(self) -> str | None:
        return self._note if self._note and not self._note.isprintable() else None
