"""``Client``: what can be asked of a server, call by call."""

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from distributed_config.client.http.events import Revision, follow
from distributed_config.client.http.token_file import token_in
from distributed_config.client.http.transport import Backoff, Request, Transport
from distributed_config.errors import Invalid, InvalidDocument, Problem, Unreachable

DEFAULT_URL = "http://127.0.0.1:5000"


@dataclass(frozen=True)
class Configuration:
    """A version as it was read. ``text`` is the document byte for byte as it is stored."""

    service: str
    version: int
    value: dict[str, Any]
    text: str
    etag: str
    revision: int

    def __getitem__(self, key: str) -> Any:
        return self.value[key]


@dataclass(frozen=True)
class Written:
    """What a write did. ``current`` is the version that is served now, None if none is."""

    version: int
    current: int | None
    changed: bool
    etag: str
    revision: int
    removed: tuple[str, ...] = ()
    """The top-level keys, as JSON pointers, that a new document took away; 20 at most."""
    removed_more: int = 0
    """How many more there were."""


class Client:
    """Reads and writes configurations; use it in a ``with``, or ``close`` it.

    ``url`` and ``token`` are those of DISTCONF_URL and DISTCONF_TOKEN (or DISTCONF_TOKEN_FILE)
    unless given; the file is read again when the server does not know its token any more.
    ``service`` is the one that is meant where a call names none. ``timeout`` is in
    seconds, for each attempt; ``retries`` come on top of the first one.

    The server's errors are raised as its own classes, of ``distributed_config.errors``;
    Unreachable if there was no answer. May be used by several threads.

    ``actor`` is who the journal of a server without access control names as the author of what
    is written, marked as unverified; other servers know who asks, and do not heed it.
    """

    def __init__(
        self,
        url: str | None = None,
        *,
        token: str | None = None,
        service: str | None = None,
        timeout: float = 10.0,
        retries: int = 3,
        backoff: Backoff | None = None,
        actor: str = "",
    ) -> None:
        self.service = service
        self.transport = Transport(
            url or os.environ.get("DISTCONF_URL") or DEFAULT_URL,
            token_of(os.environ) if token is None else token,
            timeout=timeout,
            retries=retries,
            backoff=backoff,
            actor=actor,
        )

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Ends all connections."""
        self.transport.close()

    # --- reading

    def get(
        self,
        service: str | None = None,
        *,
        version: int | None = None,
        as_of: int | str | None = None,
        defaults: bool = False,
        min_revision: int | None = None,
    ) -> Configuration:
        """The current configuration; or version ``version``, or what was current ``as_of`` then.

        ``defaults`` fills in those of the service's definition. Raises ServiceNotFound,
        NoCurrentVersion, VersionNotFound, …
        """
        name = self._named(service)
        which: int | str | None = version
        if version is None and as_of is None:
            which = "current"
        query = {
            "service": name,
            "version": which,
            "as_of": as_of,
            "defaults": "true" if defaults else None,
            "min_revision": min_revision,
        }
        answer = self.transport.ask(Request("GET", "/config", query))
        return Configuration(
            service=name,
            version=answer.number("config-version"),
            value=answer.json(),
            text=answer.body.decode(errors="replace"),
            etag=answer.headers.get("etag", ""),
            revision=answer.number("config-revision"),
        )

    def text(
        self,
        service: str | None = None,
        *,
        format: str = "json",  # noqa: A002  # the server's word for it
        version: int | None = None,
        as_of: int | str | None = None,
        defaults: bool = False,
    ) -> str:
        """The same as the server writes it in another format."""
        query = {
            "service": self._named(service),
            "version": "current" if version is None and as_of is None else version,
            "as_of": as_of,
            "defaults": "true" if defaults else None,
            "format": format,
        }
        try:
            return self.transport.ask(Request("GET", "/config", query)).body.decode()
        except UnicodeDecodeError:
            raise Unreachable("What answered is not a configuration server.") from None

    def history(
        self, service: str | None = None, *, documents: bool = False
    ) -> Iterator[dict[str, Any]]:
        """Every version, newest first, page after page as it is consumed."""
        query: dict[str, Any] = {
            "service": self._named(service),
            "documents": "true" if documents else None,
        }
        while True:
            page = self.transport.ask(Request("GET", "/api/v1/versions", query)).json()
            if not isinstance(page.get("versions"), list):
                raise Unreachable("What answered is not a configuration server.")
            yield from page["versions"]
            if page.get("next") is None:
                return
            query["cursor"] = page["next"]

    def diff(self, old: int, new: int, service: str | None = None) -> dict[str, Any]:
        """Two versions side by side: ``patch`` (RFC 6902) and ``text``, a unified diff."""
        query = {"service": self._named(service), "from": old, "to": new}
        found = self.transport.ask(Request("GET", "/api/v1/diff", query)).json()
        if not {"patch", "text"} <= found.keys():
            raise Unreachable("What answered is not a configuration server.")
        return found

    def changes(
        self,
        after: int | str | None = None,
        *,
        services: Sequence[str] = (),
        kinds: Sequence[str] = (),
        documents: bool = False,
    ) -> Iterator[Revision]:
        """Every revision after ``after`` (from now on, if None), as it happens, and for ever.

        ``after`` is the ``position`` of a Revision. A plain number belongs to the database's first
        epoch: after a restore it begins with a ``reset``.

        Goes on by itself after the server was away, with every revision once and in order. Where
        that is impossible, because the server's database was restored, a Revision says
        ``reset``: read what you need anew, and go on.
        """
        query = {
            "after": after,
            "service": list(services),
            "kind": list(kinds),
            "include": "document" if documents else None,
        }
        return follow(self.transport, query)

    # --- writing

    def put(
        self,
        value: Mapping[str, Any],
        service: str | None = None,
        *,
        note: str = "",
        if_match: str = "",
        definition: str | None = None,
        dry_run: bool = False,
    ) -> Written:
        """Creates the service or adds a version; what is current already changes nothing."""
        query = {
            "service": self._named(service),
            "definition": definition,
            "dry_run": _switch(dry_run),
        }
        kind = {"Content-Type": "application/json"}
        return self._write(Request("PUT", "/config", query, kind, _encoded(value)), note, if_match)

    def patch(
        self,
        changes: Mapping[str, Any] | Sequence[Mapping[str, Any]],
        service: str | None = None,
        *,
        note: str = "",
        if_match: str = "",
        dry_run: bool = False,
    ) -> Written:
        """Changes the current version: by a merge patch (a mapping) or a JSON Patch (a list)."""
        query = {"service": self._named(service), "dry_run": _switch(dry_run)}
        form = "merge-patch" if isinstance(changes, Mapping) else "json-patch"
        kind = {"Content-Type": f"application/{form}+json"}
        request = Request("PATCH", "/config", query, kind, _encoded(changes))
        return self._write(request, note, if_match)

    def rollback(
        self, to: int | None, service: str | None = None, *, note: str = "", dry_run: bool = False
    ) -> Written:
        """Appends a copy of version ``to``; None: of the enabled one before the current."""
        query = {"service": self._named(service), "to": to, "dry_run": _switch(dry_run)}
        return self._write(Request("POST", "/api/v1/rollback", query), note)

    def enable(
        self, version: int, enabled: bool = True, service: str | None = None, *, note: str = ""
    ) -> Written:
        """Turns a version on, or off."""
        query = {
            "service": self._named(service),
            "version": version,
            "enabled": "true" if enabled else "false",
        }
        return self._write(Request("PATCH", "/config", query), note)

    def _write(self, request: Request, note: str, if_match: str = "") -> Written:
        # One key for all attempts of this write: it happens once, however often it is sent.
        headers = {**request.headers, "Idempotency-Key": os.urandom(16).hex()}
        query = dict(request.query)
        if note.isprintable() and note:
            headers["Config-Note"] = note.encode().decode("latin-1")
        elif note:
            query["note"] = note  # a header holds one line
        if if_match:
            headers["If-Match"] = if_match
        answer = self.transport.ask(replace(request, query=query, headers=headers))
        body = answer.json()
        if not isinstance(body.get("version"), int):
            raise Unreachable("What answered is not a configuration server.")
        return Written(
            version=body["version"],
            current=body.get("current"),
            changed=body.get("changed", True),
            etag=answer.headers.get("etag", ""),
            revision=answer.number("config-revision") if "config-revision" in answer.headers else 0,
            removed=tuple(body.get("removed", ())),
            removed_more=body.get("removed_more", 0),
        )

    def _named(self, service: str | None) -> str:
        name = service or self.service
        if not name:
            message = "Name a service, in the call or when the client is made."
            raise Invalid.from_problems([Problem("", message, "name", "service")])
        return name


def token_of(environ: Mapping[str, str]) -> str:
    """The token in DISTCONF_TOKEN, or in the file that DISTCONF_TOKEN_FILE names; or "".

    Raises Invalid if there is a file that cannot be read.
    """
    if environ.get("DISTCONF_TOKEN"):
        return environ["DISTCONF_TOKEN"].strip()
    if environ.get("DISTCONF_TOKEN_FILE"):
        return token_in(Path(environ["DISTCONF_TOKEN_FILE"]), "DISTCONF_TOKEN_FILE")
    return ""


def _encoded(value: Any) -> bytes:
    """``value`` as JSON. Raises InvalidDocument if that cannot hold it."""
    try:
        text = json.dumps(value, ensure_ascii=False, allow_nan=False, default=_plain)
        return text.encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidDocument.from_problems(
            [Problem("", f"It is no JSON: {error}.", "json")]
        ) from None


def _plain(value: Any) -> Any:
    """Any mapping and any sequence as what JSON knows."""
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, Sequence) and not isinstance(value, (bytes, bytearray, memoryview)):
        return list(value)
    raise TypeError(f"a {type(value).__name__} has no place in it")


def _switch(on: bool) -> str | None:
    return "true" if on else None
