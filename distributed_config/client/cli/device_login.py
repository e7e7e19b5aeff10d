"""Logging in by the server's identity provider: a code here, confirmed in any browser."""

import argparse
import json
import os
import sys
import time
import webbrowser
from typing import Any

from distributed_config.client.cli.credentials import SESSION, Login
from distributed_config.client.cli.error_text import error_lines
from distributed_config.client.client import Client
from distributed_config.client.http.messages import Request, not_a_configuration_server
from distributed_config.errors import NoDeviceFlow, NotFound, ProviderUnavailable, Unauthenticated

_BEGIN = "/auth/oidc/device"
_ASK = "/auth/oidc/device/token"
_JSON = {"Content-Type": "application/json"}
_PENDING = 202
_MEMBERS = {
    "handle",
    "user_code",
    "verification_uri",
    "verification_uri_complete",
    "expires_in",
    "interval",
}
_SCREENS = ("BROWSER", "DISPLAY", "WAYLAND_DISPLAY")


def log_in_by_device(client: Client, options: argparse.Namespace) -> Login | None:
    """Return the session that somebody confirms in a browser; None if a password is needed.

    The server alone speaks to the identity provider. Raises Unauthenticated if the log-in is
    refused there, or nobody confirms it in time.
    """
    begun = _begin(client.transport.url)
    if begun is None:
        return None
    _show(begun)
    if not options.no_browser and _has_screen():
        _open(begun["verification_uri_complete"] or begun["verification_uri"])
    return wait_until_confirmed(client, begun)


def _begin(url: str) -> dict[str, Any] | None:
    """Return a log-in that began at the server of ``url``; None if that is not possible there."""
    try:
        # Not tried again for seconds: there is the password to fall back on.
        with Client(url, retries=0) as client:
            begun = client.transport.send(Request("POST", _BEGIN)).json()
    except (NoDeviceFlow, ProviderUnavailable) as error:
        for line in error_lines(error):
            sys.stderr.write(f"{line}\n")
        return None
    except NotFound:  # there is no identity provider, or the server is older than this
        return None
    if not begun.keys() >= _MEMBERS:
        raise not_a_configuration_server()
    return begun


def _show(begun: dict[str, Any]) -> None:
    # On standard error: the output may go into a file.
    sys.stderr.write(
        f"To log in, open {begun['verification_uri']} in a browser, and enter the code\n\n"
        f"    {begun['user_code']}\n\n"
    )
    if begun["verification_uri_complete"]:
        sys.stderr.write(f"Or open {begun['verification_uri_complete']}, and compare the code.\n")
    minutes = max(1, round(begun["expires_in"] / 60))
    sys.stderr.write(f"Waiting for up to {minutes} min until you have confirmed it there …\n")
    sys.stderr.flush()


def _has_screen() -> bool:
    """Whether a browser would show up beside the terminal, and not far away or inside it."""
    if os.environ.get("SSH_CONNECTION"):
        return False
    return sys.platform in {"darwin", "win32"} or any(map(os.environ.get, _SCREENS))


def _open(address: str) -> None:
    # Of another kind of address, a browser may start any program.
    if address.startswith(("https://", "http://")):
        webbrowser.open(address)


def wait_until_confirmed(client: Client, begun: dict[str, Any]) -> Login:
    """Return the session of a log-in, as soon as it is confirmed.

    Raises Unauthenticated if it is refused, or nobody confirms it in time.
    """
    transport = client.transport
    body = json.dumps({"handle": begun["handle"]}).encode()
    interval, until = begun["interval"], time.monotonic() + begun["expires_in"]
    while time.monotonic() + interval < until:
        transport.pause(interval)
        response = transport.send(Request("POST", _ASK, {}, _JSON, body))
        if response.status != _PENDING:
            return Login(response.json()["access_token"], SESSION)
        # Never shorter again: what the provider asked for once holds until the end (RFC 8628).
        interval = max(interval, response.number("retry-after"))
    raise Unauthenticated("Nobody confirmed this log-in in time. Begin again: `distconf login`.")
