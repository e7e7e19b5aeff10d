"""The commands that write: put, patch and rollback."""

import argparse
import json
import math
import os
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from distributed_config import wire
from distributed_config.client.cli.connect import open_client
from distributed_config.client.cli.exit_codes import DONE
from distributed_config.client.cli.output import print_removed, print_write
from distributed_config.client.client import Client, Written
from distributed_config.client.http.messages import Request
from distributed_config.errors import Invalid, InvalidDocument, PreconditionFailed, Problem
from distributed_config.wire.paths import locate, parts_of

_TYPES = {".json": "json", ".yaml": "yaml", ".yml": "yaml", ".toml": "toml"}
# Of commands that patch at the same moment one succeeds in each round, so that this many can run
# at once.
_ATTEMPTS = 20


def put(options: argparse.Namespace) -> int:
    """Make a file the current version of a service."""
    query = {
        "service": options.service,
        "definition": options.definition,
        "dry_run": "true" if options.dry_run else None,
        "note": options.note or None,
    }
    headers = {
        "Content-Type": _content_type(options.file),
        "Idempotency-Key": os.urandom(16).hex(),
    }
    if options.if_match:
        headers["If-Match"] = options.if_match
    # The bytes go as they are, and not through Client.put: the server parses YAML and TOML, and
    # keeps the order of keys and the spelling of numbers.
    body = _read_body(options.file)
    with open_client(options) as client:
        request = Request("PUT", "/config", query, headers, body)
        result = client.transport.send(request).json()
    print_write(options, result["version"], result["changed"])
    print_removed(options, result.get("removed", []), result.get("removed_more", 0))
    return DONE


def patch(options: argparse.Namespace) -> int:
    """Change some values of the current version: ``key=value``, or a patch in a file."""
    pairs = _parse_pairs(options.changes)
    with open_client(options) as client:
        if not pairs:
            [file] = options.changes
            result = _send_patch(client, options, _parse_strictly(_read_body(file), file))
        elif all(_is_one_key(path) for path, _ in pairs):
            result = _send_patch(client, options, _merge_patch(pairs, {}))
        else:
            result = _patch_by_paths(client, options, pairs)
    print_write(options, result.version, result.changed)
    return DONE


def rollback(options: argparse.Namespace) -> int:
    """Append a copy of an older version."""
    with open_client(options) as client:
        result = client.rollback(
            options.to, options.service, note=options.note, dry_run=options.dry_run
        )
    print_write(options, result.version, result.changed)
    return DONE


def request_file(options: argparse.Namespace) -> str:
    """Return the name of the file that a command sends; "" for a command that sends none."""
    file = ""
    if options.command == "put":
        file = options.file
    elif options.command == "patch" and "=" not in options.changes[0]:
        file = options.changes[0]
    return "standard input" if file == "-" else file


# --- put


def _read_body(file: str) -> bytes:
    return sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()


def _content_type(file: str) -> str:
    kind = _TYPES.get(Path(file).suffix.lower(), "json" if file == "-" else "")
    if not kind:
        message = "Its ending names no format that can be read: .json, .yaml or .toml."
        if "=" in file:  # KEY=VALUE belongs to the other command
            message = "It is no file; `distconf patch` takes KEY=VALUE."
        raise Invalid.from_problems([Problem("", message, "format", file)])
    return f"application/{kind}"


# --- patch


def _send_patch(
    client: Client, options: argparse.Namespace, changes: Any, if_match: str = ""
) -> Written:
    return client.patch(
        changes,
        options.service,
        note=options.note,
        dry_run=options.dry_run,
        if_match=options.if_match or if_match,
    )


def _patch_by_paths(
    client: Client, options: argparse.Namespace, pairs: list[tuple[str, str]]
) -> Written:
    """Change what the paths mean in the current version, and in no other one.

    Only the document tells whether ``log.root`` is one key or two. So the patch holds for the
    version that it was made from; where somebody else writes meanwhile, that is read again.
    """
    for attempt in range(1, _ATTEMPTS + 1):
        current = client.get(options.service)
        changes = _merge_patch(pairs, current.value)
        try:
            return _send_patch(client, options, changes, current.etag)
        except PreconditionFailed:
            # A condition of the user's own does not become true by trying again.
            if options.if_match or attempt == _ATTEMPTS:
                raise
    raise AssertionError("the last attempt returns or raises")


def _parse_pairs(words: list[str]) -> list[tuple[str, str]]:
    """Return the path and the text of each ``key=value``; none where one file is named.

    Raises Invalid for a mix of both.
    """
    pairs = [
        (path, text) for path, is_pair, text in (word.partition("=") for word in words) if is_pair
    ]
    if len(pairs) not in {0, len(words)} or (not pairs and len(words) > 1):
        message = "Give key=value, as many as you like, or one file."
        raise Invalid.from_problems([Problem("", message, "changes", "changes")])
    return pairs


def _is_one_key(path: str) -> bool:
    """Whether a path names the same key in every document."""
    return not path.startswith("/") and len(parts_of(path)) == 1


def _merge_patch(pairs: list[tuple[str, str]], document: dict[str, Any]) -> dict[str, Any]:
    """Return the pairs as a merge patch (RFC 7396) of ``document``.

    Raises Invalid with every pair that cannot be applied.
    """
    changes: dict[str, Any] = {}
    problems: list[Problem] = []
    for path, text in pairs:
        try:
            _set(changes, path, locate(document, path), _parse_value(text, path))
        except Invalid as error:
            problems += error.problems
    if problems:
        raise Invalid.from_problems(problems)
    return changes


def _set(target: dict[str, Any], path: str, keys: Sequence[str], value: Any) -> None:
    """Set ``value`` along ``keys``. Raises Invalid if that contradicts an earlier pair."""
    *outer, last = keys
    for key in outer:
        target = target.setdefault(key, {})
        if not isinstance(target, dict):
            break
    if not path or not isinstance(target, dict) or last in target:
        message = "It is given more than once, or inside of another value that is given."
        raise Invalid.from_problems([Problem("", message, "repeated", path or "=")])
    target[last] = value


def _parse_value(text: str, path: str) -> Any:
    """Return JSON where ``text`` is JSON, and the text otherwise; ``key=null`` removes a key."""
    try:
        value, data = json.loads(text), text.encode()
    except (ValueError, RecursionError):
        return text
    # Python's parser also takes NaN and Infinity, which are no JSON: here they are words.
    if isinstance(value, float) and not math.isfinite(value):
        return text
    return _parse_strictly(data, path)


def _parse_strictly(data: bytes, source: str) -> Any:
    """Return the JSON value in ``data``, by the server's strict rules.

    Raises Invalid for what a lenient parser would silently change, such as a number with too many
    digits. ``source`` is the file or the path that errors name.
    """
    try:
        value = wire.parse_json(data)
        wire.require_unambiguous(value)
    except InvalidDocument as error:
        problems = [
            replace(problem, parameter=f"{source} {problem.pointer}".strip())
            for problem in error.problems
        ]
        raise Invalid.from_problems(problems) from None
    return value
