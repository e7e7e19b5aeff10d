"""The commands export and import, over HTTP."""

import argparse
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from distributed_config import wire
from distributed_config.client.cli.arguments import Command, add_environment, add_note
from distributed_config.client.cli.exit_codes import DONE
from distributed_config.client.cli.output import print_done
from distributed_config.client.cli.server import API, Server
from distributed_config.client.cli.writing import content_type_of, read_object
from distributed_config.client.files import write_atomically
from distributed_config.client.http.messages import not_a_configuration_server
from distributed_config.errors import Invalid, Problem

_FORMATS = ("json", "yaml", "toml", "env", "properties")
_ENDINGS = {".json": "json", ".yaml": "yaml", ".yml": "yaml", ".toml": "toml"}
# What is written holds configurations: it is its user's alone.
_MODE = 0o600

# --- export


def _add_export(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Write the current documents of all services of a server to TARGET, or to standard "
        "output. A TARGET that ends in / or is a folder gets a file for each service; any other is "
        "one file of {service: document}. Secrets are masked for whoever may not read them."
    )
    parser.add_argument("target", nargs="?", help="A file, or a folder.")
    parser.add_argument("--format", choices=_FORMATS, help="That of TARGET's ending, or json.")
    parser.add_argument("--prefix", default="", help="Only services whose name begins so.")
    parser.add_argument(
        "--prune",
        action="store_true",
        help="Remove the files of services that are gone from a folder.",
    )
    add_environment(parser)
    _add_local(parser)


def _add_local(parser: argparse.ArgumentParser) -> None:
    # Read in distributed_config/cli.py; this is for the help.
    parser.add_argument(
        "--local", action="store_true", help="On this machine's database file, without a server."
    )


def export(options: argparse.Namespace) -> int:
    """Write the current documents of all services."""
    target = options.target
    is_folder = target is not None and (target.endswith("/") or Path(target).is_dir())
    if options.prune and not is_folder:
        options.parser.error("--prune needs a folder as TARGET; a file is replaced anyway")
    ending = Path(target or "").suffix.lower()
    format_name = options.format or _ENDINGS.get("" if is_folder else ending, "json")
    with Server(options) as server:
        if is_folder:
            texts = dict(_texts(server, options, format_name))
        else:
            query = {"prefix": options.prefix, "environment": options.environment}
            answer = server.send("GET", f"{API}/export", {**query, "format": format_name})
    if is_folder:
        return _export_folder(options, format_name, texts)
    if target is None:
        sys.stdout.write(answer.body.decode().rstrip("\n") + "\n")
        return DONE
    # A link stays one: what it leads to is replaced.
    write_atomically(Path(os.path.realpath(target)), answer.body, _MODE)
    return _print_target(target)


def _texts(
    server: Server, options: argparse.Namespace, format_name: str
) -> Iterator[tuple[str, str]]:
    """Yield every service and its document in a format, all as they were at one revision."""
    query = {"prefix": options.prefix, "environment": options.environment}
    answer = server.send("GET", f"{API}/export", {**query, "format": "json"})
    revision = answer.number("config-revision")
    for name, document in answer.json().items():
        if format_name == "json":
            yield name, json.dumps(document, indent=2, ensure_ascii=False) + "\n"
            continue
        # The server writes these formats, and as_of keeps all of them at one revision.
        one = {"service": name, "environment": options.environment, "as_of": revision}
        text = server.send("GET", "/config", {**one, "format": format_name}).body.decode()
        yield name, text.rstrip("\n") + "\n"


def _export_folder(options: argparse.Namespace, format_name: str, texts: dict[str, str]) -> int:
    folder = Path(options.target)
    # The names are the server's: none of them may lead out of the folder.
    for name in texts:
        wire.check_name(name)
    files = {folder / f"{name}.{format_name}": text for name, text in texts.items()}
    for file, text in files.items():
        file.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(file, text.encode(), _MODE)
    if options.prune:
        _remove_others(folder, set(files), options.prefix)
    return _print_target(options.target, len(files))


def _remove_others(folder: Path, written: set[Path], prefix: str) -> None:
    """Remove the files that an import would read, except those that were just written."""
    for file, name in _services_in(folder):
        if file.suffix.lower() in _ENDINGS and file not in written and name.startswith(prefix):
            file.unlink()
            print(f"Removed {file}.", file=sys.stderr)


def _print_target(target: str, count: int | None = None) -> int:
    services = "" if count is None else f": {count}"
    print(f"Services written to {target}{services}.", file=sys.stderr)
    return DONE


# --- import


def _add_import(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Create or update services of a server from SOURCES, all of them or none; JSON, YAML or "
        "TOML. A file is one object of {service: document}. A folder has a file for each service, "
        "whose path inside the folder, without its ending, is the service's name."
    )
    parser.add_argument("sources", nargs="+", metavar="SOURCE", help="Files and folders.")
    parser.add_argument(
        "--prune", action="store_true", help="Also delete the services that SOURCES do not name."
    )
    parser.add_argument(
        "--prefix", default="", help="With --prune: only delete services that begin so."
    )
    add_environment(parser)
    add_note(parser)
    _add_local(parser)


def import_(options: argparse.Namespace) -> int:
    """Create or update services from files."""
    if options.prefix and not options.prune:
        options.parser.error("--prefix only limits what --prune deletes")
    sources = [Path(source) for source in options.sources]
    if len(sources) == 1 and sources[0].is_file():
        # As it is: the server keeps the order of keys and the spelling of numbers.
        body, kind = sources[0].read_bytes(), content_type_of(options.sources[0])
        options.body_file = options.sources[0]
    else:
        body, kind = json.dumps(_collected(sources)).encode(), "application/json"
    query = {
        "prune": "true" if options.prune else None,
        "prefix": options.prefix or None,
        "environment": options.environment,
    }
    with Server(options) as server:
        answer = server.write("POST", f"{API}/import", query, body, content_type=kind).json()
    return _print_imported(options, answer)


def _collected(sources: list[Path]) -> dict[str, Any]:
    """Return what several sources hold. Raises Invalid for a service that is in two of them."""
    documents: dict[str, Any] = {}
    origin: dict[str, Path] = {}
    for file, service in (pair for source in sources for pair in _files(source)):
        value = read_object(str(file))
        for name, document in (value if service is None else {service: value}).items():
            if name in origin:
                message = f"The service {name!r} is in {origin[name]} already."
                raise Invalid.from_problems([Problem("", message, "repeated", str(file))])
            origin[name], documents[name] = file, document
    return documents


def _files(source: Path) -> Iterator[tuple[Path, str | None]]:
    """Yield the files to read and the services that their paths name; None: it is inside."""
    if source.is_dir():
        yield from _services_in(source)
    else:
        yield source, None


def _services_in(folder: Path) -> Iterator[tuple[Path, str]]:
    """Yield the files in ``folder`` that are not hidden, with the service that the path names."""
    for file in sorted(folder.rglob("*")):
        inside = file.relative_to(folder)
        if file.is_file() and not any(part.startswith(".") for part in inside.parts):
            yield file, inside.with_suffix("").as_posix()


def _print_imported(options: argparse.Namespace, answer: dict[str, Any]) -> int:
    names = ("created", "updated", "unchanged", "deleted")
    if not all(isinstance(answer.get(name), list) for name in names):
        raise not_a_configuration_server()
    would = "Would be created" if options.dry_run else "Created"
    pruned = f", deleted: {len(answer['deleted'])}" if options.prune else ""
    sentence = (
        f"{would}: {len(answer['created'])}, updated: {len(answer['updated'])}, "
        f"unchanged: {len(answer['unchanged'])}{pruned}."
    )
    print_done(options, answer, sentence)
    for name in answer["deleted"]:
        print(f"  {'would delete' if options.dry_run else 'deleted'} {name}", file=sys.stderr)
    return DONE


COMMANDS = {"export": Command(export, _add_export), "import": Command(import_, _add_import)}
