"""The documents of services, as the commands read and write them."""

import argparse
from typing import Any

from distributed_config.client.cli.server import Server
from distributed_config.client.client import Configuration
from distributed_config.client.http.messages import not_a_configuration_server
from distributed_config.client.http.queries import DEFAULT_ENVIRONMENT, unless_default

RESOLVED = "true"
"""What asks for a resolved document."""


def service_query(options: argparse.Namespace, **more: Any) -> dict[str, Any]:
    """Return the query that names the series of a command."""
    environment = unless_default(options.environment or DEFAULT_ENVIRONMENT)
    return {"service": options.service, "environment": environment, **more}


# --- reading


def read_document(server: Server, options: argparse.Namespace, **selection: Any) -> Configuration:
    """Return a document; the current one unless ``selection`` has a version or a moment."""
    # Most are what the client's own call reads.
    is_default = {options.environment or DEFAULT_ENVIRONMENT, server.client.environment}
    if not selection and is_default == {DEFAULT_ENVIRONMENT}:
        return server.client.get(options.service)
    response = server.send("GET", "/config", _query(options, selection))
    return Configuration(
        service=options.service,
        version=response.number("config-version"),
        value=response.json(),
        text=response.body.decode(errors="replace"),
        etag=response.headers.get("etag", ""),
        revision=response.number("config-revision"),
    )


def read_text(
    server: Server, options: argparse.Namespace, format_name: str, **selection: Any
) -> tuple[str, str]:
    """Return a document as the server writes it in a format, and its entity tag."""
    query = {**_query(options, selection), "format": format_name}
    response = server.send("GET", "/config", query)
    try:
        return response.body.decode(), response.headers.get("etag", "")
    except UnicodeDecodeError:
        raise not_a_configuration_server() from None


def _query(options: argparse.Namespace, selection: dict[str, Any]) -> dict[str, Any]:
    if selection.get("version") is None and selection.get("as_of") is None:
        # Without it the server answers with every version, as its original contract has it.
        selection = {**selection, "version": "current"}
    return service_query(options, **selection)
