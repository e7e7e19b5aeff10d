"""What ``distconf login`` keeps: a token for each server, and which server is used by default.

The file is ``~/.config/distconf/credentials.json``. A token is sent only to the server that it was
issued by: each is found by the address of its server.
"""

import json
import os
import stat
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from distributed_config.client.files import write_atomically
from distributed_config.client.http.address import normalise_address
from distributed_config.errors import Invalid, Problem

SESSION, TOKEN = "session", "token"  # the kinds, and no secrets

_OTHERS = stat.S_IRWXG | stat.S_IRWXO


@dataclass(frozen=True)
class Login:
    """A token for one server. ``kind`` is SESSION where a log-in made it, TOKEN for a given one."""

    token: str = field(repr=False)
    kind: str
    name: str = ""
    expires_at: str | None = None


@dataclass(frozen=True)
class Credentials:
    """All log-ins, by the address of the server.

    ``url`` or ``profile`` is what commands use where nothing else names a server; at most one of
    them is not "".
    """

    logins: Mapping[str, Login] = field(default_factory=dict)
    url: str = ""
    profile: str = ""

    def token_for(self, url: str) -> str:
        """Return the token of the log-in to ``url``; "" if there is none."""
        login = self.logins.get(normalise_address(url))
        return login.token if login else ""


# --- the file


def configuration_folder(environ: Mapping[str, str]) -> Path:
    """Return the folder of the user's settings of ``distconf``."""
    return Path(environ.get("XDG_CONFIG_HOME") or "~/.config").expanduser() / "distconf"


def load_credentials(environ: Mapping[str, str]) -> Credentials:
    """Return what is stored; nothing if there is no file.

    Raises Invalid for a file that others can read, or that is no such file.
    """
    file = _file(environ)
    try:
        with file.open("rb") as opened:
            # Of the file that is open, and not by its name, which may lead elsewhere by now.
            if os.fstat(opened.fileno()).st_mode & _OTHERS:
                raise _wrong(file, f"Others can read it. Run: chmod 600 {file}")
            data = opened.read()
    except FileNotFoundError:
        return Credentials()
    try:
        return _parse(json.loads(data))
    except (ValueError, TypeError, KeyError, AttributeError):
        message = "It is not what `distconf login` writes. Remove it, and log in again."
        raise _wrong(file, message) from None


def save_credentials(environ: Mapping[str, str], credentials: Credentials) -> Path:
    """Store ``credentials`` for their user alone, and return the file."""
    file = _file(environ)
    file.parent.mkdir(mode=stat.S_IRWXU, parents=True, exist_ok=True)
    # The folder may be older than the first log-in, and more open.
    file.parent.chmod(stat.S_IRWXU)
    stored = {
        "url": credentials.url,
        "profile": credentials.profile,
        "logins": {url: asdict(login) for url, login in credentials.logins.items()},
    }
    write_atomically(file, (json.dumps(stored, indent=2) + "\n").encode(), 0o600)
    return file


def _file(environ: Mapping[str, str]) -> Path:
    return configuration_folder(environ) / "credentials.json"


def _parse(stored: Any) -> Credentials:
    logins = {url: Login(**login) for url, login in stored["logins"].items()}
    return Credentials(logins, str(stored["url"]), str(stored["profile"]))


def _wrong(file: Path, message: str) -> Invalid:
    return Invalid.from_problems([Problem("", message, "credentials", str(file))])
