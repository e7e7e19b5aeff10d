"""The formats of a document: JSON, YAML and TOML in; those, env and properties out.

Importing this package imports nothing else: the client uses ``formats.env`` and
``formats.properties``, which need only the standard library. The other names are those of
``formats.registry``, which imports the libraries for YAML and TOML.
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
    attribute = globals()[name] = getattr(registry, name)
    return attribute
