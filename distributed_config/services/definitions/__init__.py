"""Definitions: JSON Schemas, in numbered revisions, that services conform to."""

from distributed_config.services.definitions.attachments import (
    attach,
    create_service,
    detach,
    of_service,
    put_service,
)
from distributed_config.services.definitions.limits import (
    check_paths,
    indexed_path,
    mark_problems,
    path_problems,
)
from distributed_config.services.definitions.read import (
    Definition,
    definitions,
    lookup,
    page,
    require,
    revisions,
)
from distributed_config.services.definitions.secret_pointers import (
    secret_pointers,
    set_secret_pointers,
)
from distributed_config.services.definitions.write import (
    POLICIES,
    create,
    delete_definition,
    exists,
    revise,
)

__all__ = [
    "POLICIES",
    "Definition",
    "attach",
    "check_paths",
    "create",
    "create_service",
    "definitions",
    "delete_definition",
    "detach",
    "exists",
    "indexed_path",
    "lookup",
    "mark_problems",
    "of_service",
    "page",
    "path_problems",
    "put_service",
    "require",
    "revise",
    "revisions",
    "secret_pointers",
    "set_secret_pointers",
]
