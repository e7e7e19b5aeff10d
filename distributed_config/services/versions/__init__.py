"""The versions of a series: read, added, turned on and off, and deleted."""

from distributed_config.services.versions.availability import (
    delete_service,
    delete_version,
    delete_with_versions,
    disable_service,
    set_enabled,
)
from distributed_config.services.versions.conformity import check_current
from distributed_config.services.versions.preconditions import check_expected
from distributed_config.services.versions.read import (
    all_existing,
    as_of_revision,
    as_of_time,
    change_times,
    count_services,
    current,
    current_value,
    history,
    lookup,
    masked_text,
    numbered,
    require,
    stored,
    version_times,
)
from distributed_config.services.versions.values import PUBLISH, Version, WriteResult
from distributed_config.services.versions.write import (
    append,
    create,
    merge,
    patch,
    put,
    roll_back,
)

__all__ = [
    "PUBLISH",
    "Version",
    "WriteResult",
    "all_existing",
    "append",
    "as_of_revision",
    "as_of_time",
    "change_times",
    "check_current",
    "check_expected",
    "count_services",
    "create",
    "current",
    "current_value",
    "delete_service",
    "delete_version",
    "delete_with_versions",
    "disable_service",
    "history",
    "lookup",
    "masked_text",
    "merge",
    "numbered",
    "patch",
    "put",
    "require",
    "roll_back",
    "set_enabled",
    "stored",
    "version_times",
]
