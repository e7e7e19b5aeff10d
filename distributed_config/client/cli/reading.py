"""The commands get and env."""

import argparse
import json
import sys
from collections.abc import Mapping
from typing import Any

from distributed_config.client.cli.arguments import (
    Command,
    add_allow_env,
    add_defaults,
    add_service,
)
from distributed_config.client.cli.documents import RESOLVED, read_document, read_text
from distributed_config.client.cli.exit_codes import DONE, REFUSED
from distributed_config.client.cli.output import complain, name_of, print_value
from distributed_config.client.cli.server import Server
from distributed_config.client.sidecar.protected import environment
from distributed_config.client.sidecar.rendering import as_json, as_text
from distributed_config.formats.env import as_lines
from distributed_config.wire.paths import MISSING, find

# --- get


def _add_get(parser: argparse.ArgumentParser) -> None:
    add_service(parser)
    parser.add_argument("path", nargs="?", default="", help="One value: db.host or /hosts/0.")
    parser.add_argument("--version", type=int, help="This version of the stored document.")
    parser.add_argument("--as-of", help="A revision or a time: what was current then.")
    parser.add_argument(
        "--layer", action="store_true", help="Only what is stored here, without other layers."
    )
    add_defaults(parser)


def get(options: argparse.Namespace) -> int:
    """Print a configuration, or the value at one path of it."""
    selection = {
        "version": options.version,
        "as_of": options.as_of,
        "defaults": "true" if options.defaults else None,
        # A version is one of a layer's, and so is stored and not resolved.
        "resolved": None if options.layer or options.version is not None else RESOLVED,
    }
    with Server(options) as server:
        # The server writes YAML: it keeps the spelling of numbers.
        if options.output == "yaml" and not options.path:
            sys.stdout.write(read_text(server, options, "yaml", **selection)[0])
            return DONE
        configuration = read_document(server, options, **selection)
    if options.path:
        return _print_path(options, configuration.value)
    if options.output == "json":
        print(configuration.text)
    else:
        sys.stdout.write(as_json(configuration.value))
    return DONE


def _print_path(options: argparse.Namespace, document: Mapping[str, Any]) -> int:
    value = find(document, options.path)
    if value is MISSING:
        complain(f"{name_of(options)!r} has nothing at {options.path}.")
        return REFUSED
    if options.output == "json":
        print(json.dumps(value, ensure_ascii=False))
    elif options.output == "yaml" and isinstance(value, dict | list):
        print_value(options, value)
    else:
        # Bare, as scripts want it: port=$(distconf get web db.port)
        print(as_text(value))
    return DONE


# --- env


def _add_env(parser: argparse.ArgumentParser) -> None:
    add_service(parser)
    parser.add_argument("--prefix", default="", help="What every name starts with, as APP_.")
    parser.add_argument("--export", action="store_true", help='For eval "$(distconf env …)".')
    add_allow_env(parser)
    add_defaults(parser)


def env(options: argparse.Namespace) -> int:
    """Print a configuration as variables for a shell."""
    defaults = "true" if options.defaults else None
    with Server(options) as server:
        document = read_document(server, options, defaults=defaults, resolved=RESOLVED).value
    variables = environment(document, options.prefix, options.allow_env)
    sys.stdout.write(as_lines(variables, "export " if options.export else ""))
    return DONE


COMMANDS = {"get": Command(get, _add_get), "env": Command(env, _add_env)}
