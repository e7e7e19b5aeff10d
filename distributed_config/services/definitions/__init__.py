"""Definitions: JSON Schemas in numbered revisions that services conform to."""

from distributed_config.services.definitions.attachments import (
    attach,
    create_service,
    detach,
    of_service,
    put_service,
)
from distributed_config.services.definitions.limits import (
    check_paths,
    faults_of_marks,
    faults_of_paths,
    indexed_path,
)
from distributed_config.services.definitions.read import (
    Definition,
    definitions,
    lookup,
    page,
    require,
    revisions,
)
from distributed_config.services.definitions.secret_pointers import mark, marked
from distributed_config.services.definitions.write import POLICIES, create, exists, remove, revise

__all__ = [
    "POLICIES",
    "Definition",
    "attach",
    "check_paths",
    "create",
    "create_service",
    "definitions",
    "detach",
    "exists",
    "faults_of_marks",
    "faults_of_paths",
    "indexed_path",
    "lookup",
    "mark",
    "marked",
    "of_service",
    "page",
    "put_service",
    "remove",
    "require",
    "revise",
    "revisions",
]
