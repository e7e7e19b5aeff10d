"""The server that a command speaks to, from its flags, a profile, the environment and a log-in."""

import argparse
import getpass
import os
from pathlib import Path

from distributed_config.client.cli.credentials import Credentials, load_credentials
from distributed_config.client.cli.profiles import Profile, load_profile
from distributed_config.client.client import DEFAULT_URL, Client
from distributed_config.client.http.address import normalise_address
from distributed_config.client.http.token_file import check_token, read_token, token_from

# The server refuses a longer actor, and a name is no reason for a command to fail.
_LONGEST_USER = 100


def profile_from(options: argparse.Namespace) -> Profile:
    """Return the server and the token to use.

    Flags win. A profile that is named with --profile brings its own token, and not the
    environment's: a token must not be sent to a server that it was not issued by. Otherwise the
    environment's token comes before that of DISTCONF_PROFILE. Last comes the token of the log-in
    to that very server.
    """
    credentials = load_credentials(os.environ)
    profile = _named_profile(options, credentials)
    token = options.token or _token_in(options.token_file)
    if not token and not options.profile and not _is_from_login(credentials):
        token = token_from(os.environ)
    # The token of a profile is for the profile's server, and for no other that --url may name.
    url = options.url or profile.url
    if not token and normalise_address(url) == normalise_address(profile.url):
        token = profile.token
    return Profile(url, check_token(token or credentials.token_for(url)))


def _named_profile(options: argparse.Namespace, credentials: Credentials) -> Profile:
    """Return the profile that is named, or the server of the environment or of the log-in."""
    name = options.profile or os.environ.get("DISTCONF_PROFILE")
    if name:
        return load_profile(name, os.environ)
    if not _is_from_login(credentials):
        return Profile(os.environ.get("DISTCONF_URL") or DEFAULT_URL)
    if credentials.profile:
        return load_profile(credentials.profile, os.environ)
    return Profile(credentials.url)


def _is_from_login(credentials: Credentials) -> bool:
    """Whether the log-in, or `profile use`, says which server it is.

    An environment with a token or a server is complete by itself, as in a script of somebody who
    is logged in elsewhere.
    """
    names = ("DISTCONF_URL", "DISTCONF_TOKEN", "DISTCONF_TOKEN_FILE", "DISTCONF_PROFILE")
    return bool(credentials.url or credentials.profile) and not any(map(os.environ.get, names))


def _token_in(file: str | None) -> str:
    return read_token(Path(file), "--token-file") if file else ""


# --- the client


def open_client(options: argparse.Namespace) -> Client:
    """Return a client for the server of ``options``."""
    profile = profile_from(options)
    # A token already says who writes; the user's name is for servers without access control.
    return Client(profile.url, token=profile.token, actor="" if profile.token else _user_name())


def _user_name() -> str:
    """Return the name of the terminal's user; "" if it is unknown, or not fit to be shown."""
    try:
        name = getpass.getuser()
    except (OSError, KeyError):  # in a container the user often has no name
        return ""
    return name if name.isprintable() and len(name) <= _LONGEST_USER else ""
