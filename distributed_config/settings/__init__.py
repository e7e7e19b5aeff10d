"""The settings of the server: a table, how the environment fills it, and what it refuses."""

from distributed_config.settings.addresses import is_safe_url
from distributed_config.settings.environment import Row, load, table
from distributed_config.settings.fields import DIALECTS, PREFIX, Settings

__all__ = ["DIALECTS", "PREFIX", "Row", "Settings", "is_safe_url", "load", "table"]
