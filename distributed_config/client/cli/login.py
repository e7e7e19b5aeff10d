"""The commands login, logout and whoami."""

import argparse
import getpass
import json
import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from distributed_config.client.cli.arguments import Command
from distributed_config.client.cli.connect import profile_from
from distributed_config.client.cli.credentials import (
    SESSION,
    TOKEN,
    Login,
    load_credentials,
    save_credentials,
)
from distributed_config.client.cli.device_login import log_in_by_device
from distributed_config.client.cli.exit_codes import DONE, USAGE
from distributed_config.client.cli.output import complain, print_done, print_facts
from distributed_config.client.cli.server import Server
from distributed_config.client.cli.times import relative
from distributed_config.client.client import Client
from distributed_config.client.http.address import normalise_address
from distributed_config.client.http.messages import Request
from distributed_config.client.http.token_file import check_token, read_token
from distributed_config.errors import Unauthenticated, Unreachable

_FORM = {"Content-Type": "application/x-www-form-urlencoded"}
_JSON = {"Content-Type": "application/json"}

# --- login


def _add_login(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--email", help="Log in with the password of this address.")
    parser.add_argument(
        "--no-browser", action="store_true", help="Only print where to confirm the log-in."
    )
    parser.add_argument(
        "--token-stdin", action="store_true", help="Read a token from standard input."
    )


def login(options: argparse.Namespace) -> int:
    """Get a token from the identity provider or by a password, or take one; check and keep it."""
    # In the one spelling under which every command will look for it.
    url = normalise_address(profile_from(options).url)
    given = _given_token(options)
    if given is None and not sys.stdin.isatty():
        complain("there is no terminal to ask for a password at; give --token-file.")
        return USAGE
    with Client(url, token=given or "") as client:
        issued = Login(given, TOKEN) if given else _log_in(client, options)
    # Tried before it is kept: a wrong one would spoil every command from now on.
    with Client(url, token=issued.token) as client:
        actor = client.transport.send(Request("GET", "/auth/me")).json()
    issued = replace(issued, name=actor["name"], expires_at=actor["expires_at"])
    credentials = load_credentials(os.environ)
    logins = {**credentials.logins, url: issued}
    file = save_credentials(os.environ, replace(credentials, logins=logins, url=url, profile=""))
    sentence = f"You are {issued.name} at {url}. The token is in {file}."
    print_done(options, {"url": url, "name": issued.name, "file": str(file)}, sentence)
    return DONE


def _given_token(options: argparse.Namespace) -> str | None:
    """Return the token that is given; None if somebody is to log in."""
    if options.token_stdin:
        return check_token(sys.stdin.readline().strip())
    if options.token_file:
        return str(read_token(Path(options.token_file), "--token-file"))
    return check_token(options.token) if options.token else None


def _log_in(client: Client, options: argparse.Namespace) -> Login:
    """Return the session of whoever logs in: by the identity provider, or with a password."""
    # An address is given to log in with its password, whatever the server has besides.
    session = None if options.email else log_in_by_device(client, options)
    return session or _log_in_by_password(client, options.email)


def _log_in_by_password(client: Client, email: str | None) -> Login:
    """Ask for what is needed to log in, and return the session."""
    if email is None:
        sys.stderr.write(f"E-mail for {client.transport.url}: ")
        sys.stderr.flush()
        email = sys.stdin.readline().strip()
    password = getpass.getpass("Password: ")
    session = _open_session(client, email, password)
    with Client(client.transport.url, token=session.token) as own:
        actor = own.transport.send(Request("GET", "/auth/me")).json()
        if not actor["must_change"]:
            return session
        complain("you have to choose a password of your own now.")
        new = _new_password()
        body = json.dumps({"old": password, "new": new}).encode()
        own.transport.send(Request("POST", "/auth/password", {}, _JSON, body))
    # All sessions ended with the old password.
    return _open_session(client, email, new)


def _new_password() -> str:
    while True:
        new = getpass.getpass("New password: ")
        if new == getpass.getpass("The new password again: "):
            return new
        complain("these were two different ones; once more.")


def _open_session(client: Client, email: str, password: str) -> Login:
    form = urlencode({"grant_type": "password", "username": email, "password": password})
    request = Request("POST", "/auth/token", {}, _FORM, form.encode())
    return Login(client.transport.send(request).json()["access_token"], SESSION)


# --- logout


def _add_logout(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--all", action="store_true", help="From every server.")


def logout(options: argparse.Namespace) -> int:
    """End sessions at their servers, and forget their tokens."""
    credentials = load_credentials(os.environ)
    url = normalise_address(profile_from(options).url)
    ended = dict(credentials.logins) if options.all else {}
    if not options.all and url in credentials.logins:
        ended[url] = credentials.logins[url]
    for address, login_ in ended.items():
        _end_session(address, login_)
    left = {key: value for key, value in credentials.logins.items() if key not in ended}
    used = credentials.url if credentials.url in left else ""
    save_credentials(os.environ, replace(credentials, logins=left, url=used))
    names = ", ".join(ended)
    sentence = f"You are logged out of {names}." if ended else f"You were not logged in to {url}."
    print_done(options, {"logged_out": list(ended)}, sentence)
    return DONE


def _end_session(url: str, login_: Login) -> None:
    """End a session at its server. A token that was given is somebody's else to revoke."""
    if login_.kind != SESSION:
        return
    try:
        with Client(url, token=login_.token, retries=0) as client:
            client.transport.send(Request("POST", "/auth/logout"))
    except Unauthenticated:  # it had ended already
        pass
    except Unreachable as error:
        complain(f"{error.detail} The session there ends by itself.")


# --- whoami


def whoami(options: argparse.Namespace) -> int:
    """Print who the server takes the terminal for."""
    with Server(options) as server:
        actor = server.send("GET", "/auth/me", {}).json()
        url = server.url
    print_facts(options, {"url": url, **actor}, _facts(url, actor))
    return DONE


def _facts(url: str, actor: dict[str, Any]) -> dict[str, Any]:
    facts = {
        "Server": url,
        "Name": actor["name"],
        "Organisation": actor["organisation"],
        "Permissions": actor["permissions"],
        "Limited to": [
            each for scope in actor["scopes"] for each in scope["services"] + scope["environments"]
        ],
        "Expires": relative(actor["expires_at"]) or "never",
    }
    if actor["must_change"]:
        facts["To do"] = "choose another password: `distconf login`"
    return facts


COMMANDS = {
    "login": Command(login, _add_login),
    "logout": Command(logout, _add_logout),
    "whoami": Command(whoami),
}
