"""A reader: a connection, and what may be seen through it."""

from dataclasses import dataclass

from sqlalchemy import Connection

from distributed_config.services.policy.visibility import Visibility


@dataclass(frozen=True)
class Reader:
    """What every verb that reads takes first.

    ``connection`` sees one snapshot of the database. ``visibility`` limits what is found in it, so
    that what an actor may not know of is not there.
    """

    connection: Connection
    visibility: Visibility
