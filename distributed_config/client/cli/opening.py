"""The command open."""

import argparse
import os
import sys
import webbrowser
from urllib.parse import urlencode

from distributed_config.client.cli.arguments import Command, add_environment
from distributed_config.client.cli.connect import profile_from
from distributed_config.client.cli.documents import RESOLVED
from distributed_config.client.cli.exit_codes import DONE

# What a browser gets of a service, and of the server as a whole.
_SERVICE_PAGE = "/config"
_SERVER_PAGE = "/api/docs"


def _add_open(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("service", nargs="?", help="The server itself unless given.")
    add_environment(parser)


def open_page(options: argparse.Namespace) -> int:
    """Open a service in the browser, and print its address."""
    address = profile_from(options).url.rstrip("/")
    if options.service:
        query = {"service": options.service, "version": "current", "resolved": RESOLVED}
        if options.environment:
            query["environment"] = options.environment
        address += f"{_SERVICE_PAGE}?{urlencode(query)}"
    else:
        address += _SERVER_PAGE
    print(address)
    # A program in a pipe wants the address alone; and a machine without a screen has no browser.
    if sys.stdout.isatty() and not os.environ.get("SSH_CONNECTION"):
        webbrowser.open(address)
    return DONE


COMMANDS = {"open": Command(open_page, _add_open)}
