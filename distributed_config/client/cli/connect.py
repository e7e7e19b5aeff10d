"""The server that a command speaks to, from its flags, a profile and the environment."""

import argparse
import getpass
import os

from distributed_config.client.cli.profiles import Profile, load_profile
from distributed_config.client.client import Client
from distributed_config.client.http.token_file import check_token, token_from

# The server refuses a longer actor, and a name is no reason for a command to fail.
_LONGEST_USER = 100


def profile_from(options: argparse.Namespace) -> Profile:
    """Return the server and the token to use.

    Flags win. A profile that is named with --profile brings its own token, and not the
    environment's: a token must not be sent to a server that it was not issued by. Otherwise the
    environment's token comes before that of DISTCONF_PROFILE.
    """
    profile = load_profile(options.profile, os.environ)
    token = options.token
    if not token and options.profile:
        token = profile.token
    token = token or (profile.token if options.profile else token_from(os.environ) or profile.token)
    return Profile(options.url or profile.url, check_token(token))


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
