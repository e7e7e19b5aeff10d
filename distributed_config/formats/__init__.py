"""The formats of a document: JSON, YAML and TOML in; those, env and properties out.

Loading this package loads nothing else: the client takes ``formats.env`` and
``formats.properties`` from it, which need only the standard library. The other names are those of
``formats.registry``, and come with the libraries that read YAML and write TOML.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from distributed_config.formats.registry import (
        FORMATS,
        Format,
        by_extension,
        by_media_type,
        by_name,
        read,
        write,
    )

__all__ = ["FORMATS", "Format", "by_extension", "by_media_type", "by_name", "read", "write"]


def __getattr__(name: str) -> Any:
    """Loads the registry when one of its names is used for the first time."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    registry = importlib.import_module("distributed_config.formats.registry")
    found = globals()[name] = getattr(registry, name)
    return found
