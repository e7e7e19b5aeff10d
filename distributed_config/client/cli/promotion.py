"""The difference that a promotion would make, service by service."""

import argparse
import copy
import difflib
import json
import sys
from typing import Any

from distributed_config.client.cli.output import colour_diff
from distributed_config.client.cli.server import Server
from distributed_config.errors import NotFound
from distributed_config.wire import parse_pointer
from distributed_config.wire.paths import MISSING, at


def print_difference(server: Server, options: argparse.Namespace) -> None:
    """Print how the stored documents of the target would change."""
    for service in options.services:
        before = _stored(server, service, options.target)
        # Stored documents, and not resolved ones: they are what is copied.
        source = _stored(server, service, options.source) or {}
        after = _with_parts(before or {}, source, options.pointer) if options.pointer else source
        text = "".join(_unified(service, options.target, before, after))
        sys.stdout.write(colour_diff(text))


def _stored(server: Server, service: str, environment: str) -> dict[str, Any] | None:
    """Return the current document of a series; None if it has none."""
    query = {"service": service, "environment": environment, "version": "current"}
    try:
        return server.send("GET", "/config", query).json()
    except NotFound:
        return None


def _with_parts(target: Any, source: Any, pointers: list[str]) -> Any:
    """Return ``target`` with what ``source`` has at the pointers; what it lacks is removed."""
    target = copy.deepcopy(target)
    for pointer in pointers:
        *outer, last = parse_pointer(pointer)
        value, here = at(source, parse_pointer(pointer)), target
        for key in outer:
            here = here.setdefault(key, {})
        # Removed first: what the source lacks goes, and what it has stands in its order.
        here.pop(last, None)
        if value is not MISSING:
            here[last] = value
    return target


def _unified(service: str, environment: str, before: Any, after: Any) -> list[str]:
    old, new = ([] if each is None else _lines(each) for each in (before, after))
    name = f"{service}@{environment}"
    labels = (f"{name} (now)" if before is not None else "(nothing)", f"{name} (promoted)")
    return list(difflib.unified_diff(old, new, *labels))


def _lines(document: Any) -> list[str]:
    text = json.dumps(document, indent=2, ensure_ascii=False)
    return [f"{line}\n" for line in text.split("\n")]
