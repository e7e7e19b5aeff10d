"""The API of a "Unified Config" service: sections of keys.

A section is a service, and a key of it a top-level key of the current document. What is written
here makes versions like everything else; a section that is deleted has all its versions disabled,
so that it can be enabled again.
"""

from distributed_config.dialects.base import Dialect
from distributed_config.dialects.unified import reading, updates, writing
from distributed_config.dialects.unified.errors import render_error
from distributed_config.dialects.unified.routes import blueprint

# Being imported registers the routes of a module.
ROOMS = (writing, reading, updates)

DIALECT = Dialect("unified", blueprint, render_error)
