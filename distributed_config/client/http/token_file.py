"""Tokens: what may be one, and those in files, which are exchanged while programs run."""

import re
from pathlib import Path

from distributed_config.errors import Invalid, Problem

_TOKEN = re.compile(r"[!-~]*")


class FileToken(str):
    """A token that knows its file: when it has ended, a newer one may be there."""

    file: Path
    named: str

    def again(self) -> "FileToken":
        """What is in the file by now. Raises Invalid as ``token_in``."""
        return token_in(self.file, self.named)


def token_in(file: Path, named: str) -> FileToken:
    """The token in ``file``, which ``named`` speaks of. Raises Invalid if it cannot be read."""
    try:
        token = FileToken(check_token(file.read_text(encoding="utf-8").strip()))
    except UnicodeDecodeError:
        message = f"{file} holds no token, but something else. Put the token alone into it."
        raise Invalid.from_problems([Problem("", message, "token", named)]) from None
    except (OSError, ValueError) as error:  # ValueError: there can be no file of that name
        reason = getattr(error, "strerror", None) or error
        message = f"The token's file {file} cannot be read: {reason}. Look at its path and rights."
        raise Invalid.from_problems([Problem("", message, "token", named)]) from None
    token.file, token.named = file, named
    return token


def check_token(token: str) -> str:
    """``token``, if it can be one. Raises Invalid, which does not tell it, if not."""
    if _TOKEN.fullmatch(token):
        return token
    message = (
        "The token holds a character that no token has: a blank, a line break, or one that is "
        "not ASCII. Give one token, as it was made."
    )
    raise Invalid.from_problems([Problem("", message, "token", "token")])
