"""What to say where the packages of the server are missing, or too old."""

import re
from collections.abc import Iterator
from importlib import metadata

INSTALL = "pip install --upgrade 'distributed-config[server]'"

# Requirements with a further marker are for some machines only, and have a substitute elsewhere.
_OF_SERVER = re.compile(r'([\w.-]+)>=([\d.]+) *; extra == "server"')


def unmet() -> list[str]:
    """What the server needs and this environment lacks, as ``flask>=3.1 (2.0 is here)``.

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
            found = metadata.version(name)
        except metadata.PackageNotFoundError:
            yield f"{name}>={least}"
            continue
        if _numbers(found) < _numbers(least):
            yield f"{name}>={least} ({found} is here)"


def _numbers(version: str) -> tuple[int, ...]:
    """The leading numbers of a version; what follows them, as ``rc1``, decides nothing here."""
    return tuple(int(part) for part in re.split(r"[^\d.]", version)[0].split(".") if part)


def explain(command: str, lacking: list[str]) -> str:
    """The sentence for a command of the server that cannot run, with the line to type."""
    return f"`distconf {command}` runs on the server, which lacks {', '.join(lacking)}. {INSTALL}"
