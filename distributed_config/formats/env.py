"""Documents as environment variables, and as lines that a POSIX shell sources.

Standard library only: the server, the command line and the sidecar share this writer.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from distributed_config.formats.flattening import flatten

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
# What people put between the words of a key. Any other character is part of a word: it is never
# replaced, since two words that differ in it would become one.
_SEPARATOR = re.compile(r"[-. /:]")
_BARE = re.compile(r"[A-Za-z0-9_.,:/@%+=-]*")


def variables(document: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """Return ``document`` as variables: ``db.host`` becomes ``DB_HOST``, and a list JSON text.

    Every name begins with ``prefix``. Raises NotRepresentable with every value that has no valid
    name, shares its name with another value, or cannot be the value of a variable.
    """

    def join(parent: str | None, key: str | int) -> str:
        word = _word(str(key))
        return f"{prefix}{word}" if parent is None else f"{parent}_{word}"

    # Lists stay whole: readers such as pydantic-settings take JSON, and none takes DB_PORTS_0.
    return flatten(document, join, _problems, containers=(Mapping,))


def write_env(document: Mapping[str, Any]) -> str:
    """Return ``document`` as lines for a shell. Raises NotRepresentable, as ``variables``."""
    return as_lines(variables(document))


def as_lines(texts: Mapping[str, str], lead: str = "") -> str:
    """Return variables as lines for a shell, each after ``lead``, such as ``export ``."""
    return "".join(f"{lead}{name}={_quote(text)}\n" for name, text in texts.items())


def _word(key: str) -> str:
    # Outside ASCII, letters are left as they are, so that the name is refused with them in it:
    # upper() would make ASCII of some, as S of ſ.
    return _SEPARATOR.sub("_", key).upper() if key.isascii() else key


def _problems(name: str, value: Any) -> Iterator[tuple[str, str]]:
    if not _NAME.fullmatch(name):
        message = (
            f"{name[:80]!r} is no valid name of a variable: use ASCII letters, digits and _, and "
            "begin with no digit. Rename the key."
        )
        yield message, "key"
    if value is None:
        yield "env has no null. Leave the key out, or give it a value.", "null"
    elif isinstance(value, Mapping):
        yield "env has no empty object. Leave the key out, or put something into it.", "empty"
    elif isinstance(value, str) and "\0" in value:
        yield "A variable cannot hold a NUL character.", "nul"


def _quote(text: str) -> str:
    # Like shlex.quote, but with more bare characters, because people read and compare these lines.
    return text if _BARE.fullmatch(text) else "'" + text.replace("'", "'\\''") + "'"
