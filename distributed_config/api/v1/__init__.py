"""``/api/v1``: services, versions, definitions, changes, bulk, accounts and the audit log."""

from flask import Blueprint

from distributed_config.api.v1 import (
    access,
    account_routes,
    accounts,
    audit,
    changes,
    changesets,
    definitions,
    environments,
    services,
    sessions,
    tokens,
    transfer,
    versions,
)

# These have their routes on one blueprint; being imported registers them.
ROOMS_OF_ACCOUNTS = (accounts, tokens, sessions, access)

blueprint = Blueprint("v1", __name__, url_prefix="/api/v1")
# The order is that of the OpenAPI document.
for room in (
    services,
    versions,
    environments,
    definitions,
    changes,
    changesets,
    transfer,
    account_routes,
    audit,
):
    blueprint.register_blueprint(room.blueprint)
