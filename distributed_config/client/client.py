"""``Client``: the requests that a program makes to a server, one call for each."""

import copy
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from distributed_config.client.http.backoff import Backoff
from distributed_config.client.http.connection import Connector, SocketConnector
from distributed_config.client.http.events import Revision, follow
from distributed_config.client.http.messages import (
    Request,
    Response,
    not_a_configuration_server,
)
from distributed_config.client.http.queries import (
    DEFAULT_ENVIRONMENT,
    document_query,
    environment_from,
    flag,
    series_query,
    unless_default,
)
from distributed_config.client.http.resolved import Layer, parse_layers
from distributed_config.client.http.token_file import token_from
from distributed_config.client.http.transport import Transport
from distributed_config.errors import Invalid, InvalidDocument, Problem

DEFAULT_URL = "http://127.0.0.1:5000"


@dataclass(frozen=True)
class Configuration:
    """A version of a service. ``text`` is the document byte for byte as the server sent it.

    ``version`` is its number, ``etag`` its entity tag (RFC 9110), and ``revision`` the position of
    the server's journal when it was read. A resolved document has the ``layers`` that it was merged
    from, most general first, and ``version`` is the number of the last one.
    """

    service: str
    version: int
    value: dict[str, Any]
    text: str
    etag: str
    revision: int
    environment: str = DEFAULT_ENVIRONMENT
    layers: tuple[Layer, ...] = ()

    def __getitem__(self, key: str) -> Any:
        return self.value[key]


@dataclass(frozen=True)
class Written:
    """The result of a write.

    ``version`` is the one that the write was about; ``current`` is the version that is served now,
    None if none is. ``changed`` is False where everything was like that already.
    """

    version: int
    current: int | None
    changed: bool
    etag: str
    revision: int
    removed: tuple[str, ...] = ()
    """The top-level keys that a new document no longer has, as JSON pointers; 20 at most."""
    removed_more: int = 0
    """The number of further ones."""


class Client:
    """Reads and writes configurations; use it in a ``with`` statement, or ``close`` it.

    ``url`` and ``token`` default to DISTCONF_URL and DISTCONF_TOKEN (or DISTCONF_TOKEN_FILE, which
    is read again when the server refuses its token). ``service`` is the one that calls are about
    unless they name another; so is ``environment``, which defaults to DISTCONF_ENVIRONMENT, or else
    to ``default``. ``timeout`` is in seconds, for each attempt; ``retries`` come on top of the
    first attempt, after the pauses of ``backoff``.

    ``transport`` takes the place of ``url``: an InProcessTransport calls an application without a
    socket.

    ``actor`` names the author of writes in the journal of a server without access control, which
    marks it as unverified. Other servers know the author, and ignore it.

    The server's errors are raised as its own classes, of ``distributed_config.errors``;
    Unreachable if no server answered. Several threads may share one Client.
    """

    def __init__(
        self,
        url: str | None = None,
        *,
        token: str | None = None,
        service: str | None = None,
        environment: str | None = None,
        timeout: float = 10.0,
        retries: int = 3,
        backoff: Backoff | None = None,
        actor: str = "",
        transport: Connector | None = None,
    ) -> None:
        if transport is not None and url is not None:
            message = "Give either an address or a transport: a client has one server."
            raise Invalid.from_problems([Problem("", message, "url", "url")])
        self.service = service
        self.environment = environment_from(environment, os.environ)
        self.transport = Transport(
            transport or SocketConnector(url or os.environ.get("DISTCONF_URL") or DEFAULT_URL),
            token_from(os.environ) if token is None else token,
            timeout=timeout,
            retries=retries,
            backoff=backoff,
            actor=actor,
        )

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def twin(self) -> "Client":
        """Return a client like this one, with connections and an end of its own."""
        twin = copy.copy(self)
        twin.transport = self.transport.twin()
        return twin

    def close(self) -> None:
        """End all connections; calls that wait for a response raise Unreachable."""
        self.transport.close()

    # --- reading

    def get(
        self,
        service: str | None = None,
        *,
        version: int | None = None,
        as_of: int | str | None = None,
        defaults: bool = False,
        resolved: bool = False,
        min_revision: int | None = None,
        environment: str | None = None,
    ) -> Configuration:
        """Return the current configuration, or version ``version``, or the one current ``as_of``.

        ``as_of`` is a revision or an RFC 3339 time. ``resolved`` returns what a program gets, with
        all layers merged and references filled in, and not the document as it is stored.
        ``defaults`` fills in those of the service's definition. ``min_revision`` waits for a few
        seconds until the server has that revision, so that a program reads its own writes. Raises
        ServiceNotFound, NoCurrentVersion, VersionNotFound, …
        """
        series = self._series(service, environment)
        query = document_query(
            series, version=version, as_of=as_of, defaults=defaults, resolved=resolved
        )
        query["min_revision"] = min_revision
        response = self.transport.send(Request("GET", "/config", query))
        return Configuration(
            service=query["service"],
            environment=environment or self.environment,
            layers=parse_layers(response.headers.get("config-layers", "")),
            version=response.number("config-version"),
            value=response.json(),
            text=response.body.decode(errors="replace"),
            etag=response.headers.get("etag", ""),
            revision=response.number("config-revision"),
        )

    def text(
        self,
        service: str | None = None,
        *,
        format: str = "json",  # noqa: A002  # the server's word for it
        version: int | None = None,
        as_of: int | str | None = None,
        defaults: bool = False,
        resolved: bool = False,
        environment: str | None = None,
    ) -> str:
        """Return a configuration as the server writes it in ``format``.

        Formats are ``json``, ``yaml``, ``toml``, ``env`` and ``properties``. The other arguments
        select the version as in ``get``. Raises NotRepresentable for a document that the format
        cannot hold.
        """
        series = self._series(service, environment)
        query = document_query(
            series, version=version, as_of=as_of, defaults=defaults, resolved=resolved
        )
        query["format"] = format
        try:
            return self.transport.send(Request("GET", "/config", query)).body.decode()
        except UnicodeDecodeError:
            raise not_a_configuration_server() from None

    def history(
        self,
        service: str | None = None,
        *,
        documents: bool = False,
        environment: str | None = None,
    ) -> Iterator[dict[str, Any]]:
        """Yield every version, newest first; each page is loaded when it is needed."""
        query = {**self._series(service, environment), "documents": flag(documents)}
        while True:
            page = self.transport.send(Request("GET", "/api/v1/versions", query)).json()
            if not isinstance(page.get("versions"), list):
                raise not_a_configuration_server()
            yield from page["versions"]
            if page.get("next") is None:
                return
            query["cursor"] = page["next"]

    def diff(
        self,
        old: int | str,
        new: int | str,
        service: str | None = None,
        *,
        environment: str | None = None,
    ) -> dict[str, Any]:
        """Return how two versions differ: ``patch`` (RFC 6902) and ``text``, a unified diff.

        Two environments, by their names, are compared as well: what programs get in each.
        """
        query = {**self._series(service, environment), "from": old, "to": new}
        difference = self.transport.send(Request("GET", "/api/v1/diff", query)).json()
        if not {"patch", "text"} <= difference.keys():
            raise not_a_configuration_server()
        return difference

    def changes(
        self,
        after: int | str | None = None,
        *,
        services: Sequence[str] = (),
        kinds: Sequence[str] = (),
        documents: bool = False,
        resolved: bool = False,
        environment: str | None = None,
    ) -> Iterator[Revision]:
        """Yield every revision after ``after`` as it happens, until the client is closed.

        ``after`` is the ``position`` of a Revision; None starts now. A plain number belongs to the
        database's first epoch: after a restore it begins with a ``reset``. ``environment``
        limits the changes to one, and so does the client's own unless that is ``default``. With
        ``resolved`` they are those of every layer of the one service that is named.

        The stream resumes by itself after the server was away, with every revision once and in
        order. Where that is impossible, because the server's database was restored, a Revision
        has ``reset`` set: read what you need again, and continue.
        """
        query = {
            "after": after,
            "service": list(services),
            "environment": environment or unless_default(self.environment),
            "kind": list(kinds),
            "include": "document" if documents else None,
            "resolved": flag(resolved),
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
        environment: str | None = None,
    ) -> Written:
        """Create the service, or append a version unless ``value`` is current already."""
        query = {
            **self._series(service, environment),
            "definition": definition,
            "dry_run": flag(dry_run),
        }
        headers = {"Content-Type": "application/json"}
        request = Request("PUT", "/config", query, headers, _encode(value))
        return self._write(request, note, if_match)

    def patch(
        self,
        changes: Mapping[str, Any] | Sequence[Mapping[str, Any]],
        service: str | None = None,
        *,
        note: str = "",
        if_match: str = "",
        dry_run: bool = False,
        environment: str | None = None,
    ) -> Written:
        """Append a version that is the current one with ``changes``.

        A mapping is a merge patch (RFC 7396), and a sequence is a JSON Patch (RFC 6902).
        """
        query = {**self._series(service, environment), "dry_run": flag(dry_run)}
        form = "merge-patch" if isinstance(changes, Mapping) else "json-patch"
        headers = {"Content-Type": f"application/{form}+json"}
        request = Request("PATCH", "/config", query, headers, _encode(changes))
        return self._write(request, note, if_match)

    def rollback(
        self,
        to: int | None,
        service: str | None = None,
        *,
        note: str = "",
        dry_run: bool = False,
        environment: str | None = None,
    ) -> Written:
        """Append a copy of version ``to``; None means the enabled one before the current."""
        query = {**self._series(service, environment), "to": to, "dry_run": flag(dry_run)}
        return self._write(Request("POST", "/api/v1/rollback", query), note)

    def enable(
        self,
        version: int,
        enabled: bool = True,
        service: str | None = None,
        *,
        note: str = "",
        environment: str | None = None,
    ) -> Written:
        """Turn a version on, or off with ``enabled=False``."""
        query = {
            **self._series(service, environment),
            "version": version,
            "enabled": "true" if enabled else "false",
        }
        return self._write(Request("PATCH", "/config", query), note)

    def _write(self, request: Request, note: str, if_match: str = "") -> Written:
        # One key for all attempts of this write: it happens once, however often it is sent.
        headers = {**request.headers, "Idempotency-Key": os.urandom(16).hex()}
        query = dict(request.query)
        # A header holds one line, and no control characters; any other note goes into the query.
        if note.isprintable() and note:
            headers["Config-Note"] = note.encode().decode("latin-1")
        elif note:
            query["note"] = note
        if if_match:
            headers["If-Match"] = if_match
        return written(self.transport.send(replace(request, query=query, headers=headers)))

    def _series(self, service: str | None, environment: str | None) -> dict[str, Any]:
        """Return the query for a series. Raises Invalid if nothing names a service."""
        name = service or self.service
        if not name:
            message = "Name a service, in the call or when the client is created."
            raise Invalid.from_problems([Problem("", message, "name", "service")])
        return series_query(name, environment or self.environment)


def written(response: Response) -> Written:
    """Return the result of a write. Raises Unreachable if this is none."""
    body = response.json()
    if not isinstance(body.get("version"), int):
        raise not_a_configuration_server()
    return Written(
        version=body["version"],
        current=body.get("current"),
        changed=body.get("changed", True),
        etag=response.headers.get("etag", ""),
        # Where nothing was written there may be no revision.
        revision=response.number("config-revision") if "config-revision" in response.headers else 0,
        removed=tuple(body.get("removed", ())),
        removed_more=body.get("removed_more", 0),
    )


def _encode(value: Any) -> bytes:
    """Return ``value`` as JSON. Raises InvalidDocument if JSON cannot hold it."""
    try:
        # Without allow_nan=False Python writes NaN, which is no JSON and which servers refuse.
        text = json.dumps(value, ensure_ascii=False, allow_nan=False, default=_to_builtin)
        return text.encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidDocument.from_problems(
            [Problem("", f"It is not JSON: {error}.", "json")]
        ) from None


def _to_builtin(value: Any) -> Any:
    """Return any mapping as a dict, and any sequence but bytes as a list."""
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, Sequence) and not isinstance(value, (bytes, bytearray, memoryview)):
        return list(value)
    raise TypeError(f"a {type(value).__name__} has no place in it")
