"""The packages that the server needs and this environment lacks, or has too old."""

import re
from collections.abc import Iterator
from importlib import metadata

INSTALL = "pip install --upgrade 'distributed-config[server]'"

# Requirements with a further marker are for some machines only, and have a substitute elsewhere.
_OF_SERVER = re.compile(r'([\w.-]+)>=([\d.]+) *; extra == "server"')


def find_unmet() -> list[str]:
    """Return what the server needs and this environment lacks, as ``flask>=3.1 (2.0 is here)``.

    Empty as well in a source tree that was never installed: nothing is known there.
    """
    try:
        required = metadata.requires("distributed-config") or []
    except metadata.PackageNotFoundError:
        return []
    return list(_unmet(required))


def _unmet(required: list[str]) -> Iterator[str]:
    for match in filter(None, map(_OF_SERVER.fullmatch, required)):
        name, least = match.groups()
        try:
            installed = metadata.version(name)
        except metadata.PackageNotFoundError:
            yield f"{name}>={least}"
            continue
        if _numbers(installed) < _numbers(least):
            yield f"{name}>={least} ({installed} is here)"


def _numbers(version: str) -> tuple[int, ...]:
    """Return the leading numbers of a version; what follows them, as ``rc1``, decides nothing."""
    return tuple(int(part) for part in re.split(r"[^\d.]", version)[0].split(".") if part)


def explain(command: str, unmet: list[str]) -> str:
    """Return the sentence for a command of the server that cannot run, with the line to type."""
    return f"`distconf {command}` runs on the server, which lacks {', '.join(unmet)}. {INSTALL}"
