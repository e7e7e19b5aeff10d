"""The command smoke."""

import argparse

from distributed_config.client import smoke
from distributed_config.client.cli.arguments import Command
from distributed_config.client.cli.connect import open_client, profile_from
from distributed_config.client.cli.exit_codes import DONE, REFUSED
from distributed_config.client.http.messages import Request


def run_smoke_checks(options: argparse.Namespace) -> int:
    """Run the smoke checks, which create services of their own and delete them."""
    profile = profile_from(options)
    with open_client(options) as client:
        # Without a server this is one error, and not one for each check.
        client.transport.send(Request("GET", "/healthz", {}))
    return DONE if smoke.run(profile.url, profile.token) else REFUSED


COMMANDS = {"smoke": Command(run_smoke_checks)}
