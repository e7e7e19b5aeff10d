"""The commands that write documents: put, patch, set and unset."""

import argparse
import json
import math
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from distributed_config import wire
from distributed_config.client.cli.arguments import Command, add_service, add_write
from distributed_config.client.cli.documents import read_document, service_query
from distributed_config.client.cli.exit_codes import DONE
from distributed_config.client.cli.output import print_removed, print_write
from distributed_config.client.cli.profiles import read_settings_file
from distributed_config.client.cli.server import Server
from distributed_config.client.client import Written, written
from distributed_config.errors import (
    Invalid,
    InvalidDocument,
    PreconditionFailed,
    Problem,
    ServiceNotFound,
)
from distributed_config.wire.paths import MISSING, at, locate, parts_of

_TYPES = {".json": "json", ".yaml": "yaml", ".yml": "yaml", ".toml": "toml"}
# Of commands that patch at the same moment one succeeds in each round, so that this many can run
# at once.
_ATTEMPTS = 20

Pairs = list[tuple[str, str]]

# --- the commands


def _add_put(parser: argparse.ArgumentParser) -> None:
    add_service(parser)
    parser.add_argument("file", help="JSON, YAML or TOML; - is JSON on standard input.")
    parser.add_argument("--definition", help="Conform to this definition from now on.")
    add_write(parser)


def put(options: argparse.Namespace) -> int:
    """Make a file the current version of a service."""
    options.body_file = _name_of_file(options.file)
    query = service_query(options, definition=options.definition)
    content_type = content_type_of(options.file)
    # The bytes go as they are: the server parses YAML and TOML, and keeps the order of keys and
    # the spelling of numbers.
    body = read_body(options.file)
    with Server(options) as server:
        result = written(
            server.write(
                "PUT",
                "/config",
                query,
                body,
                content_type=content_type,
                if_match=options.if_match,
            )
        )
    print_write(options, result.version, result.changed)
    print_removed(options, list(result.removed), result.removed_more)
    return DONE


def _add_patch(parser: argparse.ArgumentParser) -> None:
    add_service(parser)
    parser.add_argument("changes", nargs="+", metavar="key=value | FILE")
    add_write(parser)


def patch(options: argparse.Namespace) -> int:
    """Change some values of the current version: ``key=value``, or a patch in a file."""
    pairs = _parse_pairs(options.changes)
    with Server(options) as server:
        if pairs:
            result = _patch_pairs(server, options, pairs)
        else:
            [file] = options.changes
            options.body_file = _name_of_file(file)
            result = _send_patch(server, options, _parse_strictly(read_body(file), file))
    print_write(options, result.version, result.changed)
    return DONE


def _add_set(parser: argparse.ArgumentParser) -> None:
    add_service(parser)
    parser.add_argument(
        "pairs", nargs="+", metavar="PATH=VALUE", help="A value is JSON where it can be, or text."
    )
    add_write(parser)


def set_values(options: argparse.Namespace) -> int:
    """Set values of the current version; where the environment has none yet, of a first one."""
    wrong = [word for word in options.pairs if "=" not in word]
    if wrong:
        options.parser.error(f"{wrong[0]}: give PATH=VALUE, as in db.port=5432")
    pairs = _parse_pairs(options.pairs)
    with Server(options) as server:
        try:
            result = _patch_by_paths(server, options, pairs, _is_so_already)
        except ServiceNotFound:
            if not _is_elsewhere(server, options):
                raise
            document = _merge_patch(pairs, {})
            result = written(server.write("PUT", "/config", service_query(options), document))
    print_write(options, result.version, result.changed)
    return DONE


def _add_unset(parser: argparse.ArgumentParser) -> None:
    add_service(parser)
    parser.add_argument("paths", nargs="+", metavar="PATH", help="As db.port or /db/port.")
    add_write(parser)


def unset(options: argparse.Namespace) -> int:
    """Remove values of the current version. Raises Invalid for a path that leads to none."""
    with Server(options) as server:
        pairs = [(path, "null") for path in options.paths]
        result = _patch_by_paths(server, options, pairs, _require_values)
    print_write(options, result.version, result.changed)
    return DONE


def _is_elsewhere(server: Server, options: argparse.Namespace) -> bool:
    """Whether the service is there, and only lacks a layer in the environment that is named."""
    if options.environment in {None, "default"}:
        return False
    names = server.pages("/services", "services", prefix=options.service)
    return any(each["name"] == options.service for each in names)


# --- put


def _name_of_file(file: str) -> str:
    """Return what errors call the file that a request's body came from."""
    return "standard input" if file == "-" else file


def read_body(file: str) -> bytes:
    """Return what a file holds; ``-`` is standard input."""
    return sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()


def content_type_of(file: str) -> str:
    """Return the media type of a file. Raises Invalid if its ending names none that is read."""
    kind = _TYPES.get(Path(file).suffix.lower(), "json" if file == "-" else "")
    if not kind:
        message = "Its ending names no format that can be read: .json, .yaml or .toml."
        if "=" in file:  # KEY=VALUE belongs to the other command
            message = "It is no file; `distconf patch` takes KEY=VALUE."
        raise Invalid.from_problems([Problem("", message, "format", file)])
    return f"application/{kind}"


def read_object(file: str) -> dict[str, Any]:
    """Return the object in a file of JSON, TOML or YAML. Raises Invalid if it holds none."""
    if content_type_of(file) == "application/json":
        value = _parse_strictly(read_body(file), file)
    else:
        value = read_settings_file(Path(file))
    if not isinstance(value, dict):
        message = "It is no object: names with values."
        raise Invalid.from_problems([Problem("", message, "type", file)])
    return value


# --- patch


def _patch_pairs(server: Server, options: argparse.Namespace, pairs: Pairs) -> Written:
    if all(_is_one_key(path) for path, _ in pairs):
        return _send_patch(server, options, _merge_patch(pairs, {}))
    return _patch_by_paths(server, options, pairs, lambda _document, _pairs: False)


def _send_patch(
    server: Server, options: argparse.Namespace, changes: Any, if_match: str = ""
) -> Written:
    """Send a merge patch (RFC 7396), or a JSON Patch (RFC 6902) if it is a list."""
    form = "json-patch" if isinstance(changes, list) else "merge-patch"
    response = server.write(
        "PATCH",
        "/config",
        service_query(options),
        changes,
        content_type=f"application/{form}+json",
        if_match=options.if_match or if_match,
    )
    return written(response)


def _patch_by_paths(
    server: Server,
    options: argparse.Namespace,
    pairs: Pairs,
    is_done: Callable[[dict[str, Any], Pairs], bool],
) -> Written:
    """Change what the paths mean in the current version, and in no other one.

    Where ``is_done`` says that the document is so already, nothing is written.

    Only the document tells whether ``log.root`` is one key or two. So the patch holds for the
    version that it was made from; where somebody else writes meanwhile, that is read again.
    """
    for attempt in range(1, _ATTEMPTS + 1):
        current = read_document(server, options)
        if is_done(current.value, pairs):
            return Written(current.version, current.version, False, current.etag, current.revision)
        changes = _merge_patch(pairs, current.value)
        try:
            return _send_patch(server, options, changes, current.etag)
        except PreconditionFailed:
            # A condition of the user's own does not become true by trying again.
            if options.if_match or attempt == _ATTEMPTS:
                raise
    raise AssertionError("the last attempt returns or raises")


def _is_so_already(document: dict[str, Any], pairs: Pairs) -> bool:
    """Whether every pair is in the document as it is; null is for what is not there."""
    for path, text in pairs:
        value, stored = _parse_value(text, path), at(document, locate(document, path))
        # As JSON: to Python 1, 1.0 and true are equal.
        is_absent = stored is MISSING
        same = value is None if is_absent else json.dumps(value) == json.dumps(stored)
        if not same:
            return False
    return True


def _require_values(document: dict[str, Any], pairs: Pairs) -> bool:
    """Raise Invalid with every path that leads to no value. Return that something is to be done."""
    message = "There is no such value. `distconf get --layer` shows what is stored."
    problems = [
        Problem("", message, "missing", path)
        for path, _ in pairs
        if at(document, locate(document, path)) is MISSING
    ]
    if problems:
        raise Invalid.from_problems(problems)
    return False


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


COMMANDS = {
    "put": Command(put, _add_put),
    "patch": Command(patch, _add_patch),
    "set": Command(set_values, _add_set),
    "unset": Command(unset, _add_unset),
}
