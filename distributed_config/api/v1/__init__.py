"""``/api/v1``: services, versions, definitions, changes, bulk, accounts and the audit log."""

from flask import Blueprint

from distributed_config.api.v1 import (
    accounts,
    audit,
    changes,
    changesets,
    definitions,
    services,
    transfer,
    versions,
)

blueprint = Blueprint("v1", __name__, url_prefix="/api/v1")
for room in (
    services,
    versions,
    definitions,
    changes,
    changesets,
    transfer,
    accounts,
    audit,
):
    blueprint.register_blueprint(room.blueprint)
