"""The API of Tartarus: configurations that belong to definitions, found by indexed properties.

A definition here is a definition there, and its configuration ``KEY`` is the service
``DEFINITION/KEY``. Paths are taken with and without a slash at the end, with and without
``/api/v1``, and in both spellings; credentials are the bare ``Authorization`` header. After
https://github.com/qreater/Tartarus, whose clients work unchanged.
"""

from distributed_config.dialects.base import Dialect
from distributed_config.dialects.tartarus import configurations, definitions, pages
from distributed_config.dialects.tartarus.errors import render_error
from distributed_config.dialects.tartarus.routes import blueprint

# Being imported registers the routes of a module.
ROOMS = (definitions, configurations, pages)

DIALECT = Dialect("tartarus", blueprint, render_error)
