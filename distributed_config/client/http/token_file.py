"""Tokens: which texts can be one, and tokens in files, which are replaced while programs run."""

import re
from collections.abc import Mapping
from pathlib import Path

from distributed_config.errors import Invalid, Problem

# A token travels in a header, so it is visible ASCII: a line break would start another header.
_TOKEN = re.compile(r"[!-~]*")


class FileToken(str):
    """A token that knows its file: once it has expired, a newer one may be there."""

    file: Path
    source: str

    def reread(self) -> "FileToken":
        """Return the token that the file holds now. Raises Invalid as ``read_token``."""
        return read_token(self.file, self.source)


def read_token(file: Path, source: str) -> FileToken:
    """Return the token in ``file``. Raises Invalid if there is none that can be read.

    ``source`` is the setting or the file that names ``file``; errors are about it.
    """
    try:
        token = FileToken(check_token(file.read_text(encoding="utf-8").strip()))
    except UnicodeDecodeError:
        message = f"{file} holds something other than a token. Put the token alone into it."
        raise Invalid.from_problems([Problem("", message, "token", source)]) from None
    except (OSError, ValueError) as error:  # ValueError: no file can have such a name
        reason = getattr(error, "strerror", None) or error
        message = f"The token file {file} cannot be read: {reason}. Check its path and permissions."
        raise Invalid.from_problems([Problem("", message, "token", source)]) from None
    token.file, token.source = file, source
    return token


def check_token(token: str) -> str:
    """Return ``token`` if it can be one. Raises Invalid, which does not repeat it, if not."""
    if _TOKEN.fullmatch(token):
        return token
    message = (
        "The token has a character that no token has: a blank, a line break, or one outside "
        "ASCII. Give one token, as the server issued it."
    )
    raise Invalid.from_problems([Problem("", message, "token", "token")])


def token_from(environ: Mapping[str, str]) -> str:
    """Return the token in DISTCONF_TOKEN, or in the file that DISTCONF_TOKEN_FILE names; or "".

    Raises Invalid if the file cannot be read.
    """
    if environ.get("DISTCONF_TOKEN"):
        return environ["DISTCONF_TOKEN"].strip()
    if environ.get("DISTCONF_TOKEN_FILE"):
        return read_token(Path(environ["DISTCONF_TOKEN_FILE"]), "DISTCONF_TOKEN_FILE")
    return ""
